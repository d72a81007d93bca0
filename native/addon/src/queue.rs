//! What waits for JavaScript. It is woken once, when the queue becomes non-empty, and takes everything.
//!
//! Marks that only ever move on (stable, persisted, applied, flushed) are kept as their newest value, and `appended`
//! as one list that is delivered first: raft may learn early that an entry exists, and late that it is stable.

use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use netcd_engine::pipeline::EntryMeta;
use netcd_engine::types::LogMark;
use parking_lot::Mutex;

use crate::event::Event;
use crate::limits::LOG_EVENTS_MAX;

/// The wake function of JavaScript.
pub type Wake = ThreadsafeFunction<(), (), (), Status, false>;

/// Everything since the last drain, in the order of its delivery.
#[derive(Default)]
pub struct Drained {
    /// Entries stamped under the grant, in order.
    pub appended: Vec<EntryMeta>,
    /// What is not merged, in order.
    pub events: Vec<Event>,
    /// The grant's entries are on stable storage up to here.
    pub stable: Option<LogMark>,
    /// `persist(seq)` and all before it are.
    pub persisted: Option<u64>,
    /// Applied up to here.
    pub applied: Option<u64>,
    /// Durable in the revision tree up to here.
    pub flushed: Option<LogMark>,
    /// A write was refused for the quota.
    pub quota_exceeded: bool,
    logs: usize,
    /// Log lines over the limit.
    pub dropped_logs: u64,
}

struct Inner {
    waiting: Drained,
    woken: bool,
    wake: Option<Wake>,
}

/// See the file's head.
pub struct EventQueue(Mutex<Inner>);

impl EventQueue {
    /// An empty queue.
    pub fn new(wake: Wake) -> Self {
        Self(Mutex::new(Inner {
            waiting: Drained::default(),
            woken: false,
            wake: Some(wake),
        }))
    }

    /// Adds to what waits; only queues.
    pub fn put(&self, add: impl FnOnce(&mut Drained)) {
        let mut inner = self.0.lock();
        add(&mut inner.waiting);
        if inner.woken {
            return;
        }
        if let Some(wake) = &inner.wake {
            let status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            // Closing: the environment of this engine ends, and with it everyone who could drain.
            debug_assert!(matches!(status, Status::Ok | Status::Closing), "{status:?}");
            inner.woken = true;
        }
    }

    /// Adds one event.
    pub fn push(&self, event: Event) {
        self.put(|waiting| waiting.events.push(event));
    }

    /// Adds a log line, or counts it when there are too many.
    pub fn log(&self, level: &'static str, message: String, fields: Vec<(String, String)>) {
        self.put(|waiting| {
            if waiting.logs >= LOG_EVENTS_MAX {
                waiting.dropped_logs += 1;
                return;
            }
            waiting.logs += 1;
            waiting.events.push(Event::Log {
                level,
                message,
                fields,
            });
        });
    }

    /// Takes everything.
    pub fn drain(&self) -> Drained {
        let mut inner = self.0.lock();
        inner.woken = false;
        std::mem::take(&mut inner.waiting)
    }

    /// Lets go of JavaScript: it is not woken again, and may end.
    pub fn release(&self) {
        let wake = self.0.lock().wake.take();
        drop(wake);
    }
}
