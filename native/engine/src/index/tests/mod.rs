//! Tests of the index: against a slow twin over random sequences of operations, and cases of their own.

mod cases;
mod random;
mod twin;

use super::node::{Node, Subtree};
use crate::limits::{INDEX_INNER_CHILDREN_MAX, INDEX_LEAF_KEYS_MAX};

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

fn leaves(tree: &Subtree) -> usize {
    match &tree.node {
        Node::Leaf(_) => 1,
        Node::Inner(inner) => inner.children.iter().map(leaves).sum(),
    }
}
