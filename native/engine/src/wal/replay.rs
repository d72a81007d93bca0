//! Reads one segment at start: hands its records on, and where they stop decides between the end of the log, a tail
//! that a crash tore, and damage. Pure: bytes in, verdict out.

use super::format::{
    FRAME_ALIGN, FRAME_HEAD_BYTES, FrameHead, Place, Record, SECTOR_BYTES, end_is_missing,
};
use super::header::HEADER_BYTES;

/// Where a segment's valid records end and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentEnd {
    /// Offset after the last valid frame.
    pub offset: u64,
    /// Link of the last valid frame (the segment's seed if there is none).
    pub link: u32,
    /// Bytes after `offset` up to the last that is not zero: 0 unless a crash tore the tail.
    pub torn_bytes: u64,
}

/// A segment that must not be used: offset and reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Byte offset of the first bad frame.
    pub offset: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What a segment must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct SegmentRules {
    /// Key of the header.
    pub key: u32,
    /// Seed of the header.
    pub seed: u32,
    /// Only the last segment may end in a torn tail.
    pub is_last: bool,
}

/// Gives every valid record and the offset of its frame to `accept` (whose error is damage too) and judges the end.
pub fn read_segment(
    data: &[u8],
    rules: SegmentRules,
    mut accept: impl FnMut(u64, Record<'_>) -> Result<(), String>,
) -> Result<SegmentEnd, Damage> {
    let mut at = HEADER_BYTES;
    let mut link = rules.seed;
    while let Some((head, record)) = whole_frame(data, rules.key, at) {
        if head.previous != link {
            // Nothing is written after a cut before the tail was wiped, so no stale record can be valid here.
            return Err(damage(at, "the record does not follow the one before it"));
        }
        accept(at as u64, record).map_err(|what| damage(at, &what))?;
        link = head.link;
        at += head.frame_bytes();
    }
    let torn_bytes = match data[at..].iter().rposition(|b| *b != 0) {
        None => 0,
        Some(_) if !rules.is_last => {
            return Err(damage(at, "not a valid record, and later segments follow"));
        }
        Some(last) => {
            check_torn(data, rules.key, at)?;
            last as u64 + 1
        }
    };
    Ok(SegmentEnd {
        offset: at as u64,
        link,
        torn_bytes,
    })
}

fn damage(at: usize, what: &str) -> Damage {
    Damage {
        offset: at as u64,
        what: what.to_owned(),
    }
}

fn head_at(data: &[u8], key: u32, at: usize) -> Option<FrameHead> {
    let offset = at as u64;
    FrameHead::decode(data.get(at..)?, Place { key, offset })
}

fn whole_frame(data: &[u8], key: u32, at: usize) -> Option<(FrameHead, Record<'_>)> {
    let head = head_at(data, key, at)?;
    let record = head.record(&data[at..])?;
    Some((head, record))
}

/// What follows the last valid frame is not all zeroes. It is a torn tail only if nothing proves that the bytes at
/// `at` had been synced, and if they look like a write that was cut: a piece between two sector boundaries still
/// holds the zeroes of the preallocated segment, or the end of the write is missing.
fn check_torn(data: &[u8], key: u32, at: usize) -> Result<(), Damage> {
    if let Some(proof) = synced_beyond(data, key, at) {
        let what = format!(
            "not a valid record, but the record at byte {proof} was written after it had been synced"
        );
        return Err(damage(at, &what));
    }
    let frame_end = match head_at(data, key, at) {
        Some(head) => {
            let end = at + head.frame_bytes();
            if end > data.len() || end_is_missing(&data[at..end]) {
                return Ok(());
            }
            end
        }
        None => {
            let end = (at + FRAME_HEAD_BYTES).min(data.len());
            if data[end..].iter().all(|b| *b == 0) {
                return Ok(());
            }
            end
        }
    };
    if has_unwritten_piece(data, at, frame_end) {
        return Ok(());
    }
    Err(damage(
        at,
        "checksum mismatch in a record that was written whole",
    ))
}

/// Offset of a valid frame head after `at` that was written when `at` was already on stable storage.
fn synced_beyond(data: &[u8], key: u32, at: usize) -> Option<usize> {
    (at + FRAME_ALIGN..data.len())
        .step_by(FRAME_ALIGN)
        .find(|later| head_at(data, key, *later).is_some_and(|h| h.durable as usize > at))
}

fn has_unwritten_piece(data: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(to);
        if data[at..end].iter().all(|b| *b == 0) {
            return true;
        }
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::format::{HardState, encode};
    use super::*;

    const KEY: u32 = 77;
    const RULES: SegmentRules = SegmentRules {
        key: KEY,
        seed: 5,
        is_last: true,
    };

    /// A segment of 4096 bytes with hard states of these terms, each with the bytes that it takes for durable.
    fn segment(records: &[(u64, u32)]) -> Vec<u8> {
        let mut data = vec![0; HEADER_BYTES];
        let mut link = RULES.seed;
        for (term, durable) in records {
            let state = HardState {
                term: *term,
                vote: u64::MAX,
                commit: u64::MAX,
            };
            let place = Place {
                key: KEY,
                offset: data.len() as u64,
            };
            link = encode(&Record::HardState(state), place, *durable, link, &mut data);
        }
        data.resize(4096, 0);
        data
    }

    fn read(data: &[u8], rules: SegmentRules) -> (Vec<u64>, Result<SegmentEnd, Damage>) {
        let mut terms = Vec::new();
        let end = read_segment(data, rules, |_, record| {
            if let Record::HardState(state) = record {
                terms.push(state.term);
            }
            Ok(())
        });
        (terms, end)
    }

    #[test]
    fn records_end_at_zeroes() {
        let (terms, end) = read(&segment(&[(1, 0), (2, 0)]), RULES);
        assert_eq!(terms, [1, 2]);
        let end = end.unwrap();
        assert_eq!((end.offset, end.torn_bytes), (64 + 2 * 56, 0));
    }

    #[test]
    fn a_lost_record_is_torn_unless_a_later_one_was_written_after_it_was_synced() {
        for (durable, torn) in [(64, true), (65, false), (120, false)] {
            let mut data = segment(&[(1, 0), (2, 64), (3, durable)]);
            data[64..120].fill(0);
            let (terms, end) = read(&data, RULES);
            assert!(terms.is_empty());
            assert_eq!(end.is_ok(), torn, "{durable}");
            if let Err(damage) = end {
                assert_eq!(damage.offset, 64);
                assert!(damage.what.contains("the record at byte 176"), "{damage:?}");
            }
        }
    }

    #[test]
    fn a_torn_tail_is_damage_if_segments_follow() {
        let mut data = segment(&[(1, 0), (2, 0)]);
        data[170..].fill(0);
        assert!(read(&data, RULES).1.is_ok());
        let rules = SegmentRules {
            is_last: false,
            ..RULES
        };
        assert_eq!(read(&data, rules).1.unwrap_err().offset, 120);
    }

    #[test]
    fn a_valid_record_out_of_the_chain_is_damage() {
        let rules = SegmentRules { seed: 6, ..RULES };
        let damage = read(&segment(&[(1, 0)]), rules).1.unwrap_err();
        assert_eq!(damage.offset, 64);
        assert!(damage.what.contains("does not follow"), "{damage:?}");
    }

    #[test]
    fn a_copy_of_records_inside_a_payload_proves_nothing() {
        let inner = segment(&[(1, 0), (2, 64), (3, 120)]);
        let mut data = vec![0; HEADER_BYTES];
        let record = Record::Entry {
            index: 1,
            term: 1,
            kind: crate::types::EntryKind::Batch,
            payload: &inner[64..1200],
        };
        let place = Place {
            key: KEY,
            offset: 64,
        };
        encode(&record, place, 64, RULES.seed, &mut data);
        data.resize(4096, 0);
        data[1000..].fill(0);
        let (terms, end) = read(&data, RULES);
        assert!(terms.is_empty());
        assert_eq!(end.unwrap().offset, 64);
    }

    #[test]
    fn a_huge_length_takes_no_memory() {
        // The head is valid but for its length field: even one with a right checksum is only compared with the file.
        let mut data = segment(&[(1, 0)]);
        data[64..68].fill(0xff);
        assert_eq!(read(&data, RULES).1.unwrap_err().offset, 64);
        let head = data[64..88].to_vec();
        assert!(
            FrameHead::decode(
                &head,
                Place {
                    key: KEY,
                    offset: 64
                }
            )
            .is_none()
        );
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic() {
        let mut random = 1u64;
        for _ in 0..2000 {
            let mut data = segment(&[(1, 0), (2, 64), (3, 120)]);
            for _ in 0..8 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = HEADER_BYTES + (random >> 33) as usize % 200;
                data[at] = (random >> 20) as u8;
            }
            let length = HEADER_BYTES + (random >> 40) as usize % (data.len() - HEADER_BYTES);
            let (terms, end) = read(&data[..length], RULES);
            let end = end.map_or_else(|d| d.offset, |e| e.offset);
            assert_eq!(end, 64 + 56 * terms.len() as u64);
        }
    }
}
