//! The reading side: metadata of entries from memory, payloads from the segments, each checked as it is read.

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::error::WalError;
use super::format::{ENTRY_PREFIX_BYTES, FRAME_HEAD_BYTES, FrameHead, Place, Record, frame_bytes};
use super::map::{EntryMeta, Slot};
use super::segment::Segment;
use crate::limits::WAL_READ_BYTES;
use crate::types::{EntryKind, LogMark};

/// An entry with its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Index.
    pub index: u64,
    /// Term.
    pub term: u64,
    /// What the payload is.
    pub kind: EntryKind,
    /// The payload.
    pub payload: Bytes,
}

/// Reads entries of the log; clones share it.
#[derive(Clone)]
pub struct WalReader {
    shared: Arc<Shared>,
}

struct Wanted {
    index: u64,
    term: u64,
    slot: Slot,
    segment: Arc<Segment>,
}

impl Wanted {
    fn end(&self) -> u64 {
        self.slot.offset() + frame_bytes(ENTRY_PREFIX_BYTES + self.slot.bytes()) as u64
    }

    fn damaged(&self, what: &str) -> WalError {
        WalError::Damaged {
            file: self.segment.path.clone(),
            offset: self.slot.offset(),
            what: what.to_owned(),
        }
    }
}

impl WalReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The entry before the log.
    pub fn compacted(&self) -> LogMark {
        self.shared.log.read().map.mark()
    }

    /// Index of the first entry; one after the last if the log is empty.
    pub fn first_index(&self) -> u64 {
        self.shared.log.read().map.first_index()
    }

    /// The last entry appended (not necessarily synced), or the compaction mark if there is none.
    pub fn last(&self) -> LogMark {
        self.shared.log.read().map.last()
    }

    /// Term of an entry or of the compaction mark.
    pub fn term(&self, index: u64) -> Option<u64> {
        self.shared.log.read().map.term(index)
    }

    /// Metadata of one entry.
    pub fn meta(&self, index: u64) -> Option<EntryMeta> {
        self.shared.log.read().map.meta(index)
    }

    /// Metadata of the entries from `first` to `last` (both included) that are in the log.
    pub fn metas(&self, first: u64, last: u64) -> Vec<EntryMeta> {
        let log = self.shared.log.read();
        let (first, last) = (
            first.max(log.map.first_index()),
            last.min(log.map.last_index()),
        );
        (first..=last).filter_map(|i| log.map.meta(i)).collect()
    }

    /// The entries from `first` on, up to `last` and up to `bytes_max` bytes of payload, but at least one.
    ///
    /// # Errors
    /// `Compacted` or `Unavailable` if `first` is not in the log; `Damaged` if a checksum is wrong; `Io`.
    pub fn read(&self, first: u64, last: u64, bytes_max: usize) -> Result<Vec<LogEntry>, WalError> {
        let wanted = self.locate(first, last, bytes_max)?;
        let mut entries = Vec::with_capacity(wanted.len());
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let (run, later) = rest.split_at(run_length(rest));
            match read_run(run, &mut entries) {
                // The segment was not open and was removed meanwhile.
                Err(WalError::Io { .. }) if self.first_index() > run[0].index => {
                    let first = self.first_index();
                    return Err(WalError::Compacted { first });
                }
                outcome => outcome?,
            }
            rest = later;
        }
        Ok(entries)
    }

    fn locate(&self, first: u64, last: u64, bytes_max: usize) -> Result<Vec<Wanted>, WalError> {
        let log = self.shared.log.read();
        if first < log.map.first_index() {
            let first = log.map.first_index();
            return Err(WalError::Compacted { first });
        }
        let mut wanted = Vec::new();
        let mut bytes = 0;
        for index in first..=last {
            let (Some(slot), Some(term)) = (log.map.slot(index), log.map.term(index)) else {
                break;
            };
            bytes += slot.bytes();
            if bytes > bytes_max && !wanted.is_empty() {
                break;
            }
            let segment = log.segments.get(&slot.segment());
            wanted.push(Wanted {
                index,
                term,
                slot,
                segment: segment
                    .expect("the segment of a live entry is kept")
                    .clone(),
            });
        }
        if wanted.is_empty() && first <= last {
            let last = log.map.last_index();
            return Err(WalError::Unavailable { last });
        }
        Ok(wanted)
    }
}

/// How many of the entries are near enough to each other for one read.
fn run_length(wanted: &[Wanted]) -> usize {
    let start = &wanted[0];
    let near = wanted.iter().skip(1).take_while(|next| {
        Arc::ptr_eq(&next.segment, &start.segment)
            && next.slot.offset() > start.slot.offset()
            && next.end() - start.slot.offset() <= WAL_READ_BYTES as u64
    });
    1 + near.count()
}

fn read_run(run: &[Wanted], into: &mut Vec<LogEntry>) -> Result<(), WalError> {
    let (Some(start), Some(end)) = (run.first(), run.last()) else {
        return Ok(());
    };
    let from = start.slot.offset();
    let mut buffer = vec![0; (end.end() - from) as usize];
    let file = start.segment.file();
    let read = file.and_then(|file| file.read_exact_at(&mut buffer, from));
    read.map_err(|error| WalError::Io {
        file: start.segment.path.clone(),
        error,
    })?;
    let buffer = Bytes::from(buffer);
    for wanted in run {
        let at = (wanted.slot.offset() - from) as usize;
        into.push(check(wanted, &buffer, at)?);
    }
    Ok(())
}

fn check(wanted: &Wanted, buffer: &Bytes, at: usize) -> Result<LogEntry, WalError> {
    let place = Place {
        key: wanted.segment.key,
        offset: wanted.slot.offset(),
    };
    let frame = &buffer[at..];
    let record = FrameHead::decode(frame, place).and_then(|head| head.record(frame));
    match record {
        Some(Record::Entry {
            index,
            term,
            kind,
            payload,
        }) if index == wanted.index && term == wanted.term => {
            let start = at + FRAME_HEAD_BYTES + ENTRY_PREFIX_BYTES;
            Ok(LogEntry {
                index,
                term,
                kind,
                payload: buffer.slice(start..start + payload.len()),
            })
        }
        Some(_) => Err(wanted.damaged("another record stands where the entry was written")),
        None => Err(wanted.damaged("checksum mismatch")),
    }
}
