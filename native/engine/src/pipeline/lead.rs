//! The leader's side of the fast path: under the append grant the data plane sends what it stamps to the followers that
//! keep up, counts their acknowledgements, commits, and confirms that it still leads before linearizable reads. Raft
//! hears of all of it afterwards, in order, and comes to the same (docs/replication.md).

use std::sync::atomic::Ordering::SeqCst;

use super::message::{PeerMessage, ROUND_QUIET};
use super::ports::{Apply, LogEntry};
use super::state::State;
use super::{Core, PipelineError};
use crate::types::LogMark;

/// Another member, as raft knows it when it gives the grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantMember {
    /// Its id.
    pub id: u64,
    /// Whether it is a voter.
    pub votes: bool,
    /// The last entry that is known to be durable there and equal.
    pub matched: u64,
}

/// Who decides with the leader; never a joint configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quorum {
    /// Whether this member is a voter itself.
    pub own_vote: bool,
    /// Raft's commit index.
    pub committed: u64,
    /// All others.
    pub members: Vec<GrantMember>,
}

/// What became of a wish to stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Streamed {
    /// Nothing: raft must first learn of what was stamped meanwhile.
    Refused,
    /// Fewer than a quorum: commits wait for what raft sends.
    Minority,
    /// A quorum, this member among it: commits need nothing of raft.
    Quorum,
}

/// How entries are committed under the grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantKind {
    /// Stable is committed, and reads need nobody else.
    SoleVoter,
    /// What a quorum has is committed, and confirms reads.
    Quorum(Quorum),
}

struct Member {
    id: u64,
    votes: bool,
    matched: u64,
    /// Stamped entries are sent to it at once.
    streamed: bool,
    /// The commit index that it was told.
    told: u64,
}

/// A round of heartbeats that confirms the leader for the reads of one context.
struct Round {
    number: u64,
    ctx: u64,
    /// The commit index when the round began.
    index: u64,
    confirmed: Vec<u64>,
}

/// What the grant of a leader with other voters holds.
pub(super) struct Leading {
    term: u64,
    /// Entries from here on are of this term, so a quorum commits them.
    first: u64,
    own_vote: bool,
    /// Last own entry on stable storage.
    stable: u64,
    committed: u64,
    members: Vec<Member>,
    round: Option<Round>,
}

impl Leading {
    pub fn new(term: u64, first: u64, quorum: Quorum) -> Self {
        let members = quorum.members.into_iter().map(|member| Member {
            id: member.id,
            votes: member.votes,
            matched: member.matched,
            streamed: false,
            told: 0,
        });
        Self {
            term,
            first,
            own_vote: quorum.own_vote,
            stable: first - 1,
            committed: quorum.committed,
            members: members.collect(),
            round: None,
        }
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    /// The highest index that a majority of the voters has on stable storage; 0 without voters.
    fn quorum_index(&self) -> u64 {
        let voters = self.members.iter().filter(|member| member.votes);
        let mut indices: Vec<u64> = voters.map(|member| member.matched).collect();
        indices.extend(self.own_vote.then_some(self.stable));
        indices.sort_unstable_by(|a, b| b.cmp(a));
        indices.get(indices.len() / 2).copied().unwrap_or(0)
    }

    /// The new commit index, if it moves. An entry of an earlier term is never committed by counting.
    fn advance(&mut self) -> Option<u64> {
        let index = self.quorum_index();
        if index < self.first || index <= self.committed {
            return None;
        }
        self.committed = index;
        Some(index)
    }

    /// Whether these, with this member, are a majority.
    fn is_majority(&self, confirmed: usize) -> bool {
        let others = self.members.iter().filter(|member| member.votes).count();
        let own = usize::from(self.own_vote);
        2 * (confirmed + own) > others + own
    }

    /// The reads that a round was made for and that are not confirmed.
    pub fn unconfirmed(&self) -> Option<u64> {
        self.round.as_ref().map(|round| round.ctx)
    }
}

impl<A: Apply> Core<A> {
    /// From now on stamped entries go to exactly these members at once. Only if `last` is the last entry that was
    /// stamped.
    pub fn stream(&self, last: u64, members: &[u64]) -> Result<Streamed, PipelineError> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(PipelineError::Closed);
        }
        let at_end = state.last.index == last;
        let leading = state.leading.as_mut().ok_or(PipelineError::NoGrant)?;
        if !at_end {
            return Ok(Streamed::Refused);
        }
        for member in &mut leading.members {
            member.streamed = members.contains(&member.id);
        }
        let voters = leading.members.iter().filter(|member| member.votes);
        Ok(
            if leading.is_majority(voters.filter(|member| member.streamed).count()) {
                Streamed::Quorum
            } else {
                Streamed::Minority
            },
        )
    }

    /// A stamped entry goes to the members that are streamed to.
    pub(super) fn replicate(&self, leading: &mut Leading, prev: LogMark, entry: &LogEntry) {
        let message = PeerMessage::Append {
            term: leading.term,
            prev,
            commit: leading.committed,
        };
        for member in leading.members.iter_mut().filter(|m| m.streamed) {
            member.told = leading.committed;
            self.links().send(member.id, message, vec![entry.clone()]);
        }
    }

    /// A follower has everything up to `index` on stable storage. False: not of the grant's term or nothing known of
    /// it, so raft must look at it.
    pub(super) fn acknowledged(&self, from: u64, term: u64, index: u64) -> bool {
        let mut state = self.state.lock();
        let last = state.last.index;
        let Some(leading) = state.leading.as_mut().filter(|l| l.term == term) else {
            return false;
        };
        let Some(member) = leading.member(from).filter(|_| index <= last) else {
            return false;
        };
        member.matched = member.matched.max(index);
        self.events.acknowledged(from, LogMark { index, term });
        self.commit_quorum(leading);
        true
    }

    /// Own entries of the grant are on stable storage up to `mark`.
    pub(super) fn own_stable(&self, state: &mut State, mark: LogMark) {
        if let Some(leading) = state.leading.as_mut().filter(|l| l.term == mark.term) {
            leading.stable = leading.stable.max(mark.index);
            self.commit_quorum(leading);
        }
    }

    fn commit_quorum(&self, leading: &mut Leading) {
        if let Some(index) = leading.advance() {
            self.commit_granted(index);
        }
        self.tell_commit(leading);
    }

    /// Followers learn at once what is committed of what they have: their own clients wait for it.
    fn tell_commit(&self, leading: &mut Leading) {
        for member in leading.members.iter_mut().filter(|m| m.streamed) {
            let commit = member.matched.min(leading.committed);
            if commit > member.told {
                member.told = commit;
                let message = PeerMessage::Heartbeat {
                    term: leading.term,
                    commit,
                    round: ROUND_QUIET,
                };
                self.links().send(member.id, message, Vec::new());
            }
        }
    }

    /// Reads wait for a read index: a quorum is asked by the data plane itself under the grant, else raft is.
    pub(super) fn request_read(&self, ctx: u64) {
        let mut state = self.state.lock();
        let number = state.next_round();
        let Some(leading) = state.leading.as_mut() else {
            drop(state);
            return self.events.read_request(ctx);
        };
        // Raft tells its commit index before any follower learns of it, so no client has seen more than this.
        let index = leading.committed.max(self.committed.load(SeqCst));
        leading.round = Some(Round {
            number,
            ctx,
            index,
            confirmed: Vec::new(),
        });
        self.ask_quorum(leading);
    }

    /// A round whose heartbeats or answers were lost is asked for again.
    pub fn repeat_read(&self) {
        if let Some(leading) = &self.state.lock().leading {
            self.ask_quorum(leading);
        }
    }

    fn ask_quorum(&self, leading: &Leading) {
        let Some(round) = &leading.round else { return };
        for member in leading.members.iter().filter(|member| member.votes) {
            let message = PeerMessage::Heartbeat {
                term: leading.term,
                commit: member.matched.min(leading.committed),
                round: round.number,
            };
            self.links().send(member.id, message, Vec::new());
        }
    }

    /// A follower answered a heartbeat of a round of the data plane.
    pub(super) fn heard(&self, from: u64, term: u64, number: u64) {
        let mut state = self.state.lock();
        let Some(leading) = state.leading.as_mut().filter(|l| l.term == term) else {
            return;
        };
        if !leading.member(from).is_some_and(|member| member.votes) {
            return;
        }
        // An answer to an older round says nothing about this one's reads.
        let Some(round) = leading.round.as_mut().filter(|r| r.number == number) else {
            return;
        };
        if !round.confirmed.contains(&from) {
            round.confirmed.push(from);
        }
        let confirmed = round.confirmed.len();
        if !leading.is_majority(confirmed) {
            return;
        }
        let round = leading.round.take().expect("just seen");
        drop(state);
        self.read_index_ready(round.ctx, round.index);
    }
}
