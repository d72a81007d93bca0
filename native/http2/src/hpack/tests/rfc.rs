//! The examples of RFC 7541's appendix C, and what it calls errors.

use super::super::{Decoder, Malformed, huffman};
use super::slow::{codes, packed};
use super::{Plain, decoded};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn plain(fields: &[(&str, &str)]) -> Vec<Plain> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// A block, its fields, and then the table: its size and entries.
type Step<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    usize,
    &'a [(&'a str, &'a str)],
);

fn check(table_bytes_max: usize, steps: &[Step]) {
    let mut decoder = Decoder::new(table_bytes_max);
    for (hex, fields, table_bytes, entries) in steps {
        assert_eq!(
            decoded(&mut decoder, &bytes(hex)),
            Ok(plain(fields)),
            "{hex}"
        );
        assert_eq!(
            decoder.table.entries(),
            (*table_bytes, plain(entries)),
            "{hex}"
        );
    }
}

fn malformed(hex: &str) {
    assert_eq!(
        decoded(&mut Decoder::new(4096), &bytes(hex)),
        Err(Malformed),
        "{hex}"
    );
}

#[test]
fn c2_one_field() {
    let custom = [("custom-key", "custom-header")];
    check(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &custom,
            55,
            &custom,
        )],
    );
    check(
        4096,
        &[(
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
            0,
            &[],
        )],
    );
    check(
        4096,
        &[(
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
            0,
            &[],
        )],
    );
    check(4096, &[("82", &[(":method", "GET")], 0, &[])]);
}

/// The three requests of C.3 and C.4, which differ in Huffman only.
fn requests(blocks: [&str; 3]) {
    let authority = (":authority", "www.example.com");
    let no_cache = ("cache-control", "no-cache");
    let custom = ("custom-key", "custom-value");
    let (get, http, https) = (
        (":method", "GET"),
        (":scheme", "http"),
        (":scheme", "https"),
    );
    let (root, index) = ((":path", "/"), (":path", "/index.html"));
    check(
        4096,
        &[
            (blocks[0], &[get, http, root, authority], 57, &[authority]),
            (
                blocks[1],
                &[get, http, root, authority, no_cache],
                110,
                &[no_cache, authority],
            ),
            (
                blocks[2],
                &[get, https, index, authority, custom],
                164,
                &[custom, no_cache, authority],
            ),
        ],
    );
}

#[test]
fn c3_requests_without_huffman() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c4_requests_with_huffman() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// The three responses of C.5 and C.6 with a table of 256 bytes, which evicts.
fn responses(blocks: [&str; 3]) {
    let (found, unmodified, ok) = ((":status", "302"), (":status", "307"), (":status", "200"));
    let private = ("cache-control", "private");
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = ("location", "https://www.example.com");
    let gzip = ("content-encoding", "gzip");
    let cookie = (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    );
    check(
        256,
        &[
            (
                blocks[0],
                &[found, private, date, location],
                222,
                &[location, date, private, found],
            ),
            (
                blocks[1],
                &[unmodified, private, date, location],
                222,
                &[unmodified, location, date, private],
            ),
            (
                blocks[2],
                &[ok, private, later, location, gzip, cookie],
                215,
                &[cookie, gzip, later],
            ),
        ],
    );
}

#[test]
fn c5_responses_without_huffman() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
         474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
         666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
         3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c6_responses_with_huffman() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
         63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}

#[test]
fn an_index_must_be_in_a_table() {
    for hex in ["80", "be", "ff00", "7f00 0161", "0f2f 0161"] {
        malformed(hex); // 0; 62 in an empty table; 127; names of 63 and 62
    }
}

#[test]
fn what_is_cut_short_is_malformed() {
    for hex in [
        "ff",
        "ff80",
        "40",
        "4001",
        "4001 61",
        "4001 6101",
        "04",
        "0482 64",
        "00",
        "3f",
    ] {
        malformed(hex);
    }
}

#[test]
fn integers_have_at_most_28_bits_after_the_prefix() {
    malformed("ff80 8080 8000"); // 127 with needless bytes
    malformed("ffff ffff ffff 7f");
    malformed("04ff ffff ffff ffff ffff ffff 01");
    malformed("047f ffff ff7f 00"); // a string of 2^28 bytes that are not there
    check(4096, &[("0f80 0000", &[("accept-charset", "")], 0, &[])]); // one needless byte is allowed
}

#[test]
fn the_size_changes_only_where_a_block_begins() {
    malformed("8220");
    malformed("3fe2 1f"); // 4097
    let custom = [("custom-key", "custom-header")];
    let add = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(
        4096,
        &[
            (add, &custom, 55, &custom),
            ("20 3fe1 1f", &[], 0, &[]),
            (add, &custom, 55, &custom),
        ],
    );
    check(
        4096,
        &[
            (add, &custom, 55, &custom),
            ("3f18 be", &custom, 55, &custom),
            ("3f17", &[], 0, &[]),
        ],
    );
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let add = "4001 6101 62";
    let held = [("a", "b")];
    let large = "4003 6161 6103 6262 62";
    check(
        34,
        &[(add, &held, 34, &held), (large, &[("aaa", "bbb")], 0, &[])],
    );
}

/// The name that a new entry takes from an old one outlives the old one, which the new one evicts.
#[test]
fn an_entry_may_take_its_name_from_the_one_it_evicts() {
    check(
        34,
        &[
            ("4001 6101 62", &[("a", "b")], 34, &[("a", "b")]),
            ("7e01 63", &[("a", "c")], 34, &[("a", "c")]),
        ],
    );
}

fn huffman_decoded(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut plain = Vec::new();
    huffman::decode(coded, &mut plain).map(|()| plain)
}

#[test]
fn huffman_padding_is_less_than_a_byte_of_ones() {
    let codes = codes();
    for (byte, code) in codes.iter().enumerate() {
        let coded = packed(code);
        assert_eq!(huffman_decoded(&coded), Ok(vec![byte as u8]));
        let padding = coded.len() * 8 - code.len();
        let longer = packed(&format!("{code}{}", "1".repeat(padding + 8)));
        assert_eq!(
            huffman_decoded(&longer),
            Err(Malformed),
            "{byte}: a byte of padding too much"
        );
        for zero in 0..padding {
            let mut broken = coded.clone();
            *broken.last_mut().unwrap() ^= 1 << zero;
            // A zero in the padding may also complete another code; then padding begins after it.
            let bits = format!(
                "{code}{}0{}",
                "1".repeat(padding - 1 - zero),
                "1".repeat(zero)
            );
            let completed = codes.iter().position(|other| {
                bits[code.len()..].starts_with(other.as_str())
                    && !bits[code.len() + other.len()..].contains('0')
            });
            let expected = completed
                .map(|other| vec![byte as u8, other as u8])
                .ok_or(Malformed);
            assert_eq!(huffman_decoded(&broken), expected, "{byte}: {bits}");
        }
    }
    assert_eq!(huffman_decoded(&[]), Ok(vec![]));
    assert_eq!(huffman_decoded(&[0xff]), Err(Malformed));
}

#[test]
fn huffman_has_no_end_of_string_inside() {
    let end = "1".repeat(30);
    for around in ["", "00000", "0000000000"] {
        assert_eq!(
            huffman_decoded(&packed(&format!("{around}{end}"))),
            Err(Malformed)
        );
        assert_eq!(
            huffman_decoded(&packed(&format!("{around}{end}00000000"))),
            Err(Malformed)
        );
    }
}
