//! The long-lived streams of one worker (watches, lease keep-alives): how each is woken from other threads, and how
//! they are ended from outside.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use netcd_engine::error::EtcdError;
use parking_lot::Mutex;
use slab::Slab;

use crate::waker;

/// Wakes a stream's task from any thread.
#[derive(Debug, Default)]
pub(crate) struct WakeSlot(Mutex<Option<Waker>>);

impl WakeSlot {
    pub(crate) fn register(&self, waker: &Waker) {
        waker::remember(&mut self.0.lock(), waker);
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Entry {
    wake: Arc<WakeSlot>,
    needs_leader: bool,
    end: Option<EtcdError>,
}

/// All such streams of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watches(Rc<RefCell<Slab<Entry>>>);

impl Watches {
    pub(crate) fn register(&self, wake: Arc<WakeSlot>, needs_leader: bool) -> Registered {
        let entry = Entry {
            wake: wake.clone(),
            needs_leader,
            end: None,
        };
        Registered {
            key: self.0.borrow_mut().insert(entry),
            all: self.0.clone(),
            wake,
        }
    }

    /// Has all streams look again at what they may do.
    pub(crate) fn wake(&self) {
        for (_, entry) in self.0.borrow().iter() {
            entry.wake.wake();
        }
    }

    /// Ends all streams, or those whose clients asked to be told when there is no leader.
    pub(crate) fn end(&self, error: &EtcdError, leaderless_only: bool) {
        for (_, entry) in self.0.borrow_mut().iter_mut() {
            if entry.needs_leader || !leaderless_only {
                entry.end.get_or_insert(error.clone());
                entry.wake.wake();
            }
        }
    }
}

/// A stream's place among the others, for as long as it lives.
pub(crate) struct Registered {
    all: Rc<RefCell<Slab<Entry>>>,
    key: usize,
    pub(crate) wake: Arc<WakeSlot>,
}

impl Registered {
    /// Why the stream must end, if it must.
    pub(crate) fn ended(&self) -> Option<EtcdError> {
        self.all.borrow()[self.key].end.clone()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.all.borrow_mut().remove(self.key);
    }
}
