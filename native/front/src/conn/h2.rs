//! Drives one HTTP/2 connection: accepts requests in the same turn that read them, keeps it alive, and ends it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::io::Io;
use super::{ConnCtx, Stage};
use crate::grpc::buf::SendBuf;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, ERROR_RESETS_MAX, FAREWELL_TIMEOUT, FRAME_BYTES_MAX,
    HEADER_LIST_BYTES_MAX, RAPID_RESETS_MAX, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX,
};
use crate::worker::Worker;
use crate::{dispatch, worker};

const FAR_AHEAD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

struct Driver<S> {
    worker: Rc<Worker>,
    conn: Rc<ConnCtx>,
    io: Io<S>,
    http2: Connection<Io<S>, SendBuf>,
    draining: bool,
    /// When the client must have said its part of the handshake, which h2 does not wait for.
    greeting_due: Instant,
    /// When the server's own ping went out, until anything comes back.
    pinged: Option<Instant>,
    pings: Option<PingPong>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    due: Instant,
    armed: bool,
}

/// Serves an HTTP/2 connection of which `first` was read already.
pub(crate) async fn serve<S>(worker: Rc<Worker>, conn: Rc<ConnCtx>, stream: S, first: Bytes)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = Io::new(worker.clone(), conn.clone(), stream, first);
    let handshake = builder(&worker).handshake::<_, SendBuf>(io.clone());
    let patience = worker.shared.config.patience.handshake;
    let Ok(Ok(mut http2)) = tokio::time::timeout(patience, handshake).await else {
        return;
    };
    io.set_lazy();
    let due = Instant::now() + FAR_AHEAD;
    let greeting_due = worker.now() + patience;
    let mut driver = Driver {
        worker,
        conn,
        io: io.clone(),
        pings: http2.ping_pong(),
        http2,
        draining: false,
        greeting_due,
        pinged: None,
        timer: Box::pin(tokio::time::sleep_until(due.into())),
        due,
        armed: false,
    };
    poll_fn(|cx| driver.poll(cx)).await;
    // What is still to be said (GOAWAY, last answers) goes out if the client takes it soon; else it goes nowhere.
    let farewell = poll_fn(|cx| io.poll_write_out(cx));
    let _unheard = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
}

fn builder(worker: &worker::Worker) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(
            worker
                .shared
                .config
                .max_concurrent_streams
                .min(STREAMS_PER_CONNECTION_MAX),
        )
        .max_pending_accept_reset_streams(RAPID_RESETS_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .max_concurrent_reset_streams(RAPID_RESETS_MAX);
    builder
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Driver<S> {
    /// One turn: read and serve all that is there, then write all that came of it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.worker.tick();
        self.conn.register(cx.waker());
        if self.conn.stage.get() == Stage::Draining && !self.draining {
            self.draining = true;
            self.http2.graceful_shutdown();
        }
        loop {
            match self.http2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    dispatch::accept(&self.worker, &self.conn, request, respond, cx);
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if !self.io.is_calm() {
            self.io.say_too_many_pings();
            return Poll::Ready(());
        }
        if let Poll::Ready(Err(_)) = self.io.poll_write_out(cx) {
            return Poll::Ready(());
        }
        self.poll_timer(cx)
    }

    /// Handshake, keep-alive and stalled writes. Ready when the connection is dead.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(due) = self.next_due(cx) else {
                return Poll::Ready(());
            };
            // A timer that fires early costs a turn now and then; moving it at every read would cost more.
            if due < self.due || self.timer.is_elapsed() {
                self.due = due;
                self.timer.as_mut().reset(due.into());
            } else if self.armed {
                return Poll::Pending;
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                self.armed = true;
                return Poll::Pending;
            }
            self.worker.tick();
        }
    }

    /// When the timer has to look again; None if the client is taken for dead.
    fn next_due(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = self.worker.now();
        let mut due = now + FAR_AHEAD;
        if !self.io.is_greeted() {
            due = self.greeting_due;
            if now >= due {
                return None;
            }
        }
        if let Some(since) = self.io.stalled_since() {
            let stalled = since + self.worker.shared.config.patience.write_stall;
            if now >= stalled {
                return None;
            }
            due = due.min(stalled);
        }
        let (interval, timeout) = (
            self.worker.shared.config.keepalive_interval,
            self.worker.shared.config.keepalive_timeout,
        );
        if interval.is_zero() {
            return Some(due);
        }
        let last_read = self.io.last_read();
        if self.pinged.is_some_and(|pinged| last_read > pinged) {
            self.pinged = None;
        }
        match self.pinged {
            Some(_) if timeout.is_zero() => Some(due),
            Some(pinged) if now >= pinged + timeout => None,
            Some(pinged) => Some(due.min(pinged + timeout)),
            None if now >= last_read + interval => {
                self.ping(now, cx);
                Some(if timeout.is_zero() {
                    due
                } else {
                    due.min(now + timeout)
                })
            }
            None => Some(due.min(last_read + interval)),
        }
    }

    fn ping(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.pinged = Some(now);
        if let Some(pings) = self.pings.as_mut() {
            // An answer to the ping before this one may still lie there; a ping that cannot go out because that one
            // was never answered changes nothing: the client is being timed.
            let _answered = pings.poll_pong(cx);
            let _unanswered = pings.send_ping(Ping::opaque());
        }
    }
}
