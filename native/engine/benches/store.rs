//! The store at a million keys with values of 256 bytes: apply, range, page, chunked range, restart, compaction.
//! `BENCH_KEYS` sets another number of keys.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use netcd_engine::auth::Caller;
use netcd_engine::mvcc::{
    ApplyContext, LogLevel, RangeAnswer, Store, StoreConfig, StoreEvents, StoreRecovered,
};
use netcd_engine::proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest};
use netcd_engine::types::{Identity, LogMark, OpKind};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const VALUE_BYTES: usize = 256;
const PAGE_KEYS: i64 = 500;
/// Puts of one log entry.
const ENTRY_PUTS: usize = 100;

struct Silent;

impl StoreEvents for Silent {
    fn flushed(&self, _mark: LogMark) {}
    fn fatal(&self, message: String) {
        panic!("{message}");
    }
    fn log(&self, _level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        println!("{message} {fields:?}");
    }
}

fn open(dir: &Path) -> (Arc<Store>, StoreRecovered) {
    Store::open(StoreConfig {
        dir: dir.to_owned(),
        identity: Identity {
            cluster_id: 1 << 60,
            member_id: 1 << 61,
        },
        quota_bytes: None,
        max_request_bytes: 1_572_864,
        batch_interval: Duration::from_millis(100),
        batch_limit: None,
        compaction_batch_limit: None,
        compaction_sleep: Duration::from_millis(10),
        no_fsync: false,
        events: Arc::new(Silent),
    })
    .expect("the store opens")
}

fn key(number: usize) -> String {
    format!(
        "/registry/pods/{:010x}/{number:015}",
        number as u32 ^ 0x5a5a
    )
}

/// Applies puts and numbers the entries.
struct Applier<'a> {
    store: &'a Store,
    index: u64,
    open_puts: usize,
}

impl Applier<'_> {
    fn put(&mut self, request: bytes::Bytes) {
        let mark = LogMark {
            index: self.index + 1,
            term: 2,
        };
        let context = ApplyContext { mark, raft_term: 2 };
        black_box(
            self.store
                .apply_op(OpKind::Put, request, &Caller::Nobody, &context),
        );
        self.open_puts += 1;
        if self.open_puts == ENTRY_PUTS {
            self.end_entry();
        }
    }

    fn end_entry(&mut self) {
        self.index += 1;
        self.open_puts = 0;
        self.store.entry_applied(LogMark {
            index: self.index,
            term: 2,
        });
    }

    fn compact(&mut self, revision: i64) {
        self.index += 1;
        let mark = LogMark {
            index: self.index,
            term: 2,
        };
        let request = CompactionRequest {
            revision,
            physical: true,
        };
        let context = ApplyContext { mark, raft_term: 2 };
        let request = request.encode_to_vec().into();
        black_box(
            self.store
                .apply_op(OpKind::Compact, request, &Caller::Nobody, &context),
        );
        self.store.entry_applied(mark);
    }
}

fn encoded_put(number: usize) -> bytes::Bytes {
    let request = PutRequest {
        key: key(number).into(),
        value: vec![b'v'; VALUE_BYTES].into(),
        ..Default::default()
    };
    request.encode_to_vec().into()
}

fn range(from: usize, limit: i64) -> RangeRequest {
    RangeRequest {
        key: key(from).into(),
        range_end: if limit == 1 {
            Default::default()
        } else {
            "0".into()
        },
        limit,
        ..Default::default()
    }
}

fn answer_bytes(store: &Arc<Store>, request: &RangeRequest) -> u64 {
    match store
        .range(request, &Caller::Nobody, 2)
        .expect("the range is answered")
    {
        RangeAnswer::Whole(bytes) => bytes.len() as u64,
        RangeAnswer::Chunked { chunks, .. } => chunks
            .map(|chunk| chunk.expect("a chunk").len() as u64)
            .sum(),
    }
}

fn all(c: &mut Criterion) {
    let keys: usize = std::env::var("BENCH_KEYS").map_or(1_000_000, |keys| {
        keys.parse().expect("BENCH_KEYS is a number")
    });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = open(dir.path());
    let mut applier = Applier {
        store: &store,
        index: 0,
        open_puts: 0,
    };
    timed("fill", || {
        (0..keys).for_each(|number| applier.put(encoded_put(number)))
    });
    let mut rng = StdRng::seed_from_u64(7);
    c.bench_function("store/apply put", |b| {
        b.iter_batched(
            || encoded_put(rng.random_range(0..keys)),
            |request| applier.put(request),
            criterion::BatchSize::SmallInput,
        );
    });
    applier.end_entry();
    store.flush();
    c.bench_function("store/range one key", |b| {
        b.iter(|| answer_bytes(&store, &range(rng.random_range(0..keys), 1)));
    });
    c.bench_function("store/page of 500", |b| {
        b.iter(|| answer_bytes(&store, &range(rng.random_range(0..keys / 2), PAGE_KEYS)));
    });
    let mut group = c.benchmark_group("store");
    group.sample_size(10);
    group.bench_function("range of all keys in chunks", |b| {
        b.iter(|| {
            answer_bytes(
                &store,
                &RangeRequest {
                    key: "/".into(),
                    ..range(0, 0)
                },
            )
        });
    });
    group.finish();
    timed("write all keys again", || {
        (0..keys).for_each(|number| applier.put(encoded_put(number)))
    });
    compaction(&store, &mut applier);
    store.close();
    drop(store);
    let (store, recovered) = timed("restart", || open(dir.path()));
    assert_eq!(store.status().keys, keys as u64);
    println!(
        "revision {}, database {} bytes",
        recovered.revision,
        store.status().db_bytes
    );
    timed("hash", || store.hash_kv(0).expect("a hash"));
    timed("defragment", || store.defragment().expect("defragmented"));
    println!("database {} bytes", store.status().db_bytes);
    store.close();
}

/// Compacts everything superseded while puts go on; prints how long it took and the slowest put.
fn compaction(store: &Arc<Store>, applier: &mut Applier<'_>) {
    store.flush();
    let revision = store.revision();
    let (done, finished) = crossbeam_channel::bounded(1);
    let start = Instant::now();
    applier.compact(revision);
    store.on_compacted(
        revision,
        Box::new(move || done.send(()).expect("someone waits")),
    );
    let mut slowest = Duration::ZERO;
    let mut puts = 0;
    while finished.try_recv().is_err() {
        let put = Instant::now();
        applier.put(encoded_put(0));
        slowest = slowest.max(put.elapsed());
        puts += 1;
        std::thread::sleep(Duration::from_micros(50));
    }
    println!(
        "compaction: {:?}, meanwhile {puts} puts, the slowest {slowest:?}",
        start.elapsed()
    );
    applier.end_entry();
}

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    println!("{what}: {:?}", start.elapsed());
    result
}

criterion_group!(benches, all);
criterion_main!(benches);
