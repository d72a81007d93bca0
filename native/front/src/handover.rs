//! Calls that the control plane serves: their messages go out as events, its answers come back from its thread.

use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use netcd_engine::error::{self, Code, EtcdError};
use parking_lot::Mutex;

use crate::conn::ConnCtx;
use crate::events::{FrontEvent, MetadataValue};
use crate::grpc::decode;
use crate::grpc::stream::{CallOutbound, CallStream, End, Outcome};
use crate::http::HttpOutbound;
use crate::http2::Held;
use crate::limits::{
    CALL_BYTES_UNDRAINED_MAX, CALL_MESSAGES_UNDRAINED_MAX, CALLS_BYTES_UNDRAINED_MAX,
    HANDED_OVER_MAX,
};
use crate::worker::{Shared, spawn};

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
struct Undrained {
    drains: u64,
    messages: u32,
    bytes: usize,
    /// The call is among those that the next drain wakes.
    registered: bool,
}

impl Undrained {
    /// Ready when one more message may be queued.
    fn poll_room(&mut self, handovers: &Handovers, cx: &mut Context<'_>) -> Poll<()> {
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

    fn add(&mut self, handovers: &Handovers, bytes: usize) {
        handovers.undrained_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// Tells the control plane of a call and lets it run.
pub(crate) fn start(
    mut stream: CallStream,
    conn: &Rc<ConnCtx>,
    metadata: Vec<(String, MetadataValue)>,
    held: Rc<Held>,
    timeout: Option<Instant>,
) {
    let shared = stream.worker.shared.clone();
    let Some(id) = shared.handovers.add(Back::Call(stream.outbound.clone())) else {
        return stream.finish(&End::from(&error::TOO_MANY_REQUESTS));
    };
    let now = stream.worker.now();
    shared.events.emit(FrontEvent::Call {
        call: id,
        path: stream.method.get().path.to_owned(),
        metadata,
        peer: conn.peer.clone(),
        deadline_ms: timeout.map(|at| at.saturating_duration_since(now).as_millis() as u64),
        listener: conn.listener.role.clone(),
    });
    let mut call = HandedCall {
        id,
        shared,
        stream,
        receiving: true,
        undrained: Undrained::default(),
        over: false,
        _held: held,
    };
    spawn(poll_fn(move |cx| call.poll(cx)));
}

struct HandedCall {
    id: u64,
    shared: Arc<Shared>,
    stream: CallStream,
    /// The client may still send messages.
    receiving: bool,
    undrained: Undrained,
    over: bool,
    /// The control plane has a copy of the call's headers.
    _held: Rc<Held>,
}

impl HandedCall {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.worker.tick();
        loop {
            match self.stream.poll_outbound(cx) {
                Poll::Ready(Outcome::Drained) => {
                    self.emit(FrontEvent::CallDrained { call: self.id })
                }
                Poll::Ready(Outcome::Ended) => {
                    self.over = true;
                    return Poll::Ready(());
                }
                Poll::Ready(Outcome::Gone) => return self.cancel(&error::CANCELED),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(why) = self.stream.poll_gone(cx) {
            return self.cancel(&why);
        }
        while self.receiving
            && self
                .undrained
                .poll_room(&self.shared.handovers, cx)
                .is_ready()
        {
            match self.stream.poll_message(cx) {
                Poll::Ready(Ok(Some(data))) => {
                    // The control plane's decoder neither skips what Go skips nor checks what Go checks.
                    let data = match decode::clean(self.stream.method, &data) {
                        Ok(data) => data,
                        Err(malformed) => return self.cancel(&malformed),
                    };
                    self.undrained.add(&self.shared.handovers, data.len());
                    self.emit(FrontEvent::CallMessage {
                        call: self.id,
                        data,
                    });
                }
                Poll::Ready(Ok(None)) => {
                    self.receiving = false;
                    self.emit(FrontEvent::CallHalfClose { call: self.id });
                }
                Poll::Ready(Err(error)) => return self.cancel(&error),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn emit(&self, event: FrontEvent) {
        self.shared.events.emit(event);
    }

    /// Ends the call on both sides.
    fn cancel(&mut self, why: &EtcdError) -> Poll<()> {
        self.over = true;
        self.stream.finish(&End::from(why));
        self.emit(FrontEvent::CallCancelled {
            call: self.id,
            code: why.code as u8,
        });
        Poll::Ready(())
    }
}

impl Drop for HandedCall {
    fn drop(&mut self) {
        self.shared.handovers.remove(self.id);
        if !self.over {
            self.emit(FrontEvent::CallCancelled {
                call: self.id,
                code: Code::Unavailable as u8,
            });
        }
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
