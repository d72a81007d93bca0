//! The leader's side of the fast path: under the append grant the data plane sends what it stamps to the followers that
//! keep up, counts their acknowledgements and commits.

use super::core::Core;
use super::lead::{Leading, Streamed};
use super::message::{PeerMessage, ROUND_QUIET};
use super::ports::{Apply, LogEntry, PipelineError};
use super::state::State;
use crate::types::LogMark;

impl<A: Apply> Core<A> {
    /// From now on stamped entries go to exactly these members at once. Only if `last` is the last entry that was
    /// stamped.
    pub fn stream(&self, last: u64, members: &[u64]) -> Result<Streamed, PipelineError> {
        let mut state = self.state.lock();
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        let at_end = state.last.index == last;
        let leading = state.grants.leading.as_mut();
        let leading = leading.ok_or(PipelineError::NoGrant)?;
        if !at_end {
            return Ok(Streamed::Refused);
        }
        Ok(leading.stream(members))
    }

    /// A stamped entry goes to the members that are streamed to.
    pub(super) fn replicate(&self, leading: &mut Leading, prev: LogMark, entry: &LogEntry) {
        let message = PeerMessage::Append {
            term: leading.term(),
            prev,
            commit: leading.committed(),
        };
        for member in leading.streamed() {
            self.links().send(member, message, vec![entry.clone()]);
        }
    }

    /// A follower has everything up to `index` on stable storage. False: not of the grant's term or nothing known of
    /// it, so raft must look at it.
    pub(super) fn acknowledged(&self, from: u64, term: u64, index: u64) -> bool {
        let mut state = self.state.lock();
        let last = state.last.index;
        let Some(leading) = state.grants.leading_in(term) else {
            return false;
        };
        if index > last || !leading.acknowledged(from, index) {
            return false;
        }
        self.events.acknowledged(from, LogMark { index, term });
        self.commit_quorum(leading);
        true
    }

    /// Own entries of the grant are on stable storage up to `mark`.
    pub(super) fn own_stable(&self, state: &mut State, mark: LogMark) {
        if let Some(leading) = state.grants.leading_in(mark.term) {
            leading.own_stable(mark.index);
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
        let term = leading.term();
        for (member, commit) in leading.untold() {
            let message = PeerMessage::Heartbeat {
                term,
                commit,
                round: ROUND_QUIET,
            };
            self.links().send(member, message, Vec::new());
        }
    }
}
