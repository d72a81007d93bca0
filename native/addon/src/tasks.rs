//! What a promise stands for: work that may block, on a thread of the pool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::Buffer;
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use netcd_engine::auth::Caller;
use netcd_engine::mvcc::{KvHash, RangeAnswer};
use netcd_engine::pipeline::LogEntry;
use netcd_engine::proto::etcdserverpb::RangeRequest;
use netcd_front::ListenerConfig;
use prost::Message;

use crate::check::reason;
use crate::found::{FoundEntry, Recovered, recovered};
use crate::limits::READ_ENTRIES_BYTES_MAX;
use crate::open::{Found, open};
use crate::shared::{Shared, State};

/// `open`.
pub struct Open(pub Arc<Shared>);

#[napi]
impl Task for Open {
    type Output = Found;
    type JsValue = Recovered;

    fn compute(&mut self) -> Result<Found> {
        let _changing = self.0.changing.lock();
        match *self.0.state.read() {
            State::New => {}
            State::Open(_) => return Err(Error::from_reason("the engine is open already")),
            State::Closed => return Err(Error::from_reason("the engine is closed")),
        }
        let (opened, found) = open(&self.0.settings, &self.0.queue)?;
        *self.0.state.write() = State::Open(Arc::new(opened));
        Ok(found)
    }

    fn resolve(&mut self, _: Env, found: Found) -> Result<Recovered> {
        Ok(recovered(found))
    }

    fn reject(&mut self, _: Env, error: Error) -> Result<Recovered> {
        // Unless another call has opened it, nothing will come any more: JavaScript may end without a close.
        if let State::New = *self.0.state.read() {
            self.0.queue.release();
        }
        Err(error)
    }
}

/// `listen`.
pub struct Listen(pub Arc<Shared>, pub Vec<ListenerConfig>);

#[napi]
impl Task for Listen {
    type Output = Vec<String>;
    type JsValue = Vec<String>;

    fn compute(&mut self) -> Result<Vec<String>> {
        let _changing = self.0.changing.lock();
        self.0.running()?.front.listen(&self.1).map_err(reason)
    }

    fn resolve(&mut self, _: Env, addresses: Vec<String>) -> Result<Vec<String>> {
        Ok(addresses)
    }
}

/// An entry of `readEntries`.
#[napi(object, object_from_js = false)]
pub struct ReadEntry {
    /// Metadata.
    pub meta: FoundEntry,
    /// Payload.
    pub data: Buffer,
}

/// `readEntries`.
pub struct ReadEntries {
    /// The engine.
    pub shared: Arc<Shared>,
    /// First index.
    pub first: u64,
    /// Last index.
    pub last: u64,
}

#[napi]
impl Task for ReadEntries {
    type Output = Vec<LogEntry>;
    type JsValue = Vec<ReadEntry>;

    fn compute(&mut self) -> Result<Vec<LogEntry>> {
        let pipeline = &self.shared.running()?.pipeline;
        pipeline
            .read_entries(self.first, self.last, READ_ENTRIES_BYTES_MAX)
            .map_err(reason)
    }

    fn resolve(&mut self, _: Env, entries: Vec<LogEntry>) -> Result<Vec<ReadEntry>> {
        let entries = entries.iter().map(|entry| ReadEntry {
            meta: FoundEntry::from(&entry.meta()),
            data: entry.payload.to_vec().into(),
        });
        Ok(entries.collect())
    }
}

/// `range`.
pub struct Range {
    /// The engine.
    pub shared: Arc<Shared>,
    /// Encoded.
    pub request: Bytes,
    /// Who asks.
    pub caller: Caller,
}

#[napi]
impl Task for Range {
    type Output = Vec<u8>;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<Vec<u8>> {
        let running = self.shared.running()?;
        let request = RangeRequest::decode(self.request.clone()).map_err(reason)?;
        let term = running.pipeline.raft_term();
        match running
            .store
            .range(&request, &self.caller, term)
            .map_err(reason)?
        {
            RangeAnswer::Whole(bytes) => Ok(bytes.into()),
            RangeAnswer::Chunked { bytes, chunks, .. } => {
                let mut whole = Vec::with_capacity(usize::try_from(bytes).map_err(reason)?);
                for chunk in chunks {
                    whole.extend_from_slice(&chunk.map_err(reason)?);
                }
                Ok(whole)
            }
        }
    }

    fn resolve(&mut self, _: Env, answer: Vec<u8>) -> Result<Buffer> {
        Ok(answer.into())
    }
}

/// The answer to `hashKv`.
#[napi(object, object_from_js = false)]
pub struct StoreHash {
    /// CRC-32C over the kept revisions.
    pub hash: u32,
    /// Revision that was hashed.
    pub hash_revision: f64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: f64,
    /// Current revision.
    pub revision: f64,
}

/// `hashKv`.
pub struct HashKv(pub Arc<Shared>, pub i64);

#[napi]
impl Task for HashKv {
    type Output = KvHash;
    type JsValue = StoreHash;

    fn compute(&mut self) -> Result<KvHash> {
        self.0.running()?.store.hash_kv(self.1).map_err(reason)
    }

    fn resolve(&mut self, _: Env, answer: KvHash) -> Result<StoreHash> {
        Ok(StoreHash {
            hash: answer.hash,
            hash_revision: answer.hash_revision as f64,
            compact_revision: answer.compact_revision as f64,
            revision: answer.revision as f64,
        })
    }
}

/// `defragment`.
pub struct Defragment(pub Arc<Shared>);

#[napi]
impl Task for Defragment {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        self.0.running()?.store.defragment().map_err(reason)
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

/// `drainClients`.
pub struct DrainClients(pub Arc<Shared>, pub Duration);

#[napi]
impl Task for DrainClients {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        // What is not open has no clients.
        if let Ok(running) = self.0.running() {
            running.front.drain_clients(self.1);
        }
        Ok(())
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

/// `leavePeers`.
pub struct LeavePeers(pub Arc<Shared>);

#[napi]
impl Task for LeavePeers {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        // What is not open has no links.
        if let Ok(running) = self.0.running() {
            running.peers.leave();
        }
        Ok(())
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

/// `close`.
pub struct Close(pub Arc<Shared>, pub Duration);

#[napi]
impl Task for Close {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let _changing = self.0.changing.lock();
        if let Ok(running) = self.0.running() {
            running.close(self.1);
        }
        // What was open is dropped when the state is not locked any more: that takes milliseconds.
        let ended = std::mem::replace(&mut *self.0.state.write(), State::Closed);
        drop(ended);
        Ok(())
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        self.0.queue.release();
        Ok(())
    }
}
