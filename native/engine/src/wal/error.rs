//! What can go wrong with the WAL, and which of it leaves the WAL usable.

use std::io;

use crate::types::Identity;

/// An error of the WAL.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The system is out of something that a new segment needs (room on the disk, a descriptor). Nothing of the batch was
    /// written; the WAL goes on when it is there again.
    #[error("no room for a new WAL segment: {0}")]
    NoSegment(io::Error),
    /// A record is larger than a segment may hold. Nothing of the batch was written.
    #[error("a record of {bytes} bytes is larger than the WAL takes ({limit} bytes)")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// A write or sync failed. What is on the disk is unknown: the process must end; the WAL refuses further use.
    #[error("WAL {operation} of {file} failed: {error}")]
    Failed {
        /// "write", "sync", …
        operation: &'static str,
        /// The file.
        file: String,
        /// The first error of the disk, kept for every later call.
        error: String,
    },
    /// The log is damaged before its end: starting would lose acknowledged writes.
    #[error("WAL {file} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// Byte offset of the first bad record.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The log belongs to another cluster or member.
    #[error(
        "the WAL belongs to member {:x} of cluster {:x}, not to member {:x} of cluster {:x}",
        found.member_id, found.cluster_id, expected.member_id, expected.cluster_id
    )]
    OtherIdentity {
        /// Whose log it is.
        found: Identity,
        /// Who opened it.
        expected: Identity,
    },
    /// `create` where a log is, or `open` where none is.
    #[error("{0}")]
    Misplaced(String),
    /// The entries asked for are compacted away; the first that is left is given.
    #[error("log entries before {first} are compacted")]
    Compacted {
        /// First index of the log.
        first: u64,
    },
    /// The entries asked for are not in the log; the last one is given.
    #[error("the log ends at {last}")]
    Unavailable {
        /// Last index of the log.
        last: u64,
    },
    /// The disk failed while reading (or before anything was written).
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// The disk's error.
        error: io::Error,
    },
}
