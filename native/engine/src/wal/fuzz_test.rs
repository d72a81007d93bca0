//! Segments that nobody wrote. An input is what follows a segment's header, cut or filled up with zeroes to the size of a
//! segment; its first byte says whether checksums are made right, since hardly any other input would get further.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::format::{
    FRAME_HEAD_BYTES, FrameHead, HardState, Place, Record, encode, entry_kind, frame_bytes, u32_at,
};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::replay::{SegmentRules, read_segment};
use super::{Wal, WalOptions};
use crate::disk::{Disk, SimDisk};
use crate::types::{EntryKind, Identity, LogMark};

const OPTIONS: WalOptions = WalOptions {
    segment_bytes: 4096,
    prepare_ahead: false,
};
const HEADER: SegmentHeader = SegmentHeader {
    seed: 7,
    sequence: 0,
    first_index: 1,
    identity: Identity {
        cluster_id: 3,
        member_id: 4,
    },
};

/// A first byte with this bit: the checksums of frames are made right.
const REPAIRED: u8 = 1;
/// Another segment follows.
const NOT_LAST: u8 = 2;

/// A whole segment of an input.
fn segment(how: u8, frames: &[u8]) -> (Vec<u8>, u32) {
    let (header, key) = HEADER.encode();
    let mut data = header.to_vec();
    data.extend_from_slice(frames);
    data.resize(OPTIONS.segment_bytes as usize, 0);
    if how & REPAIRED != 0 {
        repair(&mut data, key);
    }
    (data, key)
}

/// Makes what stands at the places of frames into whole ones that follow each other, as far as their lengths go.
fn repair(data: &mut [u8], key: u32) {
    let (mut at, mut link) = (HEADER_BYTES, HEADER.seed);
    while let Some(head) = data.get(at..at + FRAME_HEAD_BYTES) {
        let end = at + frame_bytes(u32_at(head, 0) as usize);
        let known = (1..=3).contains(&head[4]) && entry_kind(head[5]).is_some();
        if !known || end > data.len() {
            return;
        }
        let frame = &mut data[at..end];
        frame[12..16].copy_from_slice(&link.to_le_bytes());
        let crc = crc32c::crc32c_append(key, &(at as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &frame[..16]);
        frame[16..20].copy_from_slice(&crc.to_le_bytes());
        let body = FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + u32_at(frame, 0) as usize;
        link = crc32c::crc32c_append(crc, &frame[body]);
        frame[20..24].copy_from_slice(&link.to_le_bytes());
        at = end;
    }
}

/// Reads a segment by itself: its records are the bytes that they would be written as.
fn read(how: u8, data: &[u8], key: u32, found: &mut BTreeSet<String>) {
    let rules = SegmentRules {
        key,
        seed: HEADER.seed,
        is_last: how & NOT_LAST == 0,
    };
    let mut next = HEADER_BYTES;
    let mut records = 0;
    let end = read_segment(data, rules, |offset, record| {
        let at = offset as usize;
        assert_eq!(at, next, "frames follow each other");
        let place = Place { key, offset };
        let head = FrameHead::decode(&data[at..], place).expect("a head");
        let mut again = Vec::new();
        let link = encode(&record, place, head.durable, head.previous, &mut again);
        assert_eq!((link, &data[at..at + again.len()]), (head.link, &again[..]));
        next = at + again.len();
        records += 1;
        Ok(())
    });
    found.insert(format!("{} records", records.min(8)));
    match end {
        Ok(end) => {
            assert_eq!(end.offset, next as u64);
            assert!(end.torn_bytes <= data.len() as u64 - end.offset);
            found.insert(format!("torn: {}", end.torn_bytes > 0));
        }
        Err(damage) => {
            assert!((damage.offset as usize) < data.len());
            found.insert(without_digits(&damage.what));
        }
    }
}

/// Starts on a disk with only this segment. A log that is taken is read to its end, and is the same at the next start.
fn start(data: &[u8], found: &mut BTreeSet<String>) {
    let sim = SimDisk::new();
    let file = sim
        .create("0000000000000000-0000000000000001.wal", data.len() as u64)
        .expect("a file");
    file.write_at(data, 0).expect("room");
    let open = || {
        let (wal, replay) =
            Wal::open(sim.handle(), HEADER.identity, OPTIONS).map_err(|e| e.to_string())?;
        let reader = wal.reader();
        let (first, last) = (reader.first_index(), reader.last().index);
        assert_eq!(first, reader.compacted().index + 1);
        let entries = if first <= last {
            reader.read(first, last, usize::MAX).expect("entries")
        } else {
            Vec::new()
        };
        assert_eq!(entries.len() as u64, last + 1 - first);
        assert!(
            entries
                .iter()
                .zip(first..)
                .all(|(entry, index)| entry.index == index)
        );
        let payloads: Vec<Arc<[u8]>> = entries.iter().map(|e| Arc::from(&e.payload[..])).collect();
        Ok::<_, String>((replay.hard_state, replay.compacted, replay.last, payloads))
    };
    match open() {
        Ok(log) => {
            found.insert(format!("log of {}", log.3.len().min(4)));
            assert_eq!(open(), Ok(log), "the next start finds another log");
        }
        Err(refused) => {
            found.insert(without_digits(&refused));
        }
    }
}

/// What an error says, without where.
fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn target(input: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (&how, frames) = input.split_first().unwrap_or((&0, &[]));
    let (data, key) = segment(how, frames);
    read(how, &data, key, &mut found);
    start(&data, &mut found);
    // The header is read before anybody knows whose it is.
    if let Ok((header, _)) = SegmentHeader::decode(input) {
        assert_eq!(header.encode().0, input[..HEADER_BYTES]);
    }
    found
}

#[test]
fn no_segment_breaks_a_start_and_its_records_are_what_was_written() {
    let entry = |index, term, payload| Record::Entry {
        index,
        term,
        kind: EntryKind::Batch,
        payload,
    };
    let state = HardState {
        term: 2,
        vote: 4,
        commit: 1,
    };
    let log = [
        Record::HardState(state),
        Record::Compacted(LogMark { index: 0, term: 0 }),
        entry(1, 1, b"one"),
        entry(2, 1, b""),
        entry(2, 2, b"instead"),
        Record::Compacted(LogMark { index: 1, term: 1 }),
        entry(3, 2, b"three"),
    ];
    let (_, key) = HEADER.encode();
    let (mut frames, mut link) = (Vec::new(), HEADER.seed);
    for record in &log {
        let offset = (HEADER_BYTES + frames.len()) as u64;
        link = encode(
            record,
            Place { key, offset },
            offset as u32,
            link,
            &mut frames,
        );
    }
    let seeds: Vec<Vec<u8>> = [0, REPAIRED, REPAIRED | NOT_LAST]
        .into_iter()
        .map(|how| [&[how], &frames[..]].concat())
        .collect();
    assert!(
        target(&seeds[0]).contains("log of 2"),
        "{:?}",
        target(&seeds[0])
    );
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "wal", &seeds, target);
    assert!(outcome.found > 10, "{outcome:?}");
}
