//! The index's slow twin: keeps etcd's generations literally.

use std::collections::BTreeMap;

use super::super::{Found, RangeEnd};
use crate::types::Revision;

/// A key's life: revisions, the last of them a tombstone if the life is over.
#[derive(Clone, Debug, Default)]
struct Generation {
    created: i64,
    puts: i64,
    revisions: Vec<Revision>,
    over: bool,
}

/// All keys and their lives.
#[derive(Default)]
pub(super) struct Twin {
    keys: BTreeMap<Vec<u8>, Vec<Generation>>,
}

impl Twin {
    pub(super) fn put(&mut self, key: &[u8], rev: Revision) -> Option<Found> {
        let before = self.get(key, i64::MAX);
        let lives = self.keys.entry(key.to_vec()).or_default();
        if lives.last().is_none_or(|life| life.over) {
            lives.push(Generation {
                created: rev.main,
                ..Generation::default()
            });
        }
        let life = lives.last_mut().unwrap();
        life.puts += 1;
        life.revisions.push(rev);
        before
    }

    pub(super) fn tombstone(&mut self, key: &[u8], rev: Revision) -> bool {
        let life = self.keys.get_mut(key).and_then(|lives| lives.last_mut());
        match life {
            Some(life) if !life.over => {
                life.revisions.push(rev);
                life.over = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn get(&self, key: &[u8], at: i64) -> Option<Found> {
        let lives = self.keys.get(key)?;
        let life = lives
            .iter()
            .rev()
            .find(|life| life.revisions[0].main <= at)?;
        let seen = life.revisions.iter().filter(|rev| rev.main <= at).count();
        if life.over && seen == life.revisions.len() {
            return None;
        }
        let puts_unseen = life.revisions.len() - seen - usize::from(life.over);
        Some(Found {
            modified: life.revisions[seen - 1],
            created: life.created,
            version: life.puts - puts_unseen as i64,
        })
    }

    /// As etcd: the generations that ended below `at` go, and in the first of the rest what is before `at`.
    pub(super) fn compact(&mut self, at: i64) -> Vec<Revision> {
        let mut removed = Vec::new();
        for lives in self.keys.values_mut() {
            while let Some(first) = lives.first_mut() {
                let end = first.revisions[first.revisions.len() - 1].main;
                if first.over && end < at {
                    removed.append(&mut first.revisions);
                    lives.remove(0);
                    continue;
                }
                let covered = first.revisions.iter().filter(|rev| rev.main <= at).count();
                removed.extend(first.revisions.drain(..covered.saturating_sub(1)));
                break;
            }
        }
        self.keys.retain(|_, lives| !lives.is_empty());
        removed
    }

    pub(super) fn range(&self, start: &[u8], end: RangeEnd<'_>, at: i64) -> Vec<(Vec<u8>, Found)> {
        let inside = |key: &[u8]| match end {
            RangeEnd::Single => key == start,
            RangeEnd::Open => key >= start,
            RangeEnd::Before(end) => key >= start && key < end,
        };
        let keys = self.keys.keys().filter(|key| inside(key));
        keys.filter_map(|key| Some((key.clone(), self.get(key, at)?)))
            .collect()
    }

    /// Every revision with what the revision tree would hold of it, in revision order.
    pub(super) fn history(&self) -> Vec<(Revision, Vec<u8>, Option<Found>)> {
        let mut all = Vec::new();
        for (key, lives) in &self.keys {
            for life in lives {
                let oldest = life.puts - life.revisions.len() as i64 + i64::from(life.over);
                for (version, rev) in (oldest + 1..).zip(&life.revisions) {
                    let tombstone = life.over && Some(rev) == life.revisions.last();
                    let found = (!tombstone).then_some(Found {
                        modified: *rev,
                        created: life.created,
                        version,
                    });
                    all.push((*rev, key.clone(), found));
                }
            }
        }
        all.sort_by_key(|(rev, ..)| *rev);
        all
    }
}
