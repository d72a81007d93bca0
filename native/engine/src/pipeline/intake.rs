//! The control plane's side of the log: the grant, what raft persists, commits and compacts, and reading back.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;

use super::batch;
use super::batcher::Failed;
use super::core::Core;
use super::gate::Install;
use super::lead::GrantKind;
use super::ports::{Apply, HardState, LogEntry, LogError, MetaWrite, PipelineError};
use super::queue::WriteItem;
use super::state::State;
use crate::error::TIMEOUT_LEADER_FAIL;
use crate::types::{EntryKind, LogMark};

/// Where the payload of an entry is that raft hands to the WAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PersistPayload {
    /// Behind a handle that a `batch` event or a peer's message gave.
    Handle(u64),
    /// Here.
    Data(Bytes),
}

/// An entry that raft hands to the WAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersistEntry {
    /// Position in the log.
    pub mark: LogMark,
    /// What the payload is.
    pub kind: EntryKind,
    /// The payload.
    pub payload: PersistPayload,
}

impl<A: Apply> Core<A> {
    /// The append grant of the leader of `term`, which has committed in its term. A sole voter serves reads at once when
    /// everything before `next_index` is applied.
    pub fn grant(&self, term: u64, next_index: u64, kind: GrantKind) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        self.check_grant(&state, next_index)?;
        let free_from = (kind == GrantKind::SoleVoter).then_some(next_index - 1);
        state.grants.give_append(term, next_index, kind);
        self.reads.free_from(free_from);
        self.close_if_due(&mut state);
        Ok(())
    }

    /// Whether either grant may be given, for entries from `next_index` on.
    pub(super) fn check_grant(&self, state: &State, next_index: u64) -> Result<(), PipelineError> {
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        if !self.config.append_grant {
            return Err(PipelineError::GrantForbidden);
        }
        if state.grants.is_held() {
            return Err(PipelineError::GrantHeld);
        }
        check_next(next_index, state.last.index)
    }

    /// Ends the append grant or the follow grant, and returns the last index given to the WAL; batches that close
    /// afterwards wait for a proposal, and reads for raft.
    pub fn revoke_grant(&self) -> u64 {
        let mut state = self.state.lock();
        let unconfirmed = state.grants.revoke();
        self.reads.free_from(None);
        let last = state.last.index;
        drop(state);
        if let Some(ctx) = unconfirmed {
            self.events.read_request(ctx);
        }
        last
    }

    /// Whether stable is committed. Raft takes no grant before it knows that all of an earlier one is stable, so what was
    /// stamped under an earlier one is never taken for this one's.
    pub(super) fn holds_sole_grant(&self) -> bool {
        self.reads.are_ever_free()
    }

    /// Stamps a Control or ConfChange entry under the grant.
    pub fn propose_control(&self, kind: EntryKind, data: Bytes) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        if state.grants.append.is_none() {
            return Err(PipelineError::NoGrant);
        }
        self.stamp(&mut state, kind, data, None);
        Ok(())
    }

    /// Stamps the payload behind a handle under the grant: a batch that another member forwarded, or one of this
    /// process that was closed before the grant.
    pub fn stamp_payload(&self, kind: EntryKind, handle: u64) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        if state.grants.append.is_none() {
            return Err(PipelineError::NoGrant);
        }
        let payload = state.batcher.payload(handle)?;
        state.batcher.release_payload(handle);
        let sequence = self.own_sequence(kind, &payload);
        self.stamp(&mut state, kind, payload, sequence);
        Ok(())
    }

    /// A batch that was forwarded may be lost: others no longer wait for it to come back. It is answered when it does,
    /// or when its handle is dropped.
    pub fn release_batch(&self, handle: u64) {
        let mut state = self.state.lock();
        state.batcher.release_slot(handle);
        self.close_if_due(&mut state);
    }

    /// Queues entries and hard state for the WAL. Nothing of it is taken if it returns an error.
    pub fn persist(
        &self,
        seq: u64,
        hard_state: Option<HardState>,
        entries: Vec<PersistEntry>,
    ) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        if !entries.is_empty() && state.grants.is_held() {
            return Err(PipelineError::GrantHeld);
        }
        check_contiguous(&entries, state.last.index)?;
        if let Some(first) = entries.first()
            && self.cache.term(first.mark.index) == Some(first.mark.term)
        {
            // Only another term's leader replaces entries; the same index would lose what was stamped.
            return Err(PipelineError::Hole {
                index: first.mark.index,
                last: state.last.index,
            });
        }
        let mut resolved = Vec::with_capacity(entries.len());
        let mut sequences = Vec::new();
        let mut handles = Vec::new();
        for entry in entries {
            let payload = match entry.payload {
                PersistPayload::Handle(handle) => {
                    handles.push(handle);
                    state.batcher.payload(handle)?
                }
                PersistPayload::Data(data) => data,
            };
            if let Some(sequence) = self.own_sequence(entry.kind, &payload) {
                sequences.push(sequence);
            }
            resolved.push(LogEntry {
                mark: entry.mark,
                kind: entry.kind,
                payload,
            });
        }
        handles
            .into_iter()
            .for_each(|handle| state.batcher.release_payload(handle));
        let failed = self.take_place(&mut state, &resolved, &sequences);
        let item = WriteItem::Persist {
            seq,
            hard_state,
            entries: resolved,
            sequences,
        };
        self.queue.push(item, &self.gate);
        self.close_if_due(&mut state);
        drop(state);
        // Their entries were replaced by another leader's: they can no longer be applied.
        self.answer_failed(failed, &TIMEOUT_LEADER_FAIL);
        Ok(())
    }

    /// A store that stands at `mark` takes the place of the own one, and the log starts after it. Ordered like
    /// `persist`, whose next `persisted` says that this is durable too. `install` runs on the apply thread; dropped
    /// without a call, if the pipeline ends before.
    pub fn install_snapshot(&self, mark: LogMark, install: Install) -> Result<(), PipelineError> {
        let mut state = self.state.lock();
        if state.batcher.stopped {
            return Err(PipelineError::Closed);
        }
        if state.grants.is_held() {
            return Err(PipelineError::GrantHeld);
        }
        let applied = self.applied.load(SeqCst);
        if mark.index <= applied {
            return Err(PipelineError::Hole {
                index: mark.index,
                last: applied,
            });
        }
        // Whether they are in that store is not known here.
        let failed = state.batcher.fail_replaced(0, &[]);
        state.last = mark;
        self.cache.restart(mark.index);
        self.gate.announce_install();
        self.queue
            .push(WriteItem::Install { mark, install }, &self.gate);
        self.close_if_due(&mut state);
        drop(state);
        self.answer_failed(failed, &TIMEOUT_LEADER_FAIL);
        Ok(())
    }

    /// Gives entries their place in the log; returns the tokens of batches that lost theirs.
    fn take_place(&self, state: &mut State, entries: &[LogEntry], sequences: &[u64]) -> Failed {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Vec::new();
        };
        let failed = if first.mark.index <= state.last.index {
            state.batcher.fail_replaced(first.mark.index, sequences)
        } else {
            Vec::new()
        };
        state.last = last.mark;
        for entry in entries {
            if let Some(sequence) = self.own_sequence(entry.kind, &entry.payload) {
                state.batcher.place(sequence, entry.mark.index);
            }
            self.cache.push(entry.clone());
        }
        failed
    }

    /// The batch's number if this process took its requests.
    pub(super) fn own_sequence(&self, kind: EntryKind, payload: &[u8]) -> Option<u64> {
        if kind != EntryKind::Batch {
            return None;
        }
        // A payload that cannot be read belongs to nobody here; apply reports it when it is committed.
        let header = batch::header(payload).ok()?;
        (header.origin == self.origin).then_some(header.sequence)
    }

    /// Apply up to index, as far as it is on stable storage here.
    pub fn commit(&self, index: u64) {
        let committed = self.gate.commit(index);
        self.committed.fetch_max(committed, SeqCst);
    }

    /// The data plane itself found that index is committed. Raft must know before apply can ask it to do something about
    /// an entry.
    pub(super) fn commit_granted(&self, index: u64) {
        self.events.committed(index);
        self.commit(index);
    }

    /// TypeScript has applied the control entry at index; its writes go to disk with it.
    pub fn control_applied(&self, index: u64, writes: Vec<MetaWrite>) {
        self.gate.control_applied(index, writes);
    }

    /// Forgets log entries up to `mark`.
    pub fn compact_log(&self, mark: LogMark) {
        self.queue.push(WriteItem::Compact(mark), &self.gate);
    }

    /// Entries from `first` to `last` with their payloads, as many as `bytes_max` holds, at least one. Reads the disk
    /// if memory does not hold them: not for a thread that must not block.
    pub fn read_entries(
        &self,
        first: u64,
        last: u64,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        match self.cache.read(first, last, bytes_max) {
            Some(entries) => Ok(entries),
            None => self.reader.read(first, last, bytes_max),
        }
    }

    /// Entries `first..=last` as far as memory holds them from `first` on.
    pub fn cached_entries(&self, first: u64, last: u64) -> Option<Vec<LogEntry>> {
        self.cache.read(first, last, usize::MAX)
    }
}

fn check_next(index: u64, last: u64) -> Result<(), PipelineError> {
    if index == last + 1 {
        Ok(())
    } else {
        Err(PipelineError::Hole { index, last })
    }
}

fn check_contiguous(entries: &[PersistEntry], mut last: u64) -> Result<(), PipelineError> {
    for (at, entry) in entries.iter().enumerate() {
        let index = entry.mark.index;
        let follows = index == last + 1;
        let replaces = at == 0 && index >= 1 && index <= last;
        if !follows && !replaces {
            return Err(PipelineError::Hole { index, last });
        }
        last = index;
    }
    Ok(())
}
