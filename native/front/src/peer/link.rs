//! The stream from this member to one peer: dial, handshake, send, and dial again. Messages that cannot be sent are
//! dropped and reported, because raft sends again what matters.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{Ping, PingPong, SendStream};
use netcd_engine::pipeline::LogEntry;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::address::Addresses;
use super::counters::{PeerCounters, add};
use super::dial::{self, Channel, DialError, write};
use super::frame;
use super::limits;
use super::ports::LinkState;
use super::shared::Shared;
use super::wire;

/// Where the entries of a message are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// The message carries none.
    None,
    /// In the log; a log whose entry at `last` has another term was rewritten, and the message is out of date.
    Log {
        /// Index of the first.
        first: u64,
        /// Index of the last.
        last: u64,
        /// Term of the last.
        last_term: u64,
    },
    /// Here.
    Held(Vec<LogEntry>),
    /// Here, and in no log: proposals on their way to the leader. Nobody sends them again, so those that cannot be sent
    /// come back to this member, as if the peer had passed them on.
    Proposals(Vec<LogEntry>),
}

/// A message that waits for its turn.
pub(super) struct Outgoing {
    pub header: Bytes,
    pub payload: Payload,
    /// Size for the queue's limit.
    pub bytes: usize,
}

/// How a pause between two dials ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Paused {
    /// By its length.
    Passed,
    /// The peer called, or has other URLs.
    Called,
    /// The link is no longer wanted.
    Unwanted,
}

/// See the file's head.
pub(super) struct Link {
    pub id: u64,
    pub shared: Arc<Shared>,
    pub counters: Arc<PeerCounters>,
    pub addresses: watch::Receiver<Addresses>,
    pub queue: mpsc::Receiver<Outgoing>,
}

impl Link {
    /// Runs until the queue's sender is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = limits::RECONNECT_PAUSE_MIN;
        let mut attempt = 0;
        let mut deserted = 0;
        let mut last_state = None;
        while !self.queue.is_closed() || !self.queue.is_empty() {
            let opened = self.dial(attempt).await;
            // Where nobody listens at one URL, the peer may do so at another: only all of them tell that it ended.
            deserted = match &opened {
                Err(DialError::NobodyListens(_)) => deserted + 1,
                Ok(_) | Err(_) => 0,
            };
            let is_gone = deserted >= self.addresses.borrow().all().count();
            let state = match opened {
                Ok(channel) => {
                    // From before anybody knows of it: who ends the links waits for what is queued by then.
                    let _present = self.shared.outgoing.enter();
                    pause = limits::RECONNECT_PAUSE_MIN;
                    self.report(
                        &mut last_state,
                        LinkState::Active {
                            version: channel.version.clone(),
                        },
                    );
                    let Err(reason) = self.pump(channel).await else {
                        return;
                    };
                    add(&self.counters.disconnects, 1);
                    // The calls of a peer that was connected are no news.
                    self.addresses.mark_unchanged();
                    LinkState::Inactive { reason }
                }
                Err(DialError::NobodyListens(reason)) if is_gone => LinkState::Gone { reason },
                Err(DialError::Failed(reason) | DialError::NobodyListens(reason)) => {
                    LinkState::Inactive { reason }
                }
                Err(DialError::Refused(status, text)) => LinkState::Refused {
                    status: status.as_u16(),
                    text,
                },
            };
            self.report(&mut last_state, state);
            attempt += 1;
            pause = match self.discard_for(pause).await {
                Paused::Passed => (pause * 2).min(limits::RECONNECT_PAUSE_MAX),
                Paused::Called => limits::RECONNECT_PAUSE_MIN,
                Paused::Unwanted => return,
            };
        }
    }

    /// Tells a change once: a peer that stays away must not fill the log.
    fn report(&self, last: &mut Option<LinkState>, state: LinkState) {
        let same_kind = last
            .as_ref()
            .is_some_and(|last| std::mem::discriminant(last) == std::mem::discriminant(&state));
        self.counters.active.store(
            u64::from(matches!(state, LinkState::Active { .. })),
            Ordering::Relaxed,
        );
        if !same_kind {
            self.shared.events.link(self.id, state.clone());
        }
        *last = Some(state);
    }

    /// Drops what is queued while the peer is away. A sign of it cuts the pause short, but not below the shortest:
    /// whoever calls again and again must not make this member dial as often.
    pub(super) async fn discard_for(&mut self, pause: Duration) -> Paused {
        let start = Instant::now();
        let end = sleep(pause);
        tokio::pin!(end);
        let mut outcome = Paused::Passed;
        let mut dropped = 0;
        loop {
            tokio::select! {
                () = &mut end => break,
                Ok(()) = self.addresses.changed() => {
                    outcome = Paused::Called;
                    end.as_mut().reset((start + limits::RECONNECT_PAUSE_MIN).into());
                }
                message = self.queue.recv() => match message {
                    Some(message) => {
                        self.dequeued(&message);
                        dropped += 1;
                        if let Payload::Proposals(entries) = message.payload {
                            self.shared.events.message(self.id, message.header, entries);
                        }
                    }
                    None => { outcome = Paused::Unwanted; break; }
                },
            }
        }
        if dropped > 0 {
            add(&self.counters.sent_failures, dropped);
            self.shared.events.unreachable(self.id);
        }
        outcome
    }

    fn dequeued(&self, message: &Outgoing) {
        self.counters
            .queued_bytes
            .fetch_sub(message.bytes, Ordering::Relaxed);
    }

    async fn dial(&mut self, attempt: usize) -> Result<Channel, DialError> {
        let url = {
            let addresses = self.addresses.borrow_and_update();
            let count = addresses.all().count();
            addresses.all().nth(attempt % count.max(1)).cloned()
        };
        let url = url.ok_or_else(|| DialError::Failed("peer has no URL".into()))?;
        match timeout(
            limits::CONNECT_TIMEOUT,
            dial::open(&self.shared, self.id, &url, wire::STREAM_PATH),
        )
        .await
        {
            Ok(opened) => opened,
            Err(_) => Err(DialError::Failed(format!(
                "{url}: not connected in {:?}",
                limits::CONNECT_TIMEOUT
            ))),
        }
    }

    /// Sends until the stream breaks or the peer leaves (Err: why) or the link is no longer wanted (Ok).
    async fn pump(&mut self, mut channel: Channel) -> Result<(), String> {
        let counters = Arc::clone(&self.counters);
        let measuring = measure_round_trips(channel.pings.take(), &counters);
        tokio::pin!(measuring);
        loop {
            tokio::select! {
                biased;
                broken = &mut channel.connection => {
                    return Err(match broken {
                        Ok(Ok(())) => "connection closed by peer".into(),
                        Ok(Err(error)) => error.to_string(),
                        Err(error) => error.to_string(),
                    });
                }
                word = channel.answer.data() => {
                    let Some(Ok(_leaving)) = word else { return Err("stream closed by peer".into()) };
                    return Err(self.finish(channel).await);
                }
                message = self.queue.recv() => {
                    let Some(message) = message else {
                        // A peer that does not read any more is not waited for.
                        let _late = timeout(limits::FLUSH_MAX, channel.end()).await;
                        return Ok(());
                    };
                    self.dequeued(&message);
                    self.send(&mut channel.stream, message).await?;
                }
                never = &mut measuring => match never {},
                () = sleep(limits::ALIVE_INTERVAL) => {
                    write(
                        &mut channel.stream,
                        Bytes::from_static(&frame::ALIVE),
                        self.shared.timeouts.write,
                    )
                    .await?;
                }
            }
        }
    }

    /// The peer is about to stop: it still gets what was queued for it by now. Says why the link ended.
    async fn finish(&mut self, mut channel: Channel) -> String {
        // What comes meanwhile is not for it any more: there may be no end of that.
        let queued = self.queue.len();
        let rest = async {
            for _ in 0..queued {
                let Ok(message) = self.queue.try_recv() else {
                    break;
                };
                self.dequeued(&message);
                self.send(&mut channel.stream, message).await?;
            }
            channel.end().await;
            Ok::<(), String>(())
        };
        match timeout(limits::LEAVE_MAX, rest).await {
            Ok(Ok(())) => "peer is stopping".into(),
            Ok(Err(broken)) => broken,
            Err(_) => "peer is stopping, and took too long".into(),
        }
    }

    async fn send(&self, stream: &mut SendStream<Bytes>, message: Outgoing) -> Result<(), String> {
        let entries = match message.payload {
            Payload::None => Vec::new(),
            Payload::Held(entries) | Payload::Proposals(entries) => entries,
            Payload::Log {
                first,
                last,
                last_term,
            } => match self.entries(first, last).await {
                Ok(entries)
                    if entries
                        .last()
                        .is_some_and(|e| e.mark.index == last && e.mark.term == last_term) =>
                {
                    entries
                }
                // The log was rewritten or compacted since raft made the message: raft makes another.
                Ok(_) | Err(_) => {
                    add(&self.counters.sent_failures, 1);
                    self.shared.events.unreachable(self.id);
                    return Ok(());
                }
            },
        };
        for piece in frame::encode(&message.header, &entries) {
            add(&self.counters.sent_bytes, piece.len() as u64);
            write(stream, piece, self.shared.timeouts.write).await?;
        }
        Ok(())
    }

    async fn entries(&self, first: u64, last: u64) -> Result<Vec<LogEntry>, String> {
        if let Some(entries) = self.shared.log.cached(first, last) {
            return Ok(entries);
        }
        let log = Arc::clone(&self.shared.log);
        tokio::task::spawn_blocking(move || log.read(first, last))
            .await
            .map_err(|error| error.to_string())?
    }
}

/// Pings the peer for as long as the connection lives; that it has ended is noticed elsewhere.
async fn measure_round_trips(pings: Option<PingPong>, counters: &PeerCounters) -> Infallible {
    let Some(mut pings) = pings else {
        return pending().await;
    };
    loop {
        let sent = Instant::now();
        if pings.ping(Ping::opaque()).await.is_err() {
            return pending().await;
        }
        counters.round_trip.seconds(sent.elapsed());
        sleep(limits::ROUND_TRIP_INTERVAL).await;
    }
}
