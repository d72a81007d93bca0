//! The bytes of records: their frames, encoded and checked. Pure; docs/storage.md draws them.

use crate::types::{EntryKind, LogMark};

/// Bytes of a frame before its body.
pub const FRAME_HEAD_BYTES: usize = 24;
/// Frames start and end at multiples of this.
pub const FRAME_ALIGN: usize = 8;
/// What a disk is taken to write whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// The last byte of every frame: never zero, so that a frame whose end was not written shows it.
const END_MARK: u8 = 0x9c;
/// Body bytes of an entry before its payload: index and term.
pub const ENTRY_PREFIX_BYTES: usize = 16;
const HARD_STATE_BYTES: usize = 24;
const MARK_BYTES: usize = 16;

/// raft's durable state besides the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HardState {
    /// Current term.
    pub term: u64,
    /// Member voted for in this term; 0 = none.
    pub vote: u64,
    /// Highest index known to be committed.
    pub commit: u64,
}

/// One record to append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A log entry; one with an index at or below the last replaces that entry and all after it.
    Entry {
        /// Index, one after the last or one to replace.
        index: u64,
        /// Term.
        term: u64,
        /// What the payload is.
        kind: EntryKind,
        /// The payload.
        payload: &'a [u8],
    },
    /// Replaces the hard state.
    HardState(HardState),
    /// The log before and including this entry is not needed any more (it is in a snapshot or in the store). A mark
    /// after the last entry, or of another term than the entry it names, drops the whole log.
    Compacted(LogMark),
}

impl Record<'_> {
    fn type_byte(&self) -> u8 {
        match self {
            Self::Entry { .. } => 1,
            Self::HardState(_) => 2,
            Self::Compacted(_) => 3,
        }
    }

    fn body_bytes(&self) -> usize {
        match self {
            Self::Entry { payload, .. } => ENTRY_PREFIX_BYTES + payload.len(),
            Self::HardState(_) => HARD_STATE_BYTES,
            Self::Compacted(_) => MARK_BYTES,
        }
    }

    /// Bytes of the record's frame in a segment.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.body_bytes())
    }
}

/// Bytes of a frame with a body of so many.
pub const fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_HEAD_BYTES + body_bytes + 1).next_multiple_of(FRAME_ALIGN)
}

/// The number of an entry kind on disk, back.
pub fn entry_kind(number: u8) -> Option<EntryKind> {
    Some(match number {
        0 => EntryKind::Empty,
        1 => EntryKind::Batch,
        2 => EntryKind::Control,
        3 => EntryKind::ConfChange,
        _ => return None,
    })
}

/// Where a frame stands, which its checksums cover besides its own bytes: a copy of it elsewhere is not valid.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Key of the segment.
    pub key: u32,
    /// Byte offset of the frame in the segment.
    pub offset: u64,
}

fn head_crc(place: Place, head: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(place.key, &place.offset.to_le_bytes());
    crc32c::crc32c_append(crc, &head[..16])
}

/// Appends a frame to `into`. `durable` is the number of bytes of the segment known to be on stable storage, `link`
/// that of the frame before (or the segment's seed). Returns the frame's own link.
pub fn encode(
    record: &Record<'_>,
    place: Place,
    durable: u32,
    link: u32,
    into: &mut Vec<u8>,
) -> u32 {
    let start = into.len();
    let kind = match record {
        Record::Entry { kind, .. } => *kind as u8,
        _ => 0,
    };
    // A body is at most a segment (checked by the writer against its limit), so its length fits.
    let body_bytes = record.body_bytes() as u32;
    into.extend_from_slice(&body_bytes.to_le_bytes());
    into.extend_from_slice(&[record.type_byte(), kind, 0, 0]);
    into.extend_from_slice(&durable.to_le_bytes());
    into.extend_from_slice(&link.to_le_bytes());
    let head = head_crc(place, &into[start..]);
    into.extend_from_slice(&head.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    let body_start = into.len();
    match record {
        Record::Entry {
            index,
            term,
            payload,
            ..
        } => {
            into.extend_from_slice(&index.to_le_bytes());
            into.extend_from_slice(&term.to_le_bytes());
            into.extend_from_slice(payload);
        }
        Record::HardState(state) => {
            into.extend_from_slice(&state.term.to_le_bytes());
            into.extend_from_slice(&state.vote.to_le_bytes());
            into.extend_from_slice(&state.commit.to_le_bytes());
        }
        Record::Compacted(mark) => {
            into.extend_from_slice(&mark.index.to_le_bytes());
            into.extend_from_slice(&mark.term.to_le_bytes());
        }
    }
    let body = crc32c::crc32c_append(head, &into[body_start..]);
    into[start + 20..start + 24].copy_from_slice(&body.to_le_bytes());
    into.resize(start + record.frame_bytes(), 0);
    if let Some(last) = into.last_mut() {
        *last = END_MARK;
    }
    body
}

/// The head of a frame whose own checksum was right.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Type of the record.
    pub type_byte: u8,
    /// Kind of an entry.
    pub kind: u8,
    /// Bytes of the segment that were on stable storage when the frame was encoded.
    pub durable: u32,
    /// Link of the frame before.
    pub previous: u32,
    /// Checksum of the head, from which that of the body goes on.
    head: u32,
    /// Checksum of the body and the frame's own link.
    pub link: u32,
}

impl FrameHead {
    /// The head at the start of `bytes`, if there is a valid one.
    pub fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEAD_BYTES)?;
        let (type_byte, kind) = (bytes[4], bytes[5]);
        // Cheap tests first: the search behind a torn tail asks this of every eighth byte.
        if !(1..=3).contains(&type_byte) || entry_kind(kind).is_none() || bytes[6..8] != [0, 0] {
            return None;
        }
        let head = u32_at(bytes, 16);
        if head_crc(place, bytes) != head {
            return None;
        }
        Some(Self {
            body_bytes: u32_at(bytes, 0) as usize,
            type_byte,
            kind,
            durable: u32_at(bytes, 8),
            previous: u32_at(bytes, 12),
            head,
            link: u32_at(bytes, 20),
        })
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.body_bytes)
    }

    /// The record of a whole frame, if body, padding and end are as they were written.
    pub fn record<'a>(&self, frame: &'a [u8]) -> Option<Record<'a>> {
        let frame = frame.get(..self.frame_bytes())?;
        let (body, end) = frame[FRAME_HEAD_BYTES..].split_at(self.body_bytes);
        let (mark, padding) = end.split_last()?;
        if *mark != END_MARK || padding.iter().any(|b| *b != 0) {
            return None;
        }
        if crc32c::crc32c_append(self.head, body) != self.link {
            return None;
        }
        if self.type_byte != 1 && self.kind != 0 {
            return None;
        }
        match (self.type_byte, body.len()) {
            (1, ENTRY_PREFIX_BYTES..) => Some(Record::Entry {
                index: u64_at(body, 0),
                term: u64_at(body, 8),
                kind: entry_kind(self.kind)?,
                payload: &body[ENTRY_PREFIX_BYTES..],
            }),
            (2, HARD_STATE_BYTES) => Some(Record::HardState(HardState {
                term: u64_at(body, 0),
                vote: u64_at(body, 8),
                commit: u64_at(body, 16),
            })),
            (3, MARK_BYTES) => Some(Record::Compacted(LogMark {
                index: u64_at(body, 0),
                term: u64_at(body, 8),
            })),
            _ => None,
        }
    }
}

/// Whether the end of the frame was never written.
pub fn end_is_missing(frame: &[u8]) -> bool {
    frame.last() == Some(&0)
}

/// The little-endian number at a byte offset.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The little-endian number at a byte offset.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        key: 0xdead_beef,
        offset: 64,
    };

    fn entry(payload: &[u8]) -> Record<'_> {
        Record::Entry {
            index: 7,
            term: 3,
            kind: EntryKind::Control,
            payload,
        }
    }

    #[test]
    fn records_come_back_as_they_went_in() {
        let payload = vec![5; 1000];
        let mark = LogMark { index: 9, term: 2 };
        let state = HardState {
            term: 4,
            vote: 5,
            commit: 6,
        };
        for record in [
            entry(&payload),
            entry(b""),
            Record::HardState(state),
            Record::Compacted(mark),
        ] {
            let mut bytes = Vec::new();
            let link = encode(&record, PLACE, 64, 11, &mut bytes);
            assert_eq!(bytes.len(), record.frame_bytes());
            assert_eq!(bytes.len() % FRAME_ALIGN, 0);
            let head = FrameHead::decode(&bytes, PLACE).unwrap();
            assert_eq!((head.durable, head.previous, head.link), (64, 11, link));
            assert_eq!(head.record(&bytes), Some(record));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        let mut bytes = Vec::new();
        encode(&entry(b"payload"), PLACE, 64, 11, &mut bytes);
        let whole = |bytes: &[u8], place| {
            FrameHead::decode(bytes, place).is_some_and(|h| h.record(bytes).is_some())
        };
        assert!(whole(&bytes, PLACE));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&bytes, PLACE), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let elsewhere = Place {
            offset: 72,
            ..PLACE
        };
        let other = Place { key: 1, ..PLACE };
        assert!(!whole(&bytes, elsewhere));
        assert!(!whole(&bytes, other));
    }
}
