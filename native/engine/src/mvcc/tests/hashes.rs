//! HashKV against figures that etcd 3.7.3 gave for the same history.

use super::kit::*;
use crate::error;

/// Revisions 2 to 9, with deletions at 6 and 9.
fn history() -> Kit {
    let mut kit = Kit::new();
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")] {
        kit.set(key, value);
    }
    kit.delete("b", "");
    kit.set("a", "3");
    kit.set("c", "2");
    kit.txn(&crate::proto::etcdserverpb::TxnRequest {
        success: vec![op_put("d", "1"), op_put("e", "2"), op_delete("a", "")],
        ..Default::default()
    })
    .unwrap();
    kit
}

fn hash(kit: &Kit, revision: i64) -> (u32, i64, i64) {
    let hash = kit.store.hash_kv(revision).unwrap();
    (hash.hash, hash.compact_revision, hash.hash_revision)
}

#[test]
fn never_compacted() {
    let kit = history();
    let expect = |kit: &Kit| {
        assert_eq!(hash(kit, 0), (1_153_484_459, -1, 9));
        assert_eq!(hash(kit, 2), (2_587_454_935, -1, 2));
        assert_eq!(hash(kit, 5), (303_662_770, -1, 5));
        assert_eq!(hash(kit, 6), (2_242_937_166, -1, 6));
        assert_eq!(hash(kit, 7), (1_185_720_564, -1, 7));
    };
    expect(&kit);
    kit.store.flush();
    expect(&kit);
    assert_eq!(kit.store.hash_kv(10), Err(error::FUTURE_REVISION));
    // Before the first revision there is nothing, which has a sum too.
    for revision in [-1, i64::MIN] {
        assert_eq!(hash(&kit, revision), (1_084_519_789, -1, revision));
    }
}

#[test]
fn compacted_at_tombstones() {
    let mut kit = history();
    kit.compact(6).unwrap();
    // The same while the removals are still to come, and after them.
    assert_eq!(hash(&kit, 0), (4_213_613_783, 6, 9));
    kit.settle(6);
    assert_eq!(kit.store.hash_kv(5), Err(error::COMPACTED));
    assert_eq!(hash(&kit, 7), (185_727_024, 6, 7));
    assert_eq!(hash(&kit, 9), (4_213_613_783, 6, 9));
    kit.compact_wholly(9);
    assert_eq!(hash(&kit, 0), (574_347_688, 9, 9));
    let mut kit = kit.reopen();
    assert_eq!(hash(&kit, 0), (574_347_688, 9, 9));
    kit.delete("\0", "\0");
    assert_eq!(hash(&kit, 0), (3_621_566_307, 9, 10));
    kit.compact_wholly(10);
    assert_eq!(hash(&kit, 0), (1_084_519_789, 10, 10));
}

/// Compactions that come faster than they are carried out: each is summed as if it had come alone.
#[test]
fn compactions_right_after_each_other() {
    let mut kit = history();
    for revision in [6, 7, 9] {
        kit.compact(revision).unwrap();
    }
    kit.settle(9);
    assert_eq!(hash(&kit, 6), (2_242_937_166, -1, 6));
    assert_eq!(hash(&kit, 7).1, 6);
    assert_eq!(hash(&kit, 9).1, 7);
    let mut alone = history();
    for revision in [6, 7, 9] {
        alone.compact_wholly(revision);
        assert_eq!(hash(&kit, revision), hash(&alone, revision));
    }
    for revision in 10..=40 {
        kit.set("z", &revision.to_string());
    }
    for revision in 10..=40 {
        kit.compact(revision).unwrap();
    }
    kit.settle(40);
    for revision in 31..=40 {
        assert_eq!(hash(&kit, revision).1, revision - 1);
    }
    assert_eq!(kit.store.hash_kv(30), Err(error::COMPACTED));
}

/// etcd keeps the sum that a compaction found, and answers with it for the revisions of the last ten.
#[test]
fn at_the_revisions_of_compactions() {
    let mut kit = history();
    kit.compact_wholly(6);
    assert_eq!(hash(&kit, 6), (2_242_937_166, -1, 6));
    kit.compact_wholly(9);
    assert_eq!(hash(&kit, 6), (2_242_937_166, -1, 6));
    assert_eq!(hash(&kit, 9), (4_213_613_783, 6, 9));
    assert_eq!(hash(&kit, 0), (574_347_688, 9, 9));
    assert_eq!(kit.store.hash_kv(5), Err(error::COMPACTED));
    kit.delete("\0", "\0");
    kit.compact_wholly(10);
    // Nothing is live, but the tombstone at the revision itself stays.
    assert_eq!(hash(&kit, 10), (587_540_385, 9, 10));
    for revision in 11..=21 {
        kit.set("z", &revision.to_string());
        kit.compact_wholly(revision);
    }
    assert_eq!(kit.store.hash_kv(11), Err(error::COMPACTED));
    assert_eq!(hash(&kit, 12), (2_244_090_325, 11, 12));
    assert_eq!(hash(&kit, 21), (1_957_995_524, 20, 21));
    assert_eq!(hash(&kit, 0), (1_957_995_524, 21, 21));
    // They are of one process.
    let kit = kit.reopen();
    assert_eq!(kit.store.hash_kv(12), Err(error::COMPACTED));
    assert_eq!(hash(&kit, 21).1, 21);
}
