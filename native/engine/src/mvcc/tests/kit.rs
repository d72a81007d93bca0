//! What the store's tests share: a store in a temporary directory that numbers its own entries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::auth::Caller;
use crate::error::EtcdError;
use crate::mvcc::*;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::*;
use crate::proto::mvccpb::{self, event::EventType};
use crate::types::{Identity, LogMark, OpKind};
use crate::watch::{KeyRange, TakenEvent, WatchSink, WatchSpec, Watched, WatcherHandle};

/// Term of every header in these tests.
pub const TERM: u64 = 3;

/// Collects what the store tells.
#[derive(Default)]
pub struct Told {
    pub flushed: Mutex<Vec<LogMark>>,
    pub fatal: Mutex<Vec<String>>,
}

impl StoreEvents for Told {
    fn flushed(&self, mark: LogMark) {
        self.flushed.lock().push(mark);
    }

    fn fatal(&self, message: String) {
        self.fatal.lock().push(message);
    }

    fn log(&self, _level: LogLevel, _message: &str, _fields: Vec<(String, String)>) {}
}

/// A watcher that is taken from without being woken.
struct Asleep;

impl WatchSink for Asleep {
    fn wake(&self, _: u64) {}
}

/// A store and the log index it stands at.
pub struct Kit {
    pub dir: Arc<tempfile::TempDir>,
    pub store: Arc<Store>,
    pub told: Arc<Told>,
    pub recovered: StoreRecovered,
    pub index: u64,
}

impl Kit {
    pub fn new() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// A store that the operator has set up otherwise.
    pub fn with(change: impl FnOnce(&mut StoreConfig)) -> Self {
        Self::open_with(Arc::new(tempfile::tempdir().unwrap()), change)
    }

    fn open(dir: Arc<tempfile::TempDir>) -> Self {
        Self::open_with(dir, |_| {})
    }

    fn open_with(dir: Arc<tempfile::TempDir>, change: impl FnOnce(&mut StoreConfig)) -> Self {
        Self::try_open(dir, change).unwrap()
    }

    fn try_open(
        dir: Arc<tempfile::TempDir>,
        change: impl FnOnce(&mut StoreConfig),
    ) -> Result<Self, OpenError> {
        let told = Arc::new(Told::default());
        let events: Arc<dyn StoreEvents> = told.clone();
        let mut config = StoreConfig {
            dir: dir.path().to_owned(),
            identity: Identity {
                cluster_id: 11,
                member_id: 22,
            },
            quota_bytes: Some(1 << 30),
            max_request_bytes: 1 << 20,
            batch_interval: Duration::from_millis(100),
            batch_limit: None,
            compaction_batch_limit: None,
            compaction_sleep: Duration::ZERO,
            no_fsync: true,
            events,
        };
        change(&mut config);
        let (store, recovered) = Store::open(config)?;
        Ok(Self {
            dir,
            store,
            told,
            index: recovered.applied.index,
            recovered,
        })
    }

    /// Watches every key from now on.
    pub fn watch(&self) -> WatcherHandle {
        let everything = KeyRange::from_wire(b"\0", b"\0").unwrap();
        let spec = WatchSpec {
            watched: Watched::all_of(everything),
            start_revision: 0,
        };
        self.store.watch_hub().register(spec, Arc::new(Asleep), 0)
    }

    /// Revision, kind and key of what a watcher has queued.
    pub fn seen(&self, watcher: &WatcherHandle) -> Vec<(i64, EventType, Bytes)> {
        let taken = self.store.watch_hub().take(watcher, usize::MAX);
        let of = |event: TakenEvent| {
            let decoded = mvccpb::Event::decode(event.encoded).unwrap();
            (event.revision, decoded.r#type(), decoded.kv.unwrap().key)
        };
        taken.events.into_iter().map(of).collect()
    }

    /// What a start after a crash finds that leaves these files.
    pub fn copy_of(dir: &std::path::Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let snap = crate::snapshot::DIRECTORY;
        std::fs::create_dir(copy.path().join(snap)).unwrap();
        for from in [dir.to_owned(), dir.join(snap)] {
            let to = copy.path().join(from.strip_prefix(dir).unwrap());
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let lock = entry.file_name().to_string_lossy().ends_with("-lock");
                if entry.file_type().unwrap().is_file() && !lock {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                }
            }
        }
        Self::open(Arc::new(copy))
    }

    /// Ends the store without a last commit and opens what is on disk.
    pub fn crash(self) -> Self {
        self.store.abandon();
        let dir = Arc::clone(&self.dir);
        assert_eq!(*self.told.fatal.lock(), Vec::<String>::new());
        drop(self);
        Self::open(dir)
    }

    /// Closes the store; the error if it cannot be opened again.
    pub fn reopening_fails_with(self) -> Option<OpenError> {
        self.store.close();
        self.store.abandon();
        let dir = Arc::clone(&self.dir);
        drop(self);
        Self::try_open(dir, |_| {}).err()
    }

    /// Closes the store and opens it again.
    pub fn reopen(self) -> Self {
        self.store.close();
        self.crash()
    }

    pub fn mark(&self) -> LogMark {
        LogMark {
            index: self.index,
            term: TERM,
        }
    }

    /// Of the next entry.
    pub fn next_context(&mut self) -> ApplyContext {
        self.index += 1;
        ApplyContext {
            mark: self.mark(),
            raft_term: TERM,
        }
    }

    /// Applies one operation as an entry of its own.
    pub fn apply(&mut self, kind: OpKind, request: &impl Message) -> Result<Bytes, EtcdError> {
        self.apply_as(&Caller::Nobody, kind, request)
    }

    pub fn apply_as(
        &mut self,
        caller: &Caller,
        kind: OpKind,
        request: &impl Message,
    ) -> Result<Bytes, EtcdError> {
        let context = self.next_context();
        let applied = self
            .store
            .apply_op(kind, request.encode_to_vec().into(), caller, &context);
        self.store.entry_applied(self.mark());
        match applied {
            Applied::Done(result) => result,
            Applied::AfterCompaction { answer, .. } => Ok(answer),
        }
    }

    pub fn put(&mut self, request: PutRequest) -> Result<PutResponse, EtcdError> {
        self.apply(OpKind::Put, &request).map(decode)
    }

    /// Puts a value; returns the revision.
    pub fn set(&mut self, key: &str, value: &str) -> i64 {
        let response = self.put(put(key, value)).unwrap();
        response.header.unwrap().revision
    }

    pub fn delete(&mut self, key: &str, end: &str) -> DeleteRangeResponse {
        let request = DeleteRangeRequest {
            key: bytes(key),
            range_end: bytes(end),
            prev_kv: true,
        };
        self.apply(OpKind::DeleteRange, &request)
            .map(decode)
            .unwrap()
    }

    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        self.apply(OpKind::Txn, request).map(decode)
    }

    pub fn compact(&mut self, revision: i64) -> Result<CompactionResponse, EtcdError> {
        let request = CompactionRequest {
            revision,
            physical: true,
        };
        self.apply(OpKind::Compact, &request).map(decode)
    }

    /// Compacts and waits until it is physically done.
    pub fn compact_wholly(&mut self, revision: i64) {
        self.compact(revision).unwrap();
        self.settle(revision);
    }

    /// Waits until a compaction is physically done.
    pub fn settle(&self, revision: i64) {
        let (done, finished) = crossbeam_channel::bounded(1);
        self.store
            .on_compacted(revision, Box::new(move || done.send(()).unwrap()));
        finished.recv().unwrap();
    }

    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<LeaseGrantResponse, EtcdError> {
        let request = LeaseGrantRequest { id, ttl };
        self.apply(OpKind::LeaseGrant, &request).map(decode)
    }

    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        Ok(decode(
            match self.store.range(request, &Caller::Nobody, TERM)? {
                RangeAnswer::Whole(bytes) => bytes,
                RangeAnswer::Chunked { bytes, chunks, .. } => {
                    let mut all = Vec::new();
                    for chunk in chunks {
                        all.extend_from_slice(&chunk?);
                    }
                    assert_eq!(all.len() as u64, bytes);
                    all.into()
                }
            },
        ))
    }

    /// key=value of every key at a revision (0 = now).
    pub fn all(&self, revision: i64) -> Result<Vec<String>, EtcdError> {
        let response = self.range(&RangeRequest {
            revision,
            ..range("\0", "\0")
        })?;
        Ok(response.kvs.iter().map(show).collect())
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.store.abandon();
    }
}

pub fn show(kv: &crate::proto::mvccpb::KeyValue) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}={}", text(&kv.key), text(&kv.value))
}

pub fn decode<M: Message + Default>(bytes: Bytes) -> M {
    M::decode(bytes).unwrap()
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

pub fn range(key: &str, end: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(key),
        range_end: bytes(end),
        ..Default::default()
    }
}

pub fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

pub fn op_put(key: &str, value: &str) -> RequestOp {
    op(Request::RequestPut(put(key, value)))
}

pub fn op_range(key: &str, end: &str) -> RequestOp {
    op(Request::RequestRange(range(key, end)))
}

pub fn op_delete(key: &str, end: &str) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(end),
        ..Default::default()
    }))
}
