//! The hub against a store's history: whatever the watchers do, each receives exactly the events that it asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Past this a wake was lost: the tests wait for events, never for time.
const STUCK: Duration = Duration::from_secs(60);

/// A store that remembers everything but answers like one that was compacted.
#[derive(Default)]
struct FakeStore {
    inner: Mutex<FakeInner>,
}

#[derive(Default)]
struct FakeInner {
    /// Events of revision i + 1.
    revisions: Vec<Vec<HubEvent>>,
    compact_revision: i64,
    /// What `previous` says of a key before a revision.
    previous: BTreeMap<(Bytes, i64), Bytes>,
    live: BTreeMap<Bytes, Bytes>,
}

impl FakeStore {
    fn current(&self) -> i64 {
        self.inner.lock().revisions.len() as i64
    }

    /// Commits changes (key, deletion) as one revision.
    fn commit(&self, changes: &BTreeMap<Vec<u8>, bool>, padding: usize) -> (i64, Vec<HubEvent>) {
        let mut inner = self.inner.lock();
        let revision = inner.revisions.len() as i64 + 1;
        let mut events = Vec::new();
        for (key, delete) in changes {
            let key = Bytes::from(key.clone());
            let text = format!("{revision} {key:?} {delete} {:padding$}", "");
            let before = if *delete {
                inner.live.remove(&key)
            } else {
                inner.live.insert(key.clone(), text.clone().into())
            };
            let change = match (delete, &before) {
                (true, None) => continue,
                (true, Some(_)) => Change::Delete,
                (false, None) => Change::Create,
                (false, Some(_)) => Change::Update,
            };
            if let Some(before) = before {
                inner.previous.insert((key.clone(), revision), before);
            }
            events.push(HubEvent {
                key,
                encoded: text.into(),
                change,
            });
        }
        inner.revisions.push(events.clone());
        (revision, events)
    }

    fn compact(&self, revision: i64) {
        let mut inner = self.inner.lock();
        inner.compact_revision = inner.compact_revision.max(revision);
    }

    /// What a watcher that takes everything from `start` to `end` must receive.
    fn expected(&self, spec: &WatchSpec, start: i64, end: i64) -> Vec<(i64, HubEvent)> {
        let inner = self.inner.lock();
        let revisions = (1..).zip(&inner.revisions);
        revisions
            .filter(|(revision, _)| (start..=end).contains(revision))
            .flat_map(|(revision, events)| {
                events.iter().map(move |event| (revision, event.clone()))
            })
            .filter(|(_, event)| spec.range.contains(&event.key))
            .filter(|(_, event)| match event.change {
                Change::Delete => !spec.no_delete,
                _ => !spec.no_put,
            })
            .collect()
    }

    /// Whether `encoded` is the event, with its previous value if that was asked for and is not compacted.
    fn is_encoding(
        &self,
        spec: &WatchSpec,
        revision: i64,
        event: &HubEvent,
        encoded: &[u8],
    ) -> bool {
        let inner = self.inner.lock();
        let Some(rest) = encoded.strip_prefix(event.encoded.as_ref()) else {
            return false;
        };
        let previous = inner.previous.get(&(event.key.clone(), revision));
        match previous.filter(|_| spec.prev_kv) {
            None => rest.is_empty(),
            Some(_) if rest.is_empty() => revision - 1 < inner.compact_revision,
            Some(previous) => rest.ends_with(previous) && rest[0] == 0x1a,
        }
    }
}

impl History for FakeStore {
    fn compact_revision(&self) -> i64 {
        self.inner.lock().compact_revision
    }

    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        let inner = self.inner.lock();
        if from < inner.compact_revision {
            return Err(HistoryError::Compacted);
        }
        let mut chunk = HistoryChunk {
            next: from,
            ..HistoryChunk::default()
        };
        let mut bytes = 0;
        while chunk.next <= to && bytes < max_bytes {
            for event in &inner.revisions[chunk.next as usize - 1] {
                bytes += event.encoded.len();
                if wanted(&event.key) {
                    chunk.events.push((chunk.next, event.clone()));
                }
            }
            chunk.next += 1;
        }
        Ok(chunk)
    }

    fn previous(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        let inner = self.inner.lock();
        let found = inner.previous.get(&(Bytes::copy_from_slice(key), revision));
        found.filter(|_| revision > inner.compact_revision).cloned()
    }
}

struct ChannelSink(Sender<u64>);

impl WatchSink for ChannelSink {
    fn wake(&self, watch_key: u64) {
        self.0.send(watch_key).expect("the test still listens");
    }
}

/// A watcher with what it has received.
struct Client {
    spec: WatchSpec,
    handle: WatcherHandle,
    start: i64,
    received: Vec<TakenEvent>,
    end: Option<WatchEnd>,
}

/// Watchers that share a sink, as those of one connection.
struct Clients {
    hub: Arc<WatchHub>,
    store: Arc<FakeStore>,
    sink: Arc<ChannelSink>,
    wakes: Receiver<u64>,
    all: Vec<Option<Client>>,
}

impl Clients {
    fn new(hub: &Arc<WatchHub>, store: &Arc<FakeStore>) -> Self {
        let (sender, wakes) = unbounded();
        Self {
            hub: Arc::clone(hub),
            store: Arc::clone(store),
            sink: Arc::new(ChannelSink(sender)),
            wakes,
            all: Vec::new(),
        }
    }

    fn register(&mut self, spec: WatchSpec) {
        let sink = Arc::clone(&self.sink) as Arc<dyn WatchSink>;
        let handle = self.hub.register(spec.clone(), sink, self.all.len() as u64);
        let start = match spec.start_revision {
            0 => handle.registered_at() + 1,
            start => start,
        };
        self.all.push(Some(Client {
            spec,
            handle,
            start,
            received: Vec::new(),
            end: None,
        }));
    }

    fn cancel(&mut self, i: usize) {
        if let Some(client) = self.all[i].take() {
            self.hub.cancel(&client.handle);
            let taken = self.hub.take(&client.handle, usize::MAX);
            assert!(taken.events.is_empty() && taken.end.is_none() && !taken.more);
            self.check(&client, None);
        }
    }

    /// Takes once; false when there is nothing more for now.
    fn take(&mut self, i: usize, max_bytes: usize) -> bool {
        let Some(client) = &mut self.all[i] else {
            return false;
        };
        let taken = self.hub.take(&client.handle, max_bytes);
        for revision in taken.revisions() {
            let last = client.received.last().map_or(0, |event| event.revision);
            assert!(
                revision[0].revision > last,
                "a revision is torn or repeated"
            );
        }
        client.received.extend(taken.events);
        assert!(client.end.is_none() || taken.end.is_none());
        client.end = client.end.take().or(taken.end);
        taken.more
    }

    /// Serves the wakes that are there.
    fn serve(&mut self, max_bytes: usize) {
        while let Ok(i) = self.wakes.try_recv() {
            while self.take(i as usize, max_bytes) {}
        }
    }

    /// Everything received so far must be a beginning of what was asked for; all of it up to `complete`.
    fn check(&self, client: &Client, complete: Option<i64>) {
        let expected = self
            .store
            .expected(&client.spec, client.start, self.store.current());
        assert!(client.received.len() <= expected.len());
        for (taken, (revision, event)) in client.received.iter().zip(&expected) {
            assert_eq!(taken.revision, *revision);
            assert!(
                self.store
                    .is_encoding(&client.spec, *revision, event, &taken.encoded)
            );
        }
        let last = client.received.last().map_or(0, |event| event.revision);
        if let Some((revision, _)) = expected.get(client.received.len()) {
            assert!(*revision > last, "revision {last} is incomplete");
            assert!(complete.is_none_or(|complete| *revision > complete));
        }
    }

    /// Receives until every client has everything or was told why not.
    fn finish(&mut self) {
        let current = self.store.current();
        for i in 0..self.all.len() {
            // Clients that were slow may have ignored their wake.
            while self.take(i, 300) {}
        }
        while !self
            .all
            .iter()
            .flatten()
            .all(|client| self.is_done(client, current))
        {
            match self.wakes.recv_timeout(STUCK) {
                Ok(i) => while self.take(i as usize, 300) {},
                Err(_) => panic!("a watcher was not woken"),
            }
        }
        for client in self.all.iter().flatten() {
            match &client.end {
                None => {
                    self.check(client, Some(current));
                    self.wait_synced(client, current);
                }
                Some(WatchEnd::Compacted { compact_revision }) => {
                    self.check(client, None);
                    let last = client.received.last().map_or(0, |event| event.revision);
                    assert!(last < *compact_revision && client.start < *compact_revision);
                    assert!(*compact_revision <= self.store.compact_revision());
                    assert_eq!(self.hub.progress_revision(&client.handle), None);
                }
                Some(WatchEnd::Failed(message)) => panic!("{message}"),
            }
        }
    }

    fn is_done(&self, client: &Client, current: i64) -> bool {
        let expected = || {
            self.store
                .expected(&client.spec, client.start, current)
                .len()
        };
        client.end.is_some() || client.received.len() == expected()
    }

    /// A watcher that has everything becomes synced by itself, or learns that its place was compacted.
    fn wait_synced(&self, client: &Client, current: i64) {
        let begun = std::time::Instant::now();
        while self.hub.progress_revision(&client.handle) != Some(current) {
            assert!(begun.elapsed() < STUCK, "a watcher does not become synced");
            let taken = self.hub.take(&client.handle, usize::MAX);
            assert!(taken.events.is_empty(), "there is nothing left to receive");
            if taken.end.is_some() {
                return;
            }
            std::thread::yield_now();
        }
        assert!(self.hub.synced(&client.handle));
    }
}

fn spec(key: &[u8], end: &[u8], start_revision: i64) -> WatchSpec {
    WatchSpec {
        range: KeyRange::from_wire(key, end).expect("a range that is not empty"),
        start_revision,
        no_put: false,
        no_delete: false,
        prev_kv: false,
    }
}

fn setup() -> (Arc<FakeStore>, Arc<WatchHub>, Clients) {
    let store = Arc::new(FakeStore::default());
    let history = Arc::clone(&store) as Arc<dyn History>;
    let hub = Arc::new(WatchHub::new(history, 0).expect("the thread starts"));
    let clients = Clients::new(&hub, &store);
    (store, hub, clients)
}

fn put(store: &FakeStore, hub: &WatchHub, keys: &[&str], padding: usize) {
    let changes = keys.iter().map(|key| (key.as_bytes().to_vec(), false));
    let (revision, events) = store.commit(&changes.collect(), padding);
    hub.notify(revision, &events);
}

#[test]
fn a_synced_watcher_is_woken_once_until_it_takes() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"c", 0));
    put(&store, &hub, &["a", "b", "c"], 0);
    put(&store, &hub, &["x"], 0);
    put(&store, &hub, &["b"], 0);
    assert_eq!(clients.wakes.len(), 1);
    assert!(
        clients.take(0, 1),
        "the second revision is still to be taken"
    );
    assert!(!clients.take(0, 1));
    put(&store, &hub, &["a"], 0);
    assert_eq!(clients.wakes.len(), 2);
    clients.finish();
    assert_eq!(clients.all[0].as_ref().unwrap().received.len(), 4);
}

#[test]
fn a_start_in_the_future_waits_for_it() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 3));
    for _ in 0..5 {
        put(&store, &hub, &["a"], 0);
    }
    clients.finish();
    let received = &clients.all[0].as_ref().unwrap().received;
    assert_eq!(received.first().unwrap().revision, 3);
    assert_eq!(received.len(), 3);
}

#[test]
fn a_client_that_does_not_read_costs_a_bounded_queue() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 0));
    clients.register(spec(b"a", b"", 0));
    for _ in 0..500 {
        put(&store, &hub, &["a"], 200);
        while clients.take(1, usize::MAX) {}
        let limit = crate::limits::WATCH_QUEUE_BYTES_MAX + 1_000;
        assert!(hub.stats().retained_bytes <= limit);
    }
    assert_eq!(
        hub.stats().lagging,
        1,
        "only the one that did not read lags"
    );
    assert_eq!(clients.all[1].as_ref().unwrap().received.len(), 500);
    clients.finish();
    assert_eq!(hub.stats().lagging, 0);
    assert_eq!(hub.stats().retained_bytes, 0);
}

#[test]
fn a_revision_larger_than_the_queue_is_delivered_whole() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"\0", b"\0", 0));
    let keys: Vec<String> = (0..100).map(|i| format!("k{i:03}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for _ in 0..3 {
        put(&store, &hub, &keys, 50);
    }
    clients.register(spec(b"\0", b"\0", 1));
    clients.finish();
    for client in clients.all.iter().flatten() {
        assert_eq!(client.received.len(), 300);
    }
}

#[test]
fn a_compacted_start_is_told_the_compacted_revision() {
    let (store, hub, mut clients) = setup();
    for _ in 0..10 {
        put(&store, &hub, &["a"], 0);
    }
    store.compact(5);
    hub.compacted(5);
    clients.register(spec(b"a", b"", 4));
    clients.register(spec(b"a", b"", 5));
    clients.finish();
    let ends: Vec<_> = clients
        .all
        .iter()
        .flatten()
        .map(|client| client.end.clone())
        .collect();
    assert_eq!(
        ends,
        [
            Some(WatchEnd::Compacted {
                compact_revision: 5
            }),
            None
        ]
    );
}

#[test]
fn a_lagging_client_is_told_of_a_compaction_without_reading() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 0));
    for _ in 0..100 {
        put(&store, &hub, &["a"], 200);
    }
    // The queue overflowed at some revision and what was in it is read again from the store, unless compacted.
    store.compact(100);
    hub.compacted(100);
    clients.finish();
    let client = clients.all[0].as_ref().unwrap();
    assert_eq!(
        client.end,
        Some(WatchEnd::Compacted {
            compact_revision: 100
        })
    );
}

/// A store whose walks wait: the test decides what happens while one is under way.
struct GatedStore {
    store: Arc<FakeStore>,
    entered: Sender<()>,
    release: Receiver<()>,
}

impl History for GatedStore {
    fn compact_revision(&self) -> i64 {
        self.store.compact_revision()
    }

    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        let mut chunk = self.store.events(from, to, max_bytes, wanted)?;
        self.entered.send(()).expect("the test listens");
        self.release.recv().expect("the test releases");
        // What was compacted during the walk may be missing.
        let compact_revision = self.store.compact_revision();
        chunk
            .events
            .retain(|(revision, _)| *revision >= compact_revision);
        Ok(chunk)
    }

    fn previous(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        self.store.previous(key, revision)
    }
}

/// A hub with one watcher from revision 1 of three, in the middle of its walk. What `during` does comes before the
/// walk ends; later walks are not held.
fn during_a_walk(padding: usize, during: impl FnOnce(&FakeStore, &WatchHub)) -> Client {
    let store = Arc::new(FakeStore::default());
    let (entered, has_entered) = unbounded();
    let (open, release) = unbounded();
    let gated = GatedStore {
        store: Arc::clone(&store),
        entered,
        release,
    };
    let hub = Arc::new(WatchHub::new(Arc::new(gated), 0).expect("the thread starts"));
    let mut clients = Clients::new(&hub, &store);
    for _ in 0..3 {
        put(&store, &hub, &["a"], padding);
    }
    clients.register(spec(b"a", b"", 1));
    has_entered.recv_timeout(STUCK).expect("a walk begins");
    during(&store, &hub);
    for _ in 0..100 {
        open.send(()).expect("the store waits");
    }
    clients.finish();
    clients.all.remove(0).expect("it was not cancelled")
}

#[test]
fn past_and_present_meet() {
    let client = during_a_walk(0, |store, hub| {
        for _ in 0..4 {
            put(store, hub, &["a", "b"], 0);
        }
    });
    let revisions: Vec<i64> = client.received.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_present_too_large_to_put_aside_is_read_later() {
    let client = during_a_walk(0, |store, hub| {
        for _ in 0..30 {
            put(store, hub, &["a"], 200);
        }
        assert_eq!(hub.stats().lagging, 1);
    });
    assert_eq!(client.received.len(), 33);
}

#[test]
fn a_compaction_during_a_walk_is_noticed() {
    let client = during_a_walk(0, |store, hub| {
        store.compact(3);
        hub.compacted(3);
    });
    assert_eq!(
        client.end,
        Some(WatchEnd::Compacted {
            compact_revision: 3
        })
    );
    assert!(client.received.is_empty());
}

/// An event in whose place the test looks at the hub: the apply thread is then between two events of a revision.
struct Midway<'a, F: Fn()> {
    event: HubEvent,
    look: Option<&'a F>,
}

impl<F: Fn()> Offer for Midway<'_, F> {
    fn key(&self) -> &[u8] {
        if let Some(look) = self.look {
            look();
        }
        &self.event.key
    }

    fn event(&self) -> HubEvent {
        self.event.clone()
    }
}

#[test]
fn takers_never_see_a_part_of_a_revision() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"k", b"l", 0));
    let handle = clients.all[0].as_ref().unwrap().handle.clone();
    put(&store, &hub, &["k1"], 0);
    while clients.take(0, usize::MAX) {}
    let keys = ["k1", "k2", "k3"].map(|key| (key.as_bytes().to_vec(), false));
    let (revision, events) = store.commit(&keys.into(), 0);
    let looks = std::cell::Cell::new(0);
    let look = || {
        let taken = hub.take(&handle, usize::MAX);
        assert!(
            taken.events.is_empty() && !taken.more,
            "revision {revision} is torn"
        );
        assert_ne!(hub.progress_revision(&handle), Some(revision));
        looks.set(looks.get() + 1);
    };
    let midway: Vec<_> = (0..)
        .zip(events)
        .map(|(i, event)| Midway {
            event,
            look: (i > 0).then_some(&look),
        })
        .collect();
    hub.notify(revision, &midway);
    assert!(looks.get() >= 2);
    // The taker in between found nothing, so it must be woken again.
    clients.finish();
    let received = &clients.all[0].as_ref().unwrap().received;
    assert_eq!(received.len(), 4);
}

struct BrokenStore;

impl History for BrokenStore {
    fn compact_revision(&self) -> i64 {
        0
    }
    fn events(
        &self,
        _: i64,
        _: i64,
        _: usize,
        _: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        Err(HistoryError::Failed("no disk".into()))
    }
    fn previous(&self, _: &[u8], _: i64) -> Option<Bytes> {
        None
    }
}

#[test]
fn a_failing_store_ends_the_watcher() {
    let hub = WatchHub::new(Arc::new(BrokenStore), 10).expect("the thread starts");
    let (sender, wakes) = unbounded();
    let handle = hub.register(spec(b"a", b"", 1), Arc::new(ChannelSink(sender)), 7);
    assert_eq!(wakes.recv_timeout(STUCK), Ok(7));
    let end = hub.take(&handle, 1).end;
    assert_eq!(end, Some(WatchEnd::Failed("no disk".into())));
    hub.cancel(&handle);
    assert_eq!(hub.stats().watchers, 0);
}

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
        range: KeyRange::from_wire(key, end)?,
        start_revision: start,
        no_put: flags & 7 == 1,
        no_delete: flags & 7 == 2,
        prev_kv: flags & 8 != 0,
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
                    let (revision, events) = store.commit(&changes, padding);
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
        prop_assert_eq!(hub.stats().watchers, 0);
        prop_assert_eq!(hub.stats().retained_bytes, 0);
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
            let (revision, events) = store.commit(&changes, rng.random_range(0..100));
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
