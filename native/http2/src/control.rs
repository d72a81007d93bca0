//! Frames that carry no request: priorities, resets, settings, pings, windows.

use crate::frame::{self, FAREWELL_PING, Head, PRIORITY_BYTES};
use crate::limits::RAPID_RESETS_MAX;
use crate::reason::Reason;
use crate::request::TABLE_BYTES;
use crate::state::State;

impl State {
    pub(crate) fn receive_priority(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream == 0 {
            return Err(Reason::Protocol);
        }
        if payload.len() != PRIORITY_BYTES {
            return self.wrong_on(head.stream, Reason::FrameSize);
        }
        if frame::dependency(payload) == Some(head.stream) {
            return self.wrong_on(head.stream, Reason::Protocol);
        }
        Ok(())
    }

    /// A mistake on a stream that may not be open: then it is the connection's.
    fn wrong_on(&mut self, id: u32, reason: Reason) -> Result<(), Reason> {
        if self.streams.slot_of(id).is_none() {
            return Err(reason);
        }
        self.refuse(id, reason)
    }

    /// `unserved`: the first stream whose request was not given out yet.
    pub(crate) fn receive_reset(
        &mut self,
        head: Head,
        payload: &[u8],
        unserved: Option<u32>,
    ) -> Result<(), Reason> {
        if payload.len() != 4 {
            return Err(Reason::FrameSize);
        }
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        let Some(slot) = self.streams.slot_of(head.stream) else {
            // Both have ended it: what the client sends on it from now on is a mistake.
            self.reset_before.retain(|id| *id != head.stream);
            return Ok(());
        };
        // Requests are given out in the order of their ids.
        let served = unserved.is_none_or(|first| head.stream < first);
        if !served {
            self.rapid_resets += 1;
            if self.rapid_resets > RAPID_RESETS_MAX {
                return Err(Reason::EnhanceYourCalm);
            }
        }
        self.forget(slot);
        Ok(())
    }

    pub(crate) fn receive_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        if head.has(frame::ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(Reason::FrameSize)
            };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Reason::FrameSize);
        }
        let mut stream_window = self.stream_send_window;
        for [i0, i1, v0, v1, v2, v3] in settings {
            let id = u16::from_be_bytes([*i0, *i1]);
            let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
            if id == frame::SETTING_INITIAL_WINDOW_SIZE {
                if value > frame::LOW_31_BITS {
                    return Err(Reason::FlowControl);
                }
                stream_window = value;
            } else {
                self.receive_setting(id, value)?;
            }
        }
        self.change_stream_windows(stream_window)?;
        self.greeted = true;
        frame::put_settings_ack(&mut self.out);
        Ok(())
    }

    fn receive_setting(&mut self, id: u16, value: u32) -> Result<(), Reason> {
        match id {
            frame::SETTING_HEADER_TABLE_SIZE => {
                self.table_shrunk |= (value as usize) < TABLE_BYTES;
            }
            frame::SETTING_ENABLE_PUSH if value > 1 => return Err(Reason::Protocol),
            frame::SETTING_MAX_FRAME_SIZE => {
                if !(1 << 14..1 << 24).contains(&value) {
                    return Err(Reason::Protocol);
                }
                self.frame_bytes_max = value as usize;
            }
            _ => {}
        }
        Ok(())
    }

    /// What all streams' windows begin with is now this: those of open streams change by as much. Once a frame, as it
    /// visits every stream.
    fn change_stream_windows(&mut self, bytes: u32) -> Result<(), Reason> {
        let by = i64::from(bytes) - i64::from(self.stream_send_window);
        if by == 0 {
            return Ok(());
        }
        self.stream_send_window = bytes;
        for (_, stream) in self.streams.iter_mut() {
            stream.send_window.change(by)?;
        }
        if by > 0 {
            self.feed_starved();
        }
        Ok(())
    }

    pub(crate) fn receive_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        let payload: [u8; 8] = payload.try_into().map_err(|_| Reason::FrameSize)?;
        if !head.has(frame::ACK) {
            frame::put_ping(&mut self.out, frame::ACK, payload);
            let calls = self.streams.len();
            if let Some(pings) = self.config.pings.as_mut() {
                self.too_many_pings |= !pings.ping(self.now, calls);
            }
        } else if payload == FAREWELL_PING {
            self.end_announced();
        }
        Ok(())
    }

    pub(crate) fn receive_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<(), Reason> {
        let payload: [u8; 4] = payload.try_into().map_err(|_| Reason::FrameSize)?;
        let by = u32::from_be_bytes(payload) & frame::LOW_31_BITS;
        if head.stream == 0 {
            if by == 0 {
                return Err(Reason::Protocol);
            }
            return self.send_window.change(i64::from(by));
        }
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        if by == 0 {
            return self.refuse(head.stream, Reason::Protocol);
        }
        let Some(slot) = self.streams.slot_of(head.stream) else {
            return Ok(());
        };
        let stream = &mut self.streams[slot];
        if let Err(reason) = stream.send_window.change(i64::from(by)) {
            return self.refuse(head.stream, reason);
        }
        self.feed(slot);
        Ok(())
    }
}
