//! Drives one HTTP/2 connection: serves requests in the same turn that read them, keeps it alive, and ends it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use netcd_http2::{Config, Connection, PingPolicy};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::{ConnCtx, Stage};
use crate::grpc::head::GrpcRequest;
use crate::limits::{FAREWELL_ANSWER_MAX, FAREWELL_TIMEOUT, STREAMS_PER_CONNECTION_MAX};
use crate::worker::Worker;

const FAR_AHEAD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One request: what its headers say, and both halves of its stream.
pub(crate) type Request = netcd_http2::Request<GrpcRequest>;

/// Serves one request of a connection; the context is that of the connection's task.
pub(crate) type Handler = fn(&Rc<Worker>, &Rc<ConnCtx>, Request, &mut Context<'_>);

struct Driver<S> {
    worker: Rc<Worker>,
    conn: Rc<ConnCtx>,
    http2: Connection<S, GrpcRequest>,
    handler: Handler,
    draining: bool,
    /// When the answer to the first GOAWAY's ping is waited for no longer.
    farewell_due: Option<Instant>,
    /// When the client must have said its part of the handshake.
    greeting_due: Instant,
    /// When the server's own ping went out, until anything comes back.
    pinged: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    due: Instant,
    armed: bool,
}

/// Serves an HTTP/2 connection of which `first` was read already; its requests go to `handler`.
pub(crate) async fn serve<S>(
    worker: Rc<Worker>,
    conn: Rc<ConnCtx>,
    stream: S,
    first: Bytes,
    handler: Handler,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let config = &worker.shared.config;
    // Members measure their links with pings, whatever clients are allowed.
    let counts_pings = !conn.listener.is_for_peers();
    let limits = Config {
        max_concurrent_streams: config
            .max_concurrent_streams
            .min(STREAMS_PER_CONNECTION_MAX),
        pings: counts_pings.then(|| PingPolicy::new(config.keepalive_min_time)),
    };
    let now = worker.now();
    let due = Instant::now() + FAR_AHEAD;
    let mut driver = Driver {
        http2: Connection::new(stream, &first, limits, now),
        handler,
        draining: false,
        farewell_due: None,
        greeting_due: now + config.patience.handshake,
        pinged: None,
        timer: Box::pin(tokio::time::sleep_until(due.into())),
        due,
        armed: false,
        worker,
        conn,
    };
    poll_fn(|cx| driver.poll(cx)).await;
    // What is still to be said (GOAWAY, last answers) goes out if the client takes it soon; else it goes nowhere.
    let Driver { worker, http2, .. } = &mut driver;
    let farewell = poll_fn(|cx| http2.poll_farewell(worker.now(), cx));
    let _unheard = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Driver<S> {
    /// One turn: read and serve all that is there, then write all that came of it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.worker.tick();
        self.conn.register(cx.waker());
        if self.conn.stage.get() == Stage::Draining && !self.draining {
            self.draining = true;
            self.farewell_due = Some(self.worker.now() + FAREWELL_ANSWER_MAX);
            self.http2.announce_end();
        }
        let (worker, conn, handler) = (&self.worker, &self.conn, self.handler);
        let turn = self.http2.poll_turn(worker.now(), cx, |request, cx| {
            handler(worker, conn, request, cx);
        });
        if turn.is_ready() {
            return Poll::Ready(());
        }
        self.poll_timer(cx)
    }

    /// Handshake, keep-alive and stalled writes. Ready when the connection is dead.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(due) = self.next_due() else {
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
    fn next_due(&mut self) -> Option<Instant> {
        let now = self.worker.now();
        let mut due = now + FAR_AHEAD;
        if !self.http2.is_greeted() {
            due = self.greeting_due;
            if now >= due {
                return None;
            }
        }
        if let Some(answered_by) = self.farewell_due {
            if now >= answered_by {
                self.farewell_due = None;
                self.http2.end_announced();
            } else {
                due = due.min(answered_by);
            }
        }
        if let Some(since) = self.http2.stalled_since() {
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
        let last_read = self.http2.last_read();
        if self.pinged.is_some_and(|pinged| last_read > pinged) {
            self.pinged = None;
        }
        match self.pinged {
            Some(_) if timeout.is_zero() => Some(due),
            Some(pinged) if now >= pinged + timeout => None,
            Some(pinged) => Some(due.min(pinged + timeout)),
            None if now >= last_read + interval => {
                self.pinged = Some(now);
                self.http2.ping();
                Some(if timeout.is_zero() {
                    due
                } else {
                    due.min(now + timeout)
                })
            }
            None => Some(due.min(last_read + interval)),
        }
    }
}
