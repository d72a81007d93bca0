//! Copies of the store on their way between members, each on a connection of its own: the raft message that announces
//! the copy, where the copy stands, its bytes, and what they must be. The answer's body is `stored` once the copy was
//! checked. An interrupted transfer leaves nothing and starts again with a fresh copy, because raft sends the message
//! again.
//!
//! Little endian: `u32 message length`, message, `u64 index`, `u64 term` and `i64 revision` at which the copy stands,
//! `u64` the most bytes that the file can have, the file, `u64 bytes` and `u32 CRC-32C` of the file. The copy is made
//! while it is sent, so its length is not known before.

#[cfg(test)]
mod fuzz_test;
mod receive;
mod send;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use netcd_engine::snapshot::{SnapshotInfo, SnapshotStart};
use netcd_engine::types::LogMark;

use super::limits::SNAPSHOT_HEADER_BYTES_MAX;

pub use receive::receive_snapshot;
pub use send::Transfer;

const LENGTH_BYTES: usize = 4;
const START_BYTES: usize = 8 + 8 + 8 + 8;
/// What comes after the file.
const END_BYTES: usize = 8 + 4;

/// What goes before the file.
fn encode_head(message: &Bytes, start: &SnapshotStart) -> Bytes {
    let mut head = BytesMut::with_capacity(LENGTH_BYTES + message.len() + START_BYTES);
    let length = u32::try_from(message.len()).expect("a message is bounded");
    head.put_u32_le(length);
    head.put_slice(message);
    head.put_u64_le(start.applied.index);
    head.put_u64_le(start.applied.term);
    head.put_i64_le(start.revision);
    head.put_u64_le(start.bytes_max);
    head.freeze()
}

/// What goes after the file.
fn encode_end(info: &SnapshotInfo) -> Bytes {
    let mut end = BytesMut::with_capacity(END_BYTES);
    end.put_u64_le(info.bytes);
    end.put_u32_le(info.checksum);
    end.freeze()
}

/// Bytes and checksum of the file. None: what came is no end.
fn decode_end(mut end: Bytes) -> Option<(u64, u32)> {
    (end.len() == END_BYTES).then(|| (end.get_u64_le(), end.get_u32_le()))
}

/// Takes message and start from the front of what came so far; None: more is needed. An error is no head at all.
fn decode_head(buffer: &mut BytesMut) -> Result<Option<(Bytes, SnapshotStart)>, String> {
    let Some(length) = buffer.get(..LENGTH_BYTES) else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    if length > SNAPSHOT_HEADER_BYTES_MAX {
        return Err(format!("a message of {length} bytes before a snapshot"));
    }
    if buffer.len() < LENGTH_BYTES + length + START_BYTES {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let message = buffer.split_to(length).freeze();
    let mut start = buffer.split_to(START_BYTES);
    let start = SnapshotStart {
        applied: LogMark {
            index: start.get_u64_le(),
            term: start.get_u64_le(),
        },
        revision: start.get_i64_le(),
        bytes_max: start.get_u64_le(),
    };
    Ok(Some((message, start)))
}

/// A file on its way; dropped, it is removed.
struct PartFile {
    path: PathBuf,
    /// It is somebody else's now.
    handed_over: bool,
}

impl PartFile {
    /// A name that this process has not used before.
    fn new(directory: &Path, peer: u64) -> Self {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        Self {
            path: directory.join(format!("receive-{peer:016x}-{number}.part")),
            handed_over: false,
        }
    }

    /// Hands the file over under its final name.
    fn finish(mut self) -> std::io::Result<PathBuf> {
        let path = self.path.with_extension("db");
        fs::rename(&self.path, &path)?;
        self.handed_over = true;
        Ok(path)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.handed_over {
            // It may never have been made; if it cannot be removed now, the next start does.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_any_cut_and_nonsense_is_refused() {
        let start = SnapshotStart {
            applied: LogMark { index: 7, term: 3 },
            revision: 99,
            bytes_max: 1 << 33,
        };
        let message = Bytes::from_static(b"snapshot message");
        let mut head = encode_head(&message, &start).to_vec();
        head.extend_from_slice(b"file");
        let mut buffer = BytesMut::new();
        let mut found = None;
        for byte in &head {
            buffer.put_u8(*byte);
            if found.is_none() {
                found = decode_head(&mut buffer).unwrap();
            }
        }
        assert_eq!(found, Some((message, start)));
        assert_eq!(&buffer[..], b"file");
        let mut nonsense = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(decode_head(&mut nonsense).is_err());
    }

    #[test]
    fn an_end_is_whole_or_none() {
        let info = SnapshotInfo {
            applied: LogMark { index: 7, term: 3 },
            revision: 99,
            bytes: 1 << 33,
            checksum: 0xdead_beef,
        };
        let end = encode_end(&info);
        assert_eq!(decode_end(end.clone()), Some((info.bytes, info.checksum)));
        assert_eq!(decode_end(end.slice(1..)), None);
    }
}
