//! The hub: registration, and the side of those who take events.
//!
//! Order of locks: registry, then a watcher's queue. `current` moves only under the registry lock, after all events of
//! the revision are queued, and takers do not look past it: so a revision is never seen in parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;

use super::event::SharedEvent;
use super::ports::{History, WatchSink};
use super::registry::Phase;
use super::shared::Shared;
use super::spec::{WatchSpec, Watched};
use super::watcher::Watcher;
use super::{Taken, TakenEvent, WatchStats, catchup};
use crate::limits::WATCH_SPARE_EVENTS_MAX;

/// A registered watcher. Dropping it does not cancel it.
#[derive(Clone)]
pub struct WatcherHandle(Arc<Watcher>);

/// Finds for every change the watchers of its key and queues it for them.
pub struct WatchHub {
    pub(super) shared: Arc<Shared>,
    catch_up: Mutex<Option<JoinHandle<()>>>,
}

impl WatchHub {
    /// A hub for a store whose newest revision is `current`; starts the catch-up thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn new(history: Arc<dyn History>, current: i64) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(history, current));
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("watch-catchup".into())
            .spawn(move || catchup::run(&for_thread))?;
        Ok(Self {
            shared,
            catch_up: Mutex::new(Some(thread)),
        })
    }

    /// Registers a watcher. `sink` is woken with `watch_key` when there is something to take.
    pub fn register(
        &self,
        spec: WatchSpec,
        sink: Arc<dyn WatchSink>,
        watch_key: u64,
    ) -> WatcherHandle {
        let mut registry = self.shared.registry.lock();
        let current = self.shared.current.load(Ordering::SeqCst);
        let slot = registry.next_slot();
        let watcher = Arc::new(Watcher::new(slot, spec, current, sink, watch_key));
        registry.add(Arc::clone(&watcher));
        if registry.hungry() > 0 {
            self.shared.work.notify_one();
        }
        WatcherHandle(watcher)
    }

    /// Lets a synced watcher stand for one more of its owner: what it takes of later revisions than the one returned is
    /// the new one's too. `None` if it lags or starts in the future.
    pub fn join(&self, handle: &WatcherHandle) -> Option<i64> {
        // Under this lock no revision is half queued.
        let _registry = self.shared.registry.lock();
        let current = self.shared.current.load(Ordering::SeqCst);
        let queue = handle.0.queue.lock();
        let joinable = queue.synced && !queue.closed && queue.next_revision <= current + 1;
        joinable.then(|| {
            handle.0.members.fetch_add(1, Ordering::Relaxed);
            current
        })
    }

    /// The watcher stands for one less.
    pub fn leave(&self, handle: &WatcherHandle) {
        handle.0.members.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends a watcher and forgets what it has queued. Does nothing if it was cancelled before.
    pub fn cancel(&self, handle: &WatcherHandle) {
        self.shared.registry.lock().remove(&handle.0);
        let mut queue = handle.0.queue.lock();
        queue.drop_events();
        queue.synced = false;
        queue.end = None;
        queue.closed = true;
    }

    /// Takes queued events in revision order, whole revisions only: at least one if there is one, and no further one
    /// once `max_bytes` are reached. After a wake take until `more` is false.
    pub fn take(&self, handle: &WatcherHandle, max_bytes: usize) -> Taken {
        let watcher = &handle.0;
        // Before looking: an event that is queued after the look wakes again.
        watcher.woken.store(false, Ordering::SeqCst);
        let visible = self.shared.current.load(Ordering::SeqCst);
        let mut queue = watcher.queue.lock();
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut last_revision = None;
        while let Some(event) = queue.first_visible(visible) {
            if bytes >= max_bytes && last_revision != Some(event.revision) {
                break;
            }
            last_revision = Some(event.revision);
            let event = queue.events.pop_front().expect("it was just seen");
            queue.bytes -= event.cost();
            bytes += event.cost();
            events.push(event);
        }
        let more = queue.first_visible(visible).is_some();
        let end = if queue.events.is_empty() {
            queue.end.take()
        } else {
            None
        };
        queue.closed |= end.is_some();
        if queue.events.is_empty() && queue.events.capacity() > WATCH_SPARE_EVENTS_MAX {
            queue.events.shrink_to(0);
        }
        let hungry = queue.is_hungry();
        drop(queue);
        if hungry {
            self.feed(watcher);
        }
        Taken {
            events: events
                .iter()
                .map(|event| self.encode(watcher, event))
                .collect(),
            more,
            end,
        }
    }

    /// The revision up to which the watcher has been given everything; `None` while it lags.
    pub fn progress_revision(&self, handle: &WatcherHandle) -> Option<i64> {
        // Loaded first: what is queued later is newer than it.
        let current = self.shared.current.load(Ordering::SeqCst);
        let queue = handle.0.queue.lock();
        let taken = queue
            .events
            .front()
            .map_or(current, |next| current.min(next.revision - 1));
        queue.synced.then_some(taken)
    }

    /// A stream begins to use the hub.
    pub fn stream_opened(&self) {
        self.shared.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream is gone; its watchers were cancelled.
    pub fn stream_closed(&self) {
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the watcher gets its events from the apply thread and not from the store's history.
    pub fn synced(&self, handle: &WatcherHandle) -> bool {
        handle.0.queue.lock().synced
    }

    /// The newest revision whose events are all queued.
    pub fn current_revision(&self) -> i64 {
        self.shared.current.load(Ordering::SeqCst)
    }

    /// Figures for metrics.
    pub fn stats(&self) -> WatchStats {
        let registry = self.shared.registry.lock();
        WatchStats {
            streams: self.shared.streams.load(Ordering::Relaxed),
            watchers: registry.len(),
            lagging: registry.lagging(),
            pending: registry
                .iter()
                .map(|slot| slot.watcher.queue.lock().events.len() * slot.watcher.weight())
                .sum(),
            events_total: self.shared.queued_total.load(Ordering::Relaxed),
            retained_bytes: self.shared.retained.load(Ordering::Relaxed),
        }
    }

    /// The hub's metrics in Prometheus text.
    pub fn metrics(&self) -> String {
        super::metrics::render(&self.stats(), &self.shared.send_loop)
    }

    /// Stops the catch-up thread. The hub can still be asked, but lagging watchers stay where they are.
    pub fn close(&self) {
        self.shared.registry.lock().closing = true;
        self.shared.work.notify_all();
        let thread = self.catch_up.lock().take();
        // The thread itself may hold the store, and with it the hub, as the last.
        if let Some(thread) = thread.filter(|it| it.thread().id() != std::thread::current().id()) {
            thread.join().expect("the catch-up thread does not panic");
        }
    }

    /// Puts a lagging watcher that has room in line for the catch-up thread.
    fn feed(&self, watcher: &Arc<Watcher>) {
        let mut registry = self.shared.registry.lock();
        if registry.holds(watcher) && registry.slot(watcher.slot).phase == Phase::Idle {
            registry.make_hungry(watcher.slot);
            self.shared.work.notify_one();
        }
    }

    fn encode(&self, watcher: &Watcher, event: &SharedEvent) -> TakenEvent {
        let encoded: Bytes = if watcher.watched.prev_kv {
            event.encoded_with_previous(&*self.shared.history)
        } else {
            event.encoded()
        };
        TakenEvent {
            revision: event.revision,
            store_revision: event.store_revision,
            encoded,
        }
    }
}

impl Drop for WatchHub {
    fn drop(&mut self) {
        self.close();
    }
}

impl WatcherHandle {
    /// The newest revision when the watcher was registered; a watcher without a start gets what is after it.
    pub fn registered_at(&self) -> i64 {
        self.0.registered_at
    }

    /// What it watches.
    pub fn watched(&self) -> &Watched {
        &self.0.watched
    }
}
