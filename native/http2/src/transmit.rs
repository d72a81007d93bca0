//! What the server sends: headers at once, data as far as the client's windows and the send buffer have room, the rest
//! of it from a line in which streams take turns.

use std::task::Context;

use bytes::{Buf, BufMut};

use crate::frame::{self, FAREWELL_PING};
use crate::header_block::HeaderBlock;
use crate::hpack;
use crate::limits::{SEND_QUANTUM_BYTES, WRITE_BUFFER_BYTES_MAX};
use crate::reason::Reason;
use crate::send_buf::SendBuf;
use crate::state::{Phase, State};
use crate::streams::Queued;
use crate::waker;

impl State {
    /// Bytes of data that the connection takes now. A buffer that is nearly full takes none: what a short write leaves
    /// room for would go out in frames of a few bytes, which clients count.
    fn room(&self) -> usize {
        let buffer = WRITE_BUFFER_BYTES_MAX.saturating_sub(self.out.len());
        if buffer < SEND_QUANTUM_BYTES {
            return 0;
        }
        self.send_window.room().min(buffer)
    }

    fn room_on(&self, slot: usize) -> usize {
        self.room().min(self.streams[slot].send_window.room())
    }

    fn sent(&mut self) {
        if let Some(pings) = self.config.pings.as_mut() {
            pings.sent();
        }
        self.rouse();
    }

    fn put_block(&mut self, id: u32, block: &HeaderBlock, end: bool) {
        if std::mem::take(&mut self.table_shrunk) {
            let mut shrunk = vec![hpack::TABLE_SIZE_ZERO];
            shrunk.extend_from_slice(block.bytes());
            frame::put_headers(&mut self.out, id, &shrunk, end, self.frame_bytes_max);
        } else {
            frame::put_headers(&mut self.out, id, block.bytes(), end, self.frame_bytes_max);
        }
        self.sent();
    }

    fn put_trailers(&mut self, slot: usize, block: &HeaderBlock) {
        let id = self.streams[slot].id;
        self.put_block(id, block, true);
        self.end(slot);
    }

    /// Sends the headers of an answer, which is all of it if `end`.
    pub(crate) fn respond(&mut self, slot: usize, block: &HeaderBlock, end: bool) {
        let stream = &mut self.streams[slot];
        debug_assert!(!stream.responded, "one answer each");
        stream.responded = true;
        let id = stream.id;
        self.rapid_resets = self.rapid_resets.saturating_sub(1);
        self.put_block(id, block, end);
        if end {
            self.end(slot);
        }
    }

    /// Sends data in its turn: at once if nobody waits before it and there is room, else from the line.
    pub(crate) fn send_data(&mut self, slot: usize, mut data: SendBuf, end: bool) {
        if self.streams[slot].queued.is_empty() && self.line.is_empty() {
            self.put_data(slot, &mut data, end, usize::MAX);
            if !data.has_remaining() {
                if end {
                    self.end(slot);
                }
                return;
            }
        }
        let stream = &mut self.streams[slot];
        stream.unsent += data.remaining();
        stream.queued.push(Queued::Data { data, end });
        self.stand_in_line(slot);
    }

    /// Sends trailers after all that is queued before them.
    pub(crate) fn send_trailers(&mut self, slot: usize, block: HeaderBlock) {
        let queued = &mut self.streams[slot].queued;
        if queued.is_empty() {
            self.put_trailers(slot, &block);
        } else {
            queued.push(Queued::Trailers(block));
        }
    }

    /// Wakes this task when queued data was sent, and when the stream is gone.
    pub(crate) fn register(&mut self, slot: usize, cx: &mut Context<'_>) {
        waker::remember(&mut self.streams[slot].send_waker, cx.waker());
    }

    /// Writes at most `quantum` bytes of DATA frames into the room that there is; an empty last one needs none.
    fn put_data(&mut self, slot: usize, data: &mut SendBuf, end: bool, quantum: usize) {
        let id = self.streams[slot].id;
        let mut room = self.room_on(slot).min(quantum);
        if !data.has_remaining() {
            if end {
                frame::put_head(&mut self.out, 0, frame::DATA, frame::END_STREAM, id);
                self.sent();
            }
            return;
        }
        if room == 0 {
            return;
        }
        while data.has_remaining() && room > 0 {
            let bytes = data.remaining().min(room).min(self.frame_bytes_max);
            let last = end && bytes == data.remaining();
            let flags = if last { frame::END_STREAM } else { 0 };
            frame::put_head(&mut self.out, bytes, frame::DATA, flags, id);
            self.out.put(data.take(bytes));
            self.send_window.take(bytes);
            self.streams[slot].send_window.take(bytes);
            room -= bytes;
        }
        self.sent();
    }

    /// The server's side of a stream is all sent. A client that still sends is told that nobody reads it.
    fn end(&mut self, slot: usize) {
        if self.streams[slot].remote_ended {
            self.forget(slot);
        } else {
            self.reset(slot, Reason::NoError);
        }
    }

    fn stand_in_line(&mut self, slot: usize) {
        let stream = &mut self.streams[slot];
        if stream.send_window.room() == 0 {
            stream.starved = true;
        } else if !std::mem::replace(&mut stream.in_line, true) {
            let id = stream.id;
            self.line.push_back((slot, id));
            self.rouse();
        }
    }

    /// A stream's window opened.
    pub(crate) fn feed(&mut self, slot: usize) {
        let stream = &mut self.streams[slot];
        if stream.starved && stream.send_window.room() > 0 {
            stream.starved = false;
            self.stand_in_line(slot);
        }
    }

    /// All streams' windows opened.
    pub(crate) fn feed_starved(&mut self) {
        let starved: Vec<usize> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.starved)
            .map(|(slot, _)| slot)
            .collect();
        for slot in starved {
            self.feed(slot);
        }
    }

    /// Lets the streams in line send, a quantum each in turn, while there is room.
    pub(crate) fn serve_line(&mut self) {
        while self.room() > 0 {
            let Some((slot, id)) = self.line.pop_front() else {
                return;
            };
            if let Some(stream) = self.streams.get(slot, id) {
                stream.in_line = false;
                self.serve(slot);
            }
        }
    }

    fn serve(&mut self, slot: usize) {
        let mut quantum = SEND_QUANTUM_BYTES;
        while let Some(next) = self.streams[slot].queued.pop() {
            match next {
                Queued::Data { mut data, end } => {
                    let before = data.remaining();
                    self.put_data(slot, &mut data, end, quantum);
                    let sent = before - data.remaining();
                    quantum -= sent;
                    self.streams[slot].unsent -= sent;
                    if data.has_remaining() {
                        self.streams[slot].queued.unpop(Queued::Data { data, end });
                        self.stand_in_line(slot);
                        break;
                    }
                    if end {
                        return self.end(slot);
                    }
                }
                Queued::Trailers(block) => return self.put_trailers(slot, &block),
            }
        }
        if let Some(waker) = self.streams[slot].send_waker.take() {
            waker.wake();
        }
    }

    /// Tells the client to open no more streams, in two steps: those that it opens meanwhile are served.
    pub(crate) fn announce_end(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Announced;
            frame::put_goaway(&mut self.out, frame::LOW_31_BITS, Reason::NoError, b"");
            frame::put_ping(&mut self.out, 0, FAREWELL_PING);
        }
    }

    /// Says which stream is the last that is served, if the end was announced.
    pub(crate) fn end_announced(&mut self) {
        if self.phase == Phase::Announced {
            self.phase = Phase::Last(self.last_stream);
            frame::put_goaway(&mut self.out, self.last_stream, Reason::NoError, b"");
        }
    }
}
