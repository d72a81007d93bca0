//! An interval tree: which of many key ranges contain a key.
//!
//! A treap ordered by the start of the ranges. Each node knows which range below it reaches furthest, so a lookup skips
//! subtrees that end before the key. Watchers of the same range share a node.

use std::cmp::Ordering;

use super::range::KeyRange;

/// Number of a node; `NIL` is no node.
type Link = u32;
const NIL: Link = Link::MAX;

#[derive(Debug)]
struct Node {
    range: KeyRange,
    members: Vec<u32>,
    /// A node's priority is at least its children's: that keeps the tree balanced, as it is random.
    priority: u32,
    left: Link,
    right: Link,
    /// The node at or below this one whose range ends last.
    furthest: Link,
}

/// Ranges with the numbers of their members.
#[derive(Debug)]
pub(super) struct Intervals {
    nodes: Vec<Node>,
    free: Vec<Link>,
    root: Link,
    /// State of the xorshift generator that draws priorities; its seed is of no account.
    random: u32,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NIL,
            random: 0x9e37_79b9,
        }
    }
}

impl Intervals {
    /// Adds `member` to `range` and returns its place among the range's members.
    pub(super) fn insert(&mut self, range: &KeyRange, member: u32) -> u32 {
        let found = self.find(range);
        let node = if found == NIL {
            let node = self.allocate(range.clone());
            self.root = self.insert_node(self.root, node);
            node
        } else {
            found
        };
        let members = &mut self.nodes[node as usize].members;
        members.push(member);
        (members.len() - 1) as u32
    }

    /// Removes the member at `place` of `range`. Returns the member that took the place over, if any.
    pub(super) fn remove(&mut self, range: &KeyRange, place: u32) -> Option<u32> {
        let node = self.find(range);
        assert_ne!(node, NIL, "a member's range is in the tree");
        let members = &mut self.nodes[node as usize].members;
        members.swap_remove(place as usize);
        let moved = members.get(place as usize).copied();
        if members.is_empty() {
            self.root = self.remove_node(self.root, node);
            self.nodes[node as usize].members = Vec::new();
            self.free.push(node);
        }
        moved
    }

    /// Calls `f` with the members of every range that contains `key`.
    pub(super) fn stab(&self, key: &[u8], f: &mut impl FnMut(&[u32])) {
        self.stab_below(self.root, key, f);
    }

    fn stab_below(&self, mut link: Link, key: &[u8], f: &mut impl FnMut(&[u32])) {
        while link != NIL {
            let node = &self.nodes[link as usize];
            if !self.nodes[node.furthest as usize].range.reaches_past(key) {
                return;
            }
            self.stab_below(node.left, key, f);
            if *node.range.key > *key {
                // This node and all to its right start after the key.
                return;
            }
            if node.range.reaches_past(key) {
                f(&node.members);
            }
            link = node.right;
        }
    }

    fn find(&self, range: &KeyRange) -> Link {
        let mut link = self.root;
        while link != NIL {
            let node = &self.nodes[link as usize];
            link = match range.order(&node.range) {
                Ordering::Less => node.left,
                Ordering::Equal => return link,
                Ordering::Greater => node.right,
            };
        }
        NIL
    }

    fn allocate(&mut self, range: KeyRange) -> Link {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let mut node = Node {
            range,
            members: Vec::with_capacity(1),
            priority: self.random,
            left: NIL,
            right: NIL,
            furthest: NIL,
        };
        let link = self.free.pop().unwrap_or(self.nodes.len() as Link);
        node.furthest = link;
        if (link as usize) < self.nodes.len() {
            self.nodes[link as usize] = node;
        } else {
            self.nodes.push(node);
        }
        link
    }

    /// Inserts `new` below `root` and returns the new root.
    fn insert_node(&mut self, root: Link, new: Link) -> Link {
        if root == NIL {
            return new;
        }
        if self.nodes[new as usize].priority > self.nodes[root as usize].priority {
            let (left, right) = self.split(root, new);
            self.nodes[new as usize].left = left;
            self.nodes[new as usize].right = right;
            self.update(new);
            return new;
        }
        if self.is_before(new, root) {
            let left = self.insert_node(self.nodes[root as usize].left, new);
            self.nodes[root as usize].left = left;
        } else {
            let right = self.insert_node(self.nodes[root as usize].right, new);
            self.nodes[root as usize].right = right;
        }
        self.update(root);
        root
    }

    /// Divides the tree below `root` into what is before the node `at` and what is after.
    fn split(&mut self, root: Link, at: Link) -> (Link, Link) {
        if root == NIL {
            return (NIL, NIL);
        }
        if self.is_before(root, at) {
            let (left, right) = self.split(self.nodes[root as usize].right, at);
            self.nodes[root as usize].right = left;
            self.update(root);
            (root, right)
        } else {
            let (left, right) = self.split(self.nodes[root as usize].left, at);
            self.nodes[root as usize].left = right;
            self.update(root);
            (left, root)
        }
    }

    /// Takes the node `gone` out of the tree below `root` and returns the new root.
    fn remove_node(&mut self, root: Link, gone: Link) -> Link {
        if root == gone {
            let Node { left, right, .. } = self.nodes[gone as usize];
            return self.join(left, right);
        }
        if self.is_before(gone, root) {
            let left = self.remove_node(self.nodes[root as usize].left, gone);
            self.nodes[root as usize].left = left;
        } else {
            let right = self.remove_node(self.nodes[root as usize].right, gone);
            self.nodes[root as usize].right = right;
        }
        self.update(root);
        root
    }

    /// Joins two trees, all of `left` being before all of `right`.
    fn join(&mut self, left: Link, right: Link) -> Link {
        if left == NIL || right == NIL {
            return if left == NIL { right } else { left };
        }
        if self.nodes[left as usize].priority > self.nodes[right as usize].priority {
            let joined = self.join(self.nodes[left as usize].right, right);
            self.nodes[left as usize].right = joined;
            self.update(left);
            left
        } else {
            let joined = self.join(left, self.nodes[right as usize].left);
            self.nodes[right as usize].left = joined;
            self.update(right);
            right
        }
    }

    fn is_before(&self, a: Link, b: Link) -> bool {
        let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
        a.range.order(&b.range) == Ordering::Less
    }

    /// Finds again which range at or below `link` ends last.
    fn update(&mut self, link: Link) {
        let Node { left, right, .. } = self.nodes[link as usize];
        let mut furthest = link;
        for child in [left, right] {
            if child != NIL {
                let candidate = self.nodes[child as usize].furthest;
                let range = &self.nodes[candidate as usize].range;
                if range.end_order(&self.nodes[furthest as usize].range) == Ordering::Greater {
                    furthest = candidate;
                }
            }
        }
        self.nodes[link as usize].furthest = furthest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range() -> impl Strategy<Value = KeyRange> {
        let key = || prop::collection::vec(0..4u8, 1..4);
        (key(), prop_oneof![4 => key(), 1 => Just(vec![0])])
            .prop_filter_map("an empty range", |(key, end)| {
                KeyRange::from_wire(&key, &end)
            })
    }

    impl Intervals {
        /// Checks order, priorities and furthest ends below `link`; returns the number of nodes.
        fn check(&self, link: Link) -> usize {
            if link == NIL {
                return 0;
            }
            let node = &self.nodes[link as usize];
            let mut count = 1;
            for (child, side) in [(node.left, Ordering::Less), (node.right, Ordering::Greater)] {
                if child != NIL {
                    let below = &self.nodes[child as usize];
                    assert_eq!(below.range.order(&node.range), side);
                    assert!(below.priority <= node.priority);
                    let far = &self.nodes[below.furthest as usize].range;
                    let furthest = &self.nodes[node.furthest as usize].range;
                    assert_ne!(far.end_order(furthest), Ordering::Greater);
                    count += self.check(child);
                }
            }
            count
        }
    }

    proptest! {
        #[test]
        fn equals_a_scan(
            ops in prop::collection::vec((any::<bool>(), range(), any::<prop::sample::Index>()), 1..150),
            probes in prop::collection::vec(prop::collection::vec(0..4u8, 0..4), 30),
        ) {
            let mut tree = Intervals::default();
            // Member number → range and place.
            let mut twin: Vec<Option<(KeyRange, u32)>> = Vec::new();
            for (add, range, pick) in ops {
                let alive: Vec<usize> = (0..twin.len()).filter(|i| twin[*i].is_some()).collect();
                if add || alive.is_empty() {
                    let place = tree.insert(&range, twin.len() as u32);
                    twin.push(Some((range, place)));
                } else {
                    let (range, place) = twin[*pick.get(&alive)].take().unwrap();
                    if let Some(moved) = tree.remove(&range, place) {
                        twin[moved as usize].as_mut().unwrap().1 = place;
                    }
                }
                tree.check(tree.root);
            }
            for key in probes {
                let mut found = Vec::new();
                tree.stab(&key, &mut |members| found.extend_from_slice(members));
                found.sort_unstable();
                let expected: Vec<u32> = (0u32..)
                    .zip(&twin)
                    .filter(|(_, slot)| slot.as_ref().is_some_and(|(range, _)| range.contains(&key)))
                    .map(|(member, _)| member)
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
