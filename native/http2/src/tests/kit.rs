//! A server and the two ends of a pipe in one thread, without a runtime. The server is polled only when it was woken, so
//! a lost wake-up shows, and nothing can hang.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::frame::{self, Head};
use crate::limits::CONNECTION_WINDOW_BYTES;
use crate::pings::PingPolicy;
use crate::send_buf::SendBuf;
use crate::{Config, Connection, HeaderBlock, PREFACE, Reason, hpack};

/// Bytes that may be under way in each direction.
const PIPE_BYTES: usize = 1 << 20;
/// A server that is still busy after so many turns with nothing new to do spins.
const TURNS_MAX: usize = 100_000;

pub(super) struct Woken(AtomicBool);

impl Woken {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }

    /// Whether it was woken since it was last asked.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The big-endian number at this place of the payload.
    pub(super) fn number(&self, at: usize) -> u32 {
        (&self.payload[at..]).get_u32()
    }

    pub(super) fn is(&self, kind: u8, stream: u32) -> bool {
        (self.head.kind, self.head.stream) == (kind, stream)
    }
}

/// What the server makes of a client's frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A GOAWAY with this code, and the connection is over.
    Ends(u32),
    /// These streams are reset with these codes.
    Resets(Vec<(u32, u32)>),
}

pub(super) fn ends(reason: Reason) -> Verdict {
    Verdict::Ends(reason as u32)
}

pub(super) fn resets(id: u32, reason: Reason) -> Verdict {
    Verdict::Resets(vec![(id, reason as u32)])
}

pub(super) const FINE: Verdict = Verdict::Resets(Vec::new());

/// A request with which nothing is kept.
pub(super) type Request = crate::Request<()>;

/// A connection seen from the client's end of the wire.
pub(super) struct Wire {
    client: DuplexStream,
    pub(super) server: Connection<DuplexStream, ()>,
    woken: Arc<Woken>,
    pub(super) now: Instant,
    /// The server's last turn said that it was the last.
    pub(super) over: bool,
    /// Whether the client takes what the server writes.
    pub(super) reads: bool,
    input: BytesMut,
    /// Requests that were given out; the test answers them.
    pub(super) requests: VecDeque<Request>,
}

impl Wire {
    /// Before the client has sent anything but its preface.
    pub(super) fn silent(max_concurrent_streams: u32, pings: Option<PingPolicy>) -> Self {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let config = Config {
            max_concurrent_streams,
            pings,
        };
        let now = Instant::now();
        Self {
            client,
            server: Connection::new(server, PREFACE, config, now),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            now,
            over: false,
            reads: true,
            input: BytesMut::new(),
            requests: VecDeque::new(),
        }
    }

    /// With settings exchanged.
    pub(super) fn with_settings(settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::silent(16_384, None);
        wire.greet(settings);
        wire
    }

    pub(super) fn greet(&mut self, settings: &[(u16, u32)]) {
        self.send(&settings_frame(settings));
        let frames = self.frames();
        let kinds: Vec<u8> = frames.iter().map(|frame| frame.head.kind).collect();
        assert_eq!(
            kinds,
            [frame::SETTINGS, frame::WINDOW_UPDATE, frame::SETTINGS]
        );
        assert!(frames[2].head.has(frame::ACK) && frames[2].payload.is_empty());
    }

    pub(super) fn new() -> Self {
        Self::with_settings(&[])
    }

    /// Writes these bytes and lets the server do what it wants to.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.write(bytes);
        self.settle();
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(&mut self.client).poll_write(&mut cx, bytes) {
                Poll::Ready(Ok(n)) => bytes.advance(n),
                Poll::Ready(Err(problem)) => panic!("pipe: {problem}"),
                Poll::Pending => {
                    assert!(self.settle() > 0, "the server takes nothing any more");
                }
            }
        }
    }

    /// Runs the server while it is awake. Says how many turns it took.
    pub(super) fn settle(&mut self) -> usize {
        let waker = Waker::from(self.woken.clone());
        let mut cx = Context::from_waker(&waker);
        for turns in 0..TURNS_MAX {
            self.drain();
            if !self.woken.take() {
                return turns;
            }
            if self.over {
                let _farewell = self.server.poll_farewell(self.now, &mut cx);
                continue;
            }
            let requests = &mut self.requests;
            let turn = self.server.poll_turn(self.now, &mut cx, |request, _| {
                requests.push_back(request);
            });
            if turn.is_ready() {
                self.over = true;
                self.woken.0.store(true, Ordering::SeqCst);
            }
        }
        panic!("the server does not come to rest");
    }

    fn drain(&mut self) {
        let mut space = [0; 4096];
        let mut cx = Context::from_waker(Waker::noop());
        while self.reads {
            let mut chunk = ReadBuf::new(&mut space);
            match Pin::new(&mut self.client).poll_read(&mut cx, &mut chunk) {
                Poll::Ready(Ok(())) if !chunk.filled().is_empty() => {
                    self.input.extend_from_slice(chunk.filled());
                }
                _ => return,
            }
        }
    }

    /// The client takes no more than `bytes` of what the server writes.
    pub(super) fn sip(&mut self, bytes: usize) {
        let mut space = vec![0; bytes];
        let mut chunk = ReadBuf::new(&mut space);
        let mut cx = Context::from_waker(Waker::noop());
        let _waits = Pin::new(&mut self.client).poll_read(&mut cx, &mut chunk);
        self.input.extend_from_slice(chunk.filled());
        self.settle();
    }

    /// The client closes its end of the pipe.
    pub(super) fn hang_up(&mut self) {
        self.client = tokio::io::duplex(1).0;
        self.settle();
    }

    /// All frames that came since.
    pub(super) fn frames(&mut self) -> Vec<Frame> {
        self.settle();
        let mut frames = Vec::new();
        while let Some(head) = Head::read(&self.input) {
            if self.input.len() < frame::HEAD_BYTES + head.length {
                break;
            }
            self.input.advance(frame::HEAD_BYTES);
            let payload = self.input.split_to(head.length).to_vec();
            frames.push(Frame { head, payload });
        }
        frames
    }

    /// No part of a frame has come without the rest.
    pub(super) fn is_between_frames(&self) -> bool {
        self.input.is_empty()
    }

    /// Only what concerns streams and errors: no window updates of the connection.
    pub(super) fn frames_of_streams(&mut self) -> Vec<Frame> {
        let mut frames = self.frames();
        frames.retain(|frame| frame.head.stream != 0 || frame.head.kind == frame::GOAWAY);
        frames
    }

    /// What the server says to these bytes. If the connection is not ended it still answers a ping.
    pub(super) fn verdict(&mut self, bytes: &[u8]) -> Verdict {
        self.frames();
        self.send(bytes);
        let mut frames = self.frames();
        if let Some(at) = frames
            .iter()
            .position(|frame| frame.head.kind == frame::GOAWAY)
        {
            assert!(self.over, "the connection goes on after a GOAWAY");
            assert_eq!(at, frames.len() - 1, "something follows a GOAWAY");
            return Verdict::Ends(frames[at].number(4));
        }
        assert!(!self.over, "ended without a GOAWAY");
        self.send(&ping(0, *b"still up"));
        let last = self.frames().pop().expect("an answer to the ping");
        assert_eq!(last.payload, b"still up");
        frames.retain(|frame| frame.head.kind == frame::RST_STREAM);
        let resets = frames
            .iter()
            .map(|reset| (reset.head.stream, reset.number(0)));
        Verdict::Resets(resets.collect())
    }

    /// The next request that was given out.
    pub(super) fn request(&mut self) -> Request {
        self.settle();
        self.requests.pop_front().expect("a request")
    }

    /// Sends a request and takes it at the server's side.
    pub(super) fn call(&mut self, id: u32, ended: bool) -> Request {
        self.send(&post(id, ended));
        self.request()
    }

    /// Asserts that no stream is left and that everything received was given back to the connection's window.
    pub(super) fn assert_clean(&mut self) {
        self.settle();
        let state = &mut *self.server.state.borrow_mut();
        assert_eq!(state.streams.len(), 0, "streams are left");
        assert!(self.server.receiver.is_at_rest());
        assert!(
            window_is_whole(&mut state.receive_window),
            "bytes are missing from the receive window"
        );
    }
}

/// Whether all that came was given back, told to the client or not. Uses the window up.
pub(super) fn window_is_whole(window: &mut crate::window::ReceiveWindow) -> bool {
    let half = CONNECTION_WINDOW_BYTES as usize / 2;
    if window.take(half).is_err() {
        return false;
    }
    window.release(half);
    window.take(CONNECTION_WINDOW_BYTES as usize).is_ok()
}

pub(super) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out.to_vec()
}

pub(super) fn settings_frame(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_settings(&mut out, settings);
    out.to_vec()
}

pub(super) fn ping(flags: u8, payload: [u8; 8]) -> Vec<u8> {
    raw(frame::PING, flags, 0, &payload)
}

pub(super) fn data(id: u32, payload: &[u8], end: bool) -> Vec<u8> {
    raw(frame::DATA, u8::from(end), id, payload)
}

pub(super) fn reset(id: u32) -> Vec<u8> {
    raw(frame::RST_STREAM, 0, id, &8_u32.to_be_bytes())
}

pub(super) fn window_update(id: u32, by: u32) -> Vec<u8> {
    raw(frame::WINDOW_UPDATE, 0, id, &by.to_be_bytes())
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = BytesMut::new();
    for (name, value) in fields {
        hpack::encode(&mut block, name.as_bytes(), value.as_bytes());
    }
    block.to_vec()
}

/// A HEADERS frame with CONTINUATION frames of 16 KiB, if it needs some.
pub(super) fn headers(id: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_headers(&mut out, id, &block(fields), end, 16_384);
    out.to_vec()
}

pub(super) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/call"),
    (":authority", "h"),
];

pub(super) fn post(id: u32, end: bool) -> Vec<u8> {
    headers(id, &POST, end)
}

pub(super) fn ok() -> HeaderBlock {
    HeaderBlock::response(StatusCode::OK, &HeaderMap::new())
}

pub(super) fn trailers(name: &'static str, value: &str) -> HeaderBlock {
    let mut trailers = HeaderMap::new();
    let value = HeaderValue::from_str(value).expect("value");
    trailers.insert(HeaderName::from_static(name), value);
    HeaderBlock::trailers(&trailers)
}

pub(super) fn bytes(n: usize) -> SendBuf {
    SendBuf::raw(Bytes::from(vec![b'x'; n]))
}
