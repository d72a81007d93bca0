//! Takes requests into the open batch, closes it and gives it its place in the log, or to TypeScript. Everything here is
//! under one lock, so that the order of closed batches is the order of the log and no answer is given twice.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use bytes::Bytes;

use super::batch;
use super::batcher::{Closed, Waiting};
use super::core::Core;
use super::ports::{Apply, LogEntry, PipelineError};
use super::queue::WriteItem;
use super::state::State;
use crate::auth::Caller;
use crate::error::{EtcdError, NO_SPACE, REQUEST_TOO_LARGE, TOO_MANY_REQUESTS};
use crate::limits::APPLY_GAP_ENTRIES_MAX;
use crate::types::{EntryKind, LogMark, OpKind, Token};

impl<A: Apply> Core<A> {
    /// Appends a request to the open batch, and with it who asks: apply decides on every member whether he may. The
    /// limits are those of limits.rs.
    pub fn submit(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError> {
        let gap = self
            .committed
            .load(Relaxed)
            .saturating_sub(self.applied.load(Relaxed));
        if gap > APPLY_GAP_ENTRIES_MAX {
            return Err(TOO_MANY_REQUESTS);
        }
        let named = caller.name().map_or(0, <[u8]>::len);
        if request.len() + named > self.config.max_request_bytes {
            return Err(REQUEST_TOO_LARGE);
        }
        let mut state = self.state.lock();
        state.batcher.admit(request.len())?;
        state
            .batcher
            .push(self.origin, kind, request, token, caller);
        self.close_if_due(&mut state);
        Ok(())
    }

    /// Closes the open batch if it is time.
    pub(super) fn close_if_due(&self, state: &mut State) {
        if state.batcher.is_due() {
            self.close(state);
        }
    }

    fn close(&self, state: &mut State) {
        let Closed {
            sequence,
            payload,
            requests,
        } = state.batcher.close_open();
        self.metrics.batches.fetch_add(1, Relaxed);
        self.metrics.requests.fetch_add(requests.into(), Relaxed);
        if state.grants.append.is_some() {
            self.stamp(state, EntryKind::Batch, payload, Some(sequence));
        } else {
            let bytes = payload.len();
            let handle = state.batcher.add_payload(payload, Some(sequence));
            self.events.batch(handle, bytes, requests);
        }
    }

    /// Gives the next index of the grant to an entry and the entry to the WAL.
    pub(super) fn stamp(
        &self,
        state: &mut State,
        kind: EntryKind,
        payload: Bytes,
        sequence: Option<u64>,
    ) {
        let grant = state.grants.append.as_mut();
        let grant = grant.expect("stamp is called under the grant");
        let mark = grant.stamp();
        let sole = grant.sole_voter;
        let prev = std::mem::replace(&mut state.last, mark);
        if let Some(sequence) = sequence {
            state.batcher.place(sequence, mark.index);
        }
        let entry = LogEntry {
            mark,
            kind,
            payload,
        };
        self.events.appended(&[entry.meta()]);
        self.cache.push(entry.clone());
        let item = WriteItem::Granted {
            entry: entry.clone(),
            sole,
            sequence,
        };
        // The others first: their way there, their disk and the way back take longer than the own disk.
        if let Some(leading) = &mut state.grants.leading {
            self.replicate(leading, prev, &entry);
        }
        self.queue.push(item, &self.gate);
    }

    /// These batches of this process are on stable storage, and the entries of the append grant up to `granted`: there
    /// is room for the next.
    pub(super) fn batches_stable(&self, sequences: &[u64], granted: Option<LogMark>) {
        let mut state = self.state.lock();
        if let Some(mark) = granted {
            self.own_stable(&mut state, mark);
        }
        for sequence in sequences {
            state.batcher.landed(*sequence);
        }
        self.close_if_due(&mut state);
    }

    /// Takes a batch that was applied out of the account; None if nobody waits for its answers any more.
    pub(super) fn take_applied(&self, sequence: u64) -> Option<Waiting> {
        let mut state = self.state.lock();
        let waiting = state.batcher.remove(sequence);
        self.close_if_due(&mut state);
        waiting
    }

    /// The payload behind a handle, which stays valid.
    pub fn payload(&self, handle: u64) -> Result<Bytes, PipelineError> {
        self.state.lock().batcher.payload(handle)
    }

    /// A payload that came from elsewhere (a peer) and waits for its entry.
    pub fn add_payload(&self, bytes: Bytes) -> u64 {
        self.state.lock().batcher.add_payload(bytes, None)
    }

    /// Forgets payloads; the clients of those that are batches of this process get `error`.
    pub fn drop_payloads(&self, handles: &[u64], error: &EtcdError) {
        let mut failed = Vec::new();
        let mut state = self.state.lock();
        for handle in handles {
            state.batcher.drop_payload(*handle, &mut failed);
        }
        self.close_if_due(&mut state);
        drop(state);
        self.answer_failed(failed, error);
    }

    /// Fails batches that could not be written.
    pub(super) fn fail_batches(&self, sequences: &[u64], error: &EtcdError) {
        let mut failed = Vec::new();
        let mut state = self.state.lock();
        for sequence in sequences {
            state.batcher.fail(*sequence, &mut failed);
        }
        drop(state);
        self.answer_failed(failed, error);
    }

    /// The disk is full, or has room again. While it is full new requests are refused, and those of the open batch,
    /// which would wait for as long, get the same answer.
    pub(super) fn set_no_space(&self, no_space: bool) {
        let mut state = self.state.lock();
        state.batcher.no_space = no_space;
        let failed = if no_space {
            state.batcher.take_open()
        } else {
            Vec::new()
        };
        drop(state);
        self.answer_failed(failed, &NO_SPACE);
    }

    /// The requests behind tokens that still wait, encoded. Looks at every request that waits: for the few that ran out
    /// of time.
    pub fn waiting_requests(&self, tokens: &HashSet<Token>) -> Vec<(Token, Bytes)> {
        let payloads = self.state.lock().batcher.waiting_payloads();
        payloads
            .iter()
            .flat_map(batch::own_requests)
            .filter(|it| tokens.contains(&it.token))
            .map(|it| (it.token, it.request))
            .collect()
    }

    /// Index up to which entries are known to be committed, whether they are on stable storage here or not.
    pub fn committed_index(&self) -> u64 {
        self.committed.load(SeqCst)
    }

    /// Index up to which everything is applied.
    pub fn applied_index(&self) -> u64 {
        self.applied.load(SeqCst)
    }
}
