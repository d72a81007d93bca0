//! The pipeline against a log in memory: order, answers exactly once, limits.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::testing::{Event, MemLog, Rig, requests};
use crate::auth::Caller;
use crate::error::{REQUEST_TOO_LARGE, STOPPED, TIMEOUT, TIMEOUT_LEADER_FAIL, TOO_MANY_REQUESTS};
use crate::limits::{BATCHES_IN_FLIGHT_MAX, REQUESTS_PENDING_MAX};
use crate::types::{OpKind, Token};

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
    rig.inbox.wait_for(&Event::Applied(1));
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
    let refused = rig
        .pipeline
        .submit(OpKind::Put, &request, Token(1), &Caller::Nobody);
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
fn a_physical_compaction_is_answered_when_it_is_done_or_at_the_close() {
    let rig = Rig::over(&MemLog::default());
    let driver = rig.drive(1, 0, true);
    let compact = |token| {
        rig.pipeline
            .submit(OpKind::Compact, b"c", Token(token), &Caller::Nobody)
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
