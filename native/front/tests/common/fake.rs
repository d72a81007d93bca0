//! An engine in memory: answers writes in batches from a thread of its own, as the apply thread does.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use netcd_engine::auth::{Access, Auth, Caller, Table};
use netcd_engine::error::{self, EtcdError};
use netcd_engine::mvcc::{Applied, ApplyContext, LogLevel, Store, StoreConfig, StoreEvents};
use netcd_engine::proto::etcdserverpb::{
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader, TxnRequest,
    TxnResponse,
};
use netcd_engine::proto::mvccpb::KeyValue;
use netcd_engine::types::{Completions, Identity, LogMark, OpKind, OpResult, Token};
use netcd_engine::watch::WatchHub;
use netcd_front::{
    Backend, Chunks, FrontCompletions, RangeAnswer, ReadBarrier, ReadKind, SlowRead,
};
use prost::Message;

pub const CHUNK_BYTES: usize = 256 << 10;

/// Where the clock of leases and tokens begins.
static EPOCH: OnceLock<Instant> = OnceLock::new();

#[derive(Default)]
struct Queue {
    writes: Vec<(OpKind, Bytes, Token)>,
    closed: bool,
}

#[derive(Default)]
pub struct Fake {
    completions: OnceLock<Arc<FrontCompletions>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Writes are taken and not answered until `release`.
    pub hold: AtomicBool,
    /// Linearizable reads wait until `reads_ready`.
    pub reads_wait: AtomicBool,
    pub waiting_reads: Mutex<Vec<Token>>,
    pub refuse: Mutex<Option<EtcdError>>,
    /// Ranges fail.
    pub store_is_broken: AtomicBool,
    pub applied: AtomicU64,
    /// Revision of the newest compaction.
    pub compacted: AtomicI64,
    /// Users, roles and tokens.
    pub auth: Arc<Auth>,
    /// What is applied as far as tokens are concerned.
    pub applied_index: AtomicU64,
    /// Every request that was taken.
    submitted: Mutex<Vec<(OpKind, Bytes)>>,
    /// Whose they were.
    pub callers: Mutex<Vec<Caller>>,
    /// What the engine was told of reads.
    pub slow_reads: Mutex<Vec<String>>,
    /// Chunks that were read from chunked answers and streams.
    pub chunks_read: Arc<AtomicU64>,
    /// What is watched: a real store, opened when the first watch needs it.
    watched: OnceLock<Watched>,
}

/// A store in a directory of its own.
struct Watched {
    store: Arc<Store>,
    _dir: tempfile::TempDir,
}

struct Unheard;

impl StoreEvents for Unheard {
    fn flushed(&self, _: LogMark) {}
    fn fatal(&self, message: String) {
        panic!("{message}");
    }
    fn log(&self, _: LogLevel, _: &str, _: Vec<(String, String)>) {}
}

impl Watched {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreConfig {
            dir: dir.path().to_owned(),
            identity: IDENTITY,
            quota_bytes: None,
            max_request_bytes: 1 << 20,
            batch_interval: Duration::from_millis(100),
            batch_limit: None,
            compaction_batch_limit: None,
            compaction_sleep: Duration::ZERO,
            no_fsync: true,
            events: Arc::new(Unheard),
        })
        .unwrap();
        Self { store, _dir: dir }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.store.close();
    }
}

pub const IDENTITY: Identity = Identity {
    cluster_id: 11,
    member_id: 12,
};
pub const TERM: u64 = 5;

impl Fake {
    pub fn new(completions: &Arc<FrontCompletions>) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        assert!(fake.completions.set(completions.clone()).is_ok());
        let applier = Arc::downgrade(&fake);
        std::thread::spawn(move || apply(&applier));
        fake
    }

    pub fn completions(&self) -> &Arc<FrontCompletions> {
        self.completions.get().expect("set in new")
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.watched.get_or_init(Watched::open).store
    }

    /// Applies an operation to the store.
    pub fn apply(&self, kind: OpKind, request: &impl Message) {
        let index = self.applied.fetch_add(1, Ordering::SeqCst) + 1;
        let context = ApplyContext {
            mark: LogMark { index, term: 1 },
            raft_term: TERM,
        };
        let applied = self.store().apply_op(
            kind,
            request.encode_to_vec().into(),
            &Caller::Nobody,
            &context,
        );
        assert!(matches!(applied, Applied::Done(Ok(_))), "{applied:?}");
        self.store().entry_applied(context.mark);
    }

    pub fn submitted(&self) -> Vec<(OpKind, Bytes)> {
        self.submitted.lock().unwrap().clone()
    }

    pub fn forget_submitted(&self) {
        self.submitted.lock().unwrap().clear();
    }

    pub fn release(&self) {
        self.hold.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub fn held(&self) -> usize {
        self.queue.lock().unwrap().writes.len()
    }

    pub fn close(&self) {
        self.queue.lock().unwrap().closed = true;
        self.changed.notify_all();
    }
}

fn apply(fake: &Weak<Fake>) {
    while let Some(fake) = fake.upgrade() {
        let batch = {
            let queue = fake.queue.lock().unwrap();
            let idle = |queue: &mut Queue| {
                !queue.closed && (queue.writes.is_empty() || fake.hold.load(Ordering::SeqCst))
            };
            let mut queue = fake.changed.wait_while(queue, idle).unwrap();
            if queue.closed {
                return;
            }
            std::mem::take(&mut queue.writes)
        };
        let answer = |_: &(OpKind, Bytes, Token)| {
            let revision = fake.applied.fetch_add(1, Ordering::SeqCst) as i64 + 2;
            let header = ResponseHeader {
                revision,
                ..Default::default()
            };
            Ok(Bytes::from(
                PutResponse {
                    header: Some(header),
                    prev_kv: None,
                }
                .encode_to_vec(),
            ))
        };
        let results: Vec<(Token, OpResult)> =
            batch.iter().map(|write| (write.2, answer(write))).collect();
        // Whether a call was slow is for the transport to say.
        let named = batch.iter().map(|write| (write.2, write.1.clone()));
        fake.completions().slow(named.collect());
        fake.completions().ops_done(results);
    }
}

pub fn kv(key: &[u8], value: Bytes) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key),
        value,
        ..Default::default()
    }
}

/// A chunked RangeResponse of one key whose value has `chunks` chunks of zeros.
fn chunked(chunks: usize, read: Arc<AtomicU64>, fail_at: Option<usize>) -> RangeAnswer {
    let value = Bytes::from(vec![0u8; chunks * CHUNK_BYTES]);
    let response = RangeResponse {
        kvs: vec![kv(b"k", value)],
        ..Default::default()
    };
    let mut whole = Bytes::from(response.encode_to_vec());
    let bytes = whole.len() as u64;
    let mut at = 0;
    let chunks: Chunks = Box::new(std::iter::from_fn(move || {
        if whole.is_empty() {
            return None;
        }
        read.fetch_add(1, Ordering::SeqCst);
        at += 1;
        if fail_at == Some(at) {
            return Some(Err(error::COMPACTED));
        }
        Some(Ok(whole.split_to(CHUNK_BYTES.min(whole.len()))))
    }));
    RangeAnswer::Chunked {
        bytes,
        kvs: 1,
        count: 1,
        chunks,
    }
}

/// `chunked:N` as a key asks for a chunked answer, `broken:N` for one that fails, `fail` for an error, `large:N` for
/// one value of N bytes; all else is echoed.
impl Backend for Fake {
    fn read_answered(&self, _kind: ReadKind, _success: bool, took: Duration) -> bool {
        took > Duration::ZERO
    }

    fn slow_read(&self, _took: Duration, read: SlowRead<'_>) {
        let text = format!("{:?} {} -> {}", read.kind, read.request, read.response);
        self.slow_reads.lock().unwrap().push(text);
    }

    fn waiting_requests(&self, tokens: &HashSet<Token>) -> Vec<(Token, Bytes)> {
        let queue = self.queue.lock().unwrap();
        let asked = queue
            .writes
            .iter()
            .filter(|(_, _, token)| tokens.contains(token));
        asked
            .map(|(_, request, token)| (*token, request.clone()))
            .collect()
    }

    fn watch_hub(&self) -> &Arc<WatchHub> {
        self.store().watch_hub()
    }

    fn identity(&self) -> Identity {
        IDENTITY
    }

    fn raft_term(&self) -> u64 {
        TERM
    }

    fn revision(&self) -> i64 {
        self.store().revision()
    }

    fn compact_revision(&self) -> i64 {
        self.compacted.load(Ordering::SeqCst)
    }

    fn renew_lease(&self, id: i64) -> Option<i64> {
        self.store().renew_lease(id)
    }

    fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    fn check_lease(&self, table: &Table, caller: &Caller, id: i64) -> Result<(), EtcdError> {
        table.check_known(caller)?;
        let leases = self.store().leases();
        let (bounds, keys) = (leases.bounds(id), leases.keys_unordered(id));
        table.check_keys(caller, bounds, keys, Access::Write)
    }

    fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::SeqCst)
    }

    fn now_ms(&self) -> u64 {
        EPOCH.get_or_init(Instant::now).elapsed().as_millis() as u64
    }

    fn submit(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError> {
        if let Some(error) = self.refuse.lock().unwrap().clone() {
            return Err(error);
        }
        let taken = (kind, Bytes::copy_from_slice(request));
        self.submitted.lock().unwrap().push(taken);
        self.callers.lock().unwrap().push(caller.clone());
        self.queue
            .lock()
            .unwrap()
            .writes
            .push((kind, Bytes::copy_from_slice(request), token));
        self.changed.notify_all();
        Ok(())
    }

    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError> {
        if !self.reads_wait.load(Ordering::SeqCst) {
            return Ok(ReadBarrier::Now);
        }
        self.waiting_reads.lock().unwrap().push(token);
        Ok(ReadBarrier::Wait)
    }

    fn range(&self, request: &RangeRequest, caller: &Caller) -> Result<RangeAnswer, EtcdError> {
        self.auth
            .admit(|table| table.check_range(caller, request))?;
        if self.store_is_broken.load(Ordering::SeqCst) {
            return Err(error::STOPPED);
        }
        let key = std::str::from_utf8(&request.key).unwrap_or_default();
        let n = key
            .split_once(':')
            .map_or(0, |(_, n)| n.parse().unwrap_or(0));
        match key.split(':').next() {
            Some("chunked") => return Ok(chunked(n, self.chunks_read.clone(), None)),
            Some("broken") => return Ok(chunked(n, self.chunks_read.clone(), Some(2))),
            Some("fail") => return Err(error::FUTURE_REVISION),
            _ => {}
        }
        let value = if key.starts_with("large:") {
            Bytes::from(vec![7; n])
        } else {
            request.key.clone()
        };
        let response = RangeResponse {
            kvs: vec![kv(&request.key, value)],
            count: 1,
            ..Default::default()
        };
        Ok(RangeAnswer::Whole(response.encode_to_vec().into()))
    }

    fn range_stream(&self, request: &RangeRequest, caller: &Caller) -> Result<Chunks, EtcdError> {
        self.auth
            .admit(|table| table.check_range(caller, request))?;
        let read = self.chunks_read.clone();
        let n = request.limit.max(1);
        let large = request.key.strip_prefix(b"large:").is_some();
        let value = Bytes::from(vec![7; if large { CHUNK_BYTES } else { 0 }]);
        Ok(Box::new((0..n).map(move |i| {
            read.fetch_add(1, Ordering::SeqCst);
            let part = RangeResponse {
                kvs: large.then(|| kv(b"k", value.clone())).into_iter().collect(),
                count: i,
                ..Default::default()
            };
            Ok(RangeStreamResponse {
                range_response: Some(part),
            }
            .encode_to_vec()
            .into())
        })))
    }

    fn read_txn(&self, request: &TxnRequest, caller: &Caller) -> OpResult {
        self.auth.admit(|table| table.check_txn(caller, request))?;
        Ok(TxnResponse {
            succeeded: true,
            ..Default::default()
        }
        .encode_to_vec()
        .into())
    }
}
