//! Header blocks that nobody encoded. An input is a sequence of blocks, each behind a byte with its length.

use bytes::BytesMut;

use super::super::table::STATIC_TEXT;
use super::super::{Decoder, TABLE_SIZE_ZERO, encode, keeps_table};
use super::decoded;

/// Small, so that entries are evicted and some do not fit at all.
const TABLE_BYTES_MAX: usize = 300;
/// The longest field of the static table, and more.
const STATIC_FIELD_BYTES: usize = 64;

/// What came of one block: the number of fields and of entries in the table, and whether the block leaves the table.
type Seen = (Option<usize>, usize, bool);

fn blocks(mut input: &[u8]) -> Vec<Seen> {
    let mut decoder = Decoder::new(TABLE_BYTES_MAX);
    let mut seen = Vec::new();
    while let Some((&length, rest)) = input.split_first() {
        let (block, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        let before = decoder.table.clone();
        let keeps = keeps_table(block);
        let fields = decoded(&mut decoder, block);
        let (bytes, entries) = decoder.table.entries();
        assert!(bytes <= TABLE_BYTES_MAX && entries.len() <= bytes / 32);
        assert!(!keeps || decoder.table == before, "the table has changed");
        let Ok(fields) = fields else {
            seen.push((None, entries.len().min(3), keeps));
            break;
        };
        // A byte of a block makes at most one field, from a table or of eight bits for every five.
        assert!(fields.len() <= block.len());
        let bytes_max = TABLE_BYTES_MAX + STATIC_FIELD_BYTES + block.len() * 8 / 5;
        let mut again = BytesMut::new();
        for (name, value) in &fields {
            assert!(name.len() + value.len() <= bytes_max);
            encode(&mut again, name, value);
        }
        assert_eq!(decoded(&mut Decoder::new(0), &again).as_ref(), Ok(&fields));
        seen.push((Some(fields.len().min(3)), entries.len().min(3), keeps));
    }
    seen
}

#[test]
fn no_blocks_break_the_decoder_and_what_they_say_can_be_said_again() {
    let lone = |block: &[u8]| [&[block.len() as u8], block].concat();
    let mut answer = BytesMut::new();
    for (name, value) in [(&b":status"[..], &b"200"[..]), (b"grpc-status", b"0")] {
        encode(&mut answer, name, value);
    }
    let every_index: Vec<u8> = (0..STATIC_TEXT.len()).map(|at| 0x81 + at as u8).collect();
    let seeds = [
        lone(&answer),
        lone(&every_index),
        [
            lone(b"\x40\x01a\x01b"),
            lone(b"\xbe"),
            lone(&[TABLE_SIZE_ZERO, 0x82]),
        ]
        .concat(),
        lone(b"\x00\x83\x1c\x64\x8f\x81\x1f\x10\x01b\xff\x00"),
    ];
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "hpack", &seeds, blocks);
    assert!(outcome.found > seeds.len());
}
