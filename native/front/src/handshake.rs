//! The beginning of a connection to a listener with TLS: its first byte says whether it speaks TLS, the handshake who it
//! is, and the rules whether it may stay.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::conn::first::first_chunk;
use crate::conn::{ConnCtx, Stage, TlsFacts};
use crate::tls::{self, Encrypted, Failure, Handshake, Reason, Tls};
use crate::worker::Worker;

/// What connections come over.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    /// This end of it, as Go names it.
    fn local(&self) -> String;
}

impl Socket for TcpStream {
    fn local(&self) -> String {
        self.local_addr()
            .map_or_else(|_| String::new(), |it| it.to_string())
    }
}

impl Socket for UnixStream {
    fn local(&self) -> String {
        "@".to_owned()
    }
}

/// How a connection goes on.
pub(crate) enum Begun<S> {
    Encrypted(Box<Encrypted<S>>),
    /// With what was read of it.
    Plain(S, Bytes),
    Refused,
}

/// Why there was no handshake to its end.
enum Stop {
    /// The member ends.
    Draining,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads the first bytes of a connection and does what they ask for.
pub(crate) async fn begin<S: Socket>(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    stream: S,
) -> Begun<S> {
    let mut first = Bytes::new();
    let begun = begin_with(worker, conn, stream, &mut first).await;
    begun.unwrap_or_else(|stop| {
        if let Stop::Failed(failure) = stop {
            let side = conn.listener.tls_side();
            worker.metrics.handshake_failed(side, failure.reason);
            let refusals = &worker.shared.tls_refusals;
            if let Some(line) = refusals.line(side, &conn.peer, &first, failure) {
                worker.shared.events.emit(line);
            }
        }
        Begun::Refused
    })
}

async fn begin_with<S: Socket>(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    mut stream: S,
    first: &mut Bytes,
) -> Result<Begun<S>, Stop> {
    let listener = &conn.listener;
    let patience = &worker.shared.config.patience;
    let names = (stream.local(), conn.peer.as_str());
    let late = || {
        let text = format!("read tcp {}->{}: i/o timeout", names.0, names.1);
        Failure::new(Reason::Timeout, text)
    };
    let mut due = Instant::now() + patience.tls_handshake;
    let mut place = None;
    if listener.plain {
        // Who says nothing for a while may be one without TLS, and ends as such a one: without a line about TLS.
        let silent = || Failure::new(Reason::Closed, late().text);
        let chunk = timeout(listener.patience(patience), first_chunk(conn, &mut stream)).await;
        *first = said(conn, chunk.map_err(|_| silent())?)?;
        if !tls::is_tls(first) {
            return Ok(Begun::Plain(stream, std::mem::take(first)));
        }
        due = Instant::now() + patience.tls_handshake;
    } else {
        let place = place.insert(worker.handshakes.begin());
        let chunk = timeout_at(due, first_chunk(conn, &mut stream));
        let chunk = tokio::select! {
            chunk = chunk => chunk,
            () = place.ended() => return Err(crowded().into()),
        };
        *first = said(conn, chunk.map_err(|_| late())?)?;
        if !tls::is_tls(first) {
            return Err(Failure::new(Reason::NotTls, tls::NOT_TLS).into());
        }
    }
    let place = place.unwrap_or_else(|| worker.handshakes.begin());
    let side = listener.tls_side();
    let Some(tls) = worker.shared.tls.get(side) else {
        let text =
            "tls: neither Certificates, GetCertificate, nor GetConfigForClient set in Config";
        return Err(Failure::new(Reason::Protocol, text).into());
    };
    let config = tls.server.config(side);
    // Who is looked at takes a place for as long as that lasts: lookups of names may take their time, too.
    let admitted = async {
        let stream = tls::handshake(config.clone(), first.clone(), stream).await?;
        admit(worker, conn, &tls, &stream).await?;
        Ok::<_, Failure>(stream)
    };
    let stream = unless_ended(conn, place, timeout_at(due, admitted))
        .await?
        .map_err(|_| late())??;
    let resumed = tls::is_resumed(&stream);
    worker.metrics.handshake_done(side, resumed);
    Ok(Begun::Encrypted(Box::new(stream)))
}

/// What a connection has said first.
fn said(conn: &ConnCtx, chunk: io::Result<Bytes>) -> Result<Bytes, Stop> {
    chunk.map_err(|problem| match conn.stage.get() {
        Stage::Draining => Stop::Draining,
        Stage::Open => Failure::of_handshake(&problem, None, &[]).into(),
    })
}

fn crowded() -> Failure {
    let text = "too many handshakes are not finished, and this one has taken longest";
    Failure::new(Reason::Crowded, text)
}

/// A handshake, unless it has to give way to another, or the member ends.
async fn unless_ended<T>(
    conn: &ConnCtx,
    mut place: Handshake,
    shaken: impl Future<Output = T>,
) -> Result<T, Stop> {
    let draining = poll_fn(|cx| {
        conn.register(cx.waker());
        match conn.stage.get() {
            Stage::Draining => Poll::Ready(()),
            Stage::Open => Poll::Pending,
        }
    });
    tokio::select! {
        shaken = shaken => Ok(shaken),
        () = place.ended() => Err(crowded().into()),
        () = draining => Err(Stop::Draining),
    }
}

/// Lets a client in whose handshake is done, if its certificate is one of those that may.
async fn admit<S: Socket>(
    worker: &Worker,
    conn: &ConnCtx,
    tls: &Tls,
    stream: &Encrypted<S>,
) -> Result<(), Failure> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().unwrap_or_default();
    let rules = &tls.server.rules;
    let leaf = rules.check(shown, now_ms())?;
    let mut facts = TlsFacts::default();
    if let Some(leaf) = leaf {
        if conn.listener.checks_addresses()
            && rules.checks_addresses
            && let Some(remote) = remote(&conn.peer)
            && let Err(text) = tls::check_host(&leaf, remote, &worker.shared.resolver).await
        {
            return Err(Failure::of_certificate(Reason::NotAllowed, text, leaf));
        }
        facts.common_name = Some(leaf.common_name.unwrap_or_default().into());
        facts.names_user = rules.names_user;
    }
    // Nobody has set it before: a connection has one handshake.
    let _first = conn.tls.set(facts);
    Ok(())
}

/// Where a client calls from; None: over a socket in the file system.
fn remote(peer: &str) -> Option<IpAddr> {
    peer.parse::<SocketAddr>().ok().map(|it| it.ip())
}

/// Certificates are dated by the clock of the wall.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since: Duration| since.as_millis() as i64)
}
