//! Building the index at start: revisions arrive in the order of the revision tree, keys must end in key order.
//!
//! Inserting a million keys one by one, each at a random place, is many times slower than sorting them and packing
//! full leaves. The builder collects a run, sorts it, and packs the first run into a tree; later runs are inserted in
//! key order, which stays in the cache. So its memory is bounded however long the history is.

use super::keys::KeyPack;
use super::node::{Inner, Leaf, Node, Subtree, is_full, shortest_separator};
use super::state::{Entry, KeyState};
use super::{Revision, TreeIndex};
use crate::limits::{INDEX_BUILD_RUN_MAX, INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX};

/// Collects revisions in ascending order and makes a [`TreeIndex`] of them.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    tree: TreeIndex,
    /// The keys of the run, back to back.
    bytes: Vec<u8>,
    run: Vec<Item>,
}

/// One revision of the run.
#[derive(Debug)]
struct Item {
    key_start: usize,
    key_len: u32,
    entry: Entry,
}

impl IndexBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one revision, newer than all before. `created` and `version` are of no account in a tombstone.
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
        self.run.push(Item {
            key_start: self.bytes.len(),
            key_len: u32::try_from(key.len()).expect("a key is smaller than 4 GiB"),
            entry,
        });
        self.bytes.extend_from_slice(key);
        if self.run.len() >= INDEX_BUILD_RUN_MAX {
            self.flush_run();
        }
    }

    /// The finished index.
    pub fn build(mut self) -> TreeIndex {
        self.flush_run();
        self.tree
    }

    fn flush_run(&mut self) {
        let order = self.sorted();
        if self.tree.root.summary == super::node::Summary::EMPTY {
            self.tree.root = self.pack(&order);
        } else {
            for &i in &order {
                let entry = self.run[i as usize].entry;
                self.tree
                    .write(key_of(&self.bytes, &self.run[i as usize]), |_| Some(entry));
            }
        }
        self.run.clear();
        self.bytes.clear();
    }

    /// The numbers of the run's items by key, and by revision where the key is the same.
    fn sorted(&self) -> Vec<u32> {
        let shared = self.shared_prefix();
        // Most comparisons end within eight bytes after what all keys share; those are kept next to the number.
        let mut order: Vec<(u64, u32)> = (0u32..)
            .zip(&self.run)
            .map(|(i, item)| (leading(&key_of(&self.bytes, item)[shared..]), i))
            .collect();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| {
                let (x, y) = (&self.run[a.1 as usize], &self.run[b.1 as usize]);
                let keys = key_of(&self.bytes, x).cmp(key_of(&self.bytes, y));
                keys.then(a.1.cmp(&b.1))
            })
        });
        order.into_iter().map(|(_, i)| i).collect()
    }

    /// Bytes with which all keys of the run begin.
    fn shared_prefix(&self) -> usize {
        let mut keys = self.run.iter().map(|item| key_of(&self.bytes, item));
        let Some(first) = keys.next() else { return 0 };
        keys.fold(first.len(), |shared, key| {
            let same = first[..shared].iter().zip(key).take_while(|(a, b)| a == b);
            same.count()
        })
    }

    /// Packs the sorted run into leaves and those into a tree.
    fn pack(&self, order: &[u32]) -> Subtree {
        let mut leaves = Vec::new();
        let mut group: Vec<(&[u8], KeyState)> = Vec::with_capacity(INDEX_LEAF_KEYS_MAX);
        let mut group_bytes = 0;
        for &i in order {
            let item = &self.run[i as usize];
            let key = key_of(&self.bytes, item);
            match group.last_mut() {
                Some((last, state)) if *last == key => state.push(item.entry),
                _ => {
                    if is_full(
                        group.len() + 1,
                        INDEX_LEAF_KEYS_MAX,
                        group_bytes + key.len(),
                    ) {
                        leaves.push(close_leaf(&mut group));
                        group_bytes = 0;
                    }
                    group_bytes += key.len();
                    group.push((key, KeyState::new(item.entry)));
                }
            }
        }
        if !group.is_empty() {
            leaves.push(close_leaf(&mut group));
        }
        stack_levels(leaves)
    }
}

fn key_of<'a>(bytes: &'a [u8], item: &Item) -> &'a [u8] {
    &bytes[item.key_start..item.key_start + item.key_len as usize]
}

/// The first eight bytes as a number that sorts as they do; short keys are filled with zeros.
fn leading(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(8);
    bytes[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(bytes)
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
