//! The nodes of the tree: leaves with keys and their states, inner nodes with sums over what is below, and how a write
//! travels down and splits them.

use super::keys::{KeyPack, grow_gently, shared_len};
use super::state::{Entry, KeyState};
use crate::limits::{INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX, INDEX_NODE_BYTES_MAX};

/// Keys in order with their states.
#[derive(Default, Debug)]
pub(super) struct Leaf {
    pub(super) keys: KeyPack,
    pub(super) states: Vec<KeyState>,
}

/// Children in order. `separators[i]` is larger than every key of child i and not larger than any of child i + 1.
#[derive(Default, Debug)]
pub(super) struct Inner {
    pub(super) separators: KeyPack,
    pub(super) children: Vec<Subtree>,
}

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// What is known of a whole subtree without descending into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Summary {
    /// Keys whose newest revision is a put.
    pub(super) live: u64,
    /// No revision in the subtree is above this one. At or above it a read sees the current state.
    pub(super) newest: i64,
    /// No compaction below this revision removes anything in the subtree.
    pub(super) compactable_from: i64,
}

impl Summary {
    pub(super) const EMPTY: Self = Self {
        live: 0,
        newest: 0,
        compactable_from: i64::MAX,
    };

    fn merge(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            newest: self.newest.max(other.newest),
            compactable_from: self.compactable_from.min(other.compactable_from),
        }
    }
}

/// A node with its summary, as its parent holds it.
#[derive(Debug)]
pub(super) struct Subtree {
    pub(super) summary: Summary,
    pub(super) node: Node,
}

/// A right half that a node gave up because it was full, with the key that separates it from the left half.
pub(super) struct Split {
    pub(super) separator: Vec<u8>,
    pub(super) right: Subtree,
}

/// What a write did to the key.
pub(super) struct Written {
    pub(super) before: Option<Entry>,
    /// The entry that was added, if any.
    pub(super) added: Option<Entry>,
    pub(super) split: Option<Split>,
}

impl Default for Subtree {
    fn default() -> Self {
        Self {
            summary: Summary::EMPTY,
            node: Node::Leaf(Box::default()),
        }
    }
}

impl Subtree {
    /// Puts a summary on a finished node.
    pub(super) fn new(node: Node) -> Self {
        let mut subtree = Self {
            summary: Summary::EMPTY,
            node,
        };
        subtree.summarize();
        subtree
    }

    /// Computes the summary again, from the node alone.
    pub(super) fn summarize(&mut self) {
        self.summary = match &self.node {
            Node::Leaf(leaf) => leaf.summary(),
            Node::Inner(inner) => inner
                .children
                .iter()
                .fold(Summary::EMPTY, |sum, child| sum.merge(child.summary)),
        };
    }

    /// Adds to `key` the entry that `next` makes of its newest one; nothing if it makes none.
    pub(super) fn write(
        &mut self,
        key: &[u8],
        next: impl FnOnce(Option<Entry>) -> Option<Entry>,
    ) -> Written {
        let mut written = match &mut self.node {
            Node::Leaf(leaf) => leaf.write(key, next),
            Node::Inner(inner) => inner.write(key, next),
        };
        if let Some(split) = &mut written.split {
            self.summarize();
            split.right.summarize();
        } else if let Some(added) = written.added {
            self.summary.count_in(written.before, added);
        }
        written
    }
}

impl Summary {
    /// Takes in one more entry of a key whose newest entry was `before`.
    fn count_in(&mut self, before: Option<Entry>, added: Entry) {
        let was_live = before.is_some_and(|entry| !entry.is_tombstone());
        match (was_live, !added.is_tombstone()) {
            (false, true) => self.live += 1,
            (true, false) => self.live -= 1,
            _ => {}
        }
        self.newest = self.newest.max(added.modified.main);
        if before.is_some() || added.is_tombstone() {
            self.compactable_from = self.compactable_from.min(added.modified.main);
        }
    }
}

impl Leaf {
    fn summary(&self) -> Summary {
        self.states.iter().fold(Summary::EMPTY, |sum, state| {
            let newest = state.newest();
            sum.merge(Summary {
                live: u64::from(!newest.is_tombstone()),
                newest: newest.modified.main,
                compactable_from: state.compactable_from(),
            })
        })
    }

    fn write(&mut self, key: &[u8], next: impl FnOnce(Option<Entry>) -> Option<Entry>) -> Written {
        let place = self.keys.search(key);
        let before = place.ok().map(|i| self.states[i].newest());
        let added = next(before);
        let mut split = None;
        if let Some(entry) = added {
            match place {
                Ok(i) => self.states[i].push(entry),
                Err(i) => {
                    self.keys.insert(i, key);
                    grow_gently(&mut self.states, 1);
                    self.states.insert(i, KeyState::new(entry));
                    split = self.split_if_full(i);
                }
            }
        }
        Written {
            before,
            added,
            split,
        }
    }

    /// Splits a leaf that the key inserted at `inserted` made too large.
    fn split_if_full(&mut self, inserted: usize) -> Option<Split> {
        let len = self.keys.len();
        if !is_full(len, INDEX_LEAF_KEYS_MAX, self.keys.bytes()) {
            return None;
        }
        // Keys that arrive in ascending order would leave every leaf half empty behind them.
        let at = if inserted == len - 1 {
            len - 1
        } else {
            len / 2
        };
        let right = Self {
            keys: self.keys.split_off(at),
            states: split_exact(&mut self.states, at),
        };
        Some(Split {
            separator: shortest_separator(self.keys.get(at - 1), right.keys.get(0)).to_vec(),
            right: Subtree {
                summary: Summary::EMPTY,
                node: Node::Leaf(Box::new(right)),
            },
        })
    }
}

impl Inner {
    /// The child that `key` belongs to.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        match self.separators.search(key) {
            Ok(i) => i + 1,
            Err(i) => i,
        }
    }

    fn write(&mut self, key: &[u8], next: impl FnOnce(Option<Entry>) -> Option<Entry>) -> Written {
        let i = self.child_of(key);
        let mut written = self.children[i].write(key, next);
        if let Some(split) = written.split.take() {
            self.separators.insert(i, &split.separator);
            grow_gently(&mut self.children, 1);
            self.children.insert(i + 1, split.right);
            written.split = self.split_if_full(i + 1);
        }
        written
    }

    fn split_if_full(&mut self, inserted: usize) -> Option<Split> {
        let len = self.children.len();
        if !is_full(len, INDEX_INNER_CHILDREN_MAX, self.separators.bytes()) {
            return None;
        }
        let at = if inserted == len - 1 {
            len - 1
        } else {
            len / 2
        };
        let separators = self.separators.split_off(at);
        let separator = self.separators.get(at - 1).to_vec();
        self.separators.remove(at - 1);
        let right = Self {
            separators,
            children: split_exact(&mut self.children, at),
        };
        Some(Split {
            separator,
            right: Subtree {
                summary: Summary::EMPTY,
                node: Node::Inner(Box::new(right)),
            },
        })
    }
}

/// Whether a node must be split: too many parts, or few but so large that moving them would stall a write.
pub(super) fn is_full(parts: usize, parts_max: usize, bytes: usize) -> bool {
    parts > parts_max || (bytes > INDEX_NODE_BYTES_MAX && parts >= 4)
}

/// The shortest key above `left` and not above `right`; it need not be a key of the tree.
pub(super) fn shortest_separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    &right[..shared_len(left, right) + 1]
}

/// `Vec::split_off`, but the left part gives its spare room back.
fn split_exact<T>(items: &mut Vec<T>, at: usize) -> Vec<T> {
    let tail = items.split_off(at);
    items.shrink_to_fit();
    tail
}
