//! Frames of a peer stream: one raft message, as the control plane encoded it, with the log entries that it carries.
//!
//! Little endian: `u32 length` of what follows, `u32 header length`, header, `u32 entry count`, then per entry
//! `u64 index`, `u64 term`, `u8 kind`, `u32 length`, payload. A frame of length 0 only says that the link lives.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use netcd_engine::pipeline::LogEntry;
use netcd_engine::types::{EntryKind, LogMark};

use super::limits::FRAME_BYTES_MAX;

const LENGTH_BYTES: usize = 4;
const ENTRY_HEAD_BYTES: usize = 8 + 8 + 1 + 4;
/// A payload up to this size is copied into the frame's head: a HTTP/2 frame of its own would cost more.
const COPY_BYTES_MAX: usize = 4 << 10;

/// A frame that says nothing but that the sender lives.
pub const ALIVE: [u8; LENGTH_BYTES] = [0; LENGTH_BYTES];

/// What a peer sent that is not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than any frame that a member sends.
    #[error("peer frame of {0} bytes is larger than the limit of {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// Lengths inside the frame do not add up.
    #[error("peer frame is malformed")]
    Malformed,
    /// An entry of a kind that this version does not know.
    #[error("peer frame holds an entry of unknown kind {0}")]
    UnknownKind(u8),
}

/// A raft message and its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The message as the control plane encoded it.
    pub header: Bytes,
    /// The entries that it carries.
    pub entries: Vec<LogEntry>,
}

/// The pieces of an encoded frame in the order in which they go out: large payloads are shared, not copied.
pub fn encode(header: &Bytes, entries: &[LogEntry]) -> Vec<Bytes> {
    let payload_bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    let heads = 2 * LENGTH_BYTES + header.len() + entries.len() * ENTRY_HEAD_BYTES;
    let mut head = BytesMut::with_capacity(LENGTH_BYTES + heads);
    head.put_u32_le(wire_length(heads + payload_bytes));
    head.put_u32_le(wire_length(header.len()));
    head.put_slice(header);
    head.put_u32_le(wire_length(entries.len()));
    let mut pieces = Vec::with_capacity(2 * entries.len() + 1);
    for entry in entries {
        head.put_u64_le(entry.mark.index);
        head.put_u64_le(entry.mark.term);
        head.put_u8(entry.kind as u8);
        head.put_u32_le(wire_length(entry.payload.len()));
        if entry.payload.len() <= COPY_BYTES_MAX {
            head.put_slice(&entry.payload);
        } else {
            pieces.push(head.split().freeze());
            pieces.push(entry.payload.clone());
        }
    }
    pieces.push(head.freeze());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn wire_length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("frames are bounded by FRAME_BYTES_MAX")
}

/// Puts frames together from the chunks of a stream.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes a chunk as it came.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole frame; None: more bytes are needed. Signs of life are skipped.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(length) = self.buffer.get(..LENGTH_BYTES) else {
                return Ok(None);
            };
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(FrameError::TooLarge(length));
            }
            if self.buffer.len() < LENGTH_BYTES + length {
                self.buffer
                    .reserve(LENGTH_BYTES + length - self.buffer.len());
                return Ok(None);
            }
            self.buffer.advance(LENGTH_BYTES);
            if length > 0 {
                return parse(self.buffer.split_to(length).freeze()).map(Some);
            }
        }
    }
}

fn parse(mut body: Bytes) -> Result<Frame, FrameError> {
    let header_bytes = body.try_get_u32_le().map_err(|_| FrameError::Malformed)? as usize;
    let header = take(&mut body, header_bytes)?;
    let count = body.try_get_u32_le().map_err(|_| FrameError::Malformed)? as usize;
    if count > body.len() / ENTRY_HEAD_BYTES {
        return Err(FrameError::Malformed);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        if body.len() < ENTRY_HEAD_BYTES {
            return Err(FrameError::Malformed);
        }
        let mark = LogMark {
            index: body.get_u64_le(),
            term: body.get_u64_le(),
        };
        let kind = entry_kind(body.get_u8())?;
        let payload_bytes = body.get_u32_le() as usize;
        let payload = take(&mut body, payload_bytes)?;
        entries.push(LogEntry {
            mark,
            kind,
            payload,
        });
    }
    if body.is_empty() {
        Ok(Frame { header, entries })
    } else {
        Err(FrameError::Malformed)
    }
}

fn take(body: &mut Bytes, bytes: usize) -> Result<Bytes, FrameError> {
    if body.len() < bytes {
        return Err(FrameError::Malformed);
    }
    Ok(body.split_to(bytes))
}

fn entry_kind(kind: u8) -> Result<EntryKind, FrameError> {
    [
        EntryKind::Empty,
        EntryKind::Batch,
        EntryKind::Control,
        EntryKind::ConfChange,
    ]
    .into_iter()
    .find(|known| *known as u8 == kind)
    .ok_or(FrameError::UnknownKind(kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Around and above what is copied.
    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..50),
            1 => (COPY_BYTES_MAX..COPY_BYTES_MAX + 2, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        ]
    }

    fn entries() -> impl Strategy<Value = Vec<LogEntry>> {
        let kind = prop_oneof![
            Just(EntryKind::Empty),
            Just(EntryKind::Batch),
            Just(EntryKind::Control),
            Just(EntryKind::ConfChange)
        ];
        let entry = (any::<u64>(), any::<u64>(), kind, payload()).prop_map(
            |(index, term, kind, payload)| LogEntry {
                mark: LogMark { index, term },
                kind,
                payload: payload.into(),
            },
        );
        prop::collection::vec(entry, 0..5)
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut_of_the_stream(
            frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), entries()), 1..5),
            cut in 1_usize..3000,
        ) {
            let mut stream = Vec::new();
            for (header, entries) in &frames {
                stream.extend_from_slice(&ALIVE);
                for piece in encode(&Bytes::from(header.clone()), entries) {
                    stream.extend_from_slice(&piece);
                }
            }
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(cut) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next().expect("well-formed") {
                    seen.push((frame.header.to_vec(), frame.entries));
                }
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_any_memory_is_taken() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.next(), Err(FrameError::TooLarge(u32::MAX as usize)));
    }
}
