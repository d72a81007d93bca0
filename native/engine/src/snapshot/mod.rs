//! Snapshots between members: the store's file as a compacted copy with a checksum, and its installation in place of
//! a store that is behind.

mod outgoing;
mod received;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::limits::SNAPSHOT_READ_BYTES;
use crate::tree::TreeError;
use crate::types::LogMark;

pub use crate::mvcc::SNAPSHOT_DIRECTORY as DIRECTORY;
pub use outgoing::Outgoing;
pub use received::Received;

/// What is known of a snapshot before its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotStart {
    /// The last entry that is wholly in it.
    pub applied: LogMark,
    /// Store revision after that entry.
    pub revision: i64,
    /// Bytes of the file, at most.
    pub bytes_max: u64,
}

impl SnapshotStart {
    /// The whole snapshot, whose file has so many bytes and this CRC-32C.
    pub fn whole(&self, bytes: u64, checksum: u32) -> SnapshotInfo {
        SnapshotInfo {
            applied: self.applied,
            revision: self.revision,
            bytes,
            checksum,
        }
    }
}

/// What a whole snapshot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotInfo {
    /// The last entry that is wholly in it.
    pub applied: LogMark,
    /// Store revision after that entry.
    pub revision: i64,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32C of the file.
    pub checksum: u32,
}

/// A snapshot could not be made or installed; the store in place is as before.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The tree in the snapshot, or the one it is made of, cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file operation failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not what was sent.
    #[error("{path}: {found} bytes with checksum {checksum:08x} are not the snapshot of {expected} bytes", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Checksum found.
        checksum: u32,
        /// Bytes expected.
        expected: u64,
    },
    /// The file is whole, but stands at another entry than was said.
    #[error("{path}: the snapshot stands at entry {found}, not {expected}", path = path.display())]
    OtherEntry {
        /// The file.
        path: PathBuf,
        /// Index found.
        found: u64,
        /// Index expected.
        expected: u64,
    },
}

/// LMDB's lock file beside a database.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    PathBuf::from(name)
}

/// Length and checksum of a file.
fn sum(path: &Path) -> Result<(u64, u32), SnapshotError> {
    let io = |source| io_error(path, source);
    let mut file = File::open(path).map_err(io)?;
    let mut buffer = vec![0; SNAPSHOT_READ_BYTES];
    let (mut bytes, mut checksum) = (0, 0);
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok((bytes, checksum));
        }
        bytes += read as u64;
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
    }
}

fn io_error(path: &Path, source: std::io::Error) -> SnapshotError {
    SnapshotError::Io {
        path: path.to_owned(),
        source,
    }
}
