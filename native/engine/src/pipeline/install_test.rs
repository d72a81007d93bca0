//! A store of another member takes the place of the own one in the middle of the log, over the real WAL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bytes::Bytes;

use super::crash_test::{IDENTITY, open_installed};
use super::testing::{Event, RecordingStore, Rig};
use super::*;
use crate::disk::SimDisk;
use crate::types::{EntryKind, LogMark};

const OLD: LogMark = LogMark { index: 2, term: 1 };
const MARK: LogMark = LogMark {
    index: 100,
    term: 3,
};

fn entry(index: u64, term: u64, kind: EntryKind) -> PersistEntry {
    PersistEntry {
        mark: LogMark { index, term },
        kind,
        payload: PersistPayload::Data(Bytes::new()),
    }
}

fn hard_state(term: u64, commit: u64) -> Option<HardState> {
    Some(HardState {
        term,
        vote: 1,
        commit,
    })
}

/// A member whose log has four entries of which two are committed and applied.
fn behind(disk: &SimDisk) -> Rig<RecordingStore> {
    let (rig, _) = open_installed(disk, LogMark::default(), LogMark::default()).unwrap();
    let entries = (1..=4)
        .map(|index| entry(index, 1, EntryKind::Empty))
        .collect();
    rig.pipeline.persist(1, hard_state(1, 0), entries).unwrap();
    rig.pipeline.commit(OLD.index);
    rig.inbox.wait_for(&Event::Applied(OLD.index));
    rig
}

#[test]
fn the_log_starts_after_the_installed_store_and_goes_on_there() {
    let disk = SimDisk::new();
    let rig = behind(&disk);
    let installed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&installed);
    let install = move || {
        flag.store(true, SeqCst);
        Ok(())
    };
    rig.pipeline
        .install_snapshot(MARK, Box::new(install))
        .unwrap();
    let entries = vec![entry(101, 3, EntryKind::Empty)];
    rig.pipeline
        .persist(2, hard_state(3, MARK.index), entries)
        .unwrap();
    rig.pipeline.commit(101);
    // Of the old log nothing is applied any more, although its entries are below the commit index.
    rig.inbox.wait_for(&Event::Applied(MARK.index));
    assert!(installed.load(SeqCst));
    rig.inbox.wait_for(&Event::Applied(101));
    assert!(rig.pipeline.read_entries(4, 4, 1).is_err());
    assert_eq!(rig.pipeline.read_entries(101, 101, 1).unwrap().len(), 1);
    assert!(matches!(
        rig.pipeline.install_snapshot(OLD, Box::new(|| Ok(()))),
        Err(PipelineError::Hole { .. })
    ));
    rig.pipeline.close();
    drop(rig);
    let at = LogMark {
        index: 101,
        term: 3,
    };
    let (rig, recovered) = open_installed(&disk, at, MARK).unwrap();
    assert_eq!(recovered.replay.identity, IDENTITY);
    assert_eq!(recovered.replay.compacted, MARK);
    assert_eq!(recovered.entries.len(), 1);
    rig.pipeline.close();
}

#[test]
fn a_crash_before_the_log_says_so_is_made_good_by_the_next_start() {
    let disk = SimDisk::new();
    behind(&disk).pipeline.close();
    for _ in 0..2 {
        let (rig, recovered) = open_installed(&disk, MARK, MARK).unwrap();
        assert_eq!(recovered.replay.compacted, MARK);
        assert_eq!(recovered.replay.last, MARK);
        assert_eq!(recovered.entries, []);
        let state = recovered.replay.hard_state;
        assert_eq!((state.term, state.vote, state.commit), (3, 0, MARK.index));
        rig.pipeline.close();
    }
    let (rig, _) = open_installed(&disk, MARK, MARK).unwrap();
    let next = vec![entry(101, 4, EntryKind::Empty)];
    rig.pipeline.persist(1, hard_state(4, 101), next).unwrap();
    rig.pipeline.commit(101);
    rig.inbox.wait_for(&Event::Applied(101));
    rig.pipeline.close();
}

#[test]
fn a_store_beyond_the_log_that_was_not_installed_is_a_lost_log() {
    let disk = SimDisk::new();
    behind(&disk).pipeline.close();
    assert!(matches!(
        open_installed(&disk, MARK, LogMark::default()),
        Err(PipelineOpenError::LogLost { .. })
    ));
    let fresh = open_installed(&SimDisk::new(), MARK, MARK);
    assert!(matches!(fresh, Err(PipelineOpenError::LogLost { .. })));
}

#[test]
fn a_control_entry_that_waits_is_overtaken() {
    let disk = SimDisk::new();
    let rig = behind(&disk);
    let control = vec![entry(5, 1, EntryKind::Control)];
    rig.pipeline.persist(2, None, control).unwrap();
    rig.pipeline.commit(5);
    rig.inbox
        .take_until(|event| matches!(event, Event::Control(..)).then_some(()));
    rig.pipeline
        .install_snapshot(MARK, Box::new(|| Ok(())))
        .unwrap();
    rig.inbox.wait_for(&Event::Applied(MARK.index));
    assert!(rig.store.meta.lock().is_empty());
    rig.pipeline.close();
}

#[test]
fn a_store_that_cannot_be_put_in_place_ends_the_process() {
    let disk = SimDisk::new();
    let rig = behind(&disk);
    let install = Box::new(|| Err("no such file".to_owned()));
    rig.pipeline.install_snapshot(MARK, install).unwrap();
    let message = rig.inbox.take_until(|event| match event {
        Event::Fatal(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message, "installing a snapshot: no such file");
    rig.pipeline.close();
}
