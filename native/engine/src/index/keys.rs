//! A sorted run of keys packed into one buffer: the keys of a leaf and the separators of an inner node.
//!
//! One allocation for the bytes and one for what a search looks at: where each key ends, and the four bytes of it that
//! follow what all keys of the pack begin with. A binary search compares those numbers, which lie side by side, and
//! reads of the keys themselves only the one or two that it ends at.

use std::cmp::Ordering;

/// Sorted keys, back to back.
#[derive(Default, Debug)]
pub(super) struct KeyPack {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// All keys begin with so many bytes of the first.
    shared: u32,
}

/// One key of the pack.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Where it ends in `bytes`; it starts where the one before ends.
    end: u32,
    /// `head` of what follows the shared bytes.
    head: u32,
}

impl KeyPack {
    /// An empty pack with room for exactly `keys` keys of `bytes` bytes in all.
    pub(super) fn with_capacity(keys: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            places: Vec::with_capacity(keys),
            shared: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of all keys together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of heap that the pack holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 {
            0
        } else {
            self.places[i - 1].end as usize
        }
    }

    pub(super) fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.start(i)..self.places[i].end as usize]
    }

    /// Where `key` is (`Ok`), or where it belongs (`Err`).
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let shared = self.shared as usize;
        let known = &key[..key.len().min(shared)];
        match known.cmp(&self.bytes[..shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let wanted = head(&key[shared..]);
        let mut low = self.places.partition_point(|place| place.head < wanted);
        let same = self.places[low..].iter().take(2);
        let mut high = match same.filter(|place| place.head == wanted).count() {
            0 => return Err(low),
            1 => low + 1,
            _ => low + self.places[low..].partition_point(|place| place.head == wanted),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)[shared..].cmp(&key[shared..]) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// How many keys are smaller than `key`.
    pub(super) fn count_below(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(i) | Err(i) => i,
        }
    }

    /// Appends a key that is larger than all others.
    pub(super) fn push(&mut self, key: &[u8]) {
        self.insert(self.len(), key);
    }

    /// Puts `key` before key `i`; the caller keeps the order.
    pub(super) fn insert(&mut self, i: usize, key: &[u8]) {
        self.make_room_for(key);
        let at = self.start(i);
        grow_gently(&mut self.bytes, key.len());
        grow_gently(&mut self.places, 1);
        let old_len = self.bytes.len();
        self.bytes.resize(old_len + key.len(), 0);
        self.bytes.copy_within(at..old_len, at + key.len());
        self.bytes[at..at + key.len()].copy_from_slice(key);
        let key_len = offset(key.len());
        let place = Place {
            end: offset(at),
            head: head(&key[self.shared as usize..]),
        };
        self.places.insert(i, place);
        for later in &mut self.places[i..] {
            later.end += key_len;
        }
    }

    /// Shortens what is shared to what `key` shares too.
    fn make_room_for(&mut self, key: &[u8]) {
        if self.places.is_empty() {
            self.shared = offset(key.len());
            return;
        }
        let shared = shared_len(&self.bytes[..self.shared as usize], key);
        if shared < self.shared as usize {
            self.share(shared);
        }
    }

    /// Computes anew what is shared: keys were taken away or joined. The first and the last key tell for all.
    fn share_most(&mut self) {
        let shared = self.most_shared();
        if shared != self.shared as usize {
            self.share(shared);
        }
    }

    fn most_shared(&self) -> usize {
        match self.len() {
            0 => 0,
            keys => shared_len(self.get(0), self.get(keys - 1)),
        }
    }

    fn share(&mut self, shared: usize) {
        self.shared = offset(shared);
        let mut start = 0;
        for place in &mut self.places {
            place.head = head(&self.bytes[start + shared..place.end as usize]);
            start = place.end as usize;
        }
    }

    pub(super) fn remove(&mut self, i: usize) {
        let (start, end) = (self.start(i), self.places[i].end as usize);
        self.bytes.drain(start..end);
        self.places.remove(i);
        let removed = offset(end - start);
        for later in &mut self.places[i..] {
            later.end -= removed;
        }
        self.share_most();
    }

    /// Keeps the keys before `i`; the rest comes back in a pack of its own. Neither holds spare room.
    pub(super) fn split_off(&mut self, i: usize) -> Self {
        let at = self.start(i);
        let mut tail = Self::with_capacity(self.len() - i, self.bytes.len() - at);
        tail.bytes.extend_from_slice(&self.bytes[at..]);
        let removed = offset(at);
        tail.places
            .extend(self.places[i..].iter().map(|place| Place {
                end: place.end - removed,
                ..*place
            }));
        tail.shared = self.shared;
        tail.share_most();
        self.bytes.truncate(at);
        self.places.truncate(i);
        self.shrink();
        self.share_most();
        tail
    }

    /// Appends all keys of `other`, which are larger than all of these.
    pub(super) fn append(&mut self, other: &Self) {
        let base = offset(self.bytes.len());
        self.bytes.extend_from_slice(&other.bytes);
        self.places.extend(other.places.iter().map(|place| Place {
            end: place.end + base,
            ..*place
        }));
        // The heads of the two were of different places in their keys.
        self.share(self.most_shared());
    }

    /// Keeps the keys whose number `keep` accepts.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let (mut kept, mut at, mut start) = (0, 0, 0);
        for i in 0..self.places.len() {
            let Place { end, head } = self.places[i];
            let end = end as usize;
            if keep(i) {
                self.bytes.copy_within(start..end, at);
                at += end - start;
                self.places[kept] = Place {
                    end: offset(at),
                    head,
                };
                kept += 1;
            }
            start = end;
        }
        self.bytes.truncate(at);
        self.places.truncate(kept);
        self.shrink();
        self.share_most();
    }

    fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.places.shrink_to_fit();
    }
}

/// A node is split long before its keys reach 4 GiB, so an offset always fits.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the keys of one node stay below 4 GiB")
}

/// The first four bytes as a number that sorts as they do.
fn head(key: &[u8]) -> u32 {
    u32::from_be_bytes(first_bytes(key))
}

/// The first bytes, which sort as the keys do; short keys are filled with zeros, so different keys may have the same
/// first bytes, but never bytes in the wrong order.
pub(super) fn first_bytes<const N: usize>(key: &[u8]) -> [u8; N] {
    key.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; N];
        bytes[..key.len()].copy_from_slice(key);
        bytes
    })
}

/// Bytes with which both begin.
pub(super) fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Makes room for `more` elements, growing by an eighth instead of doubling: nodes are many and small, so the unused
/// half of a doubled buffer would be the largest part of the index.
pub(super) fn grow_gently<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::KeyPack;

    fn pack(keys: &[&str]) -> KeyPack {
        let mut pack = KeyPack::default();
        for key in keys {
            pack.push(key.as_bytes());
        }
        pack
    }

    fn keys(pack: &KeyPack) -> Vec<String> {
        (0..pack.len())
            .map(|i| String::from_utf8(pack.get(i).to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn inserts_and_removes_in_the_middle() {
        let mut p = pack(&["a", "ccc", "e"]);
        p.insert(1, b"bb");
        p.insert(0, b"");
        assert_eq!(keys(&p), ["", "a", "bb", "ccc", "e"]);
        p.remove(2);
        p.remove(0);
        assert_eq!(keys(&p), ["a", "ccc", "e"]);
    }

    #[test]
    fn searches() {
        let p = pack(&["b", "bb", "d"]);
        assert_eq!(p.search(b"bb"), Ok(1));
        assert_eq!(p.search(b"a"), Err(0));
        assert_eq!(p.search(b"c"), Err(2));
        assert_eq!(p.search(b"e"), Err(3));
        assert_eq!(p.count_below(b"bb"), 1);
    }

    #[test]
    fn finds_keys_that_differ_late_or_only_in_length() {
        let sorted = [
            "k",
            "k\0",
            "k\0\0\0\0",
            "k\0\0\0\0\0",
            "kabcd1",
            "kabcd2",
            "kb",
        ];
        let p = pack(&sorted);
        for (i, key) in sorted.iter().enumerate() {
            assert_eq!(p.search(key.as_bytes()), Ok(i), "{key:?}");
        }
        assert_eq!(p.search(b""), Err(0));
        assert_eq!(p.search(b"j"), Err(0));
        assert_eq!(p.search(b"l"), Err(7));
        assert_eq!(p.search(b"k\0\0"), Err(2));
        assert_eq!(p.search(b"kabcd"), Err(4));
        assert_eq!(p.search(b"kabcd3"), Err(6));
    }

    #[test]
    fn splits_appends_and_retains() {
        let mut left = pack(&["a", "bb", "ccc", "dddd"]);
        let right = left.split_off(2);
        assert_eq!(keys(&left), ["a", "bb"]);
        assert_eq!(keys(&right), ["ccc", "dddd"]);
        left.append(&right);
        assert_eq!(keys(&left), ["a", "bb", "ccc", "dddd"]);
        left.retain(|i| i % 2 == 1);
        assert_eq!(keys(&left), ["bb", "dddd"]);
        assert_eq!(left.bytes(), 6);
    }
}
