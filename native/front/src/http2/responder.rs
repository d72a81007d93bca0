//! The server's half of a stream: headers, data, trailers.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::hpack;
use super::state::State;
use super::{Gone, Reason};
use crate::grpc::buf::SendBuf;

/// Encoded headers or trailers. Clones are cheap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HeaderBlock(Bytes);

impl HeaderBlock {
    /// A block that was encoded when the program was written.
    pub(crate) const fn from_static(block: &'static [u8]) -> Self {
        Self(Bytes::from_static(block))
    }

    /// Headers of a response.
    pub(crate) fn response(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut block = BytesMut::new();
        hpack::encode(&mut block, b":status", status.as_str().as_bytes());
        put(&mut block, headers);
        Self(block.freeze())
    }

    /// Headers of a response that is nothing but its status.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self::response(status, &HeaderMap::new())
    }

    pub(crate) fn trailers(trailers: &HeaderMap) -> Self {
        let mut block = BytesMut::new();
        put(&mut block, trailers);
        Self(block.freeze())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn put(block: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        hpack::encode(block, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Answers one request. Dropped before the answer is whole it resets the stream.
pub(crate) struct Responder {
    state: Rc<RefCell<State>>,
    slot: usize,
    id: u32,
    ended: bool,
}

impl Responder {
    pub(super) fn new(state: Rc<RefCell<State>>, slot: usize, id: u32) -> Self {
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
    pub(crate) fn respond(&mut self, headers: &HeaderBlock, end: bool) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.respond(slot, headers, end));
        self.ended |= end;
        sent
    }

    /// Sends a whole answer. What the client's window has no room for waits: for small ones only.
    pub(crate) fn answer(
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
    pub(crate) fn send_data(&mut self, data: SendBuf, end: bool) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.send_data(slot, data, end));
        self.ended |= end;
        sent
    }

    /// Bytes of data that still wait for the client's window; none once the stream is gone.
    pub(crate) fn unsent(&self) -> usize {
        self.with(|state, slot| state.streams[slot].unsent)
            .unwrap_or(0)
    }

    /// Ready when at most `left` bytes of data still wait for the client's window.
    pub(crate) fn poll_sent(
        &mut self,
        left: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        self.with(|state, slot| {
            if state.streams[slot].unsent <= left {
                return Poll::Ready(Ok(()));
            }
            state.register(slot, cx);
            Poll::Pending
        })?
    }

    /// Ends the answer, after all data.
    pub(crate) fn send_trailers(&mut self, trailers: HeaderBlock) -> Result<(), Gone> {
        let sent = self.with(|state, slot| state.send_trailers(slot, trailers));
        self.ended = true;
        sent
    }

    /// Ready when the client has reset the stream or its connection has ended.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.with(|state, slot| state.register(slot, cx)) {
            Ok(()) => Poll::Pending,
            Err(Gone) => Poll::Ready(()),
        }
    }

    /// Breaks the answer off.
    pub(crate) fn reset(&mut self, reason: Reason) {
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
