//! The pipeline against a log in memory: what is in the log and when it is applied, and a disk that is full or fails.

use bytes::Bytes;

use super::testing::{Event, MemLog, Rig, mark, requests};
use super::*;
use crate::auth::Caller;
use crate::error::{NO_SPACE, STOPPED, TIMEOUT, TIMEOUT_LEADER_FAIL};
use crate::types::{EntryKind, OpKind, Token};

#[test]
fn a_batch_that_was_dropped_and_came_back_from_a_peer_is_applied_and_not_answered_again() {
    let rig = Rig::over(&MemLog::default());
    rig.lead(1, 0, false);
    rig.put(7);
    let handle = rig.inbox.take_until(|event| match event {
        Event::Batch(handle) => Some(*handle),
        _ => None,
    });
    let mut same = batch::OpenBatch::new(1, 1, 0);
    same.push(OpKind::Put, b"7", Token(7), &Caller::Nobody);
    let from_peer = rig.pipeline.add_payload(same.finish());
    rig.pipeline.drop_payloads(&[handle], &TIMEOUT);
    rig.persist_batch(from_peer);
    assert_eq!(rig.store.requests(), requests([7]));
    assert_eq!(rig.clients.order(), [7]);
    assert_eq!(rig.clients.answered(7), Some(Err(TIMEOUT)));
}

#[test]
fn entries_replaced_by_another_leader_fail_their_clients_and_are_never_applied() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    rig.lead(1, 0, false);
    rig.inbox
        .take_until(|event| matches!(event, Event::Persisted(_)).then_some(()));
    rig.pipeline
        .grant(1, 2, GrantKind::Quorum(Quorum::default()))
        .unwrap();
    rig.put(1);
    rig.inbox.wait_for(&Event::Stable(mark(2, 1)));
    assert_eq!(rig.pipeline.revoke_grant(), 2);
    let data = |bytes: &'static [u8]| PersistPayload::Data(Bytes::from_static(bytes));
    let other = PersistEntry {
        mark: mark(2, 2),
        kind: EntryKind::Empty,
        payload: data(b""),
    };
    rig.pipeline.persist(9, None, vec![other]).unwrap();
    assert_eq!(rig.clients.wait([1]), [Err(TIMEOUT_LEADER_FAIL)]);
    rig.pipeline.commit(2);
    rig.inbox.wait_for(&Event::Applied(2));
    assert_eq!(rig.store.requests(), requests([]));
    assert_eq!(log.durable().last().unwrap().mark, mark(2, 2));
}

#[test]
fn nothing_is_applied_that_is_committed_but_not_stable_here() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    rig.lead(1, 0, false);
    rig.inbox
        .take_until(|event| matches!(event, Event::Persisted(_)).then_some(()));
    log.change(|disk| disk.stalled = true);
    rig.pipeline
        .grant(1, 2, GrantKind::Quorum(Quorum::default()))
        .unwrap();
    rig.put(1);
    rig.pipeline.commit(2);
    rig.inbox.wait_for(&Event::Applied(1));
    assert_eq!(rig.pipeline.applied_index(), 1);
    log.change(|disk| disk.stalled = false);
    assert!(rig.clients.wait([1])[0].is_ok());
}

#[test]
fn control_entries_are_barriers_in_log_order() {
    let rig = Rig::over(&MemLog::default());
    rig.lead(1, 0, true);
    rig.put(1);
    rig.pipeline
        .propose_control(EntryKind::Control, Bytes::from_static(b"c"))
        .unwrap();
    rig.put(2);
    let (at, data) = rig.inbox.take_until(|event| match event {
        Event::Control(at, data) => Some((*at, data.clone())),
        _ => None,
    });
    assert_eq!((at.index, data.as_ref()), (3, &b"c"[..]));
    rig.clients.wait([1]);
    assert_eq!(rig.store.requests(), requests([1]));
    let write = MetaWrite {
        table: MetaTable::Members,
        key: Bytes::from_static(b"k"),
        value: Some(Bytes::from_static(b"v")),
    };
    rig.pipeline.control_applied(3, vec![write.clone()]);
    rig.clients.wait([2]);
    assert_eq!(rig.store.requests(), requests([1, 2]));
    assert_eq!(*rig.store.meta.lock(), [(at, vec![write])]);
}

#[test]
fn batches_of_another_process_are_applied_and_not_answered() {
    let log = MemLog::default();
    let mut other = batch::OpenBatch::new(999, 1, 0);
    other.push(OpKind::Put, b"theirs", Token(1), &Caller::Nobody);
    let rig = Rig::over(&log);
    rig.lead(1, 0, false);
    let handle = rig.pipeline.add_payload(other.finish());
    rig.persist_batch(handle);
    assert_eq!(rig.store.requests(), [Bytes::from_static(b"theirs")]);
    assert_eq!(rig.clients.order(), [0u64; 0]);
}

#[test]
fn a_damaged_batch_is_fatal_and_names_its_entry() {
    let rig = Rig::over(&MemLog::default());
    rig.lead(1, 0, false);
    let entry = PersistEntry {
        mark: mark(2, 1),
        kind: EntryKind::Batch,
        payload: PersistPayload::Data(Bytes::from_static(b"\x01damaged")),
    };
    rig.pipeline.persist(5, None, vec![entry]).unwrap();
    rig.pipeline.commit(2);
    let fatal = rig.inbox.take_until(|event| match event {
        Event::Fatal(message) => Some(message.clone()),
        _ => None,
    });
    assert!(
        fatal.starts_with("log entry 2 cannot be applied"),
        "{fatal}"
    );
    assert_eq!(rig.submit(1), Err(STOPPED));
}

#[test]
fn a_failed_sync_is_fatal_and_nothing_is_acknowledged_after_it() {
    for granted in [true, false] {
        let log = MemLog::default();
        let rig = Rig::over(&log);
        let driver = rig.drive(1, 0, granted);
        rig.put(1);
        assert!(rig.clients.wait([1])[0].is_ok());
        log.change(|disk| disk.fail_sync = true);
        rig.put(2);
        assert_eq!(rig.clients.wait([2]), [Err(STOPPED)]);
        assert_eq!(rig.submit(3), Err(STOPPED));
        assert_eq!(rig.pipeline.read_barrier(Token(4)), Err(STOPPED));
        let fatal = rig.finish(driver);
        assert_eq!(fatal.as_deref(), Some("sync of the log failed"));
        assert_eq!(rig.store.requests(), requests([1]));
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_hole() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    let driver = rig.drive(1, 0, true);
    rig.put(1);
    rig.clients.wait([1]);
    log.change(|disk| disk.full = true);
    rig.put(2);
    assert_eq!(rig.clients.wait([2]), [Err(NO_SPACE)]);
    assert_eq!(rig.submit(3), Err(NO_SPACE));
    log.change(|disk| disk.full = false);
    let mut token = 4;
    while rig.submit(token).is_err() {
        token += 1;
        std::thread::yield_now();
    }
    assert!(rig.clients.wait([token])[0].is_ok());
    assert_eq!(rig.finish(driver), None);
    assert_eq!(rig.store.requests(), requests([1, token]));
    let kinds: Vec<_> = log.durable().iter().map(|entry| entry.kind).collect();
    use EntryKind::{Batch, Empty};
    assert_eq!(
        kinds,
        [Empty, Batch, Empty, Batch],
        "the unwritten batch left an empty entry"
    );
}

#[test]
fn without_a_grant_a_full_disk_keeps_the_entry_for_later() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    let driver = rig.drive(1, 0, false);
    rig.put(1);
    rig.clients.wait([1]);
    log.change(|disk| disk.full = true);
    rig.put(2);
    // The entry is with raft, and so it stays; what comes after it is refused.
    let mut token = 3;
    while rig.submit(token) != Err(NO_SPACE) {
        token += 1;
        std::thread::yield_now();
    }
    log.change(|disk| disk.full = false);
    assert!(rig.clients.wait([2])[0].is_ok());
    assert_eq!(rig.finish(driver), None);
}
