//! The memory of header blocks: whatever came before, a block means what a decoder without memory reads.

use http::HeaderMap;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::hpack;
use crate::request::{Block, Blocks, TABLE_BYTES};

/// One representation of a header block.
#[derive(Clone, Debug)]
enum Part {
    /// An entry of the dynamic table, if it has so many.
    Dynamic(u8),
    /// A literal that is added to the table.
    Added(u8, u8),
    Passing(u8, u8),
    /// In upper case: the request is malformed, the table is not.
    Upper(u8),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => (0..6_u8).prop_map(Part::Dynamic),
        1 => (0..3_u8, 0..3_u8).prop_map(|(name, value)| Part::Added(name, value)),
        3 => (0..3_u8, 0..3_u8).prop_map(|(name, value)| Part::Passing(name, value)),
        1 => (0..3_u8).prop_map(Part::Upper),
    ]
}

/// A block, whether it begins with a new table size, and whether it is of trailers.
type Sent = (Option<u8>, Vec<Part>, bool);

/// Few blocks, sent again and again in any order.
fn sequence() -> impl Strategy<Value = (Vec<Sent>, Vec<prop::sample::Index>)> {
    let size = prop_oneof![9 => Just(None), 1 => (0..31_u8).prop_map(Some)];
    let one = (size, vec(part(), 0..4), prop::bool::weighted(0.1));
    (vec(one, 1..14), vec(any::<prop::sample::Index>(), 1..120))
}

fn encoded((size, parts, trailers): &Sent) -> Vec<u8> {
    let mut out: Vec<u8> = size.iter().map(|size| 0x20 | size).collect();
    if !trailers {
        // POST, http, /
        out.extend([0x83, 0x86, 0x84]);
    }
    for part in parts {
        match part {
            Part::Dynamic(at) => out.push(0x80 | (62 + at)),
            Part::Added(name, value) => out.extend([0x40, 1, b'a' + name, 1, b'0' + value]),
            Part::Passing(name, value) => out.extend([0x00, 1, b'a' + name, 1, b'0' + value]),
            Part::Upper(name) => out.extend([0x00, 1, b'A' + name, 0]),
        }
    }
    out
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decoded(decoder: &mut hpack::Decoder, bytes: &[u8]) -> Option<Fields> {
    let mut fields = Vec::new();
    let decoded = decoder.decode(bytes, |field| {
        fields.push((field.name.to_vec(), field.value.to_vec()));
    });
    decoded.is_ok().then_some(fields)
}

/// The headers of a request with these fields; None if it is malformed.
fn headers(fields: &Fields) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().filter(|(name, _)| name[0] != b':') {
        let name = http::HeaderName::from_lowercase(name).ok()?;
        headers.append(name, http::HeaderValue::from_bytes(value).expect("text"));
    }
    Some(headers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_block_means_the_same_with_and_without_memory((pool, order) in sequence()) {
        let mut blocks = Blocks::<()>::new();
        let mut plain = hpack::Decoder::new(TABLE_BYTES);
        for at in order {
            let sent = at.get(&pool);
            let bytes = encoded(sent);
            let expected = decoded(&mut plain, &bytes);
            if sent.2 {
                let fine = expected.as_ref().map(|fields| headers(fields).is_some());
                prop_assert_eq!(blocks.trailers(&bytes).ok(), fine);
            } else {
                match (blocks.request(&bytes), &expected) {
                    (Ok(Block::Request(head)), Some(fields)) => {
                        let expected = headers(fields);
                        prop_assert_eq!(Some(&head.parts.headers), expected.as_ref());
                        prop_assert_eq!((head.path(), head.parts.method.as_str()), ("/", "POST"));
                    }
                    (Ok(Block::Malformed), Some(fields)) => prop_assert_eq!(headers(fields), None),
                    (Ok(Block::TooLarge), _) => prop_assert!(false, "none is so large"),
                    (Err(_), None) => {}
                    (got, _) => prop_assert!(false, "{:?} but error {}", expected, got.is_err()),
                }
            }
            if expected.is_none() {
                break;
            }
        }
    }
}

#[test]
fn a_block_that_was_seen_is_forgotten_when_the_table_changes() {
    let mut blocks = Blocks::<()>::new();
    let value = |blocks: &mut Blocks<()>, bytes: &[u8]| {
        let Ok(Block::Request(head)) = blocks.request(bytes) else {
            panic!("a request");
        };
        head.parts.headers["a"].clone()
    };
    let added = |value| encoded(&(None, vec![Part::Added(0, value)], false));
    let newest = encoded(&(None, vec![Part::Dynamic(0)], false));
    assert_eq!(value(&mut blocks, &added(0)), "0");
    assert_eq!(value(&mut blocks, &newest), "0");
    assert_eq!(value(&mut blocks, &newest), "0");
    assert_eq!(value(&mut blocks, &added(1)), "1");
    assert_eq!(value(&mut blocks, &newest), "1");
    let trailers = encoded(&(None, vec![Part::Added(0, 2)], true));
    assert_eq!(blocks.trailers(&trailers), Ok(true));
    assert_eq!(value(&mut blocks, &newest), "2");
    let emptied = encoded(&(Some(0), vec![], false));
    assert!(blocks.request(&emptied).is_ok());
    assert!(blocks.request(&newest).is_err(), "the table is empty");
}
