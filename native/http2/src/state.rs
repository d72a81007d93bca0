//! What a connection and the halves of its streams share.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::frame;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, ERROR_RESETS_MAX, FRAME_BYTES_MAX, HEADER_LIST_BYTES_MAX,
    RESETS_REMEMBERED, STREAM_WINDOW_BYTES,
};
use crate::pings::PingPolicy;
use crate::reason::Reason;
use crate::streams::{Queue, Stream, Streams};
use crate::waker;
use crate::window::{INITIAL_WINDOW_BYTES, ReceiveWindow, SendWindow};

/// What the payload of a frame may be before the client says otherwise.
const INITIAL_FRAME_BYTES: usize = 16_384;
/// Places in line of streams that are gone, beyond as many as there are streams.
const LINE_STALE_MAX: usize = 64;

/// How far the connection is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Open,
    /// The first GOAWAY is out, and a ping behind it: what the client opened before it saw them is still served.
    Announced,
    /// No stream above this is served.
    Last(u32),
    /// Nothing is read or served any more.
    Closed,
}

/// Limits and pings of one connection.
pub struct Config {
    /// Streams that the client may have open at once.
    pub max_concurrent_streams: u32,
    /// How often the client may ping; None: as it likes.
    pub pings: Option<PingPolicy>,
}

pub(crate) struct State {
    /// Bytes for the socket. What fills it is bounded by `room`, and by reading no more while it is too full.
    pub(crate) out: BytesMut,
    pub(crate) phase: Phase,
    pub(crate) streams: Streams,
    pub(crate) config: Config,
    /// The client's SETTINGS have come.
    pub(crate) greeted: bool,
    /// The client has pinged too often.
    pub(crate) too_many_pings: bool,
    /// Time of this turn.
    pub(crate) now: Instant,
    pub(crate) last_stream: u32,
    pub(crate) receive_window: ReceiveWindow,
    pub(crate) send_window: SendWindow,
    /// What the send windows of new streams begin with, and the largest frame: the client's settings.
    pub(crate) stream_send_window: u32,
    pub(crate) frame_bytes_max: usize,
    /// The next header block has to say that no table is used: the client made its table smaller.
    pub(crate) table_shrunk: bool,
    /// Streams with data that waits for room in the connection's window or in `out`; they take turns.
    pub(crate) line: VecDeque<(usize, u32)>,
    /// Streams that were ended before the client had ended them: frames that were under way are no mistake.
    pub(crate) reset_before: VecDeque<u32>,
    /// Pieces of data that nobody has read yet, of all streams.
    pub(crate) pieces: usize,
    /// The client has said GOAWAY: when its streams are over, so is the connection.
    pub(crate) client_leaves: bool,
    pub(crate) error_resets: usize,
    /// Streams that the client reset before they were served, less those that got an answer.
    pub(crate) rapid_resets: usize,
    driver: Option<Waker>,
    in_turn: bool,
}

impl State {
    /// A connection whose client's preface was seen; the server's own is in `out`.
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        let mut out = BytesMut::new();
        frame::put_settings(
            &mut out,
            &[
                (
                    frame::SETTING_MAX_CONCURRENT_STREAMS,
                    config.max_concurrent_streams,
                ),
                (frame::SETTING_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
                (frame::SETTING_MAX_FRAME_SIZE, FRAME_BYTES_MAX),
                (frame::SETTING_MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX),
            ],
        );
        frame::put_window_update(&mut out, 0, CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_BYTES);
        Self {
            out,
            phase: Phase::Open,
            streams: Streams::default(),
            config,
            greeted: false,
            too_many_pings: false,
            now,
            last_stream: 0,
            receive_window: ReceiveWindow::new(CONNECTION_WINDOW_BYTES),
            send_window: SendWindow::new(INITIAL_WINDOW_BYTES),
            stream_send_window: INITIAL_WINDOW_BYTES,
            frame_bytes_max: INITIAL_FRAME_BYTES,
            table_shrunk: false,
            line: VecDeque::new(),
            reset_before: VecDeque::new(),
            pieces: 0,
            client_leaves: false,
            error_resets: 0,
            rapid_resets: 0,
            driver: None,
            in_turn: false,
        }
    }

    /// The driver runs: it sees by itself what is done now.
    #[inline]
    pub(crate) fn begin_turn(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.now = now;
        self.in_turn = true;
        waker::remember(&mut self.driver, cx.waker());
    }

    /// From now on the driver has to be woken for what is put into `out`.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.in_turn = false;
    }

    /// Something was put into `out`, or there may be room for more.
    #[inline]
    pub(crate) fn rouse(&mut self) {
        if !self.in_turn
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// True for the id of a stream that the client has not opened yet.
    pub(crate) fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream || id.is_multiple_of(2)
    }

    /// A stream whose request has come.
    pub(crate) fn open(&mut self, id: u32, remote_ended: bool, length_left: Option<u64>) -> usize {
        self.streams.open(Stream {
            id,
            send_window: SendWindow::new(self.stream_send_window),
            receive_window: ReceiveWindow::new(STREAM_WINDOW_BYTES),
            received: Queue::default(),
            queued: Queue::default(),
            unsent: 0,
            remote_ended,
            responded: false,
            body_held: true,
            length_left,
            in_line: false,
            starved: false,
            body_waker: None,
            send_waker: None,
        })
    }

    /// The client has sent all of a stream.
    pub(crate) fn end_remote(&mut self, slot: usize) {
        let stream = &mut self.streams[slot];
        stream.remote_ended = true;
        if let Some(waker) = stream.body_waker.take() {
            waker.wake();
        }
    }

    /// Ends the stream from this side. Whoever holds its halves finds it gone.
    pub(crate) fn reset(&mut self, slot: usize, reason: Reason) {
        let id = self.streams[slot].id;
        self.forget(slot);
        self.remember_reset(id);
        frame::put_reset(&mut self.out, id, reason);
        self.rouse();
    }

    /// Resets a stream for the client's own mistake; so many of them and the connection ends.
    pub(crate) fn refuse(&mut self, id: u32, reason: Reason) -> Result<(), Reason> {
        self.error_resets += 1;
        if self.error_resets > ERROR_RESETS_MAX {
            return Err(Reason::EnhanceYourCalm);
        }
        match self.streams.slot_of(id) {
            Some(slot) => self.reset(slot, reason),
            None => self.reset_unopened(id, reason),
        }
        Ok(())
    }

    /// Resets a stream that is not among the open ones.
    pub(crate) fn reset_unopened(&mut self, id: u32, reason: Reason) {
        self.remember_reset(id);
        frame::put_reset(&mut self.out, id, reason);
    }

    /// True if the server has reset this stream lately.
    pub(crate) fn was_reset(&self, id: u32) -> bool {
        self.reset_before.iter().rev().any(|reset| *reset == id)
    }

    /// Frames of this stream that are under way are no mistake.
    pub(crate) fn remember_reset(&mut self, id: u32) {
        if self.reset_before.len() == RESETS_REMEMBERED {
            self.reset_before.pop_front();
        }
        self.reset_before.push_back(id);
    }

    /// Takes a stream out. What was received and not read gives its place in the connection's window back.
    pub(crate) fn forget(&mut self, slot: usize) {
        let bytes = self.drop_received(slot);
        self.release(bytes);
        let mut stream = self.streams.remove(slot);
        if stream.in_line && self.line.len() > 2 * self.streams.len() + LINE_STALE_MAX {
            let streams = &mut self.streams;
            self.line
                .retain(|(slot, id)| streams.get(*slot, *id).is_some());
        }
        wake(&mut stream);
    }

    /// The next piece of a stream's data.
    pub(crate) fn pop_received(&mut self, slot: usize) -> Option<Bytes> {
        let data = self.streams[slot].received.pop()?;
        self.pieces -= 1;
        Some(data)
    }

    /// Drops what nobody will read of a stream; says how many bytes.
    pub(crate) fn drop_received(&mut self, slot: usize) -> usize {
        let mut bytes = 0;
        while let Some(data) = self.pop_received(slot) {
            bytes += data.len();
        }
        bytes
    }

    /// Bytes were read, or will be by nobody.
    #[inline]
    pub(crate) fn release(&mut self, bytes: usize) {
        if let Some(increment) = self.receive_window.release(bytes)
            && !self.is_closed()
        {
            frame::put_window_update(&mut self.out, 0, increment);
            self.rouse();
        }
    }

    /// Bytes of a stream were read, or will be by nobody: its window and the connection's open again.
    pub(crate) fn release_on(&mut self, slot: usize, bytes: usize) {
        let stream = &mut self.streams[slot];
        if let Some(increment) = stream.receive_window.release(bytes)
            && !stream.remote_ended
        {
            frame::put_window_update(&mut self.out, stream.id, increment);
            self.rouse();
        }
        self.release(bytes);
    }

    /// Ends the connection for what the client did.
    pub(crate) fn fail(&mut self, reason: Reason, debug: &[u8]) {
        let last = match self.phase {
            Phase::Last(last) => last,
            Phase::Open | Phase::Announced | Phase::Closed => self.last_stream,
        };
        if !self.is_closed() {
            frame::put_goaway(&mut self.out, last, reason, debug);
        }
        self.close();
    }

    /// Nothing is read any more; every half of a stream finds it gone.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.line.clear();
        self.pieces = 0;
        for mut stream in self.streams.take_all() {
            wake(&mut stream.1);
        }
        self.rouse();
    }
}

fn wake(stream: &mut Stream) {
    let wakers = [stream.body_waker.take(), stream.send_waker.take()];
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}
