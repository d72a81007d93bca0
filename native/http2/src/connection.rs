//! The connection: reads and writes the socket, gives out requests.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::body::Body;
use crate::frame::{self, ALIVE_PING};
use crate::limits::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_IDLE_BYTES_MAX};
use crate::reason::Reason;
use crate::receive::{Receiver, whole_frames};
use crate::request::RequestHead;
use crate::responder::Responder;
use crate::state::{Config, Phase, State};

/// What a client says first, before its first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One request: what its headers say, and both halves of its stream.
pub type Request<T> = (Rc<RequestHead<T>>, Body, Responder);

/// What came of reading.
enum Input {
    /// There is no more for now.
    Waits,
    /// There may be more; the client has to take what waits for it first.
    Paused,
    /// Nothing is read any more.
    Over,
}

/// The server's side of one HTTP/2 connection. Dropped it ends all streams. `T`: what is kept with each header block.
pub struct Connection<S, T> {
    stream: S,
    input: BytesMut,
    /// Bytes of the preface that are still to be skipped.
    preface: usize,
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) receiver: Receiver<T>,
    last_read: Instant,
    /// The client has said all it will.
    read_all: bool,
    stalled_since: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, T> Connection<S, T> {
    /// A connection whose client has been seen to begin with HTTP/2's preface; `first` was read already.
    pub fn new(stream: S, first: &[u8], config: Config, now: Instant) -> Self {
        Self {
            stream,
            input: BytesMut::from(first),
            preface: PREFACE.len(),
            state: Rc::new(RefCell::new(State::new(config, now))),
            receiver: Receiver::new(),
            last_read: now,
            read_all: false,
            stalled_since: None,
        }
    }

    /// False until the client's settings have come.
    pub fn is_greeted(&self) -> bool {
        self.state.borrow().greeted
    }

    /// When anything came last.
    pub fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Since when the socket has refused bytes that wait.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Lets running streams finish and asks the client to open no more.
    pub fn announce_end(&self) {
        self.state.borrow_mut().announce_end();
    }

    /// The client does not answer to the announcement: what it has opened by now is all that is served.
    pub fn end_announced(&self) {
        let state = &mut *self.state.borrow_mut();
        state.end_announced();
        state.rouse();
    }

    /// Asks the client for a sign of life.
    pub fn ping(&self) {
        let state = &mut *self.state.borrow_mut();
        frame::put_ping(&mut state.out, 0, ALIVE_PING);
        state.rouse();
    }

    /// One turn: reads and gives all requests that are there to `each`, writes what came of it. Ready when the connection
    /// is over, apart from bytes that `poll_farewell` may still bring out.
    pub fn poll_turn(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Request<T>, &mut Context<'_>),
    ) -> Poll<()> {
        self.state.borrow_mut().begin_turn(now, cx);
        let over = self.poll_both_ways(now, cx, &mut each);
        self.state.borrow_mut().end_turn();
        if over.is_ready() {
            self.state.borrow_mut().close();
        }
        over
    }

    fn poll_both_ways(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Request<T>, &mut Context<'_>),
    ) -> Poll<()> {
        loop {
            let input = self.poll_requests(now, cx, each);
            let written = self.poll_out(now, cx);
            match (input, written) {
                (Input::Over, _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
                // Nobody would wake this task for what can be read.
                (Input::Paused, Poll::Ready(Ok(()))) => {}
                (Input::Waits, Poll::Ready(Ok(()))) if self.is_finished() => {
                    return Poll::Ready(());
                }
                (Input::Waits | Input::Paused, _) => return Poll::Pending,
            }
        }
    }

    fn poll_requests(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Request<T>, &mut Context<'_>),
    ) -> Input {
        loop {
            self.take_in();
            while let Some(request) = self.next_request() {
                each(request, cx);
            }
            if self.read_all || self.state.borrow().is_closed() {
                return Input::Over;
            }
            // A client that does not take what it asked for is not asked for more.
            if self.state.borrow().out.len() > 2 * WRITE_BUFFER_BYTES_MAX {
                self.last_read = now;
                return Input::Paused;
            }
            match self.poll_read(cx) {
                Poll::Pending => return Input::Waits,
                Poll::Ready(Ok(n)) if n > 0 => self.last_read = now,
                Poll::Ready(_) => {
                    // Those who wait for what came last run before this task runs again.
                    self.read_all = true;
                    cx.waker().wake_by_ref();
                    return Input::Waits;
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let missing = frame::Head::read(&self.input).map_or(0, |head| {
            (frame::HEAD_BYTES + head.length).saturating_sub(self.input.len())
        });
        self.input.reserve(missing.max(READ_BUFFER_BYTES));
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
    }

    /// Takes in the whole frames that are there.
    fn take_in(&mut self) {
        let skipped = self.preface.min(self.input.len());
        if skipped > 0 {
            self.preface -= skipped;
            self.input.advance(skipped);
        }
        let taken = whole_frames(&self.input).and_then(|bytes| {
            if bytes == 0 {
                return Ok(());
            }
            let frames: Bytes = self.input.split_to(bytes).freeze();
            let state = &mut *self.state.borrow_mut();
            self.receiver.receive(state, &frames)
        });
        let state = &mut *self.state.borrow_mut();
        if let Err(reason) = taken {
            state.fail(reason, b"");
        } else if state.too_many_pings {
            state.fail(Reason::EnhanceYourCalm, b"too_many_pings");
        }
    }

    fn next_request(&mut self) -> Option<Request<T>> {
        loop {
            let incoming = self.receiver.accepted.pop_front()?;
            let state = &mut *self.state.borrow_mut();
            // The client may have reset it meanwhile.
            if state.streams.get(incoming.slot, incoming.id).is_some() {
                return Some((
                    incoming.head,
                    Body::new(self.state.clone(), incoming.slot, incoming.id),
                    Responder::new(self.state.clone(), incoming.slot, incoming.id),
                ));
            }
        }
    }

    /// Whether all is done that will be.
    fn is_finished(&self) -> bool {
        let state = self.state.borrow();
        let last = matches!(state.phase, Phase::Last(_)) || state.client_leaves;
        last && state.streams.len() == 0
    }

    /// Writes all there is, and what streams in line add to it.
    fn poll_out(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.state.borrow_mut().serve_line();
            if self.state.borrow().out.is_empty() {
                return self.poll_flush(now, cx);
            }
            ready!(self.poll_write(now, cx))?;
        }
    }

    /// Brings out what the stream itself keeps, as TLS does: that can stall like the rest.
    fn poll_flush(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            self.stalled_since.get_or_insert(now);
        } else {
            self.stalled_since = None;
        }
        flushed
    }

    /// Writes what is in the buffer.
    fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut self.state.borrow_mut().out;
        while !out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, out) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    out.advance(n);
                    self.stalled_since = None;
                }
                Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
                Poll::Pending => {
                    self.stalled_since.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
        if out.capacity() > WRITE_BUFFER_IDLE_BYTES_MAX {
            *out = BytesMut::new();
        } else {
            out.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// Brings out the last bytes of a connection that is over, and ends the stream.
    pub fn poll_farewell(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(now, cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S, T> Drop for Connection<S, T> {
    fn drop(&mut self) {
        self.state.borrow_mut().close();
    }
}
