//! The pipeline against a log in memory: order, answers exactly once, barriers, limits, the grant's end.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::testing::{Event, MemLog, Rig};
use super::*;
use crate::error::{
    NO_SPACE, REQUEST_TOO_LARGE, STOPPED, TIMEOUT, TIMEOUT_LEADER_FAIL, TOO_MANY_REQUESTS,
};
use crate::limits::{BATCHES_IN_FLIGHT_MAX, REQUESTS_PENDING_MAX};
use crate::types::{EntryKind, OpKind, Token};

fn requests(tokens: impl IntoIterator<Item = u64>) -> Vec<Bytes> {
    let text = |token: u64| Bytes::from(token.to_string());
    tokens.into_iter().map(text).collect()
}

fn mark(index: u64, term: u64) -> LogMark {
    LogMark { index, term }
}

#[test]
fn requests_are_applied_and_answered_in_order_with_and_without_the_grant() {
    for granted in [true, false] {
        let rig = Rig::over(&MemLog::default());
        let driver = rig.drive(1, 0, granted);
        for token in 1..=2000 {
            rig.put(token);
        }
        let answers = rig.clients.wait(1..=2000);
        assert_eq!(rig.finish(driver), None);
        let expected = requests(1..=2000);
        assert_eq!(
            answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(rig.store.requests(), expected, "granted: {granted}");
        assert_eq!(rig.clients.order(), (1..=2000).collect::<Vec<_>>());
    }
}

#[test]
fn many_threads_get_each_answer_once() {
    for granted in [true, false] {
        let rig = Arc::new(Rig::over(&MemLog::default()));
        let driver = rig.drive(1, 0, granted);
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let rig = Arc::clone(&rig);
                std::thread::spawn(move || (0..500).for_each(|n| rig.put(thread * 1000 + n)))
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let tokens: Vec<u64> = (0..4)
            .flat_map(|t| (0..500).map(move |n| t * 1000 + n))
            .collect();
        let answers = rig.clients.wait(tokens.iter().copied());
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(rig.finish(driver), None);
        let applied: HashSet<Bytes> = rig.store.requests().into_iter().collect();
        assert_eq!(applied.len(), tokens.len());
        assert_eq!(rig.store.requests().len(), tokens.len());
    }
}

#[test]
fn a_batch_closes_only_while_fewer_than_two_are_in_flight() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    rig.lead(1, 0, true);
    rig.pipeline.commit(1);
    rig.inbox
        .take_until(|e| (*e == Event::Applied(1)).then_some(()));
    log.change(|disk| disk.stalled = true);
    for token in 1..=100 {
        rig.put(token);
    }
    let mut appended = 0;
    log.change(|disk| disk.stalled = false);
    rig.clients.wait(1..=100);
    rig.pipeline.close();
    rig.inbox.put(Event::End);
    loop {
        match rig.inbox.take() {
            Event::Appended(entries) => appended += entries.len(),
            Event::End => break,
            _ => {}
        }
    }
    assert_eq!(
        appended,
        BATCHES_IN_FLIGHT_MAX + 1,
        "the third batch took the other 98 requests"
    );
}

#[test]
fn without_an_answer_from_the_control_plane_limits_hold_and_close_answers_all() {
    let rig = Rig::over(&MemLog::default());
    for token in 0..REQUESTS_PENDING_MAX as u64 {
        rig.put(token);
    }
    assert_eq!(rig.submit(u64::MAX), Err(TOO_MANY_REQUESTS));
    rig.pipeline.close();
    assert_eq!(rig.submit(u64::MAX), Err(STOPPED));
    let answers = rig.clients.wait(0..REQUESTS_PENDING_MAX as u64);
    assert!(answers.iter().all(|answer| *answer == Err(STOPPED)));
}

#[test]
fn a_request_over_the_limit_is_refused() {
    let rig = Rig::over(&MemLog::default());
    let request = vec![0; super::testing::config().max_request_bytes + 1];
    let refused = rig.pipeline.submit(OpKind::Put, &request, Token(1));
    assert_eq!(refused, Err(REQUEST_TOO_LARGE));
}

#[test]
fn dropped_batches_are_answered_with_the_error_given_and_free_the_flight() {
    let rig = Rig::over(&MemLog::default());
    rig.put(1);
    rig.put(2);
    rig.put(3);
    let first = rig.inbox.take();
    let second = rig.inbox.take();
    let Event::Batch(handle) = first else {
        panic!("{first:?}")
    };
    rig.pipeline.drop_payloads(&[handle], &TIMEOUT);
    assert_eq!(rig.clients.wait([1]), [Err(TIMEOUT)]);
    assert!(
        matches!(rig.inbox.take(), Event::Batch(_)),
        "the third batch has room now"
    );
    let Event::Batch(handle) = second else {
        panic!("{second:?}")
    };
    rig.pipeline.drop_payloads(&[handle], &TIMEOUT_LEADER_FAIL);
    assert_eq!(rig.clients.wait([2]), [Err(TIMEOUT_LEADER_FAIL)]);
    rig.pipeline.close();
    assert_eq!(rig.clients.wait([3]), [Err(STOPPED)]);
}

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
    same.push(OpKind::Put, b"7", Token(7));
    let from_peer = rig.pipeline.add_payload(same.finish());
    rig.pipeline.drop_payloads(&[handle], &TIMEOUT);
    let entry = PersistEntry {
        mark: mark(2, 1),
        kind: EntryKind::Batch,
        payload: PersistPayload::Handle(from_peer),
    };
    rig.pipeline.persist(1, None, vec![entry]).unwrap();
    rig.pipeline.commit(2);
    rig.inbox
        .take_until(|event| (*event == Event::Applied(2)).then_some(()));
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
    rig.inbox
        .take_until(|event| (*event == Event::Stable(mark(2, 1))).then_some(()));
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
    rig.inbox
        .take_until(|event| (*event == Event::Applied(2)).then_some(()));
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
    rig.inbox
        .take_until(|event| (*event == Event::Applied(1)).then_some(()));
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
fn payloads_are_stamped_under_the_grant_and_only_own_batches_answered() {
    let rig = Rig::over(&MemLog::default());
    let mut foreign = batch::OpenBatch::new(99, 1, 0);
    foreign.push(OpKind::Put, b"5", Token(5));
    let foreign = rig.pipeline.add_payload(foreign.finish());
    let refused = rig.pipeline.stamp_payload(EntryKind::Batch, foreign);
    assert_eq!(refused, Err(PipelineError::NoGrant));
    rig.put(1);
    let own = rig.inbox.take_until(|event| match event {
        Event::Batch(handle) => Some(*handle),
        _ => None,
    });
    rig.lead(1, 0, true);
    rig.pipeline
        .stamp_payload(EntryKind::Batch, foreign)
        .unwrap();
    rig.pipeline.stamp_payload(EntryKind::Batch, own).unwrap();
    assert!(rig.clients.wait([1])[0].is_ok());
    assert_eq!(rig.store.requests(), requests([5, 1]));
    assert_eq!(rig.clients.order(), [1]);
    let again = rig.pipeline.stamp_payload(EntryKind::Batch, own);
    assert_eq!(again, Err(PipelineError::UnknownPayload(own)));
}

#[test]
fn a_forwarded_batch_that_does_not_come_back_does_not_hold_up_the_next() {
    let rig = Rig::over(&MemLog::default());
    let mut handles = Vec::new();
    for token in 1..=BATCHES_IN_FLIGHT_MAX as u64 {
        rig.put(token);
        handles.push(rig.inbox.take_until(|event| match event {
            Event::Batch(handle) => Some(*handle),
            _ => None,
        }));
    }
    rig.put(100);
    rig.pipeline.release_batch(handles[0]);
    let Event::Batch(next) = rig.inbox.take() else {
        panic!("the next batch has room now")
    };
    assert!(!handles.contains(&next));
    // It is still answered, and its place is free only once.
    rig.pipeline.release_batch(handles[0]);
    rig.pipeline.drop_payloads(&handles[..1], &TIMEOUT);
    assert_eq!(rig.clients.wait([1]), [Err(TIMEOUT)]);
    rig.pipeline.close();
    assert_eq!(rig.clients.wait([100]), [Err(STOPPED)]);
}

#[test]
fn the_grant_may_end_in_the_middle_of_load() {
    let rig = Arc::new(Rig::over(&MemLog::default()));
    let driver = rig.drive(1, 0, true);
    let mut stamped = 0;
    for round in 0..10u64 {
        let tokens = round * 500..(round + 1) * 500;
        let load = {
            let (rig, tokens) = (Arc::clone(&rig), tokens.clone());
            std::thread::spawn(move || tokens.for_each(|token| rig.put(token)))
        };
        rig.clients.wait([tokens.start + 17]);
        let last = rig.pipeline.revoke_grant();
        assert!(last > stamped);
        load.join().unwrap();
        assert!(rig.clients.wait(tokens).iter().all(Result::is_ok));
        stamped = rig.pipeline.applied_index();
        rig.pipeline
            .grant(1, stamped + 1, GrantKind::SoleVoter)
            .unwrap();
    }
    assert_eq!(rig.finish(driver), None);
    assert_eq!(rig.store.requests(), requests(0..5000));
}

#[test]
fn calls_that_the_grant_forbids_are_errors_and_change_nothing() {
    let rig = Rig::over(&MemLog::default());
    assert_eq!(
        rig.pipeline
            .propose_control(EntryKind::Control, Bytes::new()),
        Err(PipelineError::NoGrant)
    );
    rig.lead(1, 0, true);
    let entry = |index, payload| PersistEntry {
        mark: mark(index, 1),
        kind: EntryKind::Empty,
        payload,
    };
    let empty = || PersistPayload::Data(Bytes::new());
    let persist = |entry| rig.pipeline.persist(2, None, vec![entry]);
    assert_eq!(persist(entry(2, empty())), Err(PipelineError::GrantHeld));
    rig.pipeline.revoke_grant();
    assert_eq!(
        persist(entry(3, empty())),
        Err(PipelineError::Hole { index: 3, last: 1 })
    );
    let unknown = PersistPayload::Handle(77);
    assert_eq!(
        persist(entry(2, unknown)),
        Err(PipelineError::UnknownPayload(77))
    );
    assert_eq!(persist(entry(2, empty())), Ok(()));
    let same_term = Err(PipelineError::Hole { index: 2, last: 2 });
    assert_eq!(
        persist(entry(2, empty())),
        same_term,
        "an entry of a term is never replaced"
    );
}

#[test]
fn a_sole_voter_reads_at_once_when_all_before_its_grant_is_applied() {
    let rig = Rig::over(&MemLog::default());
    assert_eq!(rig.pipeline.read_barrier(Token(1)), Ok(ReadBarrier::Wait));
    rig.lead(1, 0, true);
    rig.inbox
        .take_until(|event| matches!(event, Event::Persisted(_)).then_some(()));
    assert_eq!(rig.pipeline.read_barrier(Token(2)), Ok(ReadBarrier::Wait));
    rig.pipeline.commit(1);
    rig.inbox
        .take_until(|event| (*event == Event::Applied(1)).then_some(()));
    assert_eq!(rig.pipeline.read_barrier(Token(3)), Ok(ReadBarrier::Now));
    rig.pipeline.revoke_grant();
    assert_eq!(rig.pipeline.read_barrier(Token(4)), Ok(ReadBarrier::Wait));
    rig.pipeline.read_index_ready(1, 1);
    assert_eq!(rig.clients.read(1), Some(Ok(())));
    assert_eq!(rig.clients.read(2), None);
    rig.pipeline.read_index_failed(2, TIMEOUT);
    assert_eq!(rig.clients.read(2), Some(Err(TIMEOUT)));
    rig.pipeline.close();
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

#[test]
fn a_physical_compaction_is_answered_when_it_is_done_or_at_the_close() {
    let rig = Rig::over(&MemLog::default());
    let driver = rig.drive(1, 0, true);
    let compact = |token| {
        rig.pipeline
            .submit(OpKind::Compact, b"c", Token(token))
            .unwrap()
    };
    compact(1);
    compact(2);
    rig.put(3);
    rig.clients.wait([3]);
    assert_eq!(rig.clients.answered(1), None);
    let done = rig.store.compactions.lock().remove(0);
    done();
    assert_eq!(rig.clients.answered(1), Some(Ok(Bytes::from_static(b"c"))));
    assert_eq!(rig.finish(driver), None);
    assert_eq!(rig.clients.answered(2), Some(Err(STOPPED)));
    let late = rig.store.compactions.lock().remove(0);
    late();
}

#[test]
fn metrics_tell_what_was_applied() {
    let rig = Rig::over(&MemLog::default());
    let driver = rig.drive(1, 0, true);
    rig.put(1);
    rig.clients.wait([1]);
    rig.put(2);
    rig.clients.wait([2]);
    assert_eq!(rig.finish(driver), None);
    let text = rig.pipeline.metrics();
    assert!(
        text.contains("etcd_server_proposals_applied_total 3"),
        "{text}"
    );
    assert!(text.contains("etcd_server_proposals_pending 0"), "{text}");
    assert!(text.contains("netcd_batch_requests_total 2"), "{text}");
}

#[test]
fn batches_of_another_process_are_applied_and_not_answered() {
    let log = MemLog::default();
    let mut other = batch::OpenBatch::new(999, 1, 0);
    other.push(OpKind::Put, b"theirs", Token(1));
    let rig = Rig::over(&log);
    rig.lead(1, 0, false);
    let handle = rig.pipeline.add_payload(other.finish());
    let entry = PersistEntry {
        mark: mark(2, 1),
        kind: EntryKind::Batch,
        payload: PersistPayload::Handle(handle),
    };
    rig.pipeline.persist(5, None, vec![entry]).unwrap();
    rig.pipeline.commit(2);
    rig.inbox
        .take_until(|event| (*event == Event::Applied(2)).then_some(()));
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
