//! The raft log from JavaScript: what it gives the WAL and takes back, the grants, and what may be applied or read.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{AsyncTask, BigInt, Uint8Array};
use napi_derive::napi;
use netcd_engine::error::EtcdError;
use netcd_engine::pipeline::{GrantKind, PipelineError, Streamed};
use netcd_engine::types::LogMark;

use crate::check::{copy, entry_kind, id, number, reason};
use crate::options::{JsHardState, JsMetaWrite, JsPersistEntry, JsQuorum, JsStatus};
use crate::shared::Shared;
use crate::tasks::ReadEntries;

/// The raft log of an engine.
#[napi]
pub struct NativeLog(pub(crate) Arc<Shared>);

#[napi]
impl NativeLog {
    /// Queues entries and hard state for the WAL.
    #[napi]
    pub fn persist(
        &self,
        seq: f64,
        hard_state: Option<JsHardState>,
        entries: Vec<JsPersistEntry>,
    ) -> Result<()> {
        let seq = number("seq", seq)?;
        let hard_state = hard_state.map(|state| state.read()).transpose()?;
        let entries = entries.iter().map(JsPersistEntry::read);
        let entries = entries.collect::<Result<Vec<_>>>()?;
        self.0
            .pipeline(|pipeline| pipeline.persist(seq, hard_state, entries))
    }

    /// Forgets payloads; clients of those that are batches get the error.
    #[napi]
    pub fn drop_payloads(&self, payloads: Vec<f64>, error: JsStatus) -> Result<()> {
        let handles = payloads
            .into_iter()
            .map(|handle| number("payloads", handle));
        let handles = handles.collect::<Result<Vec<u64>>>()?;
        let error = EtcdError::from(error);
        self.0.pipeline(|pipeline| {
            pipeline.drop_payloads(&handles, &error);
            Ok(())
        })
    }

    /// Gives the append grant; without others the leader is the sole voter.
    #[napi]
    pub fn grant(&self, term: f64, next_index: f64, others: Option<JsQuorum>) -> Result<()> {
        let (term, next_index) = (number("term", term)?, number("nextIndex", next_index)?);
        let kind = match others {
            None => GrantKind::SoleVoter,
            Some(quorum) => GrantKind::Quorum(quorum.read()?),
        };
        let patient = kind == GrantKind::SoleVoter;
        self.0
            .pipeline(|pipeline| pipeline.grant(term, next_index, kind))?;
        self.0.queue.set_patient(patient);
        Ok(())
    }

    /// Sends to these members what is stamped from now on; false: `last` is not the last index that was stamped.
    #[napi]
    pub fn stream(&self, last: f64, members: Vec<BigInt>) -> Result<bool> {
        let last = number("last", last)?;
        let members = members
            .iter()
            .map(|member| id("members", member))
            .collect::<Result<Vec<u64>>>()?;
        let streamed = self
            .0
            .enqueue(|running| match running.pipeline.stream(last, &members) {
                Ok(streamed) => Ok(Some(streamed)),
                // It is about to be closed.
                Err(PipelineError::Closed) => Ok(None),
                Err(error) => Err(reason(error)),
            })?;
        let Some(streamed) = streamed.filter(|streamed| *streamed != Streamed::Refused) else {
            return Ok(false);
        };
        self.0.queue.set_patient(streamed == Streamed::Quorum);
        Ok(true)
    }

    /// Asks again for a quorum's word if reads still wait for it.
    #[napi]
    pub fn repeat_read(&self) -> Result<()> {
        self.0.pipeline(|pipeline| {
            pipeline.repeat_read();
            Ok(())
        })
    }

    /// Gives the follow grant.
    #[napi]
    pub fn follow(&self, term: f64, leader: BigInt, last: f64) -> Result<()> {
        let (term, leader, last) = (
            number("term", term)?,
            id("leader", &leader)?,
            number("last", last)?,
        );
        self.0
            .pipeline(|pipeline| pipeline.follow(term, leader, last))?;
        self.0.queue.set_patient(true);
        Ok(())
    }

    /// Tells that index is applied as soon as it is, also where marks may wait.
    #[napi]
    pub fn await_applied(&self, index: f64) -> Result<()> {
        self.0.queue.await_applied(number("index", index)?);
        Ok(())
    }

    /// Ends either grant; returns the last index given to the WAL.
    #[napi]
    pub fn revoke_grant(&self) -> Result<f64> {
        self.0.queue.set_patient(false);
        self.0
            .enqueue(|running| Ok(running.pipeline.revoke_grant() as f64))
    }

    /// Apply up to index.
    #[napi]
    pub fn commit(&self, index: f64) -> Result<()> {
        let index = number("index", index)?;
        self.0.pipeline(|pipeline| {
            pipeline.commit(index);
            Ok(())
        })
    }

    /// The control entry at index was applied.
    #[napi]
    pub fn control_applied(&self, index: f64, writes: Vec<JsMetaWrite>) -> Result<()> {
        let index = number("index", index)?;
        let writes = writes.iter().map(JsMetaWrite::read);
        let writes = writes.collect::<Result<Vec<_>>>()?;
        self.0.pipeline(|pipeline| {
            pipeline.control_applied(index, writes);
            Ok(())
        })
    }

    /// Queues a Control or ConfChange entry under the grant.
    #[napi]
    pub fn propose_control(&self, kind: u8, data: Uint8Array) -> Result<()> {
        let (kind, data) = (entry_kind(kind)?, copy(&data));
        self.0
            .pipeline(|pipeline| pipeline.propose_control(kind, data))
    }

    /// Stamps the payload behind a handle under the grant.
    #[napi]
    pub fn stamp_payload(&self, kind: u8, payload: f64) -> Result<()> {
        let (kind, payload) = (entry_kind(kind)?, number("payload", payload)?);
        self.0
            .pipeline(|pipeline| pipeline.stamp_payload(kind, payload))
    }

    /// The next batch no longer waits for this one, which was forwarded.
    #[napi]
    pub fn release_batch(&self, payload: f64) -> Result<()> {
        let payload = number("payload", payload)?;
        self.0.pipeline(|pipeline| {
            pipeline.release_batch(payload);
            Ok(())
        })
    }

    /// Forgets log entries up to index.
    #[napi]
    pub fn compact(&self, index: f64, term: f64) -> Result<()> {
        let (index, term) = (number("index", index)?, number("term", term)?);
        self.0.pipeline(|pipeline| {
            pipeline.compact_log(LogMark { index, term });
            Ok(())
        })
    }

    /// The payloads of entries.
    #[napi]
    pub fn read_entries(&self, first: f64, last: f64) -> Result<AsyncTask<ReadEntries>> {
        Ok(AsyncTask::new(ReadEntries {
            shared: Arc::clone(&self.0),
            first: number("first", first)?,
            last: number("last", last)?,
        }))
    }

    /// The read index of `ctx` is known.
    #[napi]
    pub fn read_index_ready(&self, ctx: f64, index: f64) -> Result<()> {
        let (ctx, index) = (number("ctx", ctx)?, number("index", index)?);
        self.0.pipeline(|pipeline| {
            pipeline.read_index_ready(ctx, index);
            Ok(())
        })
    }

    /// The read index of `ctx` could not be had.
    #[napi]
    pub fn read_index_failed(&self, ctx: f64, error: JsStatus) -> Result<()> {
        let ctx = number("ctx", ctx)?;
        self.0.pipeline(|pipeline| {
            pipeline.read_index_failed(ctx, error.into());
            Ok(())
        })
    }
}
