//! The handshake with those who call.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::refusal::{self, Failure};
use crate::limits::TLS_UNSENT_BYTES_MAX;
use crate::prefixed::Prefixed;

/// A connection with TLS, of which the first bytes were read before.
pub(crate) type Encrypted<S> = TlsStream<Prefixed<S>>;

/// The first byte of a handshake's record.
const HANDSHAKE: u8 = 0x16;

/// Whether a connection that begins with these bytes speaks TLS.
pub(crate) fn is_tls(first: &[u8]) -> bool {
    first.first() == Some(&HANDSHAKE)
}

/// Shakes hands with a client that has begun with `first`.
///
/// # Errors
/// It cannot be, or the client went.
pub(crate) async fn handshake<S>(
    config: Arc<ServerConfig>,
    first: Bytes,
    stream: S,
) -> Result<Encrypted<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let begun = first.clone();
    let stream = Prefixed { first, stream };
    let mut accept = TlsAcceptor::from(config).accept_with(stream, |session| {
        session.set_buffer_limit(Some(TLS_UNSENT_BYTES_MAX));
    });
    let mut refused = None;
    let accepted: io::Result<_> = poll_fn(|cx| {
        let polled = Pin::new(&mut accept).poll(cx);
        // The end may come in a later step: the client has to take an alert before.
        refused = refused.take().or_else(refusal::noted);
        polled
    })
    .await;
    accepted.map_err(|problem| Failure::of_handshake(&problem, refused, &begun))
}

/// Whether the session of this connection began with an earlier one.
pub(crate) fn is_resumed<S>(stream: &Encrypted<S>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}
