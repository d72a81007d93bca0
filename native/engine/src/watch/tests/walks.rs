//! What happens while a revision is half queued or the past is being read.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::STUCK;
use super::clients::{ChannelSink, Client, Clients, commit, put, setup, spec};
use super::store::FakeStore;
use crate::watch::{History, HistoryChunk, HistoryError, HubEvent, Offer, WatchEnd, WatchHub};

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
    let (revision, events) = commit(&store, &keys.into(), 0);
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
