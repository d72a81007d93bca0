//! The byte stream under an HTTP/2 connection: collects what HTTP/2 writes so that one turn of the connection costs one
//! write, and watches the frames that pass for pings (which the h2 crate answers on its own) and for boundaries (where
//! a last GOAWAY may go in).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ConnCtx;
use super::authority;
use super::pings::PingPolicy;
use super::scan::{ACK, DATA, FrameScanner, HEADERS, PING};
use crate::limits::{WRITE_BUFFER_BYTES_MAX, WRITE_BUFFER_IDLE_BYTES_MAX, WRITE_DIRECT_BYTES_MIN};
use crate::worker::Worker;

/// Length of the HTTP/2 client preface.
const PREFACE_BYTES: usize = 24;
const ENHANCE_YOUR_CALM: u32 = 11;

struct State<S> {
    stream: S,
    first: Bytes,
    out: BytesMut,
    /// After the handshake `flush` only collects; the driver writes at the end of its turn.
    lazy: bool,
    reads: FrameScanner,
    writes: FrameScanner,
    last_stream: u32,
    /// The client's first frame, its settings, is here whole.
    greeted: bool,
    pings: PingPolicy,
    calm: bool,
    last_read: Instant,
    /// Since when the socket has refused bytes that wait.
    stalled_since: Option<Instant>,
    conn: Rc<ConnCtx>,
    worker: Rc<Worker>,
}

/// A handle; the h2 connection has one and its driver another.
pub(crate) struct Io<S>(Rc<RefCell<State<S>>>);

impl<S> Clone for Io<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    pub(crate) fn new(worker: Rc<Worker>, conn: Rc<ConnCtx>, stream: S, first: Bytes) -> Self {
        Self(Rc::new(RefCell::new(State {
            stream,
            first,
            out: BytesMut::new(),
            lazy: false,
            reads: FrameScanner::new(PREFACE_BYTES),
            writes: FrameScanner::new(0),
            last_stream: 0,
            greeted: false,
            pings: PingPolicy::new(worker.shared.config.keepalive_min_time),
            calm: true,
            last_read: worker.now(),
            stalled_since: None,
            conn,
            worker,
        })))
    }

    /// From now on the driver decides when bytes are written.
    pub(crate) fn set_lazy(&self) {
        self.0.borrow_mut().lazy = true;
    }

    /// False until the client has said what HTTP/2 begins with: preface and settings.
    pub(crate) fn is_greeted(&self) -> bool {
        self.0.borrow().greeted
    }

    /// False once the client has pinged too often.
    pub(crate) fn is_calm(&self) -> bool {
        self.0.borrow().calm
    }

    pub(crate) fn last_read(&self) -> Instant {
        self.0.borrow().last_read
    }

    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.0.borrow().stalled_since
    }

    /// Writes what was collected.
    pub(crate) fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write_out(cx)
    }

    /// Appends the GOAWAY that tells a client why it is thrown out; nothing may follow it. In the middle of a frame
    /// there is no place for it, and the connection just ends.
    pub(crate) fn say_too_many_pings(&self) {
        const DEBUG_DATA: &[u8] = b"too_many_pings";
        const GOAWAY: u8 = 7;
        let mut state = self.0.borrow_mut();
        if !state.writes.at_boundary() {
            return;
        }
        let last_stream = state.last_stream;
        let out = &mut state.out;
        out.extend_from_slice(&((8 + DEBUG_DATA.len()) as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&last_stream.to_be_bytes());
        out.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        out.extend_from_slice(DEBUG_DATA);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> State<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.out.advance(n);
                    self.stalled_since = None;
                }
                Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
                Poll::Pending => {
                    self.stalled_since.get_or_insert(self.worker.now());
                    return Poll::Pending;
                }
            }
        }
        if self.out.capacity() > WRITE_BUFFER_IDLE_BYTES_MAX {
            self.out = BytesMut::new();
        } else {
            self.out.clear();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn look_at_read(&mut self, bytes: &mut [u8]) {
        let mut first_block = None;
        self.last_read = self.worker.now();
        let Self {
            reads,
            pings,
            conn,
            calm,
            last_read,
            last_stream,
            greeted,
            ..
        } = self;
        reads.scan(bytes, |frame| match frame.kind {
            // Members measure their links with pings, whatever clients are allowed.
            PING if frame.flags & ACK == 0 && conn.listener.role != "peer" => {
                *calm &= pings.ping(*last_read, conn.active());
            }
            HEADERS => {
                if *last_stream == 0 {
                    first_block = Some((frame.payload_at, frame.length));
                }
                *last_stream = frame.stream.max(*last_stream);
            }
            _ => {}
        });
        *greeted |= reads.has_passed_frame();
        if let Some((at, length)) = first_block {
            let end = bytes.len().min(at + length);
            authority::repair(&mut bytes[at..end]);
        }
    }

    fn look_at_written(&mut self, bytes: &[u8]) {
        let Self { writes, pings, .. } = self;
        writes.scan(bytes, |frame| {
            if matches!(frame.kind, DATA | HEADERS) {
                pings.sent();
            }
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        let before = buf.filled().len();
        if state.first.is_empty() {
            ready!(Pin::new(&mut state.stream).poll_read(cx, buf))?;
        } else {
            let n = state.first.len().min(buf.remaining());
            let part = state.first.split_to(n);
            buf.put_slice(&part);
        }
        state.look_at_read(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        if state.out.is_empty() && buf.len() >= WRITE_DIRECT_BYTES_MIN {
            match Pin::new(&mut state.stream).poll_write(cx, buf)? {
                Poll::Ready(n) => {
                    state.stalled_since = None;
                    state.look_at_written(&buf[..n]);
                    return Poll::Ready(Ok(n));
                }
                Poll::Pending => {
                    let now = state.worker.now();
                    state.stalled_since.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
        if state.out.len() >= WRITE_BUFFER_BYTES_MAX {
            ready!(state.poll_write_out(cx))?;
        }
        let n = buf.len().min(WRITE_BUFFER_BYTES_MAX - state.out.len());
        state.out.extend_from_slice(&buf[..n]);
        state.look_at_written(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.lazy {
            return Poll::Ready(Ok(()));
        }
        state.poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        ready!(state.poll_write_out(cx))?;
        Pin::new(&mut state.stream).poll_shutdown(cx)
    }
}
