//! Whatever watchers, writers and compactions do, and in whatever order, nothing is lost, repeated or torn.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::Receiver;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::clients::{Clients, commit, setup};
use crate::watch::{History, KeyRange, WatchSpec, Watched};

/// What a random test does next.
#[derive(Clone, Debug)]
enum Step {
    Commit(BTreeMap<Vec<u8>, bool>, usize),
    /// Start as a share of twice the history; flags as bits.
    Register(Vec<u8>, Vec<u8>, u8, u8),
    Cancel(prop::sample::Index),
    Take(prop::sample::Index, usize),
    Serve,
    Compact(u8),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![b'a', b'b']), 1..3)
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![3 => Just(vec![]), 1 => Just(vec![0]), 2 => key()];
    prop_oneof![
        30 => (prop::collection::btree_map(key(), prop::bool::weighted(0.2), 1..4), 0..200usize)
            .prop_map(|(changes, padding)| Step::Commit(changes, padding)),
        5 => (key(), end, any::<u8>(), any::<u8>())
            .prop_map(|(key, end, start, flags)| Step::Register(key, end, start, flags)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        8 => (any::<prop::sample::Index>(), 1..2_000usize).prop_map(|(i, max)| Step::Take(i, max)),
        3 => Just(Step::Serve),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

fn random_spec(key: &[u8], end: &[u8], start: i64, flags: u8) -> Option<WatchSpec> {
    Some(WatchSpec {
        watched: Watched {
            range: KeyRange::from_wire(key, end)?,
            no_put: flags & 7 == 1,
            no_delete: flags & 7 == 2,
            prev_kv: flags & 8 != 0,
        },
        start_revision: start,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_watcher_receives_the_history_once(steps in prop::collection::vec(step(), 1..250)) {
        let (store, hub, mut clients) = setup();
        for step in steps {
            match step {
                Step::Commit(changes, padding) => {
                    let (revision, events) = commit(&store, &changes, padding);
                    hub.notify(revision, &events);
                }
                Step::Register(key, end, start, flags) => {
                    let start = store.current() * i64::from(start) / 128;
                    if let Some(spec) = random_spec(&key, &end, start, flags) {
                        clients.register(spec);
                    }
                }
                Step::Cancel(i) if !clients.all.is_empty() => clients.cancel(i.index(clients.all.len())),
                Step::Take(i, max) if !clients.all.is_empty() => {
                    clients.take(i.index(clients.all.len()), max);
                }
                Step::Serve => clients.serve(1_000),
                Step::Compact(share) => {
                    store.compact(store.current() * i64::from(share) / 256);
                    hub.compacted(store.compact_revision());
                }
                Step::Cancel(_) | Step::Take(..) => {}
            }
        }
        clients.finish();
        for i in 0..clients.all.len() {
            clients.cancel(i);
        }
        super::expect_nothing_retained(&hub);
    }
}

/// One connection of the stress test: registers, cancels, reads slowly, until `done` is closed; then reads the rest.
fn stress_client(mut clients: Clients, seed: u64, done: Receiver<()>) {
    let mut rng = StdRng::seed_from_u64(seed);
    while done.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
        match rng.random_range(0..20) {
            0 if clients.all.len() < 150 => {
                let key = [b'a' + rng.random_range(0..4u8)];
                let ends: [&[u8]; 3] = [b"", b"\0", b"d"];
                let start = match rng.random_range(0..3) {
                    0 => 0,
                    1 => rng.random_range(0..=clients.store.current()),
                    _ => clients.store.current() + rng.random_range(0..50),
                };
                let end = ends[rng.random_range(0..3)];
                if let Some(spec) = random_spec(&key, end, start, rng.random()) {
                    clients.register(spec);
                }
            }
            1 if !clients.all.is_empty() && rng.random_bool(0.2) => {
                let i = rng.random_range(0..clients.all.len());
                clients.cancel(i);
            }
            2..12 => {
                if let Ok(i) = clients.wakes.recv_timeout(Duration::from_millis(1)) {
                    while clients.take(i as usize, rng.random_range(1..3_000)) {}
                }
            }
            12 if !clients.all.is_empty() => {
                let i = rng.random_range(0..clients.all.len());
                clients.take(i, 100);
            }
            _ => std::thread::yield_now(),
        }
    }
    clients.finish();
}

#[test]
fn threads_that_do_everything_at_once_lose_nothing() {
    for seed in 0..3 {
        let (store, hub, _) = setup();
        let (alive, done) = crossbeam_channel::bounded::<()>(0);
        let threads: Vec<_> = (0..3)
            .map(|i| {
                let clients = Clients::new(&hub, &store);
                let done = done.clone();
                std::thread::spawn(move || stress_client(clients, seed * 100 + i, done))
            })
            .collect();
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..4_000 {
            let changes = (0..rng.random_range(1..4))
                .map(|_| (vec![b'a' + rng.random_range(0..6u8)], rng.random_bool(0.2)))
                .collect();
            let (revision, events) = commit(&store, &changes, rng.random_range(0..100));
            if rng.random_bool(0.3) {
                // The moment in which a revision is readable and the hub does not know it yet.
                std::thread::yield_now();
            }
            hub.notify(revision, &events);
            if rng.random_bool(0.005) {
                store.compact(revision - rng.random_range(0..revision.min(500)));
                hub.compacted(store.compact_revision());
            }
        }
        drop(alive);
        for thread in threads {
            thread.join().expect("every client received its history");
        }
    }
}
