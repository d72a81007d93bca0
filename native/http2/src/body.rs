//! The client's half of a stream: the data of a request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::reason::Gone;
use crate::state::State;
use crate::waker;

/// Receives what a client sends on one stream.
pub struct Body {
    state: Rc<RefCell<State>>,
    slot: usize,
    id: u32,
    /// Bytes that were given out and not released.
    unreleased: usize,
}

impl Body {
    #[inline]
    pub(crate) fn new(state: Rc<RefCell<State>>, slot: usize, id: u32) -> Self {
        Self {
            state,
            slot,
            id,
            unreleased: 0,
        }
    }

    /// The next bytes; None when the client has sent all. They close its window until they are released.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        let state = &mut *self.state.borrow_mut();
        let Some(stream) = state.streams.get(self.slot, self.id) else {
            return Poll::Ready(Some(Err(Gone)));
        };
        if stream.received.is_empty() && stream.remote_ended {
            return Poll::Ready(None);
        }
        if let Some(data) = state.pop_received(self.slot) {
            self.unreleased += data.len();
            return Poll::Ready(Some(Ok(data)));
        }
        waker::remember(&mut state.streams[self.slot].body_waker, cx.waker());
        Poll::Pending
    }

    /// As `poll_data`, for async functions.
    pub async fn data(&mut self) -> Option<Result<Bytes, Gone>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// `bytes` of what came are done with: the client may send as many again.
    pub fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.unreleased);
        self.unreleased -= bytes;
        let state = &mut *self.state.borrow_mut();
        if state.streams.get(self.slot, self.id).is_some() {
            state.release_on(self.slot, bytes);
        } else {
            state.release(bytes);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let state = &mut *self.state.borrow_mut();
        let Some(stream) = state.streams.get(self.slot, self.id) else {
            return state.release(self.unreleased);
        };
        stream.body_held = false;
        let bytes = self.unreleased + state.drop_received(self.slot);
        if bytes > 0 {
            state.release_on(self.slot, bytes);
        }
    }
}
