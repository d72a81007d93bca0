//! Takes requests into the open batch, closes it, and keeps account of every request until it is answered: who waits,
//! how many and how many bytes. Everything here is under one lock, so that the order of closed batches is the order
//! of the log and no answer is given twice.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use super::batch::{self, OpenBatch};
use super::follow::Following;
use super::lead::Leading;
use super::message::ROUND_QUIET;
use super::ports::{Apply, LogEntry, PipelineError};
use super::queue::WriteItem;
use super::{Core, Grant};
use crate::error::{EtcdError, NO_SPACE, REQUEST_TOO_LARGE, STOPPED, TOO_MANY_REQUESTS};
use crate::limits::{
    APPLY_GAP_ENTRIES_MAX, BATCH_BUFFER_BYTES_MIN, BATCH_BYTES_MAX, BATCHES_IN_FLIGHT_MAX,
    REQUEST_BYTES_PENDING_MAX, REQUESTS_PENDING_MAX,
};
use crate::types::{EntryKind, LogMark, OpKind, Token};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A batch of this process whose requests are not answered yet.
pub(super) struct Waiting {
    payload: Bytes,
    requests: usize,
    /// When the batch was opened.
    pub since: Instant,
    /// Between proposal and stable storage.
    in_flight: bool,
    /// Where the log has it, 0 = nowhere yet.
    index: u64,
    /// Its payload's handle, 0 = none. A proposal that was forwarded to the leader keeps it until it is answered.
    handle: u64,
}

/// A payload that waits for TypeScript to name it in an entry.
struct Payload {
    bytes: Bytes,
    /// Set if it is a batch of this process.
    sequence: Option<u64>,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct State {
    open: Option<(OpenBatch, Instant)>,
    last_sequence: u64,
    last_batch_bytes: usize,
    waiting: HashMap<u64, Waiting>,
    in_flight: usize,
    pending_requests: usize,
    pending_bytes: usize,
    payloads: HashMap<u64, Payload>,
    last_payload: u64,
    pub grant: Option<Grant>,
    /// Of a grant that needs a quorum.
    pub leading: Option<Leading>,
    /// The follow grant.
    pub following: Option<Following>,
    last_round: u64,
    /// The last entry given to the WAL.
    pub last: LogMark,
    /// The disk is full: nothing new is taken until the WAL has written what it holds.
    pub no_space: bool,
    pub stopped: bool,
}

/// Tokens to be failed with one error, once the lock is free.
type Failed = Vec<Token>;

impl State {
    /// Nothing waits; `last` is the last entry of the log.
    pub fn new(last: LogMark) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    fn admit(&self, bytes: usize) -> Result<(), EtcdError> {
        if self.stopped {
            return Err(STOPPED);
        }
        if self.no_space {
            return Err(NO_SPACE);
        }
        if self.pending_requests >= REQUESTS_PENDING_MAX
            || self.pending_bytes + bytes > REQUEST_BYTES_PENDING_MAX
        {
            return Err(TOO_MANY_REQUESTS);
        }
        Ok(())
    }

    /// Whether the data plane gives entries their place by itself.
    pub fn is_granted(&self) -> bool {
        self.grant.is_some() || self.following.is_some()
    }

    /// Numbers of rounds are never used twice.
    pub fn next_round(&mut self) -> u64 {
        self.last_round += 1;
        ROUND_QUIET + self.last_round
    }

    pub fn pending_requests(&self) -> usize {
        self.pending_requests
    }

    fn landed(&mut self, sequence: u64) {
        if let Some(waiting) = self.waiting.get_mut(&sequence)
            && waiting.in_flight
        {
            waiting.in_flight = false;
            self.in_flight -= 1;
        }
    }

    /// Takes a batch out of the account; None if its requests were answered already.
    fn remove(&mut self, sequence: u64) -> Option<Waiting> {
        self.landed(sequence);
        let waiting = self.waiting.remove(&sequence)?;
        self.payloads.remove(&waiting.handle);
        self.pending_requests -= waiting.requests;
        self.pending_bytes -= waiting.payload.len();
        Some(waiting)
    }

    fn fail(&mut self, sequence: u64, failed: &mut Failed) {
        if let Some(waiting) = self.remove(sequence) {
            failed.extend(batch::tokens(&waiting.payload));
        }
    }

    fn fail_where(&mut self, condition: impl Fn(u64, &Waiting) -> bool) -> Failed {
        let mut sequences: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(sequence, waiting)| condition(**sequence, waiting))
            .map(|(sequence, _)| *sequence)
            .collect();
        sequences.sort_unstable();
        let mut failed = Vec::new();
        for sequence in sequences {
            self.fail(sequence, &mut failed);
        }
        failed
    }

    fn add_payload(&mut self, bytes: Bytes, sequence: Option<u64>) -> u64 {
        self.last_payload += 1;
        let handle = self.last_payload;
        self.payloads.insert(handle, Payload { bytes, sequence });
        if let Some(waiting) = sequence.and_then(|sequence| self.waiting.get_mut(&sequence)) {
            waiting.handle = handle;
        }
        handle
    }

    /// The batches whose entries `first` and all after it replace.
    pub fn fail_replaced(&mut self, first: u64, kept: &[u64]) -> Failed {
        self.fail_where(|sequence, waiting| {
            waiting.index != 0 && waiting.index >= first && !kept.contains(&sequence)
        })
    }

    /// A batch of this process now has this place in the log.
    pub fn place(&mut self, sequence: u64, index: u64) {
        if let Some(waiting) = self.waiting.get_mut(&sequence) {
            waiting.index = index;
        }
    }

    /// The payload behind a handle.
    pub fn payload(&self, handle: u64) -> Result<Bytes, PipelineError> {
        let payload = self.payloads.get(&handle);
        Ok(payload
            .ok_or(PipelineError::UnknownPayload(handle))?
            .bytes
            .clone())
    }

    /// The batch behind a handle makes room for the next.
    pub fn release_slot(&mut self, handle: u64) {
        let payload = self.payloads.get(&handle);
        if let Some(sequence) = payload.and_then(|payload| payload.sequence) {
            self.landed(sequence);
        }
    }

    /// A handle is not needed any more; its batch goes on waiting.
    pub fn release_payload(&mut self, handle: u64) {
        self.payloads.remove(&handle);
    }
}

impl<A: Apply> Core<A> {
    /// Appends a request to the open batch. The limits are those of limits.rs.
    pub fn submit(&self, kind: OpKind, request: &[u8], token: Token) -> Result<(), EtcdError> {
        let gap = self
            .committed
            .load(Relaxed)
            .saturating_sub(self.applied.load(Relaxed));
        if gap > APPLY_GAP_ENTRIES_MAX {
            return Err(TOO_MANY_REQUESTS);
        }
        if request.len() > self.config.max_request_bytes {
            return Err(REQUEST_TOO_LARGE);
        }
        let mut state = self.state.lock();
        state.admit(request.len())?;
        let State {
            open,
            last_sequence,
            last_batch_bytes,
            ..
        } = &mut *state;
        let (open, _) = open.get_or_insert_with(|| {
            *last_sequence += 1;
            let capacity = (*last_batch_bytes).clamp(BATCH_BUFFER_BYTES_MIN, BATCH_BYTES_MAX);
            let batch = OpenBatch::new(self.origin, *last_sequence, capacity);
            (batch, Instant::now())
        });
        let before = open.bytes();
        open.push(kind, request, token);
        let bytes = open.bytes() - before;
        state.pending_requests += 1;
        state.pending_bytes += bytes;
        self.close_if_due(&mut state);
        Ok(())
    }

    /// Closes the open batch if there is room between proposal and stable storage, or if it is full.
    pub(super) fn close_if_due(&self, state: &mut State) {
        let Some((open, _)) = &state.open else { return };
        let due = state.in_flight < BATCHES_IN_FLIGHT_MAX || open.bytes() >= BATCH_BYTES_MAX;
        if due && !state.stopped {
            self.close(state);
        }
    }

    fn close(&self, state: &mut State) {
        let (open, since) = state
            .open
            .take()
            .expect("close is called with an open batch");
        let requests = open.count();
        let payload = open.finish();
        state.pending_bytes += batch::BATCH_HEADER_BYTES;
        state.last_batch_bytes = payload.len();
        state.in_flight += 1;
        self.metrics.batches.fetch_add(1, Relaxed);
        self.metrics.requests.fetch_add(requests.into(), Relaxed);
        let sequence = state.last_sequence;
        let waiting = Waiting {
            payload: payload.clone(),
            requests: requests as usize,
            since,
            in_flight: true,
            index: 0,
            handle: 0,
        };
        state.waiting.insert(sequence, waiting);
        if state.grant.is_some() {
            self.stamp(state, EntryKind::Batch, payload, Some(sequence));
        } else {
            let bytes = payload.len();
            let handle = state.add_payload(payload, Some(sequence));
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
        let grant = state
            .grant
            .as_mut()
            .expect("stamp is called under the grant");
        let mark = LogMark {
            index: grant.next_index,
            term: grant.term,
        };
        grant.next_index += 1;
        let sole = grant.sole_voter;
        let prev = std::mem::replace(&mut state.last, mark);
        if let Some(sequence) = sequence {
            state.place(sequence, mark.index);
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
        // The own disk begins its work first: it takes longer than the others' way.
        self.queue.push(item, &self.gate);
        if let Some(leading) = &mut state.leading {
            self.replicate(leading, prev, &entry);
        }
    }

    /// These batches of this process are on stable storage, and the entries of the append grant up to `granted`: there
    /// is room for the next.
    pub(super) fn batches_stable(&self, sequences: &[u64], granted: Option<LogMark>) {
        let mut state = self.state.lock();
        if let Some(mark) = granted {
            self.own_stable(&mut state, mark);
        }
        for sequence in sequences {
            state.landed(*sequence);
        }
        self.close_if_due(&mut state);
    }

    /// Takes a batch that was applied out of the account; None if nobody waits for its answers any more.
    pub(super) fn take_applied(&self, sequence: u64) -> Option<Waiting> {
        let mut state = self.state.lock();
        let waiting = state.remove(sequence);
        self.close_if_due(&mut state);
        waiting
    }

    /// The payload behind a handle, which stays valid.
    pub fn payload(&self, handle: u64) -> Result<Bytes, PipelineError> {
        self.state.lock().payload(handle)
    }

    /// A payload that came from elsewhere (a peer) and waits for its entry.
    pub fn add_payload(&self, bytes: Bytes) -> u64 {
        self.state.lock().add_payload(bytes, None)
    }

    /// Forgets payloads; the clients of those that are batches of this process get `error`.
    pub fn drop_payloads(&self, handles: &[u64], error: &EtcdError) {
        let mut failed = Vec::new();
        let mut state = self.state.lock();
        for handle in handles {
            let payload = state.payloads.remove(handle);
            if let Some(sequence) = payload.and_then(|payload| payload.sequence) {
                state.fail(sequence, &mut failed);
            }
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
            state.fail(*sequence, &mut failed);
        }
        drop(state);
        self.answer_failed(failed, error);
    }

    /// The disk is full, or has room again. While it is full new requests are refused, and those of the open batch,
    /// which would wait for as long, get the same answer.
    pub(super) fn set_no_space(&self, no_space: bool) {
        let mut state = self.state.lock();
        state.no_space = no_space;
        let failed = if no_space {
            Self::take_open(&mut state)
        } else {
            Vec::new()
        };
        drop(state);
        self.answer_failed(failed, &NO_SPACE);
    }

    fn take_open(state: &mut State) -> Failed {
        let Some((open, _)) = state.open.take() else {
            return Vec::new();
        };
        let payload = open.finish();
        let tokens = batch::tokens(&payload);
        state.pending_requests -= tokens.len();
        state.pending_bytes -= payload.len() - batch::BATCH_HEADER_BYTES;
        tokens
    }

    /// Refuses everything from now on.
    pub(super) fn refuse_new(&self) {
        self.state.lock().stopped = true;
    }

    /// Takes every token that still waits.
    pub(super) fn take_all(&self) -> Failed {
        let mut state = self.state.lock();
        state.stopped = true;
        let mut failed = state.fail_where(|_, _| true);
        failed.extend(Self::take_open(&mut state));
        state.payloads.clear();
        debug_assert_eq!((state.pending_requests, state.pending_bytes), (0, 0));
        failed
    }

    /// Answers requests that were never applied.
    pub(super) fn answer_failed(&self, tokens: Failed, error: &EtcdError) {
        if tokens.is_empty() {
            return;
        }
        let count = tokens.len() as u64;
        self.metrics.proposals_failed.fetch_add(count, Relaxed);
        let results = tokens.into_iter().map(|token| (token, Err(error.clone())));
        self.completions.ops_done(results.collect());
    }

    /// Index up to which everything is applied.
    pub fn applied_index(&self) -> u64 {
        self.applied.load(SeqCst)
    }
}
