//! What a compaction costs and leaves, and which changes are refused.

use super::super::{CompactCursor, RangeEnd, TreeIndex};
use super::{check, leaves};
use crate::types::Revision;

/// Many keys of one history each: what is superseded goes, step by step, and the rest stays readable.
#[test]
fn a_key_with_a_long_history_is_compacted_in_steps() {
    let mut index = TreeIndex::new();
    for main in 1..=10_000 {
        index.put(b"hot", Revision { main, sub: 0 });
    }
    let mut steps = 0;
    let mut removed = 0;
    let mut cursor = Some(CompactCursor::default());
    while let Some(from) = cursor {
        cursor = index.compact_step(from, 9_000, 100, |_| removed += 1);
        steps += 1;
        assert_eq!(index.get(b"hot", 9_500).unwrap().version, 9_500);
    }
    assert_eq!(removed, 8_999);
    assert!((90..=92).contains(&steps), "{steps}");
    assert_eq!(index.get(b"hot", 9_000).unwrap().version, 9_000);
    assert_eq!(index.get(b"hot", 8_999), None);
}

#[test]
fn keys_that_were_written_once_cost_a_compaction_nothing() {
    let mut index = TreeIndex::new();
    for main in 1..=5_000 {
        index.put(format!("k{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    index.put(
        b"k02500",
        Revision {
            main: 5_001,
            sub: 0,
        },
    );
    let mut removed = Vec::new();
    let rest = index.compact_step(CompactCursor::default(), 5_001, 20, |rev| removed.push(rev));
    assert_eq!(rest, None, "one step of 20 keys is enough");
    assert_eq!(
        removed,
        [Revision {
            main: 2_500,
            sub: 0
        }]
    );
    assert_eq!(index.len_live(), 5_000);
}

#[test]
fn dead_keys_leave_the_tree() {
    let mut index = TreeIndex::new();
    for main in 1..=2_000 {
        index.put(format!("k{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    let full = index.memory_bytes();
    for sub in 0..2_000 {
        let key = format!("k{:05}", sub + 1);
        assert!(index.tombstone(key.as_bytes(), Revision { main: 2_001, sub }));
    }
    assert_eq!(index.count(b"", RangeEnd::Open, i64::MAX), 0);
    assert_eq!(index.count(b"", RangeEnd::Open, 2_000), 2_000);
    index.compact(2_001, |_| {});
    assert!(
        index.memory_bytes() > full,
        "tombstones at the compacted revision stay"
    );
    index.compact(2_002, |_| {});
    assert!(index.memory_bytes() < 300, "{}", index.memory_bytes());
}

#[test]
fn sparse_leaves_are_merged() {
    let mut index = TreeIndex::new();
    for main in 1..=2_000 {
        index.put(format!("{main:05}").as_bytes(), Revision { main, sub: 0 });
    }
    for main in (1..=2_000).filter(|main| main % 10 != 0) {
        let rev = Revision {
            main: 2_000 + main,
            sub: 0,
        };
        assert!(index.tombstone(format!("{main:05}").as_bytes(), rev));
    }
    let before = leaves(&index.root);
    index.compact(10_000, |_| {});
    assert_eq!(index.len_live(), 200);
    assert!(
        leaves(&index.root) <= before / 3,
        "{} leaves",
        leaves(&index.root)
    );
    check(&index.root, None, None, true);
}

#[test]
fn a_deletion_of_nothing_is_not_recorded() {
    let mut index = TreeIndex::new();
    assert!(!index.tombstone(b"a", Revision { main: 1, sub: 0 }));
    assert!(index.put(b"a", Revision { main: 1, sub: 0 }).is_none());
}

#[test]
#[should_panic(expected = "is not after")]
fn revisions_of_a_key_only_grow() {
    let mut index = TreeIndex::new();
    index.put(b"a", Revision { main: 2, sub: 0 });
    index.put(b"a", Revision { main: 2, sub: 0 });
}
