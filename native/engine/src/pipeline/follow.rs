//! The follower's side of the fast path: under a follow grant the data plane takes the appends of one leader in one term
//! that continue the log exactly, and answers them when they are on stable storage. Everything else goes to raft, which
//! withdraws the grant before it does anything that rests on the end of the log or on the term.

use super::core::Core;
use super::grants::Following;
use super::message::{PeerMessage, ROUND_QUIET};
use super::ports::{Apply, LogEntry, PipelineError};
use super::queue::WriteItem;
use crate::types::{EntryKind, LogMark};

/// Whether the data plane dealt with a message; what it did not comes back for raft.
pub enum Received {
    /// Done.
    Taken,
    /// Raft's; the entries that came with it.
    Left(Vec<LogEntry>),
}

impl<A: Apply> Core<A> {
    /// The follow grant for the leader of `term`, given by a follower whose log ends at `last`.
    pub fn follow(&self, term: u64, leader: u64, last: u64) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        self.check_grant(&state, last + 1)?;
        state.grants.following = Some(Following { term, leader });
        Ok(())
    }

    /// A message of raft from another member.
    pub fn receive(&self, from: u64, message: PeerMessage, entries: Vec<LogEntry>) -> Received {
        match message {
            PeerMessage::Append { term, prev, commit } => {
                return self.take_append(Following { term, leader: from }, prev, commit, entries);
            }
            PeerMessage::AppendResponse {
                term,
                index,
                reject: false,
                ..
            } if self.acknowledged(from, term, index) => return Received::Taken,
            PeerMessage::Heartbeat {
                term,
                commit,
                round,
            } if round >= ROUND_QUIET => {
                if self.take_heartbeat(Following { term, leader: from }, commit, round) {
                    return Received::Taken;
                }
            }
            PeerMessage::HeartbeatResponse { term, round } if round >= ROUND_QUIET => {
                // Raft numbers its rounds by itself: it must not take this for an answer to one of them.
                self.heard(from, term, round);
                return Received::Taken;
            }
            PeerMessage::AppendResponse { .. }
            | PeerMessage::Heartbeat { .. }
            | PeerMessage::HeartbeatResponse { .. } => {}
        }
        Received::Left(entries)
    }

    fn take_append(
        &self,
        sender: Following,
        prev: LogMark,
        commit: u64,
        entries: Vec<LogEntry>,
    ) -> Received {
        let mut state = self.state.lock();
        let fits = state.grants.following == Some(sender)
            && !state.batcher.stopped
            && state.last == prev
            && continues(prev, sender.term, &entries);
        if !fits {
            return Received::Left(entries);
        }
        let metas: Vec<_> = entries.iter().map(LogEntry::meta).collect();
        // Before the commit that may rest on them.
        if !metas.is_empty() {
            self.events.appended(&metas);
        }
        let mut sequences = Vec::new();
        for entry in &entries {
            if let Some(sequence) = self.own_sequence(entry.kind, &entry.payload) {
                state.batcher.place(sequence, entry.mark.index);
                sequences.push(sequence);
            }
            state.last = entry.mark;
            self.cache.push(entry.clone());
        }
        let last = state.last.index;
        let item = WriteItem::Followed {
            sender,
            last,
            entries,
            sequences,
        };
        self.queue.push(item, &self.gate);
        self.learn_commit(commit.min(last));
        Received::Taken
    }

    /// Only what names a round of the data plane: raft's own heartbeats are its sign that the leader lives.
    fn take_heartbeat(&self, sender: Following, commit: u64, round: u64) -> bool {
        let state = self.state.lock();
        if state.grants.following != Some(sender) || state.batcher.stopped {
            return false;
        }
        self.learn_commit(commit.min(state.last.index));
        if round > ROUND_QUIET {
            let term = sender.term;
            let answer = PeerMessage::HeartbeatResponse { term, round };
            self.links().send(sender.leader, answer, Vec::new());
        }
        true
    }

    fn learn_commit(&self, index: u64) {
        if index > self.committed.load(std::sync::atomic::Ordering::SeqCst) {
            self.commit_granted(index);
        }
    }

    /// Entries taken from this leader, and all before them, are on stable storage up to `index`. This is true of the
    /// log that the member had in that term, whatever happened since, so it may be said at any time.
    pub(super) fn acknowledge(&self, sender: Following, index: u64) {
        let message = PeerMessage::AppendResponse {
            term: sender.term,
            index,
            reject: false,
            hint: LogMark::default(),
        };
        self.links().send(sender.leader, message, Vec::new());
    }
}

/// Whether the entries follow `prev` and each other, in a log of this term. Conf changes are raft's: it writes its
/// commit index with them, which a restart relies on.
fn continues(prev: LogMark, term: u64, entries: &[LogEntry]) -> bool {
    let mut last = prev;
    entries.iter().all(|entry| {
        let follows = entry.mark.index == last.index + 1
            && (last.term..=term).contains(&entry.mark.term)
            && entry.kind != EntryKind::ConfChange;
        last = entry.mark;
        follows
    })
}
