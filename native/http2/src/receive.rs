//! Frames of the client, one after the other.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::data::fits_length;
use crate::frame::{self, Head};
use crate::header_block::HeaderBlock;
use crate::limits::{CONTINUATIONS_MAX, FRAME_BYTES_MAX, HEADER_LIST_BYTES_MAX};
use crate::reason::Reason;
use crate::request::{Block, Blocks, RequestHead};
use crate::state::{Phase, State};

/// A request that was not given out yet.
pub(crate) struct Incoming<T> {
    pub(crate) head: Rc<RequestHead<T>>,
    pub(crate) slot: usize,
    pub(crate) id: u32,
}

/// The beginning of a header block.
struct Partial {
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

/// What only the reading side of a connection needs: header blocks, and the requests that they made.
pub(crate) struct Receiver<T> {
    blocks: Blocks<T>,
    /// A header block whose CONTINUATION frames still come.
    partial: Option<Partial>,
    pub(crate) accepted: VecDeque<Incoming<T>>,
}

impl<T> Receiver<T> {
    pub(crate) fn new() -> Self {
        Self {
            blocks: Blocks::new(),
            partial: None,
            accepted: VecDeque::new(),
        }
    }

    /// No request waits, and no header block is incomplete.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.accepted.is_empty() && self.partial.is_none()
    }

    /// Takes in whole frames. An error ends the connection.
    pub(crate) fn receive(&mut self, state: &mut State, frames: &Bytes) -> Result<(), Reason> {
        let mut at = 0;
        while let Some(head) = Head::read(&frames[at..]) {
            let start = at + frame::HEAD_BYTES;
            at = start + head.length;
            self.receive_frame(state, head, frames, &frames[start..at])?;
            if state.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn receive_frame(
        &mut self,
        state: &mut State,
        head: Head,
        all: &Bytes,
        payload: &[u8],
    ) -> Result<(), Reason> {
        if !state.greeted && (head.kind != frame::SETTINGS || head.has(frame::ACK)) {
            return Err(Reason::Protocol);
        }
        if self.partial.is_some() && head.kind != frame::CONTINUATION {
            return Err(Reason::Protocol);
        }
        match head.kind {
            frame::DATA => state.receive_data(head, all, payload),
            frame::HEADERS => self.receive_headers(state, head, payload),
            frame::CONTINUATION => self.receive_continuation(state, head, payload),
            frame::PRIORITY => state.receive_priority(head, payload),
            frame::RST_STREAM => {
                // Requests are given out in the order of their ids.
                let unserved = self.accepted.front().map(|incoming| incoming.id);
                state.receive_reset(head, payload, unserved)
            }
            frame::SETTINGS => state.receive_settings(head, payload),
            frame::PING => state.receive_ping(head, payload),
            frame::GOAWAY if head.stream != 0 => Err(Reason::Protocol),
            frame::GOAWAY if payload.len() < 8 => Err(Reason::FrameSize),
            frame::GOAWAY => {
                state.client_leaves = true;
                Ok(())
            }
            frame::WINDOW_UPDATE => state.receive_window_update(head, payload),
            frame::PUSH_PROMISE => Err(Reason::Protocol),
            _ => Ok(()),
        }
    }

    fn receive_headers(
        &mut self,
        state: &mut State,
        head: Head,
        payload: &[u8],
    ) -> Result<(), Reason> {
        if head.stream.is_multiple_of(2) {
            return Err(Reason::Protocol);
        }
        let mut block = frame::unpadded(head, payload).ok_or(Reason::Protocol)?;
        let mut depends_on_itself = false;
        if head.has(frame::HAS_PRIORITY) {
            depends_on_itself = frame::dependency(block).ok_or(Reason::FrameSize)? == head.stream;
            block = &block[frame::PRIORITY_BYTES..];
        }
        let end_stream = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.receive_block(state, head.stream, end_stream, depends_on_itself, block);
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

    fn receive_continuation(
        &mut self,
        state: &mut State,
        head: Head,
        payload: &[u8],
    ) -> Result<(), Reason> {
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
                state,
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
        state: &mut State,
        id: u32,
        end_stream: bool,
        depends_on_itself: bool,
        block: &[u8],
    ) -> Result<(), Reason> {
        if !state.is_idle(id) {
            return self.receive_trailers(state, id, end_stream, block);
        }
        let block = self.blocks.request(block)?;
        state.last_stream = id;
        if matches!(state.phase, Phase::Last(_)) {
            // The client learns from the GOAWAY that nobody serves it.
            state.remember_reset(id);
            return Ok(());
        }
        if depends_on_itself {
            return state.refuse(id, Reason::Protocol);
        }
        if state.streams.len() >= state.config.max_concurrent_streams as usize
            || self.blocks.holds_too_much()
        {
            state.reset_unopened(id, Reason::RefusedStream);
            return Ok(());
        }
        match block {
            Block::Request(request) => {
                if end_stream && request.content_length.is_some_and(|length| length > 0) {
                    return state.refuse(id, Reason::Protocol);
                }
                let slot = state.open(id, end_stream, request.content_length);
                self.accepted.push_back(Incoming {
                    head: request,
                    slot,
                    id,
                });
            }
            Block::Malformed => return state.refuse(id, Reason::Protocol),
            Block::TooLarge => {
                let slot = state.open(id, end_stream, None);
                state.respond(
                    slot,
                    &HeaderBlock::status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
                    true,
                );
            }
        }
        Ok(())
    }

    fn receive_trailers(
        &mut self,
        state: &mut State,
        id: u32,
        end_stream: bool,
        block: &[u8],
    ) -> Result<(), Reason> {
        let fine = self.blocks.trailers(block)?;
        let Some(slot) = state.streams.slot_of(id) else {
            return if state.was_reset(id) {
                Ok(())
            } else {
                Err(Reason::StreamClosed)
            };
        };
        let stream = &mut state.streams[slot];
        if stream.remote_ended {
            return state.refuse(id, Reason::StreamClosed);
        }
        if !end_stream || !fine || !fits_length(&mut stream.length_left, 0, true) {
            return state.refuse(id, Reason::Protocol);
        }
        state.end_remote(slot);
        Ok(())
    }
}
