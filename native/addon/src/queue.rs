//! What waits for JavaScript. It is woken once, when the queue becomes non-empty, and takes everything.
//!
//! Marks that only ever move on (acknowledged, committed, stable, persisted, applied, flushed) are kept as their newest
//! value. `appended`, acknowledged and committed are delivered first, so that raft knows the log as the data plane had it
//! before it sees a message that came later; that something is stable it may learn late. Where the data plane replicates
//! and commits by itself nobody waits for what JavaScript makes of marks: they wake it at most once in `MARKS_DELAY`.

use std::sync::Arc;
use std::thread::Builder;

use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use netcd_engine::pipeline::EntryMeta;
use netcd_engine::types::LogMark;
use netcd_front::FieldValue;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::event::Event;
use crate::limits::{LOG_EVENTS_MAX, MARKS_DELAY};

/// The wake function of JavaScript.
pub type Wake = ThreadsafeFunction<(), (), (), Status, false>;

/// Everything since the last drain, in the order of its delivery.
#[derive(Default)]
pub struct Drained {
    /// Entries stamped or taken under a grant, in order.
    pub appended: Vec<EntryMeta>,
    /// Acknowledgements under the append grant: the newest of every member.
    pub acknowledged: Vec<(u64, LogMark)>,
    /// Committed under a grant up to here.
    pub committed: Option<u64>,
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

impl Drained {
    fn has_marks(&self) -> bool {
        !self.appended.is_empty()
            || !self.acknowledged.is_empty()
            || self.committed.is_some()
            || self.stable.is_some()
            || self.applied.is_some()
            || self.flushed.is_some()
    }
}

struct Inner {
    waiting: Drained,
    woken: bool,
    wake: Option<Wake>,
    /// Marks can wait for `MARKS_DELAY`: the data plane commits by itself, so JavaScript has nobody to tell.
    patient: bool,
    /// The thread that wakes for delayed marks has been told.
    delayed: bool,
    /// JavaScript waits for this to be applied: no later.
    awaited: Option<u64>,
}

impl Inner {
    fn wake(&mut self) {
        if self.woken {
            return;
        }
        if let Some(wake) = &self.wake {
            let status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            // Closing: the environment of this engine ends, and with it everyone who could drain.
            debug_assert!(matches!(status, Status::Ok | Status::Closing), "{status:?}");
            self.woken = true;
        }
    }

    fn wake_if_awaited(&mut self) {
        if self
            .awaited
            .is_some_and(|awaited| self.waiting.applied >= Some(awaited))
        {
            self.awaited = None;
            self.wake();
        }
    }
}

/// See the file's head.
pub struct EventQueue {
    inner: Mutex<Inner>,
    /// Signalled when marks begin to wait, and at the end.
    delayed: Condvar,
}

impl EventQueue {
    /// An empty queue.
    pub fn new(wake: Wake) -> Self {
        Self {
            inner: Mutex::new(Inner {
                waiting: Drained::default(),
                woken: false,
                wake: Some(wake),
                patient: false,
                delayed: false,
                awaited: None,
            }),
            delayed: Condvar::new(),
        }
    }

    /// Starts the thread that wakes JavaScript for delayed marks; it ends with `release`.
    pub fn start_delays(self: &Arc<Self>) -> std::io::Result<()> {
        let queue = Arc::clone(self);
        let body = move || queue.wake_delayed();
        Builder::new().name("netcd-marks".into()).spawn(body)?;
        Ok(())
    }

    fn wake_delayed(&self) {
        let mut inner = self.inner.lock();
        while inner.wake.is_some() {
            if !inner.delayed {
                self.delayed.wait(&mut inner);
                continue;
            }
            MutexGuard::unlocked(&mut inner, || std::thread::sleep(MARKS_DELAY));
            inner.delayed = false;
            if inner.waiting.has_marks() {
                inner.wake();
            }
        }
    }

    /// Whether marks may wait: while the data plane replicates and commits by itself.
    pub fn set_patient(&self, patient: bool) {
        let mut inner = self.inner.lock();
        inner.patient = patient;
        if !patient && inner.waiting.has_marks() {
            inner.wake();
        }
    }

    /// Adds to what waits; only queues.
    pub fn put(&self, add: impl FnOnce(&mut Drained)) {
        let mut inner = self.inner.lock();
        add(&mut inner.waiting);
        inner.wake();
    }

    /// Adds a mark, for which JavaScript is woken a little later if it can be.
    pub fn put_mark(&self, add: impl FnOnce(&mut Drained)) {
        let mut inner = self.inner.lock();
        add(&mut inner.waiting);
        inner.wake_if_awaited();
        if !inner.patient {
            inner.wake();
        } else if !inner.woken && !inner.delayed {
            inner.delayed = true;
            self.delayed.notify_one();
        }
    }

    /// Adds entries that were stamped or taken, for which another mark comes when they are on stable storage. It is soon
    /// enough to wake somebody then: before that it would only be in the way of the entries.
    pub fn put_appended(&self, entries: &[EntryMeta]) {
        let mut inner = self.inner.lock();
        inner.waiting.appended.extend_from_slice(entries);
        if !inner.patient {
            inner.wake();
        }
    }

    /// Everything up to index is applied.
    pub fn applied(&self, index: u64) {
        self.put_mark(|waiting| waiting.applied = Some(index));
    }

    /// Wakes JavaScript as soon as index is applied. The smallest counts that was not reached; asked again afterwards for
    /// the others.
    pub fn await_applied(&self, index: u64) {
        let mut inner = self.inner.lock();
        inner.awaited = Some(inner.awaited.map_or(index, |awaited| awaited.min(index)));
        inner.wake_if_awaited();
    }

    /// Adds one event.
    pub fn push(&self, event: Event) {
        self.put(|waiting| waiting.events.push(event));
    }

    /// Adds a log line, or counts it when there are too many.
    pub fn log<V: Into<FieldValue>>(
        &self,
        level: &'static str,
        message: String,
        fields: Vec<(String, V)>,
    ) {
        let fields = fields.into_iter();
        let fields = fields.map(|(name, value)| (name, value.into())).collect();
        self.push_log(Event::Log {
            level,
            message,
            fields,
        });
    }

    /// Adds what becomes a log line, or counts it when there are too many.
    pub fn push_log(&self, event: Event) {
        self.put(|waiting| {
            if waiting.logs >= LOG_EVENTS_MAX {
                waiting.dropped_logs += 1;
                return;
            }
            waiting.logs += 1;
            waiting.events.push(event);
        });
    }

    /// Takes everything.
    pub fn drain(&self) -> Drained {
        let mut inner = self.inner.lock();
        inner.woken = false;
        std::mem::take(&mut inner.waiting)
    }

    /// Lets go of JavaScript: it is not woken again, and may end.
    pub fn release(&self) {
        let wake = self.inner.lock().wake.take();
        self.delayed.notify_all();
        drop(wake);
    }
}
