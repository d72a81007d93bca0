//! What a promise stands for: work that may block, on a thread of the pool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{BigInt, Buffer};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use netcd_engine::mvcc::{KvHash, MetaTable, RangeAnswer};
use netcd_engine::pipeline::{EntryMeta, LogEntry};
use netcd_engine::proto::etcdserverpb::RangeRequest;
use netcd_front::ListenerConfig;
use prost::Message;

use crate::engine::{Shared, State};
use crate::limits::READ_ENTRIES_BYTES_MAX;
use crate::open::{Found, open, reason};

/// `HardState` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundHardState {
    /// Current term.
    pub term: f64,
    /// Vote, 0n = none.
    pub vote: BigInt,
    /// Commit index.
    pub commit: f64,
}

/// `EntryMeta` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundEntry {
    /// Index.
    pub index: f64,
    /// Term.
    pub term: f64,
    /// Kind.
    pub kind: u32,
    /// Bytes of the payload.
    pub bytes: f64,
}

impl From<&EntryMeta> for FoundEntry {
    fn from(meta: &EntryMeta) -> Self {
        Self {
            index: meta.mark.index as f64,
            term: meta.mark.term as f64,
            kind: u32::from(meta.kind as u8),
            bytes: meta.bytes as f64,
        }
    }
}

/// `MetaRow` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundRow {
    /// Table name.
    pub table: String,
    /// Row key.
    pub key: Buffer,
    /// Row value.
    pub value: Buffer,
}

/// A lease as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundLease {
    /// Id.
    pub id: BigInt,
    /// Granted seconds.
    pub ttl_seconds: f64,
    /// Remaining seconds at the last checkpoint, 0 = none.
    pub remaining_ttl_seconds: f64,
}

/// `Recovered`.
#[napi(object, object_from_js = false)]
pub struct Recovered {
    /// There was no WAL.
    pub fresh: bool,
    /// Cluster id.
    pub cluster_id: BigInt,
    /// Member id.
    pub member_id: BigInt,
    /// The last hard state.
    pub hard_state: FoundHardState,
    /// The entry before the log's first.
    pub snapshot_index: f64,
    /// Its term.
    pub snapshot_term: f64,
    /// The log.
    pub entries: Vec<FoundEntry>,
    /// Last entry that the store has.
    pub applied_index: f64,
    /// Its term.
    pub applied_term: f64,
    /// Store revision.
    pub revision: f64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: f64,
    /// Control-plane state.
    pub meta: Vec<FoundRow>,
    /// Leases.
    pub leases: Vec<FoundLease>,
    /// Bytes cut from a torn tail.
    pub torn_bytes: f64,
}

/// The name by which JavaScript knows a table.
pub fn table_name(table: MetaTable) -> &'static str {
    match table {
        MetaTable::Meta => "meta",
        MetaTable::Members => "members",
        MetaTable::Auth => "auth",
        MetaTable::Alarms => "alarms",
    }
}

fn recovered(found: Found) -> Recovered {
    let Found { store, log } = found;
    let rows = store.meta.into_iter().map(|row| FoundRow {
        table: table_name(row.table).to_owned(),
        key: row.key.to_vec().into(),
        value: row.value.to_vec().into(),
    });
    let leases = store.leases.iter().map(|lease| FoundLease {
        id: lease.id.into(),
        ttl_seconds: lease.ttl_seconds as f64,
        remaining_ttl_seconds: lease.remaining_ttl_seconds as f64,
    });
    let replay = log.replay;
    Recovered {
        fresh: log.fresh,
        cluster_id: replay.identity.cluster_id.into(),
        member_id: replay.identity.member_id.into(),
        hard_state: FoundHardState {
            term: replay.hard_state.term as f64,
            vote: replay.hard_state.vote.into(),
            commit: replay.hard_state.commit as f64,
        },
        snapshot_index: replay.compacted.index as f64,
        snapshot_term: replay.compacted.term as f64,
        entries: log.entries.iter().map(FoundEntry::from).collect(),
        applied_index: store.applied.index as f64,
        applied_term: store.applied.term as f64,
        revision: store.revision as f64,
        compact_revision: store.compact_revision as f64,
        meta: rows.collect(),
        leases: leases.collect(),
        torn_bytes: replay.torn_bytes as f64,
    }
}

/// `open`.
pub struct Open(pub Arc<Shared>);

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
pub struct Range(pub Arc<Shared>, pub Bytes);

impl Task for Range {
    type Output = Vec<u8>;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<Vec<u8>> {
        let running = self.0.running()?;
        let request = RangeRequest::decode(self.1.clone()).map_err(reason)?;
        let term = running.pipeline.raft_term();
        match running.store.range(&request, term).map_err(reason)? {
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
