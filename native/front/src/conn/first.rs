//! The first look at a connection's bytes, which tells HTTP/2 from HTTP/1.1.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use netcd_http2::PREFACE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnCtx, Stage};

/// Reads until the bytes are the HTTP/2 preface or cannot become it. A connection that has said nothing when the server
/// drains is not waited for.
pub(crate) async fn first_bytes<S: AsyncRead + Unpin>(
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
    pub(crate) first: Bytes,
    pub(crate) stream: S,
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
