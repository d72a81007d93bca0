//! HashKV: CRC-32C over the kept revisions, byte for byte as etcd sums them, so that members of both kinds agree.
//!
//! A compaction sums what it finds before it removes anything, and the newest of these sums answer for their revisions
//! from then on: of what is removed nothing could be summed later.

use std::time::Instant;

use crate::error::{self, EtcdError};
use crate::index::RangeEnd;
use crate::limits::COMPACTION_TREE_STEP;
use crate::tree::{StoredKey, TreeError};
use crate::types::Revision;

use super::api::KvHash;
use super::compaction_hashes::CompactionHash;
use super::kv::KvView;
use super::pace::Pace;
use super::pins::Pin;
use super::select::Look;
use super::store::Store;
use super::tail::Record;

/// Name of etcd's bucket of revisions; the sum begins with it.
const BUCKET: &[u8] = b"key";

/// A sum that grows by one stored revision after another.
struct Sum {
    crc: u32,
    /// Revision to hash.
    at: i64,
    compact_revision: i64,
    /// Whether a compaction at `at` leaves anything; if not, etcd does not leave out superseded revisions.
    any_kept: bool,
}

impl Sum {
    fn new(at: i64, compact_revision: i64, any_kept: bool) -> Self {
        Self {
            crc: crc32c::crc32c(BUCKET),
            at,
            compact_revision,
            any_kept,
        }
    }

    fn add(&mut self, store: &Store, stored: StoredKey, value: &[u8]) {
        if stored.revision.main <= self.compact_revision
            && self.any_kept
            && !self.keeps(store, stored, value)
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
    fn keeps(&self, store: &Store, stored: StoredKey, value: &[u8]) -> bool {
        let Some(kv) = KvView::parse(value) else {
            return false;
        };
        store.look(|state| state.index.keeps(kv.key, stored.revision, self.at))
    }
}

/// Sums a store before its compaction, in steps between which the flusher commits.
pub(super) struct CompactionSum {
    sum: Sum,
    next: Revision,
}

impl CompactionSum {
    /// For the compaction at `at` of a store that was compacted at `compact_revision` before.
    pub fn new(store: &Store, at: i64, compact_revision: i64) -> Result<Self, TreeError> {
        let live = store.look(|state| state.index.count(b"", RangeEnd::Open, at) > 0);
        let any_kept = live || deletes(store, at)?;
        Ok(Self {
            sum: Sum::new(at, compact_revision, any_kept),
            next: Revision::default(),
        })
    }

    /// Adds up to `max` revisions; the sum once there are no more.
    pub fn step(
        &mut self,
        store: &Store,
        max: usize,
        pace: &mut Pace,
    ) -> Result<Option<CompactionHash>, TreeError> {
        let tree = store.tree();
        let snapshot = tree.snapshot()?;
        for (added, change) in snapshot.changes(self.next)?.enumerate() {
            let (stored, value) = change?;
            if stored.revision.main > self.sum.at {
                break;
            }
            if added == max {
                self.next = stored.revision;
                return Ok(None);
            }
            self.sum.add(store, stored, value);
            if (added + 1).is_multiple_of(COMPACTION_TREE_STEP) {
                pace.step();
            }
        }
        Ok(Some(CompactionHash {
            hash: self.sum.crc,
            at: self.sum.at,
            compact_revision: self.sum.compact_revision,
        }))
    }
}

/// Whether a key was deleted in the revision: a compaction there leaves its tombstone.
fn deletes(store: &Store, revision: i64) -> Result<bool, TreeError> {
    let tree = store.tree();
    let snapshot = tree.snapshot()?;
    let from = Revision {
        main: revision,
        sub: 0,
    };
    for change in snapshot.changes(from)? {
        let (stored, _) = change?;
        if stored.revision.main > revision {
            break;
        }
        if stored.tombstone {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Hasher<'s> {
    store: &'s Store,
    sum: Sum,
}

impl Store {
    /// The hash of the store at `revision`, 0 = the current one. That of one of the newest compactions is as it was before
    /// it, and it answers for revisions that are compacted by now. Below 0 there is nothing, which has a hash too.
    pub fn hash_kv(&self, revision: i64) -> Result<KvHash, EtcdError> {
        let kept = self.compaction_hashes.lock().find(revision);
        if let Some(kept) = kept {
            return Ok(KvHash {
                hash: kept.hash,
                hash_revision: kept.at,
                compact_revision: kept.compact_revision,
                revision: self.revision(),
            });
        }
        if revision < 0 {
            return Ok(self.hash_of_nothing(revision));
        }
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
            let any_kept = state.index.count(b"", RangeEnd::Open, at) > 0;
            let hasher = Hasher {
                store: self,
                sum: Sum::new(at, state.compact_revision, any_kept),
            };
            let records: Vec<Record> = state.tail.from(Revision::default()).cloned().collect();
            Ok((hasher, state.revision, records, self.pins.pin(at)))
        })?;
        let (at, compact_revision) = (hasher.sum.at, hasher.sum.compact_revision);
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

    /// The hash at a revision before the first.
    fn hash_of_nothing(&self, revision: i64) -> KvHash {
        self.look(|state| KvHash {
            hash: Sum::new(revision, state.compact_revision, false).crc,
            hash_revision: revision,
            compact_revision: state.compact_revision,
            revision: state.revision,
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
            if stored.revision.main > self.sum.at
                || first.is_some_and(|first| stored.revision >= first)
            {
                break;
            }
            self.sum.add(self.store, stored, value);
        }
        for record in tail {
            let stored = StoredKey {
                revision: record.revision,
                tombstone: record.tombstone,
            };
            if stored.revision.main <= self.sum.at {
                self.sum.add(self.store, stored, &record.kv);
            }
        }
        Ok((!pin.is_broken()).then_some(self.sum.crc))
    }
}
