//! Renewals that the control plane decides: on a member that does not lead, or for a lease that the leader does not
//! know (yet). One keep-alive stream has at most one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netcd_engine::error::EtcdError;
use parking_lot::Mutex;

use crate::watch::WakeSlot;

/// The lease's TTL in seconds, 0 = there is no such lease; or why that cannot be told.
pub(crate) type Renewed = Result<i64, EtcdError>;

#[derive(Debug)]
struct Asked {
    answer: Arc<Mutex<Option<Renewed>>>,
    wake: Arc<WakeSlot>,
}

/// All that the control plane was asked and has not answered.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Asked>>,
}

impl Renewals {
    pub(super) fn ask(self: &Arc<Self>, wake: Arc<WakeSlot>) -> Asking {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = Arc::default();
        let asked = Asked {
            answer: Arc::clone(&answer),
            wake,
        };
        self.open.lock().insert(id, asked);
        Asking {
            id,
            answer,
            all: Arc::clone(self),
        }
    }

    /// The control plane's answer; one that comes after its stream is dropped.
    pub(crate) fn answer(&self, id: u64, renewed: Renewed) {
        if let Some(asked) = self.open.lock().remove(&id) {
            *asked.answer.lock() = Some(renewed);
            asked.wake.wake();
        }
    }
}

/// One question, for as long as its stream waits.
pub(super) struct Asking {
    pub(super) id: u64,
    answer: Arc<Mutex<Option<Renewed>>>,
    all: Arc<Renewals>,
}

impl Asking {
    pub(super) fn take(&self) -> Option<Renewed> {
        self.answer.lock().take()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.all.open.lock().remove(&self.id);
    }
}
