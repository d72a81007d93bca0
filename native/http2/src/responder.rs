//! The server's half of a stream: headers, data, trailers.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::header_block::HeaderBlock;
use crate::reason::{Gone, Reason};
use crate::send_buf::SendBuf;
use crate::state::State;

/// Answers one request. Dropped before the answer is whole it resets the stream.
pub struct Responder {
    state: Rc<RefCell<State>>,
    slot: usize,
    id: u32,
    ended: bool,
}

impl Responder {
    #[inline]
    pub(crate) fn new(state: Rc<RefCell<State>>, slot: usize, id: u32) -> Self {
        Self {
            state,
            slot,
            id,
            ended: false,
        }
    }

    /// Does something with the stream if it is still there.
    fn with<T>(&self, f: impl FnOnce(&mut State, usize) -> T) -> Result<T, Gone> {
        let state = &mut *self.state.borrow_mut();
        if self.ended || state.streams.get(self.slot, self.id).is_none() {
            return Err(Gone);
        }
        Ok(f(state, self.slot))
    }

    /// Sends the headers of the answer, which are all of it if `end`.
    pub fn respond(&mut self, headers: &HeaderBlock, end: bool) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.respond(slot, headers, end));
        self.ended |= end;
        sent
    }

    /// Sends a whole answer. What the client's window has no room for waits: for small ones only.
    pub fn answer(
        &mut self,
        headers: &HeaderBlock,
        data: SendBuf,
        trailers: HeaderBlock,
    ) -> Result<(), Gone> {
        let sent = self.with(|state, slot| {
            state.respond(slot, headers, false);
            state.send_data(slot, data, false);
            state.send_trailers(slot, trailers);
        });
        self.ended = true;
        sent
    }

    /// Sends data. What the client's window has no room for waits: see `poll_sent`.
    pub fn send_data(&mut self, data: SendBuf, end: bool) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.send_data(slot, data, end));
        self.ended |= end;
        sent
    }

    /// Bytes of data that still wait for the client's window; none once the stream is gone.
    pub fn unsent(&self) -> usize {
        self.with(|state, slot| state.streams[slot].unsent)
            .unwrap_or(0)
    }

    /// Ready when at most `left` bytes of data still wait for the client's window.
    pub fn poll_sent(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.with(|state, slot| {
            if state.streams[slot].unsent <= left {
                return Poll::Ready(Ok(()));
            }
            state.register(slot, cx);
            Poll::Pending
        })?
    }

    /// Ends the answer, after all data.
    pub fn send_trailers(&mut self, trailers: HeaderBlock) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.send_trailers(slot, trailers));
        self.ended = true;
        sent
    }

    /// Ready when the client has reset the stream or its connection has ended.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.with(|state, slot| state.register(slot, cx)) {
            Ok(()) => Poll::Pending,
            Err(Gone) => Poll::Ready(()),
        }
    }

    /// Breaks the answer off.
    pub fn reset(&mut self, reason: Reason) {
        // A stream that is gone needs no reset.
        let _gone = self.with(|state, slot| state.reset(slot, reason));
        self.ended = true;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(Reason::Cancel);
        }
    }
}
