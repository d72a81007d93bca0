//! What a request's data does to its stream and to the windows.

use bytes::Bytes;

use crate::frame::{self, Head};
use crate::limits::UNREAD_PIECES_MAX;
use crate::reason::Reason;
use crate::state::State;

impl State {
    pub(crate) fn receive_data(
        &mut self,
        head: Head,
        all: &Bytes,
        payload: &[u8],
    ) -> Result<(), Reason> {
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
}

/// Whether content-length agrees with what came.
#[inline]
pub(crate) fn fits_length(left: &mut Option<u64>, bytes: usize, end: bool) -> bool {
    let Some(left) = left else { return true };
    match left.checked_sub(bytes as u64) {
        Some(rest) => {
            *left = rest;
            !end || rest == 0
        }
        None => false,
    }
}
