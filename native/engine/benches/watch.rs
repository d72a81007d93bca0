//! The watch hub: one change for a thousand watchers of a prefix, with their taking it; and one that nobody watches
//! among ten thousand idle watchers, with what such a watcher weighs. `BENCH_WATCHERS` scales both down.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netcd_engine::watch::{
    Change, History, HistoryChunk, HistoryError, HubEvent, KeyRange, WatchHub, WatchSink,
    WatchSpec, Watched, WatcherHandle,
};

const EVENT_BYTES: usize = 300;

/// Counts the bytes that are allocated, to say what a watcher weighs.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator with its arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps dealloc's contract, and the memory came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All watchers start in the present, so nothing is read from it.
struct NoHistory;

impl History for NoHistory {
    fn compact_revision(&self) -> i64 {
        0
    }

    fn events(
        &self,
        from: i64,
        _: i64,
        _: usize,
        _: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        Err(HistoryError::Failed(format!(
            "revision {from} was asked for"
        )))
    }

    fn previous(&self, _: &[u8], _: i64) -> Option<Bytes> {
        None
    }
}

struct Nobody;

impl WatchSink for Nobody {
    fn wake(&self, watch_key: u64) {
        black_box(watch_key);
    }
}

fn watchers(all: usize) -> usize {
    std::env::var("BENCH_WATCHERS").map_or(all, |some| {
        some.parse().expect("BENCH_WATCHERS is a number")
    })
}

fn register(hub: &WatchHub, sink: &Arc<Nobody>, key: &[u8], end: &[u8]) -> WatcherHandle {
    let range = KeyRange::from_wire(key, end).expect("a range that is not empty");
    let spec = WatchSpec {
        watched: Watched::all_of(range),
        start_revision: 0,
    };
    hub.register(spec, Arc::clone(sink) as Arc<dyn WatchSink>, 0)
}

fn event(key: &'static [u8]) -> HubEvent {
    HubEvent {
        key: Bytes::from_static(key),
        encoded: vec![7; EVENT_BYTES].into(),
        change: Change::Update,
    }
}

fn hub() -> WatchHub {
    WatchHub::new(Arc::new(NoHistory), 0).expect("the thread starts")
}

fn one_prefix(c: &mut Criterion) {
    let (hub, sink) = (hub(), Arc::new(Nobody));
    let count = watchers(1_000);
    let handles: Vec<_> = (0..count)
        .map(|_| register(&hub, &sink, b"/a/", b"/a0"))
        .collect();
    let mut revision = 0;
    let mut group = c.benchmark_group("watch");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("notify and take, watchers of one prefix", |b| {
        b.iter(|| {
            revision += 1;
            hub.notify(revision, &[event(b"/a/key")]);
            for handle in &handles {
                let taken = hub.take(handle, 1 << 20);
                assert_eq!(taken.events.len(), 1);
            }
        });
    });
    group.finish();
}

fn idle_watchers(c: &mut Criterion) {
    let (hub, sink) = (hub(), Arc::new(Nobody));
    let mut revision = 0;
    let mut elsewhere = |c: &mut Criterion, hub: &WatchHub, name: &str| {
        c.bench_function(name, |b| {
            b.iter(|| {
                revision += 1;
                hub.notify(revision, &[event(b"/elsewhere")]);
            });
        });
    };
    elsewhere(c, &hub, "watch/notify, no watchers");
    let before = ALLOCATED.load(Ordering::Relaxed);
    let count = watchers(10_000);
    let mut handles = Vec::with_capacity(count);
    for i in 0..count {
        handles.push(register(
            &hub,
            &sink,
            format!("/registry/idle/{i:026}").as_bytes(),
            b"",
        ));
    }
    let weight = ALLOCATED.load(Ordering::Relaxed) - before;
    println!(
        "an idle watcher on a key of 41 bytes: {} bytes",
        weight / count
    );
    elsewhere(c, &hub, "watch/notify, idle watchers on other keys");
    for i in 0..count {
        handles.push(register(
            &hub,
            &sink,
            format!("/range/{i:05}/").as_bytes(),
            format!("/range/{i:05}0").as_bytes(),
        ));
    }
    elsewhere(c, &hub, "watch/notify, and as many on other ranges");
}

criterion_group!(benches, one_prefix, idle_watchers);
criterion_main!(benches);
