//! Reading the tree: one key, the number of live keys in a range, and the keys of a range in order.

use std::ops::ControlFlow;

use super::node::{Node, Subtree};
use super::state::Found;
use crate::types::Revision;

/// The part of a range that concerns one subtree; `None` where the subtree lies inside on that side.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Keys below this one are outside.
    pub(super) from: Option<&'a [u8]>,
    /// This key and those above are outside.
    pub(super) before: Option<&'a [u8]>,
}

impl Subtree {
    pub(super) fn get(&self, key: &[u8], at: Revision) -> Option<Found> {
        let mut node = &self.node;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.child_of(key)].node,
                Node::Leaf(leaf) => {
                    let i = leaf.keys.search(key).ok()?;
                    return leaf.states[i].at(at)?.found();
                }
            }
        }
    }

    /// Live keys at `at`. Subtrees that lie inside the range and were not written after `at` are not entered.
    pub(super) fn count(&self, bounds: Bounds<'_>, at: Revision) -> u64 {
        if bounds.from.is_none() && bounds.before.is_none() && self.summary.newest <= at.main {
            return self.summary.live;
        }
        match &self.node {
            Node::Leaf(leaf) => {
                let (first, last) =
                    span(bounds, |key| leaf.keys.count_below(key), leaf.states.len());
                let live = leaf.states[first..last]
                    .iter()
                    .filter(|state| state.at(at).is_some_and(|entry| !entry.is_tombstone()));
                live.count() as u64
            }
            Node::Inner(inner) => inner
                .covered(bounds)
                .map(|(child, bounds)| child.count(bounds, at))
                .sum(),
        }
    }

    /// Calls `f` with every key that is live at `at`, in ascending order, until it breaks.
    pub(super) fn visit(
        &self,
        bounds: Bounds<'_>,
        at: Revision,
        f: &mut impl FnMut(&[u8], Found) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &self.node {
            Node::Leaf(leaf) => {
                let (first, last) =
                    span(bounds, |key| leaf.keys.count_below(key), leaf.states.len());
                for i in first..last {
                    if let Some(found) = leaf.states[i].at(at).and_then(|entry| entry.found()) {
                        f(leaf.keys.get(i), found)?;
                    }
                }
            }
            Node::Inner(inner) => {
                for (child, bounds) in inner.covered(bounds) {
                    // With nothing alive and nothing newer than `at` there is nothing to see.
                    if child.summary.live > 0 || child.summary.newest > at.main {
                        child.visit(bounds, at, f)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl super::node::Inner {
    /// The children that the range touches, each with the part of the bounds that still matters in it.
    fn covered<'a>(
        &'a self,
        bounds: Bounds<'a>,
    ) -> impl Iterator<Item = (&'a Subtree, Bounds<'a>)> + 'a {
        let first = bounds.from.map_or(0, |key| self.child_of(key));
        // The last child may lie wholly at or above `before`; its leaf finds nothing then.
        let last = bounds
            .before
            .map_or(self.children.len() - 1, |key| self.child_of(key));
        (first..=last).map(move |i| {
            let inside = Bounds {
                from: bounds.from.filter(|_| i == first),
                before: bounds.before.filter(|_| i == last),
            };
            (&self.children[i], inside)
        })
    }
}

/// The numbers of a leaf's first key inside and first key past the bounds.
fn span(bounds: Bounds<'_>, count_below: impl Fn(&[u8]) -> usize, len: usize) -> (usize, usize) {
    let first = bounds.from.map_or(0, &count_below);
    let last = bounds.before.map_or(len, &count_below);
    (first, last.max(first))
}
