//! The batcher: the open batch, and the account of every request until it is answered: who waits, how many and how many
//! bytes.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use super::batch::{self, OpenBatch};
use super::ports::PipelineError;
use crate::auth::Caller;
use crate::error::{EtcdError, NO_SPACE, STOPPED, TOO_MANY_REQUESTS};
use crate::limits::{
    BATCH_BUFFER_BYTES_MIN, BATCH_BYTES_MAX, BATCHES_IN_FLIGHT_MAX, REQUEST_BYTES_PENDING_MAX,
    REQUESTS_PENDING_MAX,
};
use crate::types::{OpKind, Token};

/// A batch of this process whose requests are not answered yet.
pub(super) struct Waiting {
    pub payload: Bytes,
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

/// See the file's head.
#[derive(Default)]
pub(super) struct Batcher {
    open: Option<(OpenBatch, Instant)>,
    last_sequence: u64,
    last_batch_bytes: usize,
    waiting: HashMap<u64, Waiting>,
    in_flight: usize,
    pending_requests: usize,
    pending_bytes: usize,
    payloads: HashMap<u64, Payload>,
    last_payload: u64,
    /// The disk is full: nothing new is taken until the WAL has written what it holds.
    pub no_space: bool,
    pub stopped: bool,
}

/// A batch that was closed.
pub(super) struct Closed {
    pub sequence: u64,
    pub payload: Bytes,
    pub requests: u32,
}

/// A request that was never applied.
pub(super) struct Unanswered {
    pub token: Token,
    /// Encoded; empty if that is of no interest.
    pub request: Bytes,
    /// When its batch was opened.
    pub since: Instant,
}

/// Requests to be failed with one error, once the lock is free.
pub(super) type Failed = Vec<Unanswered>;

fn unanswered(payload: &Bytes, since: Instant) -> impl Iterator<Item = Unanswered> {
    batch::own_requests(payload).map(move |it| Unanswered {
        token: it.token,
        request: it.request,
        since,
    })
}

impl Batcher {
    /// Whether a request of so many bytes is taken.
    pub fn admit(&self, bytes: usize) -> Result<(), EtcdError> {
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

    /// Requests that are not answered yet.
    pub fn pending_requests(&self) -> usize {
        self.pending_requests
    }

    /// Appends a request to the open batch of `origin`, this process.
    pub fn push(
        &mut self,
        origin: u64,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) {
        let Self {
            open,
            last_sequence,
            last_batch_bytes,
            ..
        } = self;
        let (open, _) = open.get_or_insert_with(|| {
            *last_sequence += 1;
            let capacity = (*last_batch_bytes).clamp(BATCH_BUFFER_BYTES_MIN, BATCH_BYTES_MAX);
            let batch = OpenBatch::new(origin, *last_sequence, capacity);
            (batch, Instant::now())
        });
        let before = open.bytes();
        open.push(kind, request, token, caller);
        self.pending_bytes += open.bytes() - before;
        self.pending_requests += 1;
    }

    /// Whether there is an open batch that is to be closed: there is room between proposal and stable storage, or it
    /// is full.
    pub fn is_due(&self) -> bool {
        let Some((open, _)) = &self.open else {
            return false;
        };
        let due = self.in_flight < BATCHES_IN_FLIGHT_MAX || open.bytes() >= BATCH_BYTES_MAX;
        due && !self.stopped
    }

    /// Closes the open batch, which is on its way from now on.
    pub fn close_open(&mut self) -> Closed {
        let (open, since) = self.open.take().expect("there is an open batch to close");
        let requests = open.count();
        let payload = open.finish();
        self.pending_bytes += batch::BATCH_HEADER_BYTES;
        self.last_batch_bytes = payload.len();
        self.in_flight += 1;
        let sequence = self.last_sequence;
        let waiting = Waiting {
            payload: payload.clone(),
            requests: requests as usize,
            since,
            in_flight: true,
            index: 0,
            handle: 0,
        };
        self.waiting.insert(sequence, waiting);
        Closed {
            sequence,
            payload,
            requests,
        }
    }

    /// Takes the requests of the open batch.
    pub fn take_open(&mut self) -> Failed {
        let Some((open, since)) = self.open.take() else {
            return Vec::new();
        };
        let payload = open.finish();
        let failed: Failed = unanswered(&payload, since).collect();
        self.pending_requests -= failed.len();
        self.pending_bytes -= payload.len() - batch::BATCH_HEADER_BYTES;
        failed
    }

    /// The payloads of all batches whose requests are not answered yet, the open one's too.
    pub fn waiting_payloads(&self) -> Vec<Bytes> {
        let open = self.open.as_ref().map(|(open, _)| open.so_far());
        let closed = self.waiting.values().map(|waiting| waiting.payload.clone());
        closed.chain(open).collect()
    }

    /// Takes every request that still waits.
    pub fn take_all(&mut self) -> Failed {
        let mut failed = self.fail_where(|_, _| true);
        failed.extend(self.take_open());
        self.payloads.clear();
        debug_assert_eq!((self.pending_requests, self.pending_bytes), (0, 0));
        failed
    }

    /// Forgets the payload behind a handle, and its requests if it is a batch of this process.
    pub fn drop_payload(&mut self, handle: u64, failed: &mut Failed) {
        let payload = self.payloads.remove(&handle);
        if let Some(sequence) = payload.and_then(|payload| payload.sequence) {
            self.fail(sequence, failed);
        }
    }

    /// A batch of this process is on stable storage, or its place in flight is given up.
    pub fn landed(&mut self, sequence: u64) {
        if let Some(waiting) = self.waiting.get_mut(&sequence)
            && waiting.in_flight
        {
            waiting.in_flight = false;
            self.in_flight -= 1;
        }
    }

    /// Takes a batch out of the account; None if its requests were answered already.
    pub fn remove(&mut self, sequence: u64) -> Option<Waiting> {
        self.landed(sequence);
        let waiting = self.waiting.remove(&sequence)?;
        self.payloads.remove(&waiting.handle);
        self.pending_requests -= waiting.requests;
        self.pending_bytes -= waiting.payload.len();
        Some(waiting)
    }

    /// Takes the requests of a batch that nobody answers any more.
    pub fn fail(&mut self, sequence: u64, failed: &mut Failed) {
        if let Some(waiting) = self.remove(sequence) {
            failed.extend(unanswered(&waiting.payload, waiting.since));
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

    /// Holds a payload behind a handle; `sequence` is that of a batch of this process.
    pub fn add_payload(&mut self, bytes: Bytes, sequence: Option<u64>) -> u64 {
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
