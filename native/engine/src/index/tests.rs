//! The index against a slow twin that keeps etcd's generations literally, over random sequences of operations.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::node::{Node, Subtree};
use super::{CompactCursor, Found, IndexBuilder, IndexRun, RangeEnd, Revision, TreeIndex};
use crate::limits::{INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX, INDEX_RUN_MAX};

/// A key's life: revisions, the last of them a tombstone if the life is over.
#[derive(Clone, Debug, Default)]
struct Generation {
    created: i64,
    puts: i64,
    revisions: Vec<Revision>,
    over: bool,
}

#[derive(Default)]
struct Twin {
    keys: BTreeMap<Vec<u8>, Vec<Generation>>,
}

impl Twin {
    fn put(&mut self, key: &[u8], rev: Revision) -> Option<Found> {
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

    fn tombstone(&mut self, key: &[u8], rev: Revision) -> bool {
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

    fn get(&self, key: &[u8], at: i64) -> Option<Found> {
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
    fn compact(&mut self, at: i64) -> Vec<Revision> {
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

    fn range(&self, start: &[u8], end: RangeEnd<'_>, at: i64) -> Vec<(Vec<u8>, Found)> {
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
    fn history(&self) -> Vec<(Revision, Vec<u8>, Option<Found>)> {
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

/// Checks order, sums, sizes and height of everything below; returns the height.
fn check(tree: &Subtree, from: Option<&[u8]>, before: Option<&[u8]>, root: bool) -> usize {
    let mut again = Subtree {
        summary: tree.summary,
        node: Node::Leaf(Box::default()),
    };
    match &tree.node {
        Node::Leaf(leaf) => {
            let len = leaf.keys.len();
            assert_eq!(len, leaf.states.len());
            assert!(len <= INDEX_LEAF_KEYS_MAX && (root || len > 0));
            for i in 0..len {
                let key = leaf.keys.get(i);
                assert!(i == 0 || leaf.keys.get(i - 1) < key);
                assert!(from.is_none_or(|from| key >= from));
                assert!(before.is_none_or(|before| key < before));
            }
            let live = leaf.states.iter().filter(|s| s.newest().found().is_some());
            assert_eq!(tree.summary.live, live.count() as u64);
            for state in &leaf.states {
                assert!(tree.summary.newest >= state.newest().modified.main);
                assert!(tree.summary.compactable_from <= state.compactable_from());
            }
            0
        }
        Node::Inner(inner) => {
            let len = inner.children.len();
            assert_eq!(len, inner.separators.len() + 1);
            assert!(len <= INDEX_INNER_CHILDREN_MAX && (!root || len > 1));
            again.summary.live = inner.children.iter().map(|c| c.summary.live).sum();
            assert_eq!(tree.summary.live, again.summary.live);
            let mut heights = Vec::new();
            for (i, child) in inner.children.iter().enumerate() {
                let low = i.checked_sub(1).map(|i| inner.separators.get(i)).or(from);
                let high = (i + 1 < len).then(|| inner.separators.get(i)).or(before);
                assert!(tree.summary.newest >= child.summary.newest);
                assert!(tree.summary.compactable_from <= child.summary.compactable_from);
                heights.push(check(child, low, high, false));
            }
            assert!(heights.iter().all(|height| *height == heights[0]));
            heights[0] + 1
        }
    }
}

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
        assert_eq!(self.index.get_in_txn(key, rev), after);
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
            match found {
                Some(found) => slow.restore(&key, found.created, rev, found.version),
                None => slow.restore_tombstone(&key, rev),
            }
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

/// Many keys of one history each: what is superseded goes, step by step, and the rest stays readable.
#[test]
fn a_key_with_a_long_history_is_compacted_in_steps() {
    let mut index = TreeIndex::new();
    for main in 1..=10_000 {
        index.put(b"hot", Revision { main, sub: 0 });
    }
    let mut steps = 0;
    let mut removed = 0;
    let mut cursor = Some(CompactCursor::default());
    while let Some(from) = cursor {
        cursor = index.compact_step(from, 9_000, 100, |_| removed += 1);
        steps += 1;
        assert_eq!(index.get(b"hot", 9_500).unwrap().version, 9_500);
    }
    assert_eq!(removed, 8_999);
    assert!((90..=92).contains(&steps), "{steps}");
    assert_eq!(index.get(b"hot", 9_000).unwrap().version, 9_000);
    assert_eq!(index.get(b"hot", 8_999), None);
}

#[test]
fn keys_that_were_written_once_cost_a_compaction_nothing() {
    let mut index = TreeIndex::new();
    for main in 1..=5_000 {
        index.put(format!("k{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    index.put(
        b"k02500",
        Revision {
            main: 5_001,
            sub: 0,
        },
    );
    let mut removed = Vec::new();
    let rest = index.compact_step(CompactCursor::default(), 5_001, 20, |rev| removed.push(rev));
    assert_eq!(rest, None, "one step of 20 keys is enough");
    assert_eq!(
        removed,
        [Revision {
            main: 2_500,
            sub: 0
        }]
    );
    assert_eq!(index.len_live(), 5_000);
}

#[test]
fn dead_keys_leave_the_tree() {
    let mut index = TreeIndex::new();
    for main in 1..=2_000 {
        index.put(format!("k{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    let full = index.memory_bytes();
    for sub in 0..2_000 {
        let key = format!("k{:05}", sub + 1);
        assert!(index.tombstone(key.as_bytes(), Revision { main: 2_001, sub }));
    }
    assert_eq!(index.count(b"", RangeEnd::Open, i64::MAX), 0);
    assert_eq!(index.count(b"", RangeEnd::Open, 2_000), 2_000);
    index.compact(2_001, |_| {});
    assert!(
        index.memory_bytes() > full,
        "tombstones at the compacted revision stay"
    );
    index.compact(2_002, |_| {});
    assert!(index.memory_bytes() < 300, "{}", index.memory_bytes());
}

#[test]
fn sparse_leaves_are_merged() {
    let mut index = TreeIndex::new();
    for main in 1..=2_000 {
        index.put(format!("{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    for main in (1..=2_000).filter(|main| main % 10 != 0) {
        let rev = Revision {
            main: 2_000 + main,
            sub: 0,
        };
        assert!(index.tombstone(format!("{main:05}").as_bytes(), rev));
    }
    let before = leaves(&index.root);
    index.compact(10_000, |_| {});
    assert_eq!(index.len_live(), 200);
    assert!(
        leaves(&index.root) <= before / 3,
        "{} leaves",
        leaves(&index.root)
    );
    check(&index.root, None, None, true);
}

fn leaves(tree: &Subtree) -> usize {
    match &tree.node {
        Node::Leaf(_) => 1,
        Node::Inner(inner) => inner.children.iter().map(leaves).sum(),
    }
}

#[test]
fn a_deletion_of_nothing_is_not_recorded() {
    let mut index = TreeIndex::new();
    assert!(!index.tombstone(b"a", Revision { main: 1, sub: 0 }));
    assert!(index.put(b"a", Revision { main: 1, sub: 0 }).is_none());
}

#[test]
#[should_panic(expected = "is not after")]
fn revisions_of_a_key_only_grow() {
    let mut index = TreeIndex::new();
    index.put(b"a", Revision { main: 2, sub: 0 });
    index.put(b"a", Revision { main: 2, sub: 0 });
}
