//! Keys of the database `rev`: main revision u64 big endian, sub u32 big endian, and `t` for a tombstone.

use std::ops::Bound;

use crate::types::Revision;

const PUT_BYTES: usize = 12;
const TOMBSTONE_BYTES: usize = 13;
const TOMBSTONE: u8 = b't';

/// A revision as a key of the tree. The plain form sorts before the tombstone's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevKey([u8; TOMBSTONE_BYTES]);

impl RevKey {
    /// The key of a revision; `bytes` or `tombstone_bytes` of it is on disk.
    pub fn new(revision: Revision) -> Self {
        let mut key = [TOMBSTONE; TOMBSTONE_BYTES];
        key[..8].copy_from_slice(&revision.main.to_be_bytes());
        key[8..PUT_BYTES].copy_from_slice(&revision.sub.to_be_bytes());
        Self(key)
    }

    /// The key of a put.
    pub fn bytes(&self) -> &[u8] {
        &self.0[..PUT_BYTES]
    }

    /// Every row from this revision on, its tombstone too.
    pub fn and_after(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.bytes()), Bound::Unbounded)
    }

    /// The key of a tombstone.
    pub fn tombstone_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key of the tree as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredKey {
    /// Revision of the change.
    pub revision: Revision,
    /// Whether the change deleted the key.
    pub tombstone: bool,
}

impl StoredKey {
    /// Reads a key; None if it has not the form of one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let tombstone = match bytes.len() {
            PUT_BYTES => false,
            TOMBSTONE_BYTES if bytes[PUT_BYTES] == TOMBSTONE => true,
            _ => return None,
        };
        let main = i64::from_be_bytes(bytes[..8].try_into().ok()?);
        let sub = u32::from_be_bytes(bytes[8..PUT_BYTES].try_into().ok()?);
        Some(Self {
            revision: Revision { main, sub },
            tombstone,
        })
    }
}
