//! The pipeline against a log in memory: what the append grant allows, and its end.

use std::sync::Arc;

use bytes::Bytes;

use super::testing::{Event, MemLog, Rig, mark, requests};
use super::*;
use crate::auth::Caller;
use crate::error::TIMEOUT;
use crate::types::{EntryKind, OpKind, Token};

#[test]
fn payloads_are_stamped_under_the_grant_and_only_own_batches_answered() {
    let rig = Rig::over(&MemLog::default());
    let mut foreign = batch::OpenBatch::new(99, 1, 0);
    foreign.push(OpKind::Put, b"5", Token(5), &Caller::Nobody);
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
fn what_becomes_stable_after_a_sole_voters_grant_is_rafts_to_commit() {
    let log = MemLog::default();
    let rig = Rig::over(&log);
    rig.lead(1, 0, true);
    rig.put(1);
    rig.inbox.wait_for(&Event::Stable(mark(2, 1)));
    assert_eq!(rig.pipeline.committed_index(), 2);
    log.change(|disk| disk.stalled = true);
    rig.put(2);
    assert_eq!(rig.pipeline.revoke_grant(), 3);
    log.change(|disk| disk.stalled = false);
    rig.inbox.wait_for(&Event::Stable(mark(3, 1)));
    assert_eq!(rig.pipeline.committed_index(), 2);
    assert_eq!(rig.clients.answered(2), None);
    rig.pipeline.commit(3);
    assert!(rig.clients.wait([2])[0].is_ok());
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
    rig.inbox.wait_for(&Event::Applied(1));
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
