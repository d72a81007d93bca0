//! A sorted run of keys packed into one buffer: the keys of a leaf and the separators of an inner node.
//!
//! One allocation for the bytes and one for where each key ends, so that a million short keys cost their own bytes and
//! four more each, and a binary search stays within a few cache lines.

/// Sorted keys, back to back.
#[derive(Default, Debug)]
pub(super) struct KeyPack {
    bytes: Vec<u8>,
    /// `ends[i]` is where key i ends in `bytes`; it starts where key i - 1 ends.
    ends: Vec<u32>,
}

impl KeyPack {
    /// An empty pack with room for exactly `keys` keys of `bytes` bytes in all.
    pub(super) fn with_capacity(keys: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(keys),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all keys together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of heap that the pack holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] as usize }
    }

    pub(super) fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.start(i)..self.ends[i] as usize]
    }

    /// Where `key` is (`Ok`), or where it belongs (`Err`).
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
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
        let at = self.start(i);
        grow_gently(&mut self.bytes, key.len());
        grow_gently(&mut self.ends, 1);
        let old_len = self.bytes.len();
        self.bytes.resize(old_len + key.len(), 0);
        self.bytes.copy_within(at..old_len, at + key.len());
        self.bytes[at..at + key.len()].copy_from_slice(key);
        let key_len = offset(key.len());
        self.ends.insert(i, offset(at));
        for end in &mut self.ends[i..] {
            *end += key_len;
        }
    }

    pub(super) fn remove(&mut self, i: usize) {
        let (start, end) = (self.start(i), self.ends[i] as usize);
        self.bytes.drain(start..end);
        self.ends.remove(i);
        let removed = offset(end - start);
        for later in &mut self.ends[i..] {
            *later -= removed;
        }
    }

    /// Keeps the keys before `i`; the rest comes back in a pack of its own. Neither holds spare room.
    pub(super) fn split_off(&mut self, i: usize) -> Self {
        let at = self.start(i);
        let mut tail = Self::with_capacity(self.len() - i, self.bytes.len() - at);
        tail.bytes.extend_from_slice(&self.bytes[at..]);
        let removed = offset(at);
        tail.ends
            .extend(self.ends[i..].iter().map(|end| end - removed));
        self.bytes.truncate(at);
        self.ends.truncate(i);
        self.shrink();
        tail
    }

    /// Appends all keys of `other`, which are larger than all of these.
    pub(super) fn append(&mut self, other: &Self) {
        let base = offset(self.bytes.len());
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end + base));
    }

    /// Keeps the keys whose number `keep` accepts.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let (mut kept, mut at, mut start) = (0, 0, 0);
        for i in 0..self.ends.len() {
            let end = self.ends[i] as usize;
            if keep(i) {
                self.bytes.copy_within(start..end, at);
                at += end - start;
                self.ends[kept] = offset(at);
                kept += 1;
            }
            start = end;
        }
        self.bytes.truncate(at);
        self.ends.truncate(kept);
        self.shrink();
    }

    fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// A node is split long before its keys reach 4 GiB, so an offset always fits.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the keys of one node stay below 4 GiB")
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
