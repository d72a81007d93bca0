//! Which watchers watch a key: a hash map for exact keys, an interval tree for ranges.

use std::collections::HashMap;
use std::sync::Arc;

use super::intervals::Intervals;
use super::range::{KeyRange, KeyRangeEnd};

/// Members, by the keys that they are interested in. A member is a number that the owner chose.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    exact: HashMap<Arc<[u8]>, Vec<u32>>,
    ranges: Intervals,
}

impl Matcher {
    /// Adds a member; returns its place, which `remove` needs.
    pub(super) fn insert(&mut self, range: &KeyRange, member: u32) -> u32 {
        if range.end != KeyRangeEnd::Single {
            return self.ranges.insert(range, member);
        }
        let members = self
            .exact
            .entry(Arc::clone(&range.key))
            .or_insert_with(|| Vec::with_capacity(1));
        members.push(member);
        (members.len() - 1) as u32
    }

    /// Removes the member at `place` of `range`. Returns the member whose place is now `place`, if any.
    pub(super) fn remove(&mut self, range: &KeyRange, place: u32) -> Option<u32> {
        if range.end != KeyRangeEnd::Single {
            return self.ranges.remove(range, place);
        }
        let members = self.exact.get_mut(&range.key);
        let members = members.expect("a member's key is in the map");
        members.swap_remove(place as usize);
        let moved = members.get(place as usize).copied();
        if members.is_empty() {
            self.exact.remove(&range.key);
        }
        moved
    }

    /// Calls `f` with every member that watches `key`.
    pub(super) fn each(&self, key: &[u8], mut f: impl FnMut(u32)) {
        if let Some(members) = self.exact.get(key) {
            members.iter().copied().for_each(&mut f);
        }
        self.ranges
            .stab(key, &mut |members| members.iter().copied().for_each(&mut f));
    }

    /// Whether anybody watches `key`.
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        let mut any = self.exact.contains_key(key);
        if !any {
            self.ranges.stab(key, &mut |_| any = true);
        }
        any
    }
}
