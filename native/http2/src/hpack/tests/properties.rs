//! Properties: what a slow encoder writes is what the decoder reads, and nothing that it reads makes it panic.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::table::STATIC_TEXT;
use super::super::{Decoder, TABLE_SIZE_ZERO, encode, huffman, keeps_table};
use super::slow::{self, Choice, Literal, SlowEncoder};
use super::{Plain, decoded};

/// Small, so that entries are evicted and some do not fit at all.
const TABLE_BYTES_MAX: usize = 300;

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z0-9-]{0,12}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 120..300),
    ]
}

/// Fields that the static table has, ones that come again and again, and any.
fn field() -> impl Strategy<Value = Plain> {
    let fixed = (0..STATIC_TEXT.len())
        .prop_map(|at| (STATIC_TEXT[at].0.to_vec(), STATIC_TEXT[at].1.to_vec()));
    let again =
        (0..4_u8, 0..3_u8).prop_map(|(name, value)| (vec![b'a' + name; 5], vec![b'0' + value; 3]));
    let fixed_name =
        (0..STATIC_TEXT.len(), text()).prop_map(|(at, value)| (STATIC_TEXT[at].0.to_vec(), value));
    prop_oneof![2 => fixed, 4 => again, 1 => fixed_name, 2 => (text(), text())]
}

fn choice() -> impl Strategy<Value = Choice> {
    let literal = prop_oneof![
        Just(Literal::Added),
        Just(Literal::Without),
        Just(Literal::Never)
    ];
    (any::<(bool, bool, bool, bool)>(), literal).prop_map(
        |((indexed, name_indexed, huffman_name, huffman_value), literal)| Choice {
            indexed,
            name_indexed,
            literal,
            huffman_name,
            huffman_value,
        },
    )
}

/// What one block is made of: new table sizes, then fields.
type Block = (Vec<usize>, Vec<(Plain, Choice)>);

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let sizes = prop_oneof![4 => Just(vec![]), 1 => vec(0..=TABLE_BYTES_MAX, 1..3)];
    vec((sizes, vec((field(), choice()), 1..12)), 1..8)
}

fn encoded(encoder: &mut SlowEncoder, (sizes, fields): &Block) -> Vec<u8> {
    let mut out = Vec::new();
    for &size in sizes {
        encoder.resize(&mut out, size);
    }
    for (field, choice) in fields {
        encoder.field(&mut out, field, choice);
    }
    out
}

proptest! {
    #[test]
    fn what_the_slow_encoder_writes_is_read(blocks in blocks()) {
        let mut encoder = SlowEncoder::new(TABLE_BYTES_MAX);
        let mut decoder = Decoder::new(TABLE_BYTES_MAX);
        for block in &blocks {
            let bytes = encoded(&mut encoder, block);
            let fields = block.1.iter().map(|(field, _)| field.clone()).collect();
            prop_assert_eq!(decoded(&mut decoder, &bytes), Ok(fields));
            prop_assert_eq!(decoder.table.entries(), encoder.entries());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(blocks in vec(vec(any::<u8>(), 0..60), 1..5)) {
        let mut decoder = Decoder::new(TABLE_BYTES_MAX);
        for block in blocks {
            keeps_table(&block);
            if decoded(&mut decoder, &block).is_err() {
                break;
            }
        }
    }

    /// Random bytes are malformed soon; a block with few bytes changed gets further.
    #[test]
    fn no_change_of_a_block_makes_it_panic(
        blocks in blocks(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut encoder = SlowEncoder::new(TABLE_BYTES_MAX);
        let mut decoder = Decoder::new(TABLE_BYTES_MAX);
        for block in &blocks {
            let mut bytes = encoded(&mut encoder, block);
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let before = decoder.table.clone();
            let keeps = keeps_table(&bytes);
            let result = decoded(&mut decoder, &bytes);
            prop_assert!(!keeps || decoder.table == before);
            if result.is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_block_that_keeps_the_table_means_the_same_again(blocks in blocks()) {
        let mut encoder = SlowEncoder::new(TABLE_BYTES_MAX);
        let mut decoder = Decoder::new(TABLE_BYTES_MAX);
        for block in &blocks {
            let bytes = encoded(&mut encoder, block);
            let before = decoder.table.clone();
            let once = decoded(&mut decoder, &bytes);
            if keeps_table(&bytes) {
                prop_assert_eq!(&decoder.table, &before);
                prop_assert_eq!(decoded(&mut decoder, &bytes), once);
                prop_assert_eq!(&decoder.table, &before);
            }
            let added = decoder.table != before;
            prop_assert!(!(added && keeps_table(&bytes)));
        }
    }

    /// True must not be rare either: a block that says nothing to the table keeps it.
    #[test]
    fn a_block_without_added_fields_keeps_the_table((_, fields) in blocks().prop_map(|mut blocks| blocks.remove(0))) {
        let mut encoder = SlowEncoder::new(TABLE_BYTES_MAX);
        let mut passing = fields.clone();
        passing.iter_mut().filter(|(_, choice)| choice.literal == Literal::Added).for_each(|(_, choice)| {
            choice.literal = Literal::Without;
        });
        let bytes = encoded(&mut encoder, &(vec![], passing));
        prop_assert!(keeps_table(&bytes));
        prop_assert!(!keeps_table(&[&[TABLE_SIZE_ZERO], &bytes[..]].concat()));
        prop_assert!(!keeps_table(&[&bytes[..], b"\x40\x01a\x01b"].concat()));
    }

    #[test]
    fn huffman_there_and_back(plain in vec(any::<u8>(), 0..200)) {
        let mut back = Vec::new();
        prop_assert_eq!(huffman::decode(&slow::huffman(&plain), &mut back), Ok(()));
        prop_assert_eq!(back, plain);
    }

    #[test]
    fn what_is_encoded_is_read(fields in vec(field(), 0..20)) {
        let mut out = BytesMut::new();
        for (name, value) in &fields {
            encode(&mut out, name, value);
        }
        prop_assert!(keeps_table(&out));
        let mut decoder = Decoder::new(0);
        prop_assert_eq!(decoded(&mut decoder, &out), Ok(fields.clone()));
        let mut shrunk = vec![TABLE_SIZE_ZERO];
        shrunk.extend_from_slice(&out);
        prop_assert_eq!(decoded(&mut Decoder::new(4096), &shrunk), Ok(fields));
    }
}

proptest! {
    // Few cases: the other decoder makes its tables anew for each string.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The other implementation has its own tables of constants; one table of both being wrong alike is unlikely.
    #[test]
    fn another_implementation_reads_the_same(blocks in blocks()) {
        let mut encoder = SlowEncoder::new(TABLE_BYTES_MAX);
        let mut decoder = Decoder::new(TABLE_BYTES_MAX);
        let mut other = loona_hpack::Decoder::new();
        other.set_max_allowed_table_size(TABLE_BYTES_MAX);
        other.set_max_table_size(TABLE_BYTES_MAX);
        for block in &blocks {
            let bytes = encoded(&mut encoder, block);
            prop_assert_eq!(decoded(&mut decoder, &bytes).ok(), other.decode(&bytes).ok());
        }
    }
}

/// Another implementation reads every byte as this one's table of code lengths writes it.
#[test]
fn another_implementation_has_the_same_code() {
    let plain: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let mut block = vec![0x00];
    slow::text(&mut block, &plain, true);
    slow::text(&mut block, &plain, true);
    assert_eq!(
        loona_hpack::Decoder::new().decode(&block).unwrap(),
        [(plain.clone(), plain)]
    );
}

#[test]
fn static_fields_are_one_byte_and_static_names_an_index() {
    for (at, (name, value)) in STATIC_TEXT.iter().enumerate() {
        let mut out = BytesMut::new();
        encode(&mut out, name, value);
        assert_eq!(out[..], [0x81 + at as u8]);
        let mut out = BytesMut::new();
        encode(&mut out, name, b"no value of the table");
        assert_eq!(out.len(), if at + 1 < 15 { 1 } else { 2 } + 22, "{at}");
    }
    let mut out = BytesMut::new();
    encode(&mut out, b"grpc-status", b"0");
    assert_eq!(out[..], *b"\x00\x0bgrpc-status\x010");
}
