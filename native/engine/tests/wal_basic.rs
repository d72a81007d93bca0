//! The WAL's plain behaviour on the real disk: what is appended is read back, now and after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use netcd_engine::disk::{Disk, RealDisk, RealDiskOptions};
use netcd_engine::types::{EntryKind, Identity, LogMark};
use netcd_engine::wal::{HardState, Record, Wal, WalError, WalOptions};

const IDENTITY: Identity = Identity {
    cluster_id: 0xc1,
    member_id: 0xa1,
};

fn options() -> WalOptions {
    WalOptions {
        segment_bytes: 64 << 10,
        prepare_ahead: true,
    }
}

fn entry(index: u64, term: u64, payload: &[u8]) -> Record<'_> {
    Record::Entry {
        index,
        term,
        kind: EntryKind::Batch,
        payload,
    }
}

fn disk(dir: &tempfile::TempDir) -> Arc<dyn Disk> {
    RealDisk::open(&dir.path().join("wal"), RealDiskOptions::default()).unwrap()
}

#[test]
fn entries_and_states_survive_restarts_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = Wal::create(disk(&dir), IDENTITY, options()).unwrap();
    let payloads: Vec<Vec<u8>> = (1..=300u64).map(|i| vec![i as u8; 1000]).collect();
    for (i, payload) in payloads.iter().enumerate() {
        let index = i as u64 + 1;
        let state = HardState {
            term: 1,
            vote: 2,
            commit: index - 1,
        };
        wal.append(&[entry(index, 1, payload), Record::HardState(state)])
            .unwrap();
        wal.sync().unwrap();
    }
    assert!(wal.metrics().segments.load(Relaxed) >= 4);
    let live = wal.reader().read(1, 300, usize::MAX).unwrap();
    drop(wal);

    let (mut wal, replay) = Wal::open(disk(&dir), IDENTITY, options()).unwrap();
    assert_eq!(
        replay.last,
        LogMark {
            index: 300,
            term: 1
        }
    );
    assert_eq!((replay.hard_state.commit, replay.torn_bytes), (299, 0));
    let reader = wal.reader();
    assert_eq!(reader.read(1, 300, usize::MAX).unwrap(), live);
    for (got, payload) in live.iter().zip(&payloads) {
        assert_eq!(&got.payload[..], &payload[..]);
    }
    assert_eq!(reader.read(5, 300, 2500).unwrap().len(), 2);
    assert_eq!(reader.read(5, 300, 1).unwrap().len(), 1);
    assert_eq!(reader.metas(299, 400).len(), 2);

    let mark = LogMark {
        index: 290,
        term: 1,
    };
    wal.append(&[Record::Compacted(mark)]).unwrap();
    assert_eq!(wal.purge().unwrap(), 0, "the mark is not synced yet");
    wal.sync().unwrap();
    assert!(wal.purge().unwrap() >= 3);
    assert!(matches!(
        reader.read(290, 300, 1),
        Err(WalError::Compacted { first: 291 })
    ));
    drop((wal, reader));

    let (wal, replay) = Wal::open(disk(&dir), IDENTITY, options()).unwrap();
    assert_eq!(replay.compacted, mark);
    assert_eq!(replay.last.index, 300);
    assert_eq!(replay.hard_state.commit, 299);
    let entries = wal.reader().read(291, 300, usize::MAX).unwrap();
    assert_eq!(entries, live[290..]);
}

#[test]
fn a_wal_is_created_once_and_opened_only_by_its_member() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Wal::open(disk(&dir), IDENTITY, options());
    assert!(matches!(missing, Err(WalError::Misplaced(_))));
    drop(Wal::create(disk(&dir), IDENTITY, options()).unwrap());
    let twice = Wal::create(disk(&dir), IDENTITY, options());
    assert!(matches!(twice, Err(WalError::Misplaced(_))));
    let other = Identity {
        member_id: 7,
        ..IDENTITY
    };
    let Err(error) = Wal::open(disk(&dir), other, options()) else {
        panic!("opened by another member");
    };
    let text = "the WAL belongs to member a1 of cluster c1, not to member 7 of cluster c1";
    assert_eq!(error.to_string(), text);
}
