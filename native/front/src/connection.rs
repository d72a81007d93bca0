//! One accepted connection from its worker's first look at it to its end.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use netcd_http2::PREFACE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::admission::Place;
use crate::completions::Accepted;
use crate::config::ListenerInfo;
use crate::conn::first::first_bytes;
use crate::conn::{ConnCtx, Stage, driver};
use crate::dispatch;
use crate::events::LogLevel;
use crate::handshake::{self, Begun, Socket};
use crate::http::over_http1;
use crate::prefixed::Prefixed;
use crate::worker::{Worker, spawn};

/// Counts a connection out when its task ends, however it ends.
struct ConnGuard {
    worker: Rc<Worker>,
    listener: Arc<ListenerInfo>,
    key: usize,
    /// Free again once the socket is closed, which the task drops first.
    _place: Place,
}

impl Drop for ConnGuard {
    fn drop(&mut self) {
        self.worker.conns.borrow_mut().remove(self.key);
        self.worker
            .shared
            .connection_ended(self.worker.index, &self.listener);
    }
}

/// Serves an accepted connection on this worker.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    accepted: Accepted,
    place: Place,
    info: Arc<ListenerInfo>,
) {
    let peer = match &accepted {
        Accepted::Tcp(_, peer) => peer.clone(),
        Accepted::Unix(_) => "@".to_owned(),
    };
    let conn = ConnCtx::new(info.clone(), peer);
    if worker.draining.get().includes(&info) {
        conn.stage.set(Stage::Draining);
    }
    let key = worker.conns.borrow_mut().insert(conn.clone());
    let guard = ConnGuard {
        worker: worker.clone(),
        listener: info,
        key,
        _place: place,
    };
    spawn(async move {
        let worker = guard.worker.clone();
        let served = match accepted {
            Accepted::Tcp(stream, _) => begin(worker, conn, TcpStream::from_std(stream)).await,
            Accepted::Unix(stream) => begin(worker, conn, UnixStream::from_std(stream)).await,
        };
        if let Err(problem) = served {
            let shared = &guard.worker.shared;
            shared.log(LogLevel::Warn, "failed to take over a connection", &problem);
        }
    });
}

async fn begin<S>(worker: Rc<Worker>, conn: Rc<ConnCtx>, stream: io::Result<S>) -> io::Result<()>
where
    S: Socket,
{
    let stream = stream?;
    if conn.listener.tls {
        // On the heap, so that connections without TLS have no room for it.
        Box::pin(serve_encrypted(worker, conn, stream)).await;
    } else {
        serve_on(worker, conn, stream, Bytes::new()).await;
    }
    Ok(())
}

/// Serves one connection of a listener with TLS to its end.
async fn serve_encrypted<S: Socket>(worker: Rc<Worker>, conn: Rc<ConnCtx>, stream: S) {
    // What a handshake takes is free again when it is over.
    match Box::pin(handshake::begin(&worker, &conn, stream)).await {
        // Where it is: by value every step on the way would have room for all of the session.
        Begun::Encrypted(stream) => serve_on(worker, conn, stream, Bytes::new()).await,
        Begun::Plain(stream, first) => serve_on(worker, conn, stream, first).await,
        Begun::Refused => {}
    }
}

/// Serves one connection to its end: of TCP, of a unix socket, or of TLS after its handshake; `there` was read of it.
async fn serve_on<S>(worker: Rc<Worker>, conn: Rc<ConnCtx>, mut stream: S, there: Bytes)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let patience = conn.listener.patience(&worker.shared.config.patience);
    let first = first_bytes(&conn, &mut stream, there);
    let Ok(Ok(first)) = tokio::time::timeout(patience, first).await else {
        return;
    };
    if first.starts_with(PREFACE) {
        driver::serve(worker, conn, stream, first, dispatch::accept).await;
    } else if conn.listener.http {
        over_http1::serve(worker, conn, Prefixed { first, stream }).await;
    }
}
