//! The grants: raft's leave for the data plane to give entries their place by itself, as a leader or as a follower.

use super::lead::{GrantKind, Leading};
use super::message::ROUND_QUIET;
use crate::types::LogMark;

/// The append grant: who may stamp entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    term: u64,
    next_index: u64,
    pub sole_voter: bool,
}

impl Grant {
    /// The place of the next entry.
    pub fn stamp(&mut self) -> LogMark {
        let mark = LogMark {
            index: self.next_index,
            term: self.term,
        };
        self.next_index += 1;
        mark
    }
}

/// The follow grant: whose appends are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Following {
    pub term: u64,
    pub leader: u64,
}

/// What the data plane may do. At most one of the two grants is held.
#[derive(Default)]
pub(super) struct Grants {
    pub append: Option<Grant>,
    /// Of an append grant that needs a quorum.
    pub leading: Option<Leading>,
    pub following: Option<Following>,
    last_round: u64,
}

impl Grants {
    /// Whether either is held.
    pub fn is_held(&self) -> bool {
        self.append.is_some() || self.following.is_some()
    }

    /// Gives the append grant of the leader of `term`.
    pub fn give_append(&mut self, term: u64, next_index: u64, kind: GrantKind) {
        self.append = Some(Grant {
            term,
            next_index,
            sole_voter: kind == GrantKind::SoleVoter,
        });
        self.leading = match kind {
            GrantKind::SoleVoter => None,
            GrantKind::Quorum(quorum) => Some(Leading::new(term, next_index, quorum)),
        };
    }

    /// Ends both. The reads whose read index was being asked for, which raft must be asked for now.
    pub fn revoke(&mut self) -> Option<u64> {
        self.append = None;
        self.following = None;
        let leading = self.leading.take();
        leading.and_then(|leading| leading.unconfirmed())
    }

    /// What leads in `term` under the append grant.
    pub fn leading_in(&mut self, term: u64) -> Option<&mut Leading> {
        self.leading
            .as_mut()
            .filter(|leading| leading.term() == term)
    }

    /// Numbers of rounds are never used twice.
    pub fn next_round(&mut self) -> u64 {
        self.last_round += 1;
        ROUND_QUIET + self.last_round
    }
}
