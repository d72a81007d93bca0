//! The beginning and the end of a copy of the store, from what may be no member.

use bytes::{Bytes, BytesMut};
use netcd_engine::snapshot::SnapshotInfo;

use super::{END_BYTES, START_BYTES, decode_end, decode_head, encode_end, encode_head};
use crate::peer::limits::SNAPSHOT_HEADER_BYTES_MAX;

fn target(input: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut buffer = BytesMut::from(input);
    match decode_head(&mut buffer) {
        Ok(Some((message, start))) => {
            assert!(message.len() <= SNAPSHOT_HEADER_BYTES_MAX);
            let head = encode_head(&message, &start);
            assert_eq!([&head[..], &buffer[..]].concat(), input);
            found.push(if message.is_empty() {
                "no message"
            } else {
                "message"
            });
            found.push(if buffer.is_empty() { "no file" } else { "file" });
        }
        Ok(None) => {
            assert_eq!(buffer, input, "what came is kept");
            assert!(input.len() < SNAPSHOT_HEADER_BYTES_MAX + 4 + START_BYTES);
            found.push("more is needed");
        }
        Err(_) => found.push("no head"),
    }
    match decode_end(Bytes::copy_from_slice(input)) {
        Some((bytes, checksum)) => {
            let applied = Default::default();
            let info = SnapshotInfo {
                applied,
                revision: 0,
                bytes,
                checksum,
            };
            assert_eq!(encode_end(&info), input);
            found.push("end");
        }
        None => assert_ne!(input.len(), END_BYTES),
    }
    found
}

#[test]
fn no_beginning_and_no_end_break_the_receiver_of_a_copy() {
    let head = [&[2, 0, 0, 0][..], b"{}", &[1; START_BYTES], b"file"].concat();
    let seeds = [head, vec![1; END_BYTES]];
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "snapshot", &seeds, target);
    assert!(outcome.found > seeds.len());
}
