//! HashKV: CRC-32C over the kept revisions, byte for byte as etcd sums them, so that members of both kinds agree.

use std::time::Instant;

use crate::error::{self, EtcdError};
use crate::index::Revision;
use crate::tree::{StoredKey, TreeError};

use super::Store;
use super::api::KvHash;
use super::kv::KvView;
use super::pins::Pin;
use super::select::Look;
use super::tail::Record;

/// Name of etcd's bucket of revisions; the sum begins with it.
const BUCKET: &[u8] = b"key";

struct Hasher<'s> {
    store: &'s Store,
    crc: u32,
    /// Revision to hash.
    at: i64,
    compact_revision: i64,
    /// Whether any key is live at `at`; if not, etcd does not leave out superseded revisions.
    any_live: bool,
}

impl Store {
    /// The hash of the store at `revision`, 0 = the current one.
    pub fn hash_kv(&self, revision: i64) -> Result<KvHash, EtcdError> {
        let started = Instant::now();
        let (hasher, current, records, pin) = self.look(|state| {
            if revision > 0 && revision < state.compact_revision {
                return Err(error::COMPACTED);
            }
            if revision > state.revision {
                return Err(error::FUTURE_REVISION);
            }
            let at = if revision > 0 {
                revision
            } else {
                state.revision
            };
            let hasher = Hasher {
                store: self,
                crc: crc32c::crc32c(BUCKET),
                at,
                compact_revision: state.compact_revision,
                any_live: state.index.count(b"", crate::index::RangeEnd::Open, at) > 0,
            };
            let records: Vec<Record> = state.tail.from(Revision::default()).cloned().collect();
            Ok((hasher, state.revision, records, self.pins.pin(at)))
        })?;
        let (at, compact_revision) = (hasher.at, hasher.compact_revision);
        let hash = hasher
            .run(&records, &pin)
            .map_err(|error| self.fatal(&error))?
            .ok_or(error::COMPACTED)?;
        self.metrics.hashed(started.elapsed());
        Ok(KvHash {
            hash,
            hash_revision: at,
            compact_revision,
            revision: current,
        })
    }
}

impl Hasher<'_> {
    /// Sums what the tree has before the tail, then the tail. None if the revision was compacted meanwhile.
    fn run(mut self, tail: &[Record], pin: &Pin) -> Result<Option<u32>, TreeError> {
        let first = tail.first().map(|record| record.revision);
        let tree = self.store.tree();
        let snapshot = tree.snapshot()?;
        for change in snapshot.changes(Revision::default())? {
            let (stored, value) = change?;
            if stored.revision.main > self.at || first.is_some_and(|first| stored.revision >= first)
            {
                break;
            }
            self.add(stored, value);
        }
        for record in tail {
            let stored = StoredKey {
                revision: record.revision,
                tombstone: record.tombstone,
            };
            if stored.revision.main <= self.at {
                self.add(stored, &record.kv);
            }
        }
        Ok((!pin.is_broken()).then_some(self.crc))
    }

    fn add(&mut self, stored: StoredKey, value: &[u8]) {
        if stored.revision.main <= self.compact_revision
            && self.any_live
            && !self.keeps(stored, value)
        {
            return;
        }
        // Whether the tombstone at the compacted revision itself is still there depends on etcd's version.
        if stored.tombstone && stored.revision.main == self.compact_revision {
            return;
        }
        let mut key = [b'_'; 18];
        key[..8].copy_from_slice(&stored.revision.main.to_be_bytes());
        key[9..17].copy_from_slice(&u64::from(stored.revision.sub).to_be_bytes());
        key[17] = b't';
        let key_len = if stored.tombstone { 18 } else { 17 };
        self.crc = crc32c::crc32c_append(self.crc, &key[..key_len]);
        self.crc = crc32c::crc32c_append(self.crc, value);
    }

    /// Whether the revision is the newest of its key at the revision that is hashed.
    fn keeps(&self, stored: StoredKey, value: &[u8]) -> bool {
        let Some(kv) = KvView::parse(value) else {
            return false;
        };
        self.store
            .look(|state| state.index.keeps(kv.key, stored.revision, self.at))
    }
}
