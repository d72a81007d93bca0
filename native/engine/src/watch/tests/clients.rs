//! Clients of a hub that check what they receive against the store's history.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::STUCK;
use super::store::FakeStore;
use crate::watch::{
    History, HubEvent, KeyRange, TakenEvent, WatchEnd, WatchHub, WatchSink, WatchSpec, Watched,
    WatcherHandle,
};

pub(super) struct ChannelSink(pub Sender<u64>);

impl WatchSink for ChannelSink {
    fn wake(&self, watch_key: u64) {
        self.0.send(watch_key).expect("the test still listens");
    }
}

/// A watcher with what it has received.
pub(super) struct Client {
    pub spec: WatchSpec,
    pub handle: WatcherHandle,
    pub start: i64,
    pub received: Vec<TakenEvent>,
    pub end: Option<WatchEnd>,
}

/// Watchers that share a sink, as those of one connection.
pub(super) struct Clients {
    pub hub: Arc<WatchHub>,
    pub store: Arc<FakeStore>,
    pub sink: Arc<ChannelSink>,
    pub wakes: Receiver<u64>,
    pub all: Vec<Option<Client>>,
}

impl Clients {
    pub fn new(hub: &Arc<WatchHub>, store: &Arc<FakeStore>) -> Self {
        let (sender, wakes) = unbounded();
        Self {
            hub: Arc::clone(hub),
            store: Arc::clone(store),
            sink: Arc::new(ChannelSink(sender)),
            wakes,
            all: Vec::new(),
        }
    }

    pub fn register(&mut self, spec: WatchSpec) {
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

    pub fn cancel(&mut self, i: usize) {
        if let Some(client) = self.all[i].take() {
            self.hub.cancel(&client.handle);
            let taken = self.hub.take(&client.handle, usize::MAX);
            assert!(taken.events.is_empty() && taken.end.is_none() && !taken.more);
            self.check(&client, None);
        }
    }

    /// Takes once; false when there is nothing more for now.
    pub fn take(&mut self, i: usize, max_bytes: usize) -> bool {
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
    pub fn serve(&mut self, max_bytes: usize) {
        while let Ok(i) = self.wakes.try_recv() {
            while self.take(i as usize, max_bytes) {}
        }
    }

    /// Everything received so far must be a beginning of what was asked for; all of it up to `complete`.
    fn check(&self, client: &Client, complete: Option<i64>) {
        let expected =
            self.store
                .expected(&client.spec.watched, client.start, self.store.current());
        assert!(client.received.len() <= expected.len());
        for (taken, (revision, event)) in client.received.iter().zip(&expected) {
            assert_eq!(taken.revision, *revision);
            assert!(
                self.store
                    .is_encoding(&client.spec.watched, *revision, event, &taken.encoded)
            );
        }
        let last = client.received.last().map_or(0, |event| event.revision);
        if let Some((revision, _)) = expected.get(client.received.len()) {
            assert!(*revision > last, "revision {last} is incomplete");
            assert!(complete.is_none_or(|complete| *revision > complete));
        }
    }

    /// Receives until every client has everything or was told why not.
    pub fn finish(&mut self) {
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
                .expected(&client.spec.watched, client.start, current)
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

pub(super) fn spec(key: &[u8], end: &[u8], start_revision: i64) -> WatchSpec {
    let range = KeyRange::from_wire(key, end).expect("a range that is not empty");
    WatchSpec {
        watched: Watched::all_of(range),
        start_revision,
    }
}

pub(super) fn setup() -> (Arc<FakeStore>, Arc<WatchHub>, Clients) {
    let store = Arc::new(FakeStore::default());
    let history = Arc::clone(&store) as Arc<dyn History>;
    let hub = Arc::new(WatchHub::new(history, 0).expect("the thread starts"));
    let clients = Clients::new(&hub, &store);
    (store, hub, clients)
}

pub(super) fn put(store: &FakeStore, hub: &WatchHub, keys: &[&str], padding: usize) {
    let changes = keys.iter().map(|key| (key.as_bytes().to_vec(), false));
    let (revision, events) = commit(store, &changes.collect(), padding);
    hub.notify(revision, &events);
}

/// Commits changes (key, deletion) as one revision, with values that tell it from others.
pub(super) fn commit(
    store: &FakeStore,
    changes: &BTreeMap<Vec<u8>, bool>,
    padding: usize,
) -> (i64, Vec<HubEvent>) {
    let next = store.current() + 1;
    let changes: Vec<_> = changes
        .iter()
        .map(|(key, delete)| {
            let value = || format!("{next} {key:?} {:padding$}", "").into();
            (key.clone().into(), (!delete).then(value))
        })
        .collect();
    store.commit(&changes)
}
