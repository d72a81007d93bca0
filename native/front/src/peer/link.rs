//! The stream from this member to one peer: dial, handshake, send, and dial again. Messages that cannot be sent are
//! dropped and reported, because raft sends again what matters.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::{Method, Request, StatusCode};
use netcd_engine::pipeline::LogEntry;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::frame;
use super::limits;
use super::ports::LinkState;
use super::shared::{PeerCounters, Shared, add};
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
    /// Here (proposals that are forwarded to the leader).
    Held(Vec<LogEntry>),
}

/// A message that waits for its turn.
pub(super) struct Outgoing {
    pub header: Bytes,
    pub payload: Payload,
    /// Size for the queue's limit.
    pub bytes: usize,
}

/// See the file's head.
pub(super) struct Link {
    pub id: u64,
    pub shared: Arc<Shared>,
    pub counters: Arc<PeerCounters>,
    pub urls: watch::Receiver<Vec<String>>,
    pub queue: mpsc::Receiver<Outgoing>,
}

/// An open stream and the task that moves its connection's bytes.
struct Channel {
    stream: SendStream<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    version: String,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

enum DialError {
    Failed(String),
    Refused(StatusCode, String),
}

impl Link {
    /// Runs until the queue's sender is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = limits::RECONNECT_PAUSE_MIN;
        let mut attempt = 0;
        let mut last_state = None;
        while !self.queue.is_closed() || !self.queue.is_empty() {
            let state = match self.dial(attempt).await {
                Ok(channel) => {
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
                    LinkState::Inactive { reason }
                }
                Err(DialError::Failed(reason)) => LinkState::Inactive { reason },
                Err(DialError::Refused(status, text)) => LinkState::Refused {
                    status: status.as_u16(),
                    text,
                },
            };
            self.report(&mut last_state, state);
            attempt += 1;
            if !self.discard_for(pause).await {
                return;
            }
            pause = (pause * 2).min(limits::RECONNECT_PAUSE_MAX);
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

    /// Drops what is queued while the peer is away; false when the link is no longer wanted.
    async fn discard_for(&mut self, pause: Duration) -> bool {
        let end = sleep(pause);
        tokio::pin!(end);
        let mut dropped = 0;
        let wanted = loop {
            tokio::select! {
                () = &mut end => break true,
                message = self.queue.recv() => match message {
                    Some(message) => { self.dequeued(&message); dropped += 1; }
                    None => break false,
                },
            }
        };
        if dropped > 0 {
            add(&self.counters.sent_failures, dropped);
            self.shared.events.unreachable(self.id);
        }
        wanted
    }

    fn dequeued(&self, message: &Outgoing) {
        self.counters
            .queued_bytes
            .fetch_sub(message.bytes, Ordering::Relaxed);
    }

    async fn dial(&self, attempt: usize) -> Result<Channel, DialError> {
        let url = {
            let urls = self.urls.borrow();
            urls.get(attempt % urls.len().max(1)).cloned()
        };
        let url = url.ok_or_else(|| DialError::Failed("peer has no URL".into()))?;
        match timeout(limits::CONNECT_TIMEOUT, self.open(&url)).await {
            Ok(opened) => opened,
            Err(_) => Err(DialError::Failed(format!(
                "{url}: not connected in {:?}",
                limits::CONNECT_TIMEOUT
            ))),
        }
    }

    async fn open(&self, url: &str) -> Result<Channel, DialError> {
        let failed = |error: &dyn std::fmt::Display| DialError::Failed(format!("{url}: {error}"));
        let io = connect(url).await.map_err(|error| failed(&error))?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(limits::WINDOW_BYTES)
            .initial_connection_window_size(limits::WINDOW_BYTES)
            .max_frame_size(limits::HTTP2_FRAME_BYTES)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let identity = self.shared.identity();
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{url}{}", wire::STREAM_PATH)
            .parse()
            .map_err(|error| failed(&error))?;
        *request.headers_mut() = wire::request_headers(&identity, self.id);
        let mut sender = sender.ready().await.map_err(|error| failed(&error))?;
        let (response, stream) = sender
            .send_request(request, false)
            .map_err(|error| failed(&error))?;
        let response = response.await.map_err(|error| failed(&error))?;
        let version = wire::version(response.headers());
        let channel = Channel {
            stream,
            connection,
            version,
        };
        if response.status() == StatusCode::OK {
            return Ok(channel);
        }
        let status = response.status();
        let text = body_text(response.into_body()).await;
        Err(DialError::Refused(status, text))
    }

    /// Sends until the stream breaks (Err: why) or the link is no longer wanted (Ok).
    async fn pump(&mut self, mut channel: Channel) -> Result<(), String> {
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
                message = self.queue.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.dequeued(&message);
                    self.send(&mut channel.stream, message).await?;
                }
                () = sleep(limits::ALIVE_INTERVAL) => {
                    write(&mut channel.stream, Bytes::from_static(&frame::ALIVE)).await?;
                }
            }
        }
    }

    async fn send(&self, stream: &mut SendStream<Bytes>, message: Outgoing) -> Result<(), String> {
        let entries = match message.payload {
            Payload::None => Vec::new(),
            Payload::Held(entries) => entries,
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
            write(stream, piece).await?;
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

/// Gives all of `bytes` to the stream as its window opens.
async fn write(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), String> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await;
        let room = room
            .ok_or("stream closed by peer")?
            .map_err(|error| error.to_string())?;
        let piece = bytes.split_to(room.min(bytes.len()));
        stream
            .send_data(piece, false)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A refusal's few words.
async fn body_text(mut body: h2::RecvStream) -> String {
    match body.data().await {
        Some(Ok(bytes)) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Some(Err(_)) | None => String::new(),
    }
}

async fn connect(url: &str) -> io::Result<TcpStream> {
    let authority = url.strip_prefix("http://").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "only http:// peer URLs can be dialled",
        )
    })?;
    let stream = TcpStream::connect(authority.trim_end_matches('/')).await?;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits::UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}
