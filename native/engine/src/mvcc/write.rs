//! One operation's writes: they get one revision, become visible together, and are told to the watchers.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{MutexGuard, RwLockWriteGuard};

use crate::index::RangeEnd;
use crate::lease::LeaseTable;
use crate::proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
use crate::tree::{Tree, TreeError};
use crate::types::Revision;

use super::api::Event;
use super::kv::KvView;
use super::metrics::Operation;
use super::state::{State, Values};
use super::store::Store;
use super::tail::{Record, RowWrite};

/// Holds the store's lock until the operation ends.
pub(super) struct Write<'s> {
    store: &'s Store,
    pub state: RwLockWriteGuard<'s, State>,
    leases: MutexGuard<'s, LeaseTable>,
    values: Values,
    /// Revision of the operation's changes, if it makes any.
    main: i64,
    changes: u32,
    events: Vec<Event>,
    /// What it did, for the metrics.
    pub did: Operation,
}

/// What a delete removed.
#[derive(Default)]
pub(super) struct Deleted {
    pub count: u64,
    /// Encoded KeyValues, if the request asked for them.
    pub prev_kvs: Vec<Bytes>,
}

impl<'s> Write<'s> {
    pub fn begin(store: &'s Store) -> Self {
        let leases = store.leases.lock();
        let state = store.state.write();
        let main = state.revision + 1;
        Self {
            store,
            state,
            leases,
            values: Values::new(store.tree()),
            main,
            changes: 0,
            events: Vec::new(),
            did: Operation::default(),
        }
    }

    /// The revision as the operation sees it now: its own as soon as it changed something.
    pub fn revision(&self) -> i64 {
        if self.changes > 0 {
            self.main
        } else {
            self.main - 1
        }
    }

    /// The next change's revision.
    fn next(&mut self) -> Revision {
        let revision = Revision {
            main: self.main,
            sub: self.changes,
        };
        self.changes += 1;
        revision
    }

    /// Puts a key that `Store::check_put` has passed, and returns the KeyValue before if the request asks for it.
    pub fn put(&mut self, request: &PutRequest) -> Result<Option<Bytes>, TreeError> {
        let mut prev_kv = None;
        if request.prev_kv || request.ignore_value || request.ignore_lease {
            prev_kv = self.current(&request.key)?;
            self.did.ranges += 1;
        }
        let before = prev_kv
            .as_deref()
            .and_then(KvView::parse)
            .unwrap_or_default();
        let value = if request.ignore_value {
            before.value
        } else {
            &request.value
        };
        let lease = if request.ignore_lease {
            before.lease
        } else {
            request.lease
        };
        self.did.puts += 1;
        self.did.put_bytes += (request.key.len() + value.len()) as u64;
        let revision = self.next();
        let found = self.state.index.put(&request.key, revision);
        let kv = KvView {
            key: &request.key,
            create_revision: found.map_or(revision.main, |found| found.created),
            mod_revision: revision.main,
            version: found.map_or(0, |found| found.version) + 1,
            value,
            lease,
        }
        .to_bytes();
        self.leases.set_owner(&request.key, lease);
        self.events.push(Event::of_put(revision, kv.clone()));
        self.state.tail.push(Record {
            revision,
            tombstone: false,
            kv,
        });
        Ok(prev_kv.filter(|_| request.prev_kv))
    }

    fn current(&self, key: &[u8]) -> Result<Option<Bytes>, TreeError> {
        match self.state.index.get(key, i64::MAX) {
            Some(found) => self.values.get(&self.state.tail, found.modified).map(Some),
            None => Ok(None),
        }
    }

    /// Deletes the keys of a range.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<Deleted, TreeError> {
        self.did.deletes += 1;
        let mut keys = Vec::new();
        let mut revisions = Vec::new();
        let end = RangeEnd::from_wire(&request.range_end);
        self.state
            .index
            .visit(&request.key, end, i64::MAX, |key, found| {
                keys.push(Bytes::copy_from_slice(key));
                revisions.push(found.modified);
                ControlFlow::Continue(())
            });
        let mut deleted = Deleted::default();
        if request.prev_kv {
            self.did.ranges += 1;
            for revision in revisions {
                deleted
                    .prev_kvs
                    .push(self.values.get(&self.state.tail, revision)?);
            }
        }
        for key in &keys {
            deleted.count += u64::from(self.delete_key(key));
        }
        Ok(deleted)
    }

    /// Deletes a key if it is there.
    pub fn delete_key(&mut self, key: &Bytes) -> bool {
        let revision = Revision {
            main: self.main,
            sub: self.changes,
        };
        if !self.state.index.tombstone(key, revision) {
            return false;
        }
        self.changes += 1;
        self.leases.set_owner(key, 0);
        let kv = KvView {
            key,
            ..KvView::default()
        }
        .to_bytes();
        self.events.push(Event::of_tombstone(revision, key));
        self.state.tail.push(Record {
            revision,
            tombstone: true,
            kv,
        });
        true
    }

    /// The tree in which values are that left the tail.
    pub fn store_tree(&self) -> Arc<Tree> {
        self.store.tree()
    }

    /// Adds a write to a small table.
    pub fn push_row(&mut self, row: RowWrite) {
        self.state.tail.push_row(row);
    }

    /// Makes the changes visible, tells the watchers, and returns the store's revision.
    pub fn end(mut self) -> i64 {
        let revision = self.revision();
        self.state.revision = revision;
        drop(self.state);
        drop(self.leases);
        self.store.metrics.operation(self.did);
        if !self.events.is_empty() {
            let whole = self.events.iter().all(|e| e.revision.main == revision);
            debug_assert!(whole, "an operation's changes have its revision");
            self.store.watch_hub().notify(revision, &self.events);
        }
        revision
    }
}

impl Event {
    pub(super) fn of_put(revision: Revision, kv: Bytes) -> Self {
        Self {
            revision,
            tombstone: false,
            key: super::kv::key_of(&kv),
            kv,
        }
    }

    /// A deletion is stored with its key only; watchers see its revision too.
    pub(super) fn of_tombstone(revision: Revision, key: &[u8]) -> Self {
        let kv = KvView {
            key,
            mod_revision: revision.main,
            ..KvView::default()
        }
        .to_bytes();
        Self {
            revision,
            tombstone: true,
            key: super::kv::key_of(&kv),
            kv,
        }
    }
}
