//! A snapshot carries a store to another member, or is refused and changes nothing.

use super::kit::*;
use crate::snapshot::{self, SnapshotError};

fn source() -> Kit {
    let mut kit = Kit::new();
    kit.grant(7, 100).unwrap();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        kit.set(key, value);
    }
    kit
}

#[test]
fn a_snapshot_replaces_a_closed_store() {
    let source = source();
    let mut target = Kit::new();
    target.set("old", "1");
    let file = target.dir.path().join("received.snap");
    let info = snapshot::write(&source.store, &file).unwrap();
    assert_eq!((info.applied, info.revision), (source.mark(), 4));
    target.store.close();
    let dir = target.dir.path().to_owned();
    // The open file goes with the rename of the new one over it.
    snapshot::install(&file, &info, &dir).unwrap();
    let mut target = target.crash();
    assert_eq!(target.recovered.applied, info.applied);
    assert_eq!(target.all(0).unwrap(), ["a=2", "b=1"]);
    assert_eq!(target.all(2).unwrap(), ["a=1"]);
    assert!(target.store.leases().contains(7));
    assert_eq!(target.set("c", "1"), 5);
    let names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("received"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn a_damaged_or_wrong_snapshot_is_refused() {
    let source = source();
    let file = source.dir.path().join("received.snap");
    let info = snapshot::write(&source.store, &file).unwrap();
    let target = Kit::new();
    let wrong = snapshot::SnapshotInfo {
        applied: crate::types::LogMark { index: 99, term: 9 },
        ..info
    };
    let refused = snapshot::install(&file, &wrong, target.dir.path());
    assert!(matches!(
        refused,
        Err(SnapshotError::OtherEntry {
            found: 4,
            expected: 99,
            ..
        })
    ));
    let mut content = std::fs::read(&file).unwrap();
    content[5000] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let refused = snapshot::install(&file, &info, target.dir.path());
    assert!(matches!(refused, Err(SnapshotError::Damaged { .. })));
    let missing = snapshot::install(&file.join("x"), &info, target.dir.path());
    assert!(matches!(missing, Err(SnapshotError::Io { .. })));
    let again = snapshot::write(&source.store, &source.dir.path().join("no/such/directory"));
    assert!(matches!(again, Err(SnapshotError::Io { .. })));
    assert_eq!(target.reopen().all(0).unwrap().len(), 0);
}
