//! All that the control plane has at the moment, and how far it has drained its events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::grpc::end::CallOutbound;
use crate::http::HttpOutbound;
use crate::limits::{
    CALL_BYTES_UNDRAINED_MAX, CALL_MESSAGES_UNDRAINED_MAX, CALLS_BYTES_UNDRAINED_MAX,
    HANDED_OVER_MAX,
};

/// The way back to one handed-over call or request.
#[derive(Clone)]
pub(crate) enum Back {
    Call(Arc<CallOutbound>),
    Http(Arc<HttpOutbound>),
}

/// All that is handed over at the moment, by id, and how far the control plane has drained its events.
#[derive(Default)]
pub(crate) struct Handovers {
    last_id: AtomicU64,
    open: Mutex<HashMap<u64, Back>>,
    /// Counts the drains of the control plane's event queue.
    drains: AtomicU64,
    /// Bytes of messages that were queued since the last of them.
    undrained_bytes: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Handovers {
    /// None if too many are open.
    pub(crate) fn add(&self, back: Back) -> Option<u64> {
        let mut open = self.open.lock();
        if open.len() >= HANDED_OVER_MAX {
            return None;
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        open.insert(id, back);
        Some(id)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.open.lock().remove(&id);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Back> {
        self.open.lock().get(&id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// The control plane has taken all events that were queued.
    pub(crate) fn drained(&self) {
        // What is queued between the drain and here is no longer counted: little, and only until the next drain.
        self.undrained_bytes.store(0, Ordering::Release);
        self.drains.fetch_add(1, Ordering::AcqRel);
        for waker in std::mem::take(&mut *self.waiting.lock()) {
            waker.wake();
        }
    }
}

/// What one call has in the control plane's event queue, at most.
#[derive(Default)]
pub(super) struct Undrained {
    drains: u64,
    messages: u32,
    bytes: usize,
    /// The call is among those that the next drain wakes.
    registered: bool,
}

impl Undrained {
    /// Ready when one more message may be queued.
    pub(super) fn poll_room(&mut self, handovers: &Handovers, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room(handovers) {
            return Poll::Ready(());
        }
        // Once per drain: a call that is woken for other reasons would fill the list.
        if !std::mem::replace(&mut self.registered, true) {
            handovers.waiting.lock().push(cx.waker().clone());
        }
        // A drain between the look and the registration has woken nobody.
        if self.has_room(handovers) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn has_room(&mut self, handovers: &Handovers) -> bool {
        let drains = handovers.drains.load(Ordering::Acquire);
        if drains != self.drains {
            *self = Self {
                drains,
                ..Self::default()
            };
        }
        self.messages < CALL_MESSAGES_UNDRAINED_MAX
            && self.bytes < CALL_BYTES_UNDRAINED_MAX
            && handovers.undrained_bytes.load(Ordering::Acquire) < CALLS_BYTES_UNDRAINED_MAX
    }

    pub(super) fn add(&mut self, handovers: &Handovers, bytes: usize) {
        handovers.undrained_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.messages += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_calls_together_wait_for_a_control_plane_that_does_not_drain() {
        let handovers = Handovers::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut calls: Vec<Undrained> = (0..1000).map(|_| Undrained::default()).collect();
        let mut queued = 0;
        for call in &mut calls {
            // Each alone is far from its own limit.
            if call.poll_room(&handovers, &mut cx).is_ready() {
                call.add(&handovers, 1 << 20);
                queued += 1 << 20;
            }
        }
        assert_eq!(queued, CALLS_BYTES_UNDRAINED_MAX);
        let waiting = handovers.waiting.lock().len();
        assert_eq!(waiting, calls.len() - (CALLS_BYTES_UNDRAINED_MAX >> 20));
        handovers.drained();
        assert!(handovers.waiting.lock().is_empty());
        let mut rooms = 0;
        for call in &mut calls {
            rooms += usize::from(call.has_room(&handovers));
        }
        assert_eq!(rooms, calls.len(), "all may go on");
    }
}
