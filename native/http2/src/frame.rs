//! Frames as bytes: their head, and those that the server writes.

use bytes::{BufMut, BytesMut};

use crate::reason::Reason;

pub(crate) const HEAD_BYTES: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const HAS_PRIORITY: u8 = 0x20;

pub(crate) const SETTING_HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const SETTING_ENABLE_PUSH: u16 = 2;
pub(crate) const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const SETTING_MAX_FRAME_SIZE: u16 = 5;
pub(crate) const SETTING_MAX_HEADER_LIST_SIZE: u16 = 6;

/// The 31 bits of a stream id or a window.
pub(crate) const LOW_31_BITS: u32 = 0x7fff_ffff;

/// Payload of the ping that follows the first GOAWAY.
pub(crate) const FAREWELL_PING: [u8; 8] = *b"farewell";
/// Payload of the pings that ask a silent client for a sign of life.
pub(crate) const ALIVE_PING: [u8; 8] = *b"alive?\0\0";

/// Stream dependency and weight.
pub(crate) const PRIORITY_BYTES: usize = 5;

/// The nine bytes before every payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    /// The head at the front of `bytes`; None if they are too few.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & LOW_31_BITS,
        })
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a head. The length is one that the peer's settings allow, so it has 24 bits.
#[inline]
pub(crate) fn put_head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    out.extend_from_slice(&[l0, l1, l2, kind, flags, s0, s1, s2, s3]);
}

/// Writes a header block: one HEADERS frame, with CONTINUATION frames if it is longer than `frame_bytes_max`.
pub(crate) fn put_headers(
    out: &mut BytesMut,
    stream: u32,
    block: &[u8],
    end_stream: bool,
    frame_bytes_max: usize,
) {
    let end_stream = if end_stream { END_STREAM } else { 0 };
    let (mut part, mut rest) = block.split_at(block.len().min(frame_bytes_max));
    let (mut kind, mut flags) = (HEADERS, end_stream);
    loop {
        let last = if rest.is_empty() { END_HEADERS } else { 0 };
        put_head(out, part.len(), kind, flags | last, stream);
        out.extend_from_slice(part);
        if rest.is_empty() {
            return;
        }
        (kind, flags) = (CONTINUATION, 0);
        (part, rest) = rest.split_at(rest.len().min(frame_bytes_max));
    }
}

pub(crate) fn put_reset(out: &mut BytesMut, stream: u32, reason: Reason) {
    put_head(out, 4, RST_STREAM, 0, stream);
    out.put_u32(reason as u32);
}

/// Opens the window of a stream, or of the connection for stream 0.
pub(crate) fn put_window_update(out: &mut BytesMut, stream: u32, increment: u32) {
    put_head(out, 4, WINDOW_UPDATE, 0, stream);
    out.put_u32(increment);
}

pub(crate) fn put_ping(out: &mut BytesMut, flags: u8, payload: [u8; 8]) {
    put_head(out, payload.len(), PING, flags, 0);
    out.extend_from_slice(&payload);
}

pub(crate) fn put_goaway(out: &mut BytesMut, last_stream: u32, reason: Reason, debug: &[u8]) {
    put_head(out, 8 + debug.len(), GOAWAY, 0, 0);
    out.put_u32(last_stream);
    out.put_u32(reason as u32);
    out.extend_from_slice(debug);
}

pub(crate) fn put_settings(out: &mut BytesMut, settings: &[(u16, u32)]) {
    put_head(out, settings.len() * 6, SETTINGS, 0, 0);
    for (id, value) in settings {
        out.put_u16(*id);
        out.put_u32(*value);
    }
}

pub(crate) fn put_settings_ack(out: &mut BytesMut) {
    put_head(out, 0, SETTINGS, ACK, 0);
}

/// The payload of a DATA or HEADERS frame without its padding; None if the padding is longer than the frame.
#[inline]
pub(crate) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// The stream that a priority names; None if its bytes are too few.
pub(crate) fn dependency(priority: &[u8]) -> Option<u32> {
    let priority = priority.first_chunk::<PRIORITY_BYTES>()?;
    let [s0, s1, s2, s3, _weight] = *priority;
    Some(u32::from_be_bytes([s0, s1, s2, s3]) & LOW_31_BITS)
}
