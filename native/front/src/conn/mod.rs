//! Connections: what they share, and the first look at their bytes that tells HTTP/2 from HTTP/1.1.

pub(crate) mod driver;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use netcd_http2::PREFACE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::over_http1;
use crate::waker;
use crate::worker::Worker;

/// What a connection knows of the listener that accepted it.
#[derive(Debug)]
pub(crate) struct ListenerInfo {
    pub(crate) role: String,
    pub(crate) grpc: bool,
    pub(crate) http: bool,
}

/// How far a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Open,
    /// Finish what runs, start nothing.
    Draining,
}

/// One connection, shared by its driver and its calls; all on one worker.
#[derive(Debug)]
pub(crate) struct ConnCtx {
    pub(crate) listener: std::sync::Arc<ListenerInfo>,
    pub(crate) peer: String,
    pub(crate) tls: bool,
    pub(crate) stage: Cell<Stage>,
    /// Bytes of large answers that wait for the client's window.
    unsent: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl ConnCtx {
    pub(crate) fn new(listener: std::sync::Arc<ListenerInfo>, peer: String, tls: bool) -> Rc<Self> {
        Rc::new(Self {
            listener,
            peer,
            tls,
            stage: Cell::new(Stage::Open),
            unsent: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent.get()
    }

    /// Whom to wake when the stage changes.
    pub(crate) fn register(&self, waker: &Waker) {
        waker::remember(&mut self.waker.borrow_mut(), waker);
    }

    pub(crate) fn drain(&self) {
        self.stage.set(Stage::Draining);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Counts one call of a connection while it lives.
#[derive(Debug)]
pub(crate) struct ActiveCall {
    pub(crate) conn: Rc<ConnCtx>,
    worker: Rc<Worker>,
}

impl ActiveCall {
    pub(crate) fn new(worker: &Rc<Worker>, conn: &Rc<ConnCtx>) -> Self {
        worker.calls.set(worker.calls.get() + 1);
        worker.publish_counts();
        Self {
            conn: conn.clone(),
            worker: worker.clone(),
        }
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.worker.calls.set(self.worker.calls.get() - 1);
        self.worker.publish_counts();
    }
}

/// Counts the bytes of a large answer while they wait.
pub(crate) struct Unsent(Rc<ConnCtx>, usize);

impl Unsent {
    pub(crate) fn new(conn: &Rc<ConnCtx>, bytes: usize) -> Self {
        conn.unsent.set(conn.unsent.get() + bytes);
        Self(conn.clone(), bytes)
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.unsent.set(self.0.unsent.get() - self.1);
    }
}

/// Serves one connection to its end: of TCP, of a unix socket, or of TLS after its handshake.
pub(crate) async fn accept_stream<S>(worker: Rc<Worker>, conn: Rc<ConnCtx>, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let patience = worker.shared.config.patience.read_header;
    let Ok(Ok(first)) = tokio::time::timeout(patience, first_bytes(&conn, &mut stream)).await
    else {
        return;
    };
    if first.starts_with(PREFACE) {
        driver::serve(worker, conn, stream, first).await;
    } else if conn.listener.http {
        over_http1::serve(worker, conn, Prefixed { first, stream }).await;
    }
}

/// Reads until the bytes are the HTTP/2 preface or cannot become it. A connection that has said nothing when the server
/// drains is not waited for.
async fn first_bytes<S: AsyncRead + Unpin>(
    conn: &ConnCtx,
    stream: &mut S,
) -> std::io::Result<Bytes> {
    let mut first = BytesMut::with_capacity(4096);
    loop {
        let mut space = [0; 4096];
        let mut buf = ReadBuf::new(&mut space);
        poll_fn(|cx| {
            conn.register(cx.waker());
            if conn.stage.get() == Stage::Draining {
                return Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
            }
            Pin::new(&mut *stream).poll_read(cx, &mut buf)
        })
        .await?;
        if buf.filled().is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        first.extend_from_slice(buf.filled());
        let n = first.len().min(PREFACE.len());
        if first[..n] != PREFACE[..n] || n == PREFACE.len() {
            return Ok(first.freeze());
        }
    }
}

/// A stream whose first bytes were read already.
pub(crate) struct Prefixed<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
