//! Compaction of the tree, in steps short enough to hold the write lock for, and how nodes that lost keys are merged.

use super::node::{Inner, Leaf, Node, Subtree};
use crate::limits::{INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX, INDEX_NODE_BYTES_MAX};
use crate::types::Revision;

/// One step's order: what to compact and how much of it.
pub(super) struct Step<'a, F> {
    /// Main revision of the compaction.
    pub(super) at: i64,
    /// Keys looked at and revisions removed that are still allowed.
    pub(super) budget: usize,
    /// Told of every revision that left the index.
    pub(super) removed: &'a mut F,
}

impl Subtree {
    /// Compacts from key `from` on. Returns the key to go on from when the budget ended first.
    pub(super) fn compact<F: FnMut(Revision)>(
        &mut self,
        from: &[u8],
        step: &mut Step<'_, F>,
    ) -> Option<Vec<u8>> {
        if self.summary.compactable_from > step.at {
            return None;
        }
        let resume = match &mut self.node {
            Node::Leaf(leaf) => leaf.compact(from, step),
            Node::Inner(inner) => inner.compact(from, step),
        };
        self.summarize();
        resume
    }

    fn is_empty(&self) -> bool {
        match &self.node {
            Node::Leaf(leaf) => leaf.states.is_empty(),
            Node::Inner(inner) => inner.children.is_empty(),
        }
    }

    /// Drops levels that no longer divide anything. Only for the root.
    pub(super) fn flatten(&mut self) {
        while let Node::Inner(inner) = &mut self.node {
            match inner.children.len() {
                0 => *self = Self::default(),
                1 => *self = inner.children.remove(0),
                _ => break,
            }
        }
    }
}

impl Leaf {
    fn compact<F: FnMut(Revision)>(
        &mut self,
        from: &[u8],
        step: &mut Step<'_, F>,
    ) -> Option<Vec<u8>> {
        let first = self.keys.count_below(from);
        let mut gone = Vec::new();
        let mut resume = None;
        for i in first..self.states.len() {
            let state = &mut self.states[i];
            let wanted = state.compactable(step.at);
            let allowed = wanted.min(step.budget.max(1));
            if !state.remove_oldest(allowed, &mut *step.removed) {
                gone.push(i);
            }
            step.budget = step.budget.saturating_sub(1 + allowed);
            if allowed < wanted {
                resume = Some(self.keys.get(i).to_vec());
                break;
            }
        }
        if !gone.is_empty() {
            self.keys.retain(|i| gone.binary_search(&i).is_err());
            let mut i = 0;
            self.states.retain(|_| {
                i += 1;
                gone.binary_search(&(i - 1)).is_err()
            });
            self.states.shrink_to_fit();
        }
        resume
    }
}

impl Inner {
    fn compact<F: FnMut(Revision)>(
        &mut self,
        from: &[u8],
        step: &mut Step<'_, F>,
    ) -> Option<Vec<u8>> {
        let first = self.child_of(from);
        let mut resume = None;
        for i in first..self.children.len() {
            if step.budget == 0 {
                // Everything from child i on is at or above the separator before it. The first child is always
                // entered, so each step gets somewhere.
                resume = Some(self.separators.get(i - 1).to_vec());
                break;
            }
            resume = self.children[i].compact(from, step);
            if resume.is_some() {
                break;
            }
        }
        self.drop_empty();
        self.merge_small();
        resume
    }

    fn drop_empty(&mut self) {
        for i in (0..self.children.len()).rev() {
            if self.children[i].is_empty() {
                self.children.remove(i);
                if self.separators.len() > 0 {
                    // The neighbour on the left, or else on the right, takes over the empty child's range.
                    self.separators.remove(i.saturating_sub(1));
                }
            }
        }
    }

    fn merge_small(&mut self) {
        for i in (1..self.children.len()).rev() {
            if fits_together(
                &self.children[i - 1],
                &self.children[i],
                self.separators.get(i - 1),
            ) {
                let right = self.children.remove(i);
                let separator = self.separators.get(i - 1).to_vec();
                self.separators.remove(i - 1);
                merge(&mut self.children[i - 1], right, &separator);
            }
        }
    }
}

/// Whether two neighbours fill at most half a node together. Half, so that the next insert does not split them again.
fn fits_together(left: &Subtree, right: &Subtree, separator: &[u8]) -> bool {
    let (parts, parts_max, bytes) = match (&left.node, &right.node) {
        (Node::Leaf(a), Node::Leaf(b)) => (
            a.states.len() + b.states.len(),
            INDEX_LEAF_KEYS_MAX,
            a.keys.bytes() + b.keys.bytes(),
        ),
        (Node::Inner(a), Node::Inner(b)) => (
            a.children.len() + b.children.len(),
            INDEX_INNER_CHILDREN_MAX,
            a.separators.bytes() + b.separators.bytes() + separator.len(),
        ),
        _ => unreachable!("children of one node have the same height"),
    };
    parts <= parts_max / 2 && bytes <= INDEX_NODE_BYTES_MAX / 2
}

fn merge(left: &mut Subtree, right: Subtree, separator: &[u8]) {
    match (&mut left.node, right.node) {
        (Node::Leaf(a), Node::Leaf(b)) => {
            a.keys.append(&b.keys);
            a.states.extend(b.states);
        }
        (Node::Inner(a), Node::Inner(b)) => {
            a.separators.push(separator);
            a.separators.append(&b.separators);
            a.children.extend(b.children);
        }
        _ => unreachable!("children of one node have the same height"),
    }
    left.summarize();
}
