//! One watcher and its queue.
//!
//! A queue is filled by one thread at a time: by the apply thread while the watcher is synced, by the catch-up thread
//! while it is not. In the moment between, when the catch-up thread reads the last revisions up to the present, the
//! apply thread puts what is newer aside in `ahead`, and the two are joined when both are complete.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::WatchEnd;
use super::event::SharedEvent;
use super::ports::WatchSink;
use super::spec::{WatchSpec, Watched};
use crate::limits::WATCH_QUEUE_BYTES_MAX;

pub(super) struct Watcher {
    /// Number of the watcher's slot in the registry, while it is registered.
    pub(super) slot: u32,
    pub(super) watched: Watched,
    /// Watchers of clients that this one stands for.
    pub(super) members: AtomicUsize,
    /// Revision of the store when the watcher was registered.
    pub(super) registered_at: i64,
    /// What the sink knows the watcher by.
    watch_key: u64,
    sink: Arc<dyn WatchSink>,
    /// Whether the sink was woken and has not taken since.
    pub(super) woken: AtomicBool,
    pub(super) queue: Mutex<Queue>,
}

pub(super) struct Queue {
    /// Events to be taken, in revision order, no gap before the last.
    pub(super) events: VecDeque<Arc<SharedEvent>>,
    /// Events that will follow once the catch-up thread has read what is before them.
    pub(super) ahead: Option<VecDeque<Arc<SharedEvent>>>,
    /// Cost of all events above.
    pub(super) bytes: usize,
    /// While unsynced: the first revision that is not in `events`. While synced: events below it are not wanted.
    pub(super) next_revision: i64,
    /// Whether the apply thread fills `events`.
    pub(super) synced: bool,
    /// Why nothing comes after `events`.
    pub(super) end: Option<WatchEnd>,
    /// The end was taken, or the watcher cancelled.
    pub(super) closed: bool,
}

/// What became of an event offered to a queue.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Offered {
    /// It is the queue's first event of its revision.
    First,
    /// It follows others of its revision.
    More,
    /// It is not wanted, or will come from the store.
    Ignored,
    /// There was no room: the watcher must get it, and all that follows, from the store.
    Overflow,
}

impl Watcher {
    pub(super) fn new(
        slot: u32,
        spec: WatchSpec,
        registered_at: i64,
        sink: Arc<dyn WatchSink>,
        watch_key: u64,
    ) -> Self {
        let synced = spec.start_revision == 0 || spec.start_revision > registered_at;
        let next_revision = match spec.start_revision {
            0 => registered_at + 1,
            start => start,
        };
        Self {
            slot,
            watched: spec.watched,
            members: AtomicUsize::new(1),
            registered_at,
            watch_key,
            sink,
            woken: AtomicBool::new(false),
            queue: Mutex::new(Queue {
                events: VecDeque::new(),
                ahead: None,
                bytes: 0,
                next_revision,
                synced,
                end: None,
                closed: false,
            }),
        }
    }

    /// Watchers of clients that this one stands for, as figures count them.
    pub(super) fn weight(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// Wakes the sink unless it was woken since it last took. To be called after what it is to find is in place.
    pub(super) fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.sink.wake(self.watch_key);
        }
    }

    pub(super) fn end(&self, end: WatchEnd) {
        self.queue.lock().end.get_or_insert(end);
        self.wake();
    }
}

impl Queue {
    /// Queues an event of the present.
    pub(super) fn offer(&mut self, event: &Arc<SharedEvent>) -> Offered {
        if event.revision < self.next_revision || !(self.synced || self.ahead.is_some()) {
            return Offered::Ignored;
        }
        let target = match &mut self.ahead {
            Some(ahead) => ahead,
            None => &mut self.events,
        };
        let newest = target.back().map(|last| last.revision);
        let oldest = target.front().map(|first| first.revision);
        // A revision is taken whole, so one that alone is too large must be let in.
        let splittable = oldest.is_some_and(|oldest| oldest != event.revision);
        let full = self.bytes + event.cost() > WATCH_QUEUE_BYTES_MAX;
        if splittable && full {
            return Offered::Overflow;
        }
        target.push_back(Arc::clone(event));
        self.bytes += event.cost();
        if newest == Some(event.revision) {
            Offered::More
        } else {
            Offered::First
        }
    }

    /// Queues events that were read from the store, complete up to before revision `next`. Ends early, between two
    /// revisions, when the queue is full.
    pub(super) fn fill(&mut self, events: Vec<Arc<SharedEvent>>, next: i64) {
        let wanted = self.next_revision;
        for event in events.into_iter().filter(|event| event.revision >= wanted) {
            let begins = self
                .events
                .back()
                .is_none_or(|last| last.revision != event.revision);
            if begins && self.bytes >= WATCH_QUEUE_BYTES_MAX {
                self.next_revision = event.revision;
                return;
            }
            self.bytes += event.cost();
            self.events.push_back(event);
        }
        self.next_revision = self.next_revision.max(next);
    }

    /// Forgets what is queued; it will be read from the store again.
    pub(super) fn drop_events(&mut self) {
        if let Some(first) = self.events.front() {
            self.next_revision = first.revision;
        }
        self.events = VecDeque::new();
        self.drop_ahead();
        self.bytes = 0;
    }

    /// Forgets what was put aside.
    pub(super) fn drop_ahead(&mut self) {
        for event in self.ahead.take().into_iter().flatten() {
            self.bytes -= event.cost();
        }
    }

    /// The first event, if its revision is at or below `visible`. Later revisions may still be incomplete.
    pub(super) fn first_visible(&self, visible: i64) -> Option<&Arc<SharedEvent>> {
        self.events
            .front()
            .filter(|event| event.revision <= visible)
    }

    /// Whether the watcher lags and has room for more from the store.
    pub(super) fn is_hungry(&self) -> bool {
        !self.synced && self.end.is_none() && !self.closed && self.bytes < WATCH_QUEUE_BYTES_MAX / 2
    }
}
