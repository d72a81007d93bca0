//! The tree index at a million keys of 41 bytes: put, get, count, page, build, and what it weighs.
//! `BENCH_KEYS` sets another number of keys.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Bencher, Criterion, criterion_group, criterion_main};
use netcd_engine::index::{CompactCursor, IndexBuilder, IndexRun, RangeEnd, TreeIndex};
use netcd_engine::types::Revision;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const KEY_BYTES: usize = 41;
const PAGE_KEYS: usize = 500;

fn keys() -> Vec<Vec<u8>> {
    let count: usize = std::env::var("BENCH_KEYS").map_or(1_000_000, |keys| {
        keys.parse().expect("BENCH_KEYS is a number")
    });
    let mut rng = StdRng::seed_from_u64(41);
    let mut keys: Vec<Vec<u8>> = (0..count)
        .map(|i| format!("/registry/pods/{:010x}/{i:015}", rng.random::<u32>()).into_bytes())
        .collect();
    assert!(keys.iter().all(|key| key.len() == KEY_BYTES));
    keys.shuffle(&mut rng);
    keys
}

fn revision(i: usize) -> Revision {
    Revision {
        main: i as i64 + 2,
        sub: 0,
    }
}

fn build(keys: &[Vec<u8>]) -> TreeIndex {
    let mut run = IndexRun::new();
    for (i, key) in keys.iter().enumerate() {
        run.add(key, revision(i), revision(i).main, 1, false);
    }
    run.sort();
    let mut builder = IndexBuilder::new();
    builder.add(&[run]);
    builder.build()
}

fn insert_all(keys: &[Vec<u8>]) -> TreeIndex {
    let mut index = TreeIndex::new();
    for (i, key) in keys.iter().enumerate() {
        index.put(key, revision(i));
    }
    index
}

fn weigh(name: &str, index: &TreeIndex) {
    let keys = index.len_live();
    let bytes = index.memory_bytes();
    println!(
        "{name}: {bytes} bytes for {keys} keys, {} each",
        bytes as u64 / keys
    );
}

fn reads(c: &mut Criterion, keys: &[Vec<u8>], index: &TreeIndex) {
    let now = keys.len() as i64 + 2;
    let mut rng = StdRng::seed_from_u64(1);
    c.bench_function("index/get", |b| {
        cpu_time(b, || index.get(&keys[rng.random_range(0..keys.len())], now));
    });
    c.bench_function("index/count half", |b| {
        cpu_time(b, || {
            index.count(&keys[rng.random_range(0..keys.len())], RangeEnd::Open, now)
        });
    });
    c.bench_function("index/count all at half the revisions", |b| {
        cpu_time(b, || index.count(b"/", RangeEnd::Open, black_box(now / 2)));
    });
    c.bench_function("index/page of 500", |b| {
        cpu_time(b, || {
            let (mut left, mut bytes) = (PAGE_KEYS, 0);
            let start = &keys[rng.random_range(0..keys.len())];
            index.visit(start, RangeEnd::Open, now, |key, found| {
                bytes += key.len() + found.version as usize;
                left -= 1;
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            bytes
        });
    });
}

/// Measures CPU time in place of the wall's.
fn cpu_time<T>(b: &mut Bencher<'_>, mut operation: impl FnMut() -> T) {
    b.iter_custom(|iterations| {
        let start = thread_cpu();
        for _ in 0..iterations {
            black_box(operation());
        }
        thread_cpu() - start
    });
}

/// CPU time of this thread: a step is short, and another process on its core would be counted to it.
fn thread_cpu() -> std::time::Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of this function.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "a thread has a CPU clock");
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn writes(c: &mut Criterion, keys: &[Vec<u8>], mut index: TreeIndex) {
    let mut rng = StdRng::seed_from_u64(2);
    let mut next = keys.len();
    c.bench_function("index/put existing", |b| {
        cpu_time(b, || {
            next += 1;
            index.put(&keys[rng.random_range(0..keys.len())], revision(next))
        });
    });
    let at = revision(next).main;
    let (mut steps, mut removed) = (Vec::new(), 0);
    let mut cursor = Some(CompactCursor::default());
    while let Some(from) = cursor {
        let start = thread_cpu();
        cursor = index.compact_step(from, at, 1_000, |_| removed += 1);
        steps.push(thread_cpu() - start);
    }
    steps.sort();
    let (count, median, longest) = (steps.len(), steps[steps.len() / 2], steps[steps.len() - 1]);
    let high = steps[steps.len() * 99 / 100];
    println!(
        "compaction: {removed} revisions in {count} steps of {median:?}, p99 {high:?}, longest {longest:?}"
    );
    let mut fresh = 0u64;
    c.bench_function("index/put new", |b| {
        cpu_time(b, || {
            next += 1;
            fresh = fresh.wrapping_add(0x9e37_79b9_7f4a_7c15);
            index.put(
                format!("/registry/pods/{fresh:026x}").as_bytes(),
                revision(next),
            )
        });
    });
}

fn index(c: &mut Criterion) {
    let keys = keys();
    let mut group = c.benchmark_group("index");
    group.sample_size(10);
    group.bench_function("build", |b| {
        b.iter_batched(|| (), |()| build(&keys), BatchSize::PerIteration);
    });
    group.finish();
    let inserted = insert_all(&keys);
    weigh("filled in random order", &inserted);
    drop(inserted);
    let index = build(&keys);
    weigh("built", &index);
    reads(c, &keys, &index);
    writes(c, &keys, index);
}

criterion_group!(benches, index);
criterion_main!(benches);
