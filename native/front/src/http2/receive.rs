//! Frames of the client, one after the other.

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::Reason;
use super::frame::{self, Head};
use super::request::Block;
use super::responder::HeaderBlock;
use super::state::{Incoming, Phase, State};
use super::streams::{Queue, Stream};
use super::window::{ReceiveWindow, SendWindow};
use crate::limits::{
    CONTINUATIONS_MAX, FRAME_BYTES_MAX, HEADER_LIST_BYTES_MAX, STREAM_WINDOW_BYTES,
    UNREAD_PIECES_MAX,
};

/// The beginning of a header block.
pub(crate) struct Partial {
    stream: u32,
    end_stream: bool,
    depends_on_itself: bool,
    block: BytesMut,
    frames: u32,
}

/// Length of the whole frames at the front of `bytes`; an error for one that is larger than was allowed.
pub(crate) fn whole_frames(bytes: &[u8]) -> Result<usize, Reason> {
    let mut at = 0;
    while let Some(head) = Head::read(&bytes[at..]) {
        if head.length > FRAME_BYTES_MAX as usize {
            return Err(Reason::FrameSize);
        }
        let end = at + frame::HEAD_BYTES + head.length;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    Ok(at)
}

impl State {
    /// Takes in whole frames. An error ends the connection.
    pub(crate) fn receive(&mut self, frames: &Bytes) -> Result<(), Reason> {
        let mut at = 0;
        while let Some(head) = Head::read(&frames[at..]) {
            let start = at + frame::HEAD_BYTES;
            at = start + head.length;
            self.receive_frame(head, frames, &frames[start..at])?;
            if self.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn receive_frame(&mut self, head: Head, all: &Bytes, payload: &[u8]) -> Result<(), Reason> {
        if !self.greeted && (head.kind != frame::SETTINGS || head.has(frame::ACK)) {
            return Err(Reason::Protocol);
        }
        if self.partial.is_some() && head.kind != frame::CONTINUATION {
            return Err(Reason::Protocol);
        }
        match head.kind {
            frame::DATA => self.receive_data(head, all, payload),
            frame::HEADERS => self.receive_headers(head, payload),
            frame::CONTINUATION => self.receive_continuation(head, payload),
            frame::PRIORITY => self.receive_priority(head, payload),
            frame::RST_STREAM => self.receive_reset(head, payload),
            frame::SETTINGS => self.receive_settings(head, payload),
            frame::PING => self.receive_ping(head, payload),
            frame::GOAWAY if head.stream != 0 => Err(Reason::Protocol),
            frame::GOAWAY if payload.len() < 8 => Err(Reason::FrameSize),
            frame::GOAWAY => {
                self.client_leaves = true;
                Ok(())
            }
            frame::WINDOW_UPDATE => self.receive_window_update(head, payload),
            frame::PUSH_PROMISE => Err(Reason::Protocol),
            _ => Ok(()),
        }
    }

    /// True for the id of a stream that the client has not opened yet.
    pub(crate) fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream || id.is_multiple_of(2)
    }

    fn receive_data(&mut self, head: Head, all: &Bytes, payload: &[u8]) -> Result<(), Reason> {
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        let data = frame::unpadded(head, payload).ok_or(Reason::Protocol)?;
        self.receive_window.take(payload.len())?;
        let Some(slot) = self.streams.slot_of(head.stream) else {
            self.release(payload.len());
            if !self.was_reset(head.stream) {
                self.reset_unopened(head.stream, Reason::StreamClosed);
            }
            return Ok(());
        };
        let stream = &mut self.streams[slot];
        let ends = head.has(frame::END_STREAM);
        let wrong = if stream.remote_ended {
            Some(Reason::StreamClosed)
        } else if stream.receive_window.take(payload.len()).is_err() {
            Some(Reason::FlowControl)
        } else if !fits_length(&mut stream.length_left, data.len(), ends) {
            Some(Reason::Protocol)
        } else {
            None
        };
        if let Some(reason) = wrong {
            self.release(payload.len());
            return self.refuse(head.stream, reason);
        }
        let mut unread = payload.len();
        if stream.body_held && !data.is_empty() {
            unread -= data.len();
            stream.received.push(all.slice_ref(data));
            self.pieces += 1;
            if self.pieces > UNREAD_PIECES_MAX {
                return Err(Reason::EnhanceYourCalm);
            }
        }
        if let Some(waker) = self.streams[slot].body_waker.take() {
            waker.wake();
        }
        if unread > 0 {
            self.release_on(slot, unread);
        }
        if ends {
            self.end_remote(slot);
        }
        Ok(())
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

    /// The client has sent all of a stream.
    fn end_remote(&mut self, slot: usize) {
        let stream = &mut self.streams[slot];
        stream.remote_ended = true;
        if let Some(waker) = stream.body_waker.take() {
            waker.wake();
        }
    }

    fn receive_headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream.is_multiple_of(2) {
            return Err(Reason::Protocol);
        }
        let mut block = frame::unpadded(head, payload).ok_or(Reason::Protocol)?;
        let mut depends_on_itself = false;
        if head.has(frame::HAS_PRIORITY) {
            depends_on_itself = dependency(block).ok_or(Reason::FrameSize)? == head.stream;
            block = &block[PRIORITY_BYTES..];
        }
        let end_stream = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.receive_block(head.stream, end_stream, depends_on_itself, block);
        }
        self.partial = Some(Partial {
            stream: head.stream,
            end_stream,
            depends_on_itself,
            block: block.into(),
            frames: 0,
        });
        Ok(())
    }

    fn receive_continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let mut partial = self.partial.take().ok_or(Reason::Protocol)?;
        if partial.stream != head.stream {
            return Err(Reason::Protocol);
        }
        partial.frames += 1;
        partial.block.extend_from_slice(payload);
        if partial.frames > CONTINUATIONS_MAX
            || partial.block.len() > HEADER_LIST_BYTES_MAX as usize
        {
            return Err(Reason::EnhanceYourCalm);
        }
        if head.has(frame::END_HEADERS) {
            return self.receive_block(
                partial.stream,
                partial.end_stream,
                partial.depends_on_itself,
                &partial.block,
            );
        }
        self.partial = Some(partial);
        Ok(())
    }

    /// A whole header block: a request, or the trailers of one.
    fn receive_block(
        &mut self,
        id: u32,
        end_stream: bool,
        depends_on_itself: bool,
        block: &[u8],
    ) -> Result<(), Reason> {
        if !self.is_idle(id) {
            return self.receive_trailers(id, end_stream, block);
        }
        let block = self.blocks.request(block)?;
        self.last_stream = id;
        if matches!(self.phase, Phase::Last(_)) {
            // The client learns from the GOAWAY that nobody serves it.
            self.remember_reset(id);
            return Ok(());
        }
        if depends_on_itself {
            return self.refuse(id, Reason::Protocol);
        }
        if self.streams.len() >= self.config.max_concurrent_streams as usize
            || self.blocks.holds_too_much()
        {
            self.reset_unopened(id, Reason::RefusedStream);
            return Ok(());
        }
        match block {
            Block::Request(request) => {
                if end_stream && request.content_length.is_some_and(|length| length > 0) {
                    return self.refuse(id, Reason::Protocol);
                }
                let slot = self.open(id, end_stream, request.content_length);
                self.accepted.push_back(Incoming {
                    head: request,
                    slot,
                    id,
                });
            }
            Block::Malformed => return self.refuse(id, Reason::Protocol),
            Block::TooLarge => {
                let slot = self.open(id, end_stream, None);
                self.respond(
                    slot,
                    &HeaderBlock::status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
                    true,
                );
            }
        }
        Ok(())
    }

    fn open(&mut self, id: u32, remote_ended: bool, length_left: Option<u64>) -> usize {
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

    fn receive_trailers(&mut self, id: u32, end_stream: bool, block: &[u8]) -> Result<(), Reason> {
        let fine = self.blocks.trailers(block)?;
        let Some(slot) = self.streams.slot_of(id) else {
            return if self.was_reset(id) {
                Ok(())
            } else {
                Err(Reason::StreamClosed)
            };
        };
        let stream = &mut self.streams[slot];
        if stream.remote_ended {
            return self.refuse(id, Reason::StreamClosed);
        }
        if !end_stream || !fine || !fits_length(&mut stream.length_left, 0, true) {
            return self.refuse(id, Reason::Protocol);
        }
        self.end_remote(slot);
        Ok(())
    }
}

/// Stream dependency and weight.
pub(crate) const PRIORITY_BYTES: usize = 5;

/// The stream that a priority names; None if its bytes are too few.
pub(crate) fn dependency(priority: &[u8]) -> Option<u32> {
    let priority = priority.first_chunk::<PRIORITY_BYTES>()?;
    let [s0, s1, s2, s3, _weight] = *priority;
    Some(u32::from_be_bytes([s0, s1, s2, s3]) & frame::LOW_31_BITS)
}

/// Whether content-length agrees with what came.
fn fits_length(left: &mut Option<u64>, bytes: usize, end: bool) -> bool {
    let Some(left) = left else { return true };
    match left.checked_sub(bytes as u64) {
        Some(rest) => {
            *left = rest;
            !end || rest == 0
        }
        None => false,
    }
}
