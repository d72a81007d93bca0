//! Copies of the store on their way between members, each on a connection of its own: the raft message that announces
//! the copy, what the copy is, then its bytes. The answer's body is `stored` once the copy was checked. An interrupted
//! transfer leaves nothing and starts again with a fresh copy, because raft sends the message again.
//!
//! Little endian: `u32 message length`, message, `u64 index`, `u64 term` and `i64 revision` at which the copy stands,
//! `u64 bytes` and `u32 CRC-32C` of the file, then the file.

mod receive;
mod send;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use netcd_engine::snapshot::SnapshotInfo;
use netcd_engine::types::LogMark;

use super::limits::SNAPSHOT_HEADER_BYTES_MAX;

pub use receive::receive_snapshot;
pub use send::Transfer;

const LENGTH_BYTES: usize = 4;
const INFO_BYTES: usize = 8 + 8 + 8 + 8 + 4;

/// What goes before the file.
fn encode_head(message: &Bytes, info: &SnapshotInfo) -> Bytes {
    let mut head = BytesMut::with_capacity(LENGTH_BYTES + message.len() + INFO_BYTES);
    let length = u32::try_from(message.len()).expect("a message is bounded");
    head.put_u32_le(length);
    head.put_slice(message);
    head.put_u64_le(info.applied.index);
    head.put_u64_le(info.applied.term);
    head.put_i64_le(info.revision);
    head.put_u64_le(info.bytes);
    head.put_u32_le(info.checksum);
    head.freeze()
}

/// Takes message and info from the front of what came so far; None: more is needed. An error is no head at all.
fn decode_head(buffer: &mut BytesMut) -> Result<Option<(Bytes, SnapshotInfo)>, String> {
    let Some(length) = buffer.get(..LENGTH_BYTES) else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    if length > SNAPSHOT_HEADER_BYTES_MAX {
        return Err(format!("a message of {length} bytes before a snapshot"));
    }
    if buffer.len() < LENGTH_BYTES + length + INFO_BYTES {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let message = buffer.split_to(length).freeze();
    let mut info = buffer.split_to(INFO_BYTES);
    let info = SnapshotInfo {
        applied: LogMark {
            index: info.get_u64_le(),
            term: info.get_u64_le(),
        },
        revision: info.get_i64_le(),
        bytes: info.get_u64_le(),
        checksum: info.get_u32_le(),
    };
    Ok(Some((message, info)))
}

/// A file on its way; dropped, it is removed.
struct PartFile {
    path: PathBuf,
    /// It is somebody else's now.
    handed_over: bool,
}

impl PartFile {
    /// A name that this process has not used before.
    fn new(directory: &Path, way: &str, peer: u64) -> Self {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        Self {
            path: directory.join(format!("{way}-{peer:016x}-{number}.part")),
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
        let info = SnapshotInfo {
            applied: LogMark { index: 7, term: 3 },
            revision: 99,
            bytes: 1 << 33,
            checksum: 0xdead_beef,
        };
        let message = Bytes::from_static(b"snapshot message");
        let mut head = encode_head(&message, &info).to_vec();
        head.extend_from_slice(b"file");
        let mut buffer = BytesMut::new();
        let mut found = None;
        for byte in &head {
            buffer.put_u8(*byte);
            if found.is_none() {
                found = decode_head(&mut buffer).unwrap();
            }
        }
        assert_eq!(found, Some((message, info)));
        assert_eq!(&buffer[..], b"file");
        let mut nonsense = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(decode_head(&mut nonsense).is_err());
    }
}
