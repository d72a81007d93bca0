//! The keys that a watcher watches, owned and shared between the watcher and the structures that find it.

use std::cmp::Ordering;
use std::sync::Arc;

/// A key, or a range of keys, that is not empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KeyRange {
    /// The first key.
    pub key: Arc<[u8]>,
    /// Where the range ends.
    pub end: KeyRangeEnd,
}

/// The owned form of [`crate::index::RangeEnd`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum KeyRangeEnd {
    /// The range is the one key.
    Single,
    /// The range has no end.
    Open,
    /// The range ends before this key.
    Before(Arc<[u8]>),
}

impl KeyRange {
    /// Reads key and range end as clients send them; an empty key stands for `"\0"`. `None` for an empty range.
    pub fn from_wire(key: &[u8], range_end: &[u8]) -> Option<Self> {
        let key = if key.is_empty() { &[0] } else { key };
        let end = match range_end {
            [] => KeyRangeEnd::Single,
            [0] => KeyRangeEnd::Open,
            end if end <= key => return None,
            end => KeyRangeEnd::Before(end.into()),
        };
        Some(Self {
            key: key.into(),
            end,
        })
    }

    /// Key and range end as clients send them.
    pub fn to_wire(&self) -> (&[u8], &[u8]) {
        let end: &[u8] = match &self.end {
            KeyRangeEnd::Single => &[],
            KeyRangeEnd::Open => &[0],
            KeyRangeEnd::Before(end) => end,
        };
        (&self.key, end)
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            KeyRangeEnd::Single => *self.key == *key,
            KeyRangeEnd::Open => *self.key <= *key,
            KeyRangeEnd::Before(end) => *self.key <= *key && *key < **end,
        }
    }

    /// Order by start, then by end; a range without end is the last of those with its start.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let starts = self.key.cmp(&other.key);
        starts.then_with(|| self.end_order(other))
    }

    /// Order by end alone.
    pub(super) fn end_order(&self, other: &Self) -> Ordering {
        match (self.end_key(), other.end_key()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        }
    }

    /// Whether the range reaches past `key`, wherever it starts.
    pub(super) fn reaches_past(&self, key: &[u8]) -> bool {
        self.end_key().is_none_or(|end| key < end)
    }

    fn end_key(&self) -> Option<&[u8]> {
        match &self.end {
            KeyRangeEnd::Before(end) => Some(end),
            KeyRangeEnd::Open => None,
            KeyRangeEnd::Single => unreachable!("single keys are not in the interval tree"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_as_it_was_read() {
        for (key, end) in [(&b"a"[..], &b""[..]), (b"a", b"\0"), (b"a", b"b")] {
            let range = KeyRange::from_wire(key, end).unwrap();
            assert_eq!(range.to_wire(), (key, end));
        }
    }

    #[test]
    fn reads_the_wire() {
        let range = |key: &[u8], end: &[u8]| KeyRange::from_wire(key, end);
        assert!(range(b"b", b"a").is_none() && range(b"b", b"b").is_none());
        assert_eq!(range(b"", b"").unwrap().key.as_ref(), [0]);
        assert!(range(b"a", b"").unwrap().contains(b"a"));
        assert!(!range(b"a", b"").unwrap().contains(b"ab"));
        assert!(range(b"a", b"\0").unwrap().contains(b"z"));
        assert!(range(b"a", b"b").unwrap().contains(b"az"));
        assert!(!range(b"a", b"b").unwrap().contains(b"b"));
    }
}
