//! The first look at a connection's bytes, which tells TLS from what is plain, and HTTP/2 from HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use netcd_http2::PREFACE;
use tokio::io::{AsyncRead, ReadBuf};

use super::{ConnCtx, Stage};

/// Bytes that are read at once. They are on the stack only while there is something: a connection that says nothing
/// holds no memory for it.
const CHUNK: usize = 4096;

/// Reads once into `into`. A connection that has said nothing when the server drains is not waited for.
async fn read_some<S: AsyncRead + Unpin>(
    conn: &ConnCtx,
    stream: &mut S,
    into: &mut BytesMut,
) -> io::Result<()> {
    let bytes = into.len();
    poll_fn(|cx| {
        conn.register(cx.waker());
        if conn.stage.get() == Stage::Draining {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut buf = ReadBuf::uninit(&mut space);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buf);
        into.extend_from_slice(buf.filled());
        read
    })
    .await?;
    if into.len() == bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What comes first.
pub(crate) async fn first_chunk<S: AsyncRead + Unpin>(
    conn: &ConnCtx,
    stream: &mut S,
) -> io::Result<Bytes> {
    let mut first = BytesMut::new();
    read_some(conn, stream, &mut first).await?;
    Ok(first.freeze())
}

/// Reads until the bytes, of which some may be there, are the HTTP/2 preface or cannot become it.
pub(crate) async fn first_bytes<S: AsyncRead + Unpin>(
    conn: &ConnCtx,
    stream: &mut S,
    there: Bytes,
) -> io::Result<Bytes> {
    let mut first = BytesMut::from(there);
    loop {
        let n = first.len().min(PREFACE.len());
        if n > 0 && (first[..n] != PREFACE[..n] || n == PREFACE.len()) {
            return Ok(first.freeze());
        }
        read_some(conn, stream, &mut first).await?;
    }
}
