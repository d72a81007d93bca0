//! The slow twin: every revision of every key in a list, every question answered by going through all of it.

use crate::error::{self, EtcdError};
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::*;
use crate::proto::mvccpb::KeyValue;

/// One change: (main, sub), key, and the KeyValue unless it is a deletion.
#[derive(Clone, Debug)]
pub struct Change {
    pub main: i64,
    pub sub: u32,
    pub key: String,
    pub kv: Option<KeyValue>,
}

#[derive(Clone, Debug)]
pub struct Twin {
    pub changes: Vec<Change>,
    pub revision: i64,
    pub compacted: i64,
}

impl Twin {
    pub fn new() -> Self {
        Self {
            changes: Vec::new(),
            revision: 1,
            compacted: -1,
        }
    }

    /// Live keys of a range at a revision, in key order.
    pub fn live(&self, key: &[u8], end: &[u8], at: i64) -> Vec<KeyValue> {
        let within = |candidate: &[u8]| match end {
            [] => candidate == key,
            [0] => candidate >= key,
            end => candidate >= key && candidate < end,
        };
        let mut newest = std::collections::BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.main <= at) {
            if within(change.key.as_bytes()) {
                newest.insert(change.key.clone(), change.kv.clone());
            }
        }
        newest.into_values().flatten().collect()
    }

    fn change(&mut self, main: i64, key: &str, kv: Option<KeyValue>) {
        let sub = self
            .changes
            .iter()
            .filter(|change| change.main == main)
            .count() as u32;
        self.changes.push(Change {
            main,
            sub,
            key: key.to_owned(),
            kv,
        });
    }

    /// A put as a part of the revision `main`.
    pub fn put(&mut self, main: i64, key: &str, value: &str) {
        let before = self.live(key.as_bytes(), b"", main).pop();
        let kv = KeyValue {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            create_revision: before.as_ref().map_or(main, |kv| kv.create_revision),
            mod_revision: main,
            version: before.map_or(0, |kv| kv.version) + 1,
            lease: 0,
        };
        self.change(main, key, Some(kv));
        self.revision = main;
    }

    /// A delete as a part of the revision `main`; returns the number of keys.
    pub fn delete(&mut self, main: i64, key: &str, end: &str) -> usize {
        let gone = self.live(key.as_bytes(), end.as_bytes(), main);
        for kv in &gone {
            let key = String::from_utf8(kv.key.to_vec()).unwrap();
            self.change(main, &key, None);
            self.revision = main;
        }
        gone.len()
    }

    pub fn compact(&mut self, revision: i64) -> Result<(), EtcdError> {
        if revision <= self.compacted {
            return Err(error::COMPACTED);
        }
        if revision > self.revision {
            return Err(error::FUTURE_REVISION);
        }
        self.compacted = revision;
        Ok(())
    }

    /// (kvs, more, count) of a range.
    pub fn range(&self, request: &RangeRequest) -> Result<(Vec<KeyValue>, bool, i64), EtcdError> {
        let at = match request.revision {
            revision if revision > self.revision => return Err(error::FUTURE_REVISION),
            revision if revision <= 0 => self.revision,
            revision if revision < self.compacted => return Err(error::COMPACTED),
            revision => revision,
        };
        let mut kvs = self.live(&request.key, &request.range_end, at);
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok((Vec::new(), false, count));
        }
        kvs.retain(|kv| {
            (request.min_mod_revision == 0 || kv.mod_revision >= request.min_mod_revision)
                && (request.max_mod_revision == 0 || kv.mod_revision <= request.max_mod_revision)
                && (request.min_create_revision == 0
                    || kv.create_revision >= request.min_create_revision)
                && (request.max_create_revision == 0
                    || kv.create_revision <= request.max_create_revision)
        });
        let unfiltered = request.min_mod_revision == 0
            && request.max_mod_revision == 0
            && request.min_create_revision == 0
            && request.max_create_revision == 0;
        if request.limit > 0 && unfiltered && request.sort_order() == SortOrder::None {
            // etcd reads only one key more than the limit, and sorts those.
            kvs.truncate(request.limit as usize + 1);
        }
        let descending = request.sort_order() == SortOrder::Descend;
        kvs.sort_by(|a, b| {
            let order = match request.sort_target() {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if descending { order.reverse() } else { order }
        });
        let more = request.limit > 0 && kvs.len() as i64 > request.limit;
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok((kvs, more, count))
    }
}
