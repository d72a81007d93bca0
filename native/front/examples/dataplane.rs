//! The whole data plane of a single member without its control plane: transport, pipeline, WAL and store, with the append
//! grant given once. For measuring what a put and a range cost in Rust alone; the data is in a directory of its own.
//!
//! `cargo run --release -p netcd-front --example dataplane -- 127.0.0.1:21000 1 /path/to/empty/directory`

mod common;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::disk::{RealDisk, RealDiskOptions};
use netcd_engine::mvcc::{self, Store, StoreConfig, StoreEvents};
use netcd_engine::pipeline::{
    EntryMeta, GrantKind, HardState, LogLevel, LogPlace, PersistEntry, PersistPayload, Pipeline,
    PipelineConfig, PipelineEvents,
};
use netcd_engine::types::{EntryKind, Identity, LogMark};
use netcd_engine::wal::WalOptions;
use netcd_front::{Front, FrontCompletions, FrontConfig};

const TERM: u64 = 2;
const REQUEST_BYTES_MAX: usize = 1_572_864;

/// Stands where the control plane would: all it does is to let the log be compacted.
#[derive(Default)]
struct Alone {
    pipeline: OnceLock<Arc<Pipeline<Store>>>,
}

impl PipelineEvents for Alone {
    fn batch(&self, _payload: u64, _bytes: usize, _requests: u32) {}
    fn appended(&self, _entries: &[EntryMeta]) {}
    fn acknowledged(&self, from: u64, _mark: LogMark) {
        panic!("a sole voter has no peer {from}");
    }
    fn committed(&self, _index: u64) {}
    fn stable(&self, _mark: LogMark) {}
    fn persisted(&self, _seq: u64) {}
    fn applied(&self, _index: u64) {}
    fn control(&self, mark: LogMark, _kind: EntryKind, _data: Bytes) {
        panic!("nobody proposed control entry {}", mark.index);
    }
    fn read_request(&self, ctx: u64) {
        panic!("a sole voter needs no read index, but {ctx} was asked for");
    }
    fn fatal(&self, message: String) {
        panic!("{message}");
    }
    fn log(&self, _level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        eprintln!("{message} {fields:?}");
    }
}

impl StoreEvents for Alone {
    fn flushed(&self, mark: LogMark) {
        if let Some(pipeline) = self.pipeline.get() {
            pipeline.compact_log(mark);
        }
    }
    fn fatal(&self, message: String) {
        panic!("{message}");
    }
    fn log(&self, _level: mvcc::LogLevel, message: &str, fields: Vec<(String, String)>) {
        eprintln!("{message} {fields:?}");
    }
}

fn open(
    dir: PathBuf,
    alone: &Arc<Alone>,
    completions: Arc<FrontCompletions>,
) -> Arc<Pipeline<Store>> {
    let identity = Identity {
        cluster_id: 1,
        member_id: 1,
    };
    let config = StoreConfig {
        dir: dir.clone(),
        identity,
        quota_bytes: None,
        max_request_bytes: REQUEST_BYTES_MAX,
        batch_interval: Duration::from_millis(100),
        batch_limit: None,
        compaction_batch_limit: None,
        compaction_sleep: Duration::from_millis(10),
        no_fsync: false,
        events: alone.clone(),
    };
    let (store, found) = Store::open(config).expect("the store opens");
    let disk = RealDisk::open(&dir.join("wal"), RealDiskOptions { no_fsync: false })
        .expect("the directory opens");
    let place = LogPlace {
        disk,
        identity,
        options: WalOptions::default(),
    };
    let config = PipelineConfig {
        max_request_bytes: REQUEST_BYTES_MAX,
        append_grant: true,
        slow_apply: Duration::from_millis(100),
        slow_request: Duration::from_millis(300),
    };
    let (pipeline, log) = Pipeline::open(
        config,
        place.open().expect("the log opens"),
        (store, found.applied, found.installed),
        alone.clone(),
        completions,
    )
    .expect("log and store belong together");
    assert!(log.fresh, "an empty directory is needed");
    pipeline
}

/// What a leader does at once: its empty entry, then the grant.
fn lead(pipeline: &Pipeline<Store>) {
    let first = LogMark {
        index: 1,
        term: TERM,
    };
    let payload = PersistPayload::Data(Bytes::new());
    let entry = PersistEntry {
        mark: first,
        kind: EntryKind::Empty,
        payload,
    };
    let hard_state = HardState {
        term: TERM,
        vote: 1,
        commit: 0,
    };
    pipeline
        .persist(1, Some(hard_state), vec![entry])
        .expect("room for the first entry");
    pipeline
        .grant(TERM, 2, GrantKind::SoleVoter)
        .expect("nothing in between");
    pipeline.set_raft_term(TERM);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("an address");
    let threads = arguments
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number of threads");
    let dir = PathBuf::from(arguments.next().expect("an empty directory"));
    let completions = FrontCompletions::new(Front::threads(threads));
    let alone = Arc::new(Alone::default());
    let pipeline = open(dir, &alone, completions.clone());
    assert!(alone.pipeline.set(pipeline.clone()).is_ok());
    lead(&pipeline);
    let front = Front::start(
        FrontConfig::default(),
        pipeline,
        Arc::new(common::Silent),
        &completions,
    )
    .expect("front starts");
    common::serve(&front, address);
}
