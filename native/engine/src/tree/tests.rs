//! Tests of the revision tree: order, tombstones, marks, snapshots, the format check.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::types::{LogMark, Revision};

fn rev(main: i64, sub: u32) -> Revision {
    Revision { main, sub }
}

fn open(dir: &tempfile::TempDir) -> Tree {
    Tree::open(&dir.path().join(FILE_NAME), false).unwrap()
}

fn stored(tree: &Tree, from: Revision) -> Vec<(i64, u32, bool, Vec<u8>)> {
    let snapshot = tree.snapshot().unwrap();
    let changes = snapshot.changes(from).unwrap();
    changes
        .map(|change| {
            let (key, value) = change.unwrap();
            (
                key.revision.main,
                key.revision.sub,
                key.tombstone,
                value.to_vec(),
            )
        })
        .collect()
}

#[test]
fn changes_come_back_in_revision_order_after_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let mut batch = tree.batch().unwrap();
    batch.append(rev(2, 0), false, b"a").unwrap();
    batch.append(rev(3, 0), true, b"b").unwrap();
    batch.append(rev(3, 1), false, b"c").unwrap();
    batch.append(rev(256, 0), false, b"d").unwrap();
    batch.commit().unwrap();
    drop(tree);
    let tree = open(&dir);
    assert_eq!(
        stored(&tree, rev(3, 0)),
        [
            (3, 0, true, b"b".to_vec()),
            (3, 1, false, b"c".to_vec()),
            (256, 0, false, b"d".to_vec())
        ]
    );
    let snapshot = tree.snapshot().unwrap();
    assert_eq!(snapshot.get(rev(2, 0)).unwrap(), Some(&b"a"[..]));
    assert_eq!(snapshot.get(rev(3, 0)).unwrap(), None);
}

#[test]
fn remove_takes_puts_and_tombstones() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let mut batch = tree.batch().unwrap();
    batch.append(rev(2, 0), false, b"a").unwrap();
    batch.append(rev(3, 0), true, b"b").unwrap();
    batch.append(rev(4, 0), false, b"c").unwrap();
    batch.remove(&[rev(2, 0), rev(3, 0)]).unwrap();
    batch.remove(&[rev(2, 0), rev(9, 0)]).unwrap();
    batch.commit().unwrap();
    assert_eq!(stored(&tree, rev(0, 0)), [(4, 0, false, b"c".to_vec())]);
}

/// Main revisions of up to four changes each, every seventh of them a tombstone.
fn many(count: i64) -> Vec<(Revision, bool)> {
    (2..2 + count)
        .flat_map(|main| (0..(main % 4 + 1) as u32).map(move |sub| rev(main, sub)))
        .enumerate()
        .map(|(i, revision)| (revision, i % 7 == 0))
        .collect()
}

fn write_many(tree: &Tree, changes: &[(Revision, bool)]) {
    let mut batch = tree.batch().unwrap();
    for (revision, tombstone) in changes {
        let value = format!("{revision:?} {}", "v".repeat(200));
        batch
            .append(*revision, *tombstone, value.as_bytes())
            .unwrap();
    }
    batch.commit().unwrap();
}

#[test]
fn remove_leaves_what_lies_between() {
    let changes = many(3000);
    // Gaps of every length, so that rows are passed and looked for; some of what goes is not there.
    for seed in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let tree = open(&dir);
        write_many(&tree, &changes);
        let mut random = StdRng::seed_from_u64(seed);
        let (mut go, mut stay) = (Vec::new(), Vec::new());
        for run in changes.chunks(random.random_range(1..20)) {
            let part = random.random_range(0..=run.len());
            go.extend(run[..part].iter().map(|(revision, _)| *revision));
            stay.extend(run[part..].iter().map(|(revision, _)| *revision));
        }
        let again: Vec<_> = go.iter().copied().step_by(3).collect();
        for gone in [again, go] {
            let mut batch = tree.batch().unwrap();
            batch.remove(&gone).unwrap();
            batch.commit().unwrap();
        }
        let left: Vec<_> = stored(&tree, rev(0, 0))
            .into_iter()
            .map(|(main, sub, ..)| rev(main, sub))
            .collect();
        assert_eq!(left, stay, "seed {seed}");
    }
}

#[test]
fn lookups_find_what_single_ones_find() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let changes = many(300);
    write_many(&tree, &changes);
    let mut batch = tree.batch().unwrap();
    let gone: Vec<_> = changes
        .iter()
        .map(|(revision, _)| *revision)
        .skip(50)
        .step_by(11)
        .collect();
    batch.remove(&gone).unwrap();
    batch.commit().unwrap();
    let snapshot = tree.snapshot().unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut lookups = snapshot.lookups();
    for _ in 0..2000 {
        // Runs in their order, now and then with a hole, from anywhere.
        let from = random.random_range(0..changes.len());
        let run = changes[from..].iter().take(random.random_range(1..12));
        for (revision, _) in run.filter(|_| random.random_ratio(9, 10)) {
            assert_eq!(
                lookups.get(*revision).unwrap(),
                snapshot.get(*revision).unwrap(),
                "{revision:?}"
            );
        }
    }
}

#[test]
fn marks_of_a_new_store_and_written_ones() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let fresh = tree.snapshot().unwrap().marks().unwrap();
    assert_eq!((fresh.applied, fresh.revision), (LogMark::default(), 1));
    assert_eq!((fresh.compact_scheduled, fresh.compact_finished), (-1, -1));
    let mark = LogMark { index: 9, term: 2 };
    let mut batch = tree.batch().unwrap();
    batch.set_applied(mark, 41).unwrap();
    batch.set_compact_scheduled(40).unwrap();
    batch.set_compact_finished(30).unwrap();
    batch.commit().unwrap();
    tree.sync().unwrap();
    let marks = tree.snapshot().unwrap().marks().unwrap();
    assert_eq!((marks.applied, marks.revision), (mark, 41));
    assert_eq!((marks.compact_scheduled, marks.compact_finished), (40, 30));
}

#[test]
fn a_snapshot_stays_at_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let before = tree.snapshot().unwrap();
    let mut batch = tree.batch().unwrap();
    batch.append(rev(2, 0), false, b"a").unwrap();
    batch.commit().unwrap();
    assert_eq!(before.get(rev(2, 0)).unwrap(), None);
    drop(before);
    let after = tree.snapshot().unwrap();
    assert_eq!(after.get(rev(2, 0)).unwrap(), Some(&b"a"[..]));
}

#[test]
fn a_dropped_batch_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let mut batch = tree.batch().unwrap();
    batch.append(rev(2, 0), false, b"a").unwrap();
    batch.put_row(Table::Auth, b"k", b"v").unwrap();
    drop(batch);
    assert_eq!(stored(&tree, rev(0, 0)), []);
    assert_eq!(
        tree.snapshot().unwrap().row(Table::Auth, b"k").unwrap(),
        None
    );
}

#[test]
fn rows_are_kept_by_table() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let mut batch = tree.batch().unwrap();
    batch.put_row(Table::Members, b"k", b"m").unwrap();
    batch.put_row(Table::Alarms, b"k", b"a").unwrap();
    batch.delete_row(Table::Alarms, b"none").unwrap();
    batch.commit().unwrap();
    let mut batch = tree.batch().unwrap();
    batch.delete_row(Table::Alarms, b"k").unwrap();
    batch.commit().unwrap();
    let snapshot = tree.snapshot().unwrap();
    assert_eq!(
        snapshot.rows(Table::Members).unwrap(),
        [(&b"k"[..], &b"m"[..])]
    );
    assert_eq!(snapshot.rows(Table::Alarms).unwrap(), []);
    assert!(tree.size().unwrap().bytes >= tree.size().unwrap().used_bytes);
}

#[test]
fn another_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(&dir);
    let mut batch = tree.batch().unwrap();
    batch
        .put_row(Table::Meta, b"format", &7u32.to_le_bytes())
        .unwrap();
    batch.commit().unwrap();
    drop(tree);
    let error = Tree::open(&dir.path().join(FILE_NAME), false)
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(text.contains("store format 7 is not supported"), "{text}");
}
