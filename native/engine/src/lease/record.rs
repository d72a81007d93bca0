//! One lease, and its keys.

use std::collections::HashSet;

use bytes::Bytes;

use crate::limits::LEASE_KEYS_MANY;

/// One lease.
#[derive(Debug)]
pub(super) struct Lease {
    pub ttl_seconds: i64,
    /// Seconds that a checkpoint left; 0 = no checkpoint since the last renewal.
    pub remaining_ttl_seconds: i64,
    keys: HashSet<Bytes>,
    /// Of a lease with many keys: a first and a last one between which they all lie.
    bounds: Option<Box<(Bytes, Bytes)>>,
}

impl Lease {
    /// A lease without keys.
    pub fn new(ttl_seconds: i64, remaining_ttl_seconds: i64) -> Self {
        Self {
            ttl_seconds,
            remaining_ttl_seconds,
            keys: HashSet::new(),
            bounds: None,
        }
    }

    /// In no order.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.keys.iter()
    }

    /// In no order.
    pub fn into_keys(self) -> impl Iterator<Item = Bytes> {
        self.keys.into_iter()
    }

    /// A first and a last key between which all lie. None: they are few.
    pub fn bounds(&self) -> Option<(&[u8], &[u8])> {
        let (first, last) = &**self.bounds.as_ref()?;
        Some((first, last))
    }

    /// Adds a key.
    pub fn attach(&mut self, key: Bytes) {
        if let Some(bounds) = &mut self.bounds {
            let (first, last) = &mut **bounds;
            if key < *first {
                *first = key.clone();
            } else if key > *last {
                *last = key.clone();
            }
        }
        self.keys.insert(key);
        if self.bounds.is_none() && self.keys.len() >= LEASE_KEYS_MANY {
            let ends = self.keys.iter().min().zip(self.keys.iter().max());
            self.bounds = ends.map(|(first, last)| Box::new((first.clone(), last.clone())));
        }
    }

    /// Takes a key out. The bounds stay, as long as they are of use: a key that goes makes them no less true.
    pub fn detach(&mut self, key: &Bytes) {
        self.keys.remove(key);
        if self.keys.len() < LEASE_KEYS_MANY {
            self.bounds = None;
        }
    }

    /// Seconds that the lease lasts when its clock starts now.
    pub fn effective_ttl_seconds(&self) -> i64 {
        if self.remaining_ttl_seconds > 0 {
            self.remaining_ttl_seconds
        } else {
            self.ttl_seconds
        }
    }
}
