//! The index against its slow twin over random sequences of operations.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::state::Entry;
use super::super::{CompactCursor, Found, IndexBuilder, IndexRun, RangeEnd, TreeIndex};
use super::check;
use super::twin::Twin;
use crate::limits::{INDEX_LEAF_KEYS_MAX, INDEX_RUN_MAX};
use crate::types::Revision;

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>),
    Delete(Vec<u8>),
    /// Several changes in one operation.
    Txn(Vec<(Vec<u8>, bool)>),
    /// Compact at this share of the history, with this budget a step.
    Compact(u8, usize),
    Get(Vec<u8>, u8),
    Range(Vec<u8>, Vec<u8>, u8),
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(vec![b'a', b'b', 0, 255]), 1..5),
        1 => prop::collection::vec(Just(b'a'), 20..40),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => key().prop_map(Op::Put),
        15 => key().prop_map(Op::Delete),
        5 => prop::collection::btree_map(key(), any::<bool>(), 1..8)
            .prop_map(|changes| Op::Txn(changes.into_iter().collect())),
        4 => (any::<u8>(), 1..40usize).prop_map(|(at, budget)| Op::Compact(at, budget)),
        10 => (key(), any::<u8>()).prop_map(|(key, at)| Op::Get(key, at)),
        10 => (prop_oneof![key(), Just(vec![])], prop_oneof![key(), Just(vec![0]), Just(vec![])], any::<u8>())
            .prop_map(|(start, end, at)| Op::Range(start, end, at)),
        1 => Just(Op::Reopen),
    ]
}

/// What the index keeps of one revision in the store.
fn entry(rev: Revision, found: Option<Found>) -> Entry {
    found.map_or(Entry::tombstone(rev), |found| Entry {
        modified: rev,
        created: found.created,
        version: found.version,
    })
}

#[derive(Default)]
struct Pair {
    index: TreeIndex,
    twin: Twin,
    current: i64,
    compacted: i64,
}

impl Pair {
    /// A revision between the compacted one and now, or past now.
    fn at(&self, share: u8) -> i64 {
        let span = self.current - self.compacted + 1;
        self.compacted + span * i64::from(share) / 255
    }

    fn change(&mut self, sub: u32, key: &[u8], put: bool) {
        let rev = Revision {
            main: self.current,
            sub,
        };
        if put {
            assert_eq!(self.index.put(key, rev), self.twin.put(key, rev));
        } else {
            assert_eq!(
                self.index.tombstone(key, rev),
                self.twin.tombstone(key, rev)
            );
        }
        let after = self.twin.get(key, i64::MAX);
        assert_eq!(self.index.get(key, i64::MAX), after);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(key) => {
                self.current += 1;
                self.change(0, key, true);
            }
            Op::Delete(key) => {
                self.current += 1;
                self.change(0, key, false);
            }
            Op::Txn(changes) => {
                self.current += 1;
                for (sub, (key, put)) in (0..).zip(changes) {
                    self.change(sub, key, *put);
                }
            }
            Op::Compact(share, budget) => self.compact(self.at(*share), *budget),
            Op::Get(key, share) => {
                let at = self.at(*share);
                assert_eq!(self.index.get(key, at), self.twin.get(key, at));
            }
            Op::Range(start, end, share) => {
                self.range(start, RangeEnd::from_wire(end), self.at(*share));
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn compact(&mut self, at: i64, budget: usize) {
        let mut removed = Vec::new();
        let mut cursor = Some(CompactCursor::default());
        while let Some(from) = cursor {
            let before = removed.len();
            cursor = self
                .index
                .compact_step(from, at, budget, |rev| removed.push(rev));
            let most = budget + 2 * INDEX_LEAF_KEYS_MAX;
            assert!(
                removed.len() - before <= most,
                "a step stays near its budget"
            );
            check(&self.index.root, None, None, true);
        }
        let mut expected = self.twin.compact(at);
        expected.sort();
        removed.sort();
        assert_eq!(removed, expected);
        self.compacted = at;
        self.index
            .compact(at, |rev| panic!("{rev:?} was left behind"));
        for (rev, key, found) in self.twin.history() {
            if rev.main <= at {
                assert_eq!(self.index.keeps(&key, rev, at), found.is_some());
            }
        }
    }

    fn range(&self, start: &[u8], end: RangeEnd<'_>, at: i64) {
        let expected = self.twin.range(start, end, at);
        assert_eq!(self.index.count(start, end, at), expected.len() as u64);
        let mut seen = Vec::new();
        self.index.visit(start, end, at, |key, found| {
            seen.push((key.to_vec(), found));
            ControlFlow::Continue(())
        });
        assert_eq!(seen, expected);
        let mut page = 0;
        self.index.visit(start, end, at, |_, _| {
            page += 1;
            if page < 3 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        assert_eq!(page, expected.len().min(3));
    }

    /// Builds the index again from what a store would have on disk.
    fn reopen(&mut self) {
        let mut builder = IndexBuilder::new();
        let mut slow = TreeIndex::new();
        for window in self.twin.history().chunks(3 * INDEX_RUN_MAX) {
            // Three readers, each with stretches of its own, in no order.
            let mut runs = [const { IndexRun::new() }; 3];
            for (i, (rev, key, found)) in window.iter().enumerate().rev() {
                let run = &mut runs[i / 7 % 3];
                match found {
                    Some(found) => run.add(key, *rev, found.created, found.version, false),
                    None => run.add(key, *rev, 0, 0, true),
                }
            }
            runs.iter_mut().for_each(IndexRun::sort);
            builder.add(&runs);
        }
        for (rev, key, found) in self.twin.history() {
            slow.write(&key, |_| Some(entry(rev, found)));
        }
        self.index = builder.build();
        check(&self.index.root, None, None, true);
        let everything = |index: &TreeIndex| {
            let mut all = Vec::new();
            index.visit(b"", RangeEnd::Open, i64::MAX, |key, found| {
                all.push((key.to_vec(), found));
                ControlFlow::Continue(())
            });
            all
        };
        assert_eq!(everything(&self.index), everything(&slow));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn equals_its_slow_twin(ops in prop::collection::vec(op(), 1..400)) {
        let mut pair = Pair::default();
        for op in &ops {
            pair.apply(op);
            check(&pair.index.root, None, None, true);
            prop_assert_eq!(
                pair.index.len_live(),
                pair.twin.range(b"", RangeEnd::Open, i64::MAX).len() as u64
            );
        }
        for at in pair.compacted..=pair.current {
            pair.range(b"", RangeEnd::Open, at);
        }
        pair.reopen();
        for at in pair.compacted..=pair.current {
            pair.range(b"", RangeEnd::Open, at);
        }
        pair.compact(pair.current, 7);
    }
}
