//! Linearizable reads are let through: by a sole voter at once, else when a quorum has confirmed that this member leads,
//! which the data plane asks for by itself under the append grant, and raft otherwise.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::core::Core;
use super::lead::Leading;
use super::message::PeerMessage;
use super::ports::Apply;
use super::reads::ReadBarrier;
use crate::error::{EtcdError, STOPPED, TIMEOUT, TIMEOUT_CONNECTION_LOST, TIMEOUT_LEADER_FAIL};
use crate::types::Token;

impl<A: Apply> Core<A> {
    /// Reads wait for a read index: a quorum is asked by the data plane itself under the grant, else raft is.
    fn request_read(&self, ctx: u64) {
        let mut state = self.state.lock();
        let number = state.grants.next_round();
        let Some(leading) = state.grants.leading.as_mut() else {
            drop(state);
            return self.events.read_request(ctx);
        };
        // Raft tells its commit index before any follower learns of it, so no client has seen more than this.
        let index = leading.committed().max(self.committed.load(SeqCst));
        leading.begin_round(number, ctx, index);
        self.ask_quorum(leading);
    }

    /// A round whose heartbeats or answers were lost is asked for again.
    pub fn repeat_read(&self) {
        if let Some(leading) = &self.state.lock().grants.leading {
            self.ask_quorum(leading);
        }
    }

    fn ask_quorum(&self, leading: &Leading) {
        let Some(round) = leading.round() else { return };
        for (member, commit) in leading.voters() {
            let message = PeerMessage::Heartbeat {
                term: leading.term(),
                commit,
                round,
            };
            self.links().send(member, message, Vec::new());
        }
    }

    /// A follower answered a heartbeat of a round of the data plane.
    pub(super) fn heard(&self, from: u64, term: u64, number: u64) {
        let mut state = self.state.lock();
        let leading = state.grants.leading_in(term);
        let Some((ctx, index)) = leading.and_then(|leading| leading.heard(from, number)) else {
            return;
        };
        drop(state);
        self.read_index_ready(ctx, index);
    }

    /// The read index of `ctx` is known.
    pub fn read_index_ready(&self, ctx: u64, index: u64) {
        let request = |ctx| self.request_read(ctx);
        let ready = self.reads.index_ready(ctx, index, &self.applied, request);
        self.serve_reads(ready);
    }

    /// The read index of `ctx` could not be had.
    pub fn read_index_failed(&self, ctx: u64, error: EtcdError) {
        let counter = match [TIMEOUT, TIMEOUT_LEADER_FAIL, TIMEOUT_CONNECTION_LOST].contains(&error)
        {
            true => &self.metrics.slow_read_indexes,
            false => &self.metrics.read_indexes_failed,
        };
        counter.fetch_add(1, Relaxed);
        let failed = self.reads.index_failed(ctx, |ctx| self.request_read(ctx));
        if !failed.is_empty() {
            self.completions.reads_ready(failed, Err(error));
        }
    }

    pub(super) fn serve_reads(&self, ready: Vec<Token>) {
        if !ready.is_empty() {
            self.completions.reads_ready(ready, Ok(()));
        }
    }

    /// A linearizable read asks whether it may be served.
    pub fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError> {
        if self.failed.load(Relaxed) {
            return Err(STOPPED);
        }
        if self.reads.are_free(self.applied.load(SeqCst)) {
            return Ok(ReadBarrier::Now);
        }
        self.reads.wait(token, |ctx| self.request_read(ctx))?;
        Ok(ReadBarrier::Wait)
    }
}
