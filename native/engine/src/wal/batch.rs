//! A batch of records before it is written: whether it may be, and how much room it takes. Pure.

use super::error::WalError;
use super::format::Record;
use super::map::LogMap;

/// # Errors
/// `TooLarge` if the payload of one record has more than `limit` bytes.
pub fn check_sizes(records: &[Record<'_>], limit: usize) -> Result<(), WalError> {
    let too_large = |record: &Record<'_>| match record {
        Record::Entry { payload, .. } => Some(payload.len()).filter(|bytes| *bytes > limit),
        Record::HardState(_) | Record::Compacted(_) => None,
    };
    match records.iter().find_map(too_large) {
        Some(bytes) => Err(WalError::TooLarge { bytes, limit }),
        None => Ok(()),
    }
}

/// A gap would make the log unreadable, so it is refused before it is on the disk.
///
/// # Panics
/// If an entry would leave a gap in the log or is not after the compaction mark.
pub fn check_order(records: &[Record<'_>], log: &LogMap) {
    let mut mark = log.mark().index;
    let mut last = log.last_index();
    for (number, record) in records.iter().enumerate() {
        match record {
            Record::HardState(_) => {}
            Record::Entry { index, .. } => {
                assert!(
                    *index > mark && *index <= last + 1,
                    "entry {index} does not fit a log of {} to {last}",
                    mark + 1
                );
                last = *index;
            }
            Record::Compacted(to) if to.index > mark => {
                let before = records[..number]
                    .iter()
                    .rev()
                    .find_map(|record| term_of(record, to.index));
                let term = before.or_else(|| log.term(to.index));
                if to.index > last || term != Some(to.term) {
                    last = to.index;
                }
                mark = to.index;
            }
            Record::Compacted(_) => {}
        }
    }
}

fn term_of(record: &Record<'_>, at: u64) -> Option<u64> {
    match record {
        Record::Entry { index, term, .. } if *index == at => Some(*term),
        _ => None,
    }
}

/// How many of the records, from the first on, fit into `room` bytes.
pub fn fitting(records: &[Record<'_>], mut room: u64) -> usize {
    let fits = |record: &&Record<'_>| {
        let left = room.checked_sub(record.frame_bytes() as u64);
        room = left.unwrap_or(0);
        left.is_some()
    };
    records.iter().take_while(fits).count()
}

/// How many new segments the records need if `room` bytes are left in the current one and each new one has
/// `segment_room`.
pub fn segments_needed(records: &[Record<'_>], room: u64, segment_room: u64) -> usize {
    let mut rest = &records[fitting(records, room)..];
    let mut needed = 0;
    while !rest.is_empty() {
        let count = fitting(rest, segment_room);
        assert!(count > 0, "a record that no segment holds");
        rest = &rest[count..];
        needed += 1;
    }
    needed
}
