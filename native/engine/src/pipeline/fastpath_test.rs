//! The fast path between members, both of its sides: what the data plane sends, answers and commits by itself under the
//! grants, and what it leaves to raft.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::message::{PeerMessage, ROUND_QUIET};
use super::testing::{Event, MemLog, Rig, mark};
use super::*;
use crate::types::{EntryKind, LogMark, Token};

#[derive(Default)]
struct Sent(Mutex<Vec<(u64, PeerMessage, usize)>>);

impl PeerLinks for Sent {
    fn send(&self, to: u64, message: PeerMessage, entries: Vec<LogEntry>) {
        self.0.lock().push((to, message, entries.len()));
    }
}

impl Sent {
    fn take(&self) -> Vec<(u64, PeerMessage, usize)> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn entry(index: u64, term: u64, kind: EntryKind) -> LogEntry {
    LogEntry {
        mark: mark(index, term),
        kind,
        payload: Bytes::new(),
    }
}

fn append(term: u64, prev: LogMark, commit: u64) -> PeerMessage {
    PeerMessage::Append { term, prev, commit }
}

fn response(term: u64, index: u64) -> PeerMessage {
    PeerMessage::AppendResponse {
        term,
        index,
        reject: false,
        hint: LogMark::default(),
    }
}

fn taken(rig: &Rig, from: u64, message: PeerMessage, entries: Vec<LogEntry>) -> bool {
    matches!(
        rig.pipeline.receive(from, message, entries),
        Received::Taken
    )
}

fn rig() -> (Rig, Arc<Sent>) {
    over(&MemLog::default())
}

fn over(log: &MemLog) -> (Rig, Arc<Sent>) {
    let rig = Rig::over(log);
    let sent = Arc::new(Sent::default());
    rig.pipeline.set_links(Arc::clone(&sent) as _);
    (rig, sent)
}

/// Makes it the leader of term 1 with its first entry durable and committed; the other voters have it too.
fn grant(rig: &Rig, others: &[(u64, bool)]) {
    rig.lead(1, 0, false);
    rig.inbox.wait_for(&Event::Persisted(1 << 32));
    rig.pipeline.commit(1);
    rig.inbox.wait_for(&Event::Applied(1));
    let members = others.iter().map(|&(id, votes)| GrantMember {
        id,
        votes,
        matched: 1,
    });
    let quorum = Quorum {
        own_vote: true,
        committed: 1,
        members: members.collect(),
    };
    rig.pipeline
        .grant(1, 2, GrantKind::Quorum(quorum))
        .expect("nothing in between");
}

/// One of three members, which streams to both others.
fn leader_over(log: &MemLog) -> (Rig, Arc<Sent>) {
    let (rig, sent) = over(log);
    grant(&rig, &[(2, true), (3, true)]);
    assert_eq!(rig.pipeline.stream(0, &[2]), Ok(Streamed::Refused));
    assert_eq!(rig.pipeline.stream(1, &[]), Ok(Streamed::Minority));
    assert_eq!(rig.pipeline.stream(1, &[3]), Ok(Streamed::Quorum));
    assert_eq!(rig.pipeline.stream(1, &[2, 3]), Ok(Streamed::Quorum));
    (rig, sent)
}

fn leader() -> (Rig, Arc<Sent>) {
    leader_over(&MemLog::default())
}

#[test]
fn a_stamped_entry_is_sent_at_once_and_committed_by_a_majority() {
    let (rig, sent) = leader();
    rig.put(7);
    rig.inbox.wait_for(&Event::Stable(mark(2, 1)));
    let message = append(1, mark(1, 1), 1);
    assert_eq!(sent.take(), [(2, message, 1), (3, message, 1)]);
    assert!(
        !taken(&rig, 2, response(2, 2), vec![]),
        "another term is raft's"
    );
    assert!(!taken(&rig, 9, response(1, 2), vec![]), "so is a stranger");
    assert!(
        !taken(&rig, 2, response(1, 3), vec![]),
        "and what was never stamped"
    );
    assert_eq!(rig.clients.answered(7), None);
    assert!(taken(&rig, 3, response(1, 2), vec![]));
    assert!(rig.clients.wait([7])[0].is_ok());
    rig.inbox.wait_for(&Event::Acknowledged(3, mark(2, 1)));
    rig.inbox.wait_for(&Event::Committed(2));
    let commit = PeerMessage::Heartbeat {
        term: 1,
        commit: 2,
        round: ROUND_QUIET,
    };
    assert_eq!(sent.take(), [(3, commit, 0)], "2 is not known to have it");
    rig.pipeline.revoke_grant();
    assert!(!taken(&rig, 2, response(1, 2), vec![]));
}

#[test]
fn a_majority_without_the_own_disk_commits_and_apply_waits_for_the_disk() {
    let log = MemLog::default();
    let (rig, _sent) = leader_over(&log);
    log.change(|disk| disk.stalled = true);
    rig.put(7);
    assert!(taken(&rig, 2, response(1, 2), vec![]));
    assert!(taken(&rig, 3, response(1, 2), vec![]));
    rig.inbox.wait_for(&Event::Committed(2));
    assert_eq!(rig.clients.answered(7), None);
    log.change(|disk| disk.stalled = false);
    assert!(rig.clients.wait([7])[0].is_ok());
}

#[test]
fn reads_wait_for_a_round_begun_after_they_came() {
    let (rig, sent) = leader();
    assert_eq!(rig.pipeline.read_barrier(Token(1)), Ok(ReadBarrier::Wait));
    let first = round_of(&sent.take());
    assert_eq!(rig.pipeline.read_barrier(Token(2)), Ok(ReadBarrier::Wait));
    assert!(sent.take().is_empty(), "one round at a time");
    let answer = |round| PeerMessage::HeartbeatResponse { term: 1, round };
    assert!(
        taken(&rig, 9, answer(first), vec![]),
        "a stranger's is dropped"
    );
    assert_eq!(rig.clients.read(1), None);
    assert!(taken(&rig, 2, answer(first), vec![]));
    assert_eq!(rig.clients.read(1), Some(Ok(())));
    assert_eq!(rig.clients.read(2), None);
    let second = round_of(&sent.take());
    assert!(second > first);
    assert!(taken(&rig, 3, answer(first), vec![]));
    assert_eq!(rig.clients.read(2), None, "an answer to the round before");
    rig.pipeline.repeat_read();
    assert_eq!(round_of(&sent.take()), second);
    rig.pipeline.revoke_grant();
    assert!(taken(&rig, 3, answer(second), vec![]));
    assert_eq!(rig.clients.read(2), None, "raft is asked instead");
    let ctx = rig.inbox.take_until(|event| match event {
        Event::ReadRequest(ctx) => Some(*ctx),
        _ => None,
    });
    rig.pipeline.read_index_ready(ctx, 1);
    assert_eq!(rig.clients.read(2), Some(Ok(())));
}

fn round_of(sent: &[(u64, PeerMessage, usize)]) -> u64 {
    match sent {
        [
            (2, PeerMessage::Heartbeat { round, .. }, 0),
            (3, PeerMessage::Heartbeat { round: other, .. }, 0),
        ] if round == other => *round,
        other => panic!("not one round: {other:?}"),
    }
}

#[test]
fn a_follower_takes_what_continues_its_log_and_says_so_when_it_is_durable() {
    let (rig, sent) = rig();
    let entries = || vec![entry(1, 4, EntryKind::Empty), entry(2, 5, EntryKind::Empty)];
    assert!(
        !taken(&rig, 2, append(5, mark(0, 0), 1), entries()),
        "no grant"
    );
    assert_eq!(
        rig.pipeline.follow(5, 2, 7),
        Err(PipelineError::Hole { index: 8, last: 0 })
    );
    rig.pipeline.follow(5, 2, 0).expect("the log is empty");
    let again = rig.pipeline.follow(5, 2, 0);
    assert_eq!(again, Err(PipelineError::GrantHeld));
    assert!(
        !taken(&rig, 3, append(5, mark(0, 0), 1), entries()),
        "not the leader"
    );
    assert!(
        !taken(&rig, 2, append(6, mark(0, 0), 1), entries()),
        "not its term"
    );
    assert!(
        !taken(&rig, 2, append(5, mark(1, 4), 1), entries()),
        "a gap"
    );
    let conf_change = vec![entry(1, 5, EntryKind::ConfChange)];
    assert!(!taken(&rig, 2, append(5, mark(0, 0), 0), conf_change));
    assert!(!taken(
        &rig,
        2,
        append(5, mark(0, 0), 0),
        vec![entry(1, 6, EntryKind::Empty)]
    ));
    assert!(taken(&rig, 2, append(5, mark(0, 0), 1), entries()));
    // That entry 1 is applied comes from another thread, before or after this.
    rig.inbox.wait_for(&Event::Stable(mark(2, 5)));
    assert_eq!(sent.take(), [(2, response(5, 2), 0)]);
    // The commit index of a message counts only as far as its own entries.
    assert!(taken(&rig, 2, append(5, mark(2, 5), 99), vec![]));
    rig.inbox.wait_for(&Event::Applied(2));
    let beat = |round| PeerMessage::Heartbeat {
        term: 5,
        commit: 2,
        round,
    };
    assert!(!taken(&rig, 2, beat(0), vec![]), "raft's own");
    assert!(taken(&rig, 2, beat(ROUND_QUIET + 3), vec![]));
    let answer = PeerMessage::HeartbeatResponse {
        term: 5,
        round: ROUND_QUIET + 3,
    };
    assert!(sent.take().contains(&(2, answer, 0)));
    assert_eq!(rig.pipeline.revoke_grant(), 2);
    assert!(!taken(&rig, 2, append(5, mark(2, 5), 2), vec![]));
    assert!(!taken(&rig, 2, beat(ROUND_QUIET + 4), vec![]));
}

#[test]
fn under_a_follow_grant_raft_writes_nothing() {
    let (rig, _sent) = rig();
    rig.pipeline.follow(1, 2, 0).unwrap();
    let own = PersistEntry {
        mark: mark(1, 1),
        kind: EntryKind::Empty,
        payload: PersistPayload::Data(Bytes::new()),
    };
    let persisted = rig.pipeline.persist(1, None, vec![own]);
    assert_eq!(persisted, Err(PipelineError::GrantHeld));
    let granted = rig.pipeline.grant(1, 1, GrantKind::SoleVoter);
    assert_eq!(granted, Err(PipelineError::GrantHeld));
}

proptest! {
    /// Against the definition: an index is committed if more than half of the voters have it, and it is of the term.
    #[test]
    fn what_is_committed_is_on_a_majority(
        acknowledged in prop::collection::vec((0_usize..4, 1_u64..12), 0..30),
        votes in prop::collection::vec(any::<bool>(), 4),
    ) {
        let (rig, _sent) = rig();
        let others: Vec<_> = (2..).zip(votes.iter().copied()).collect();
        grant(&rig, &others);
        for _ in 2..12 {
            rig.pipeline.propose_control(EntryKind::Empty, Bytes::new()).unwrap();
        }
        rig.inbox.wait_for(&Event::Stable(mark(11, 1)));
        let mut matched = [1_u64; 4];
        for (at, index) in acknowledged {
            prop_assert!(taken(&rig, at as u64 + 2, response(1, index), vec![]));
            matched[at] = matched[at].max(index);
        }
        let voters = 1 + votes.iter().filter(|votes| **votes).count();
        let has = |index: u64| 1 + (0..4).filter(|at| votes[*at] && matched[*at] >= index).count();
        let expected = (2..12).rev().find(|index| 2 * has(*index) > voters);
        let committed = rig.pipeline.committed.load(SeqCst);
        // With no other voter everything durable is committed, which an acknowledgement makes it look for.
        if let Some(expected) = expected.filter(|_| voters > 1) {
            prop_assert_eq!(committed, expected);
        }
    }
}
