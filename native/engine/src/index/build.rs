//! Building the index at start: revisions arrive about in the order of the revision tree, keys must end in key order.
//!
//! Inserting a million keys one by one, each at a random place, is many times slower than sorting them and packing
//! full leaves. Several threads collect a run each and sort it; the runs are merged and packed into a tree, side by
//! side too. Newer runs are then written in key order, which stays in the cache. So the builder's memory is bounded
//! however long the history is.

use std::ops::Range;

use super::TreeIndex;
use super::keys::{KeyPack, first_bytes, shared_len};
use super::node::{Inner, Leaf, Node, Subtree, Summary, is_full, shortest_separator};
use super::state::{Entry, KeyState};
use crate::limits::{
    INDEX_BUILD_PART_MIN, INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX, INDEX_RUN_BYTES_MAX,
    INDEX_RUN_MAX, INDEX_SORT_DEPTH_MAX,
};
use crate::types::Revision;

/// Revisions in any order, until they are sorted.
#[derive(Debug, Default)]
pub struct IndexRun {
    /// The keys, back to back.
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The items by key and revision, once they are sorted.
    order: Vec<Ordered>,
}

/// One revision of the run.
#[derive(Debug)]
struct Item {
    key_start: u32,
    key_len: u32,
    entry: Entry,
}

/// An item's number, and bytes of its key that most comparisons end within.
#[derive(Clone, Copy, Debug)]
struct Ordered {
    leading: u64,
    item: u32,
}

impl IndexRun {
    /// An empty run.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            items: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Adds a revision. `created` and `version` are of no account in a tombstone.
    pub fn add(&mut self, key: &[u8], rev: Revision, created: i64, version: i64, tombstone: bool) {
        assert!(tombstone || version > 0, "a put has a version");
        let entry = if tombstone {
            Entry::tombstone(rev)
        } else {
            Entry {
                modified: rev,
                created,
                version,
            }
        };
        let length = |bytes: usize| u32::try_from(bytes).expect("a run is smaller than 4 GiB");
        self.items.push(Item {
            key_start: length(self.bytes.len()),
            key_len: length(key.len()),
            entry,
        });
        self.bytes.extend_from_slice(key);
    }

    /// Whether nothing more should be added.
    pub fn is_full(&self) -> bool {
        self.items.len() >= INDEX_RUN_MAX || self.bytes.len() >= INDEX_RUN_BYTES_MAX
    }

    /// Whether four times as much would have found room.
    pub fn is_sparse(&self) -> bool {
        self.items.len() < INDEX_RUN_MAX / 4 && self.bytes.len() < INDEX_RUN_BYTES_MAX / 4
    }

    /// Sorts by key, and by revision where the key is the same.
    pub fn sort(&mut self) {
        let mut order: Vec<Ordered> = (0..self.items.len() as u32)
            .map(|item| Ordered { leading: 0, item })
            .collect();
        if !order.is_empty() {
            let (shared, _) = self.shared_and_shortest(&order);
            self.sort_part(&mut order, shared, 0);
        }
        self.order = order;
    }

    /// Sorts a part by the eight bytes that follow what all its keys share, and then what is the same in those.
    fn sort_part(&self, part: &mut [Ordered], shared: usize, depth: usize) {
        for ordered in part.iter_mut() {
            ordered.leading = u64::from_be_bytes(first_bytes(&self.key(*ordered)[shared..]));
        }
        part.sort_unstable_by_key(|ordered| ordered.leading);
        for same in part.chunk_by_mut(|a, b| a.leading == b.leading) {
            if same.len() == 1 {
                continue;
            }
            // A short key was filled up with zeroes, which another key may really have there: they end nothing.
            let (shared, shortest) = self.shared_and_shortest(same);
            if shortest < shared + size_of::<u64>() || depth == INDEX_SORT_DEPTH_MAX {
                self.sort_by_whole_keys(same);
            } else {
                self.sort_part(same, shared, depth + 1);
            }
        }
    }

    fn sort_by_whole_keys(&self, part: &mut [Ordered]) {
        let revision = |ordered: &Ordered| self.items[ordered.item as usize].entry.modified;
        part.sort_unstable_by(|a, b| {
            let keys = self.key(*a).cmp(self.key(*b));
            keys.then_with(|| revision(a).cmp(&revision(b)))
        });
    }

    /// Bytes that all keys of a part begin with, and those of its shortest key.
    fn shared_and_shortest(&self, part: &[Ordered]) -> (usize, usize) {
        let first = self.key(part[0]);
        let (mut shared, mut shortest) = (first.len(), first.len());
        for &other in &part[1..] {
            let key = self.key(other);
            shortest = shortest.min(key.len());
            if key.get(..shared) != Some(&first[..shared]) {
                shared = shared_len(&first[..shared], key);
            }
        }
        (shared, shortest)
    }

    fn key(&self, ordered: Ordered) -> &[u8] {
        let item = &self.items[ordered.item as usize];
        &self.bytes[item.key_start as usize..][..item.key_len as usize]
    }

    /// The sorted items whose key is not below `from` and below `before`.
    fn part(&self, from: Option<&[u8]>, before: Option<&[u8]>) -> &[Ordered] {
        let place = |bound: &[u8]| self.order.partition_point(|item| self.key(*item) < bound);
        let places = Range {
            start: from.map_or(0, place),
            end: before.map_or(self.order.len(), place),
        };
        &self.order[places]
    }
}

/// Makes a [`TreeIndex`] of runs.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    tree: TreeIndex,
}

impl IndexBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds sorted runs of revisions that are newer than all before. No revision may be in two runs.
    pub fn add(&mut self, runs: &[IndexRun]) {
        if self.tree.root.summary == Summary::EMPTY {
            self.tree.root = pack(runs);
            return;
        }
        for (key, entry) in Merge::new(runs, None, None) {
            self.tree.write(key, |_| Some(entry));
        }
    }

    /// The finished index.
    pub fn build(self) -> TreeIndex {
        self.tree
    }
}

/// The entries of several sorted runs by key, and by revision where the key is the same.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
}

struct Source<'a> {
    run: &'a IndexRun,
    rest: &'a [Ordered],
    key: &'a [u8],
    entry: Entry,
}

impl<'a> Source<'a> {
    fn next(run: &'a IndexRun, rest: &'a [Ordered]) -> Option<Self> {
        let (&first, rest) = rest.split_first()?;
        Some(Self {
            run,
            rest,
            key: run.key(first),
            entry: run.items[first.item as usize].entry,
        })
    }

    fn is_before(&self, other: &Self) -> bool {
        (self.key, self.entry.modified) < (other.key, other.entry.modified)
    }
}

impl<'a> Merge<'a> {
    /// Of the keys from `from` on and below `before`.
    fn new(runs: &'a [IndexRun], from: Option<&[u8]>, before: Option<&[u8]>) -> Self {
        let source = |run: &'a IndexRun| Source::next(run, run.part(from, before));
        Self {
            sources: runs.iter().filter_map(source).collect(),
        }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = (&'a [u8], Entry);

    fn next(&mut self) -> Option<Self::Item> {
        // There are as many sources as threads: looking at each is as quick as a heap.
        let mut first = 0;
        for i in 1..self.sources.len() {
            if self.sources[i].is_before(&self.sources[first]) {
                first = i;
            }
        }
        let source = self.sources.get_mut(first)?;
        let item = (source.key, source.entry);
        match Source::next(source.run, source.rest) {
            Some(next) => *source = next,
            None => drop(self.sources.swap_remove(first)),
        }
        Some(item)
    }
}

/// Packs the runs into leaves, in as many threads as there are runs, and those into a tree.
fn pack(runs: &[IndexRun]) -> Subtree {
    let borders = borders(runs);
    let froms = std::iter::once(None).chain(borders.iter().copied().map(Some));
    let befores = borders.iter().copied().map(Some).chain([None]);
    let leaves = std::thread::scope(|scope| {
        let threads: Vec<_> = froms
            .zip(befores)
            .map(|(from, before)| scope.spawn(move || pack_leaves(Merge::new(runs, from, before))))
            .collect();
        let leaves = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("packing does not panic"));
        leaves.collect()
    });
    stack_levels(leaves)
}

/// Keys that divide all keys of the runs into about equal parts.
fn borders(runs: &[IndexRun]) -> Vec<&[u8]> {
    let Some(largest) = runs.iter().max_by_key(|run| run.order.len()) else {
        return Vec::new();
    };
    let items = largest.order.len();
    let parts = runs.len().min(items / INDEX_BUILD_PART_MIN).max(1);
    let mut keys: Vec<&[u8]> = (1..parts)
        .map(|part| largest.key(largest.order[items / parts * part]))
        .collect();
    keys.dedup();
    keys
}

fn pack_leaves<'a>(entries: Merge<'a>) -> Vec<Packed<'a>> {
    let mut leaves = Vec::new();
    let mut group: Vec<(&[u8], KeyState)> = Vec::with_capacity(INDEX_LEAF_KEYS_MAX);
    let mut group_bytes = 0;
    for (key, entry) in entries {
        match group.last_mut() {
            Some((last, state)) if *last == key => state.push(entry),
            _ => {
                let bytes = group_bytes + key.len();
                if is_full(group.len() + 1, INDEX_LEAF_KEYS_MAX, bytes) {
                    leaves.push(close_leaf(&mut group));
                    group_bytes = 0;
                }
                group_bytes += key.len();
                group.push((key, KeyState::new(entry)));
            }
        }
    }
    if !group.is_empty() {
        leaves.push(close_leaf(&mut group));
    }
    leaves
}

/// A finished subtree with its smallest and largest key, which its separators are made of.
struct Packed<'a> {
    first: &'a [u8],
    last: &'a [u8],
    subtree: Subtree,
}

fn close_leaf<'a>(group: &mut Vec<(&'a [u8], KeyState)>) -> Packed<'a> {
    let (first, last) = (group[0].0, group[group.len() - 1].0);
    let bytes = group.iter().map(|(key, _)| key.len()).sum();
    let mut leaf = Leaf {
        keys: KeyPack::with_capacity(group.len(), bytes),
        states: Vec::with_capacity(group.len()),
    };
    for (key, state) in group.drain(..) {
        leaf.keys.push(key);
        leaf.states.push(state);
    }
    Packed {
        first,
        last,
        subtree: Subtree::new(Node::Leaf(Box::new(leaf))),
    }
}

/// Puts levels of inner nodes on top until one root is left.
fn stack_levels(mut level: Vec<Packed<'_>>) -> Subtree {
    while level.len() > 1 {
        let mut above = Vec::with_capacity(level.len() / INDEX_INNER_CHILDREN_MAX + 1);
        let mut below = level.into_iter().peekable();
        while let Some(first) = below.next() {
            let mut last = first.last;
            let smallest = first.first;
            let mut inner = Inner::default();
            inner.children.push(first.subtree);
            while let Some(next) = below.next_if(|next| {
                let separators =
                    inner.separators.bytes() + shortest_separator(last, next.first).len();
                !is_full(
                    inner.children.len() + 1,
                    INDEX_INNER_CHILDREN_MAX,
                    separators,
                )
            }) {
                inner.separators.push(shortest_separator(last, next.first));
                inner.children.push(next.subtree);
                last = next.last;
            }
            above.push(Packed {
                first: smallest,
                last,
                subtree: Subtree::new(Node::Inner(Box::new(inner))),
            });
        }
        level = above;
    }
    level.pop().map(|packed| packed.subtree).unwrap_or_default()
}
