//! The writing side: one thread appends batches of records, each encoded into one buffer and written at once, and
//! syncs them. A failed write or sync ends the WAL's life; a full disk is noticed before anything is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Shared;
use super::batch;
use super::error::WalError;
use super::format::{HardState, Place, Record, encode};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::map::Slot;
use super::metrics::WalMetrics;
use super::options::{FIRST_FRAMES_BYTES, WalOptions};
use super::reader::WalReader;
use super::segment::{Segment, Spares, close_old, segment_name};
use crate::disk::{Disk, DiskFile, is_shortage};
use crate::limits::WAL_BUFFER_BYTES_KEPT;
use crate::types::{Identity, LogMark};

/// Where the next frame goes.
pub(super) struct Position {
    pub segment: Arc<Segment>,
    /// The segment's file.
    pub file: Arc<dyn DiskFile>,
    pub sequence: u64,
    /// Bytes of the segment that are used.
    pub tail: u64,
    /// Bytes of the segment that are on stable storage.
    pub durable: u64,
    /// Link of the last frame.
    pub link: u32,
}

pub(super) struct WalParts {
    pub disk: Arc<dyn Disk>,
    pub identity: Identity,
    pub options: WalOptions,
    pub spares: Spares,
    pub shared: Arc<Shared>,
    pub position: Option<Position>,
    pub hard_state: HardState,
    pub metrics: Arc<WalMetrics>,
}

/// The write-ahead log, owned by the thread that writes it.
pub struct Wal {
    parts: WalParts,
    /// Sequence of the first segment that a restart needs, as of the last sync.
    needed_from: u64,
    /// Operation, file and error that ended this WAL's life.
    failure: Option<(&'static str, String, String)>,
    // Plain memory: nothing is written past the page cache, so an alignment would gain nothing.
    buffer: Vec<u8>,
}

impl Wal {
    pub(super) fn from_parts(parts: WalParts) -> Self {
        Self {
            parts,
            needed_from: 0,
            failure: None,
            buffer: Vec::new(),
        }
    }

    /// Makes the first segment of a new log.
    pub(super) fn begin_log(&mut self, seed: u32) -> Result<(), WalError> {
        self.reserve(1)?;
        self.begin_segment(0, seed)
    }

    /// A handle that reads entries back, for any thread.
    pub fn reader(&self) -> WalReader {
        WalReader::new(self.parts.shared.clone())
    }

    /// The counters, for any thread.
    pub fn metrics(&self) -> Arc<WalMetrics> {
        self.parts.metrics.clone()
    }

    /// The last hard state appended.
    pub fn hard_state(&self) -> HardState {
        self.parts.hard_state
    }

    /// Writes the records in order, in one write unless a segment ends among them. They are on stable storage after
    /// the next `sync`, and readable at once.
    ///
    /// # Errors
    /// `NoSegment` and `TooLarge`: nothing was written, the WAL stays usable. `Failed`: the WAL is of no further use.
    ///
    /// # Panics
    /// If an entry would leave a gap in the log or is not after the compaction mark.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<(), WalError> {
        self.check_usable()?;
        batch::check_sizes(records, self.parts.options.payload_bytes_max())?;
        batch::check_order(records, &self.parts.shared.log.read().map);
        self.reserve(batch::segments_needed(
            records,
            self.room_bytes(),
            self.parts.options.room_bytes(),
        ))?;
        let mut rest = records;
        while !rest.is_empty() {
            let fitting = batch::fitting(rest, self.room_bytes());
            if fitting == 0 {
                self.roll()?;
                continue;
            }
            let (now, later) = rest.split_at(fitting);
            self.write(now)?;
            rest = later;
        }
        if self.position().tail > self.parts.options.segment_bytes / 2 {
            self.parts.spares.order();
        }
        Ok(())
    }

    /// One fdatasync: everything appended is on stable storage after it. Free if nothing was appended.
    ///
    /// # Errors
    /// `Failed`: what is on the disk is unknown, the WAL is of no further use.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check_usable()?;
        let position = self.position();
        if position.durable < position.tail {
            let segment = position.segment.clone();
            let start = Instant::now();
            let synced = position.file.sync_data();
            self.parts.metrics.fsync.seconds(start.elapsed());
            self.settle("sync", &segment.name, synced)?;
            let position = self.position_mut();
            position.durable = position.tail;
        }
        let first = self.parts.shared.log.read().map.first_segment();
        self.needed_from = first.unwrap_or(self.position().sequence);
        Ok(())
    }

    /// Removes the segments that only hold entries up to the last synced compaction mark; returns how many.
    ///
    /// # Errors
    /// `Failed`.
    pub fn purge(&mut self) -> Result<usize, WalError> {
        self.check_usable()?;
        let unneeded: Vec<(u64, Arc<Segment>)> = {
            let log = self.parts.shared.log.read();
            let before = log.segments.range(..self.needed_from);
            before.map(|(s, segment)| (*s, segment.clone())).collect()
        };
        // Oldest first, so that a crash between two leaves no hole.
        for (sequence, segment) in &unneeded {
            let removed = self.parts.disk.remove(&segment.name);
            self.settle("remove", &segment.name, removed)?;
            self.parts.shared.log.write().segments.remove(sequence);
        }
        if !unneeded.is_empty() {
            let synced = self.parts.disk.sync_dir();
            self.settle("sync", "", synced)?;
            let removed = unneeded.len() as u64;
            self.parts.metrics.segments.fetch_sub(removed, Relaxed);
        }
        Ok(unneeded.len())
    }

    fn position(&self) -> &Position {
        self.parts
            .position
            .as_ref()
            .expect("a log has a segment once it was begun")
    }

    fn position_mut(&mut self) -> &mut Position {
        self.parts
            .position
            .as_mut()
            .expect("a log has a segment once it was begun")
    }

    /// Bytes that are left in the current segment.
    fn room_bytes(&self) -> u64 {
        self.parts.options.segment_bytes - self.position().tail
    }

    fn check_usable(&self) -> Result<(), WalError> {
        match &self.failure {
            None => Ok(()),
            Some((operation, file, error)) => Err(WalError::Failed {
                operation,
                file: file.clone(),
                error: error.clone(),
            }),
        }
    }

    /// After a failed write or sync the kernel may have dropped the data and say nothing the next time: never again.
    fn settle(
        &mut self,
        operation: &'static str,
        name: &str,
        outcome: io::Result<()>,
    ) -> Result<(), WalError> {
        if let Err(error) = outcome {
            let file = self.parts.disk.display(name);
            self.failure = Some((operation, file, error.to_string()));
        }
        self.check_usable()
    }

    fn reserve(&mut self, segments: usize) -> Result<(), WalError> {
        match self.parts.spares.reserve(segments) {
            Ok(()) => Ok(()),
            Err(error) if is_shortage(&error) => Err(WalError::NoSegment(error)),
            Err(error) => self.settle("prepare", "", Err(error)),
        }
    }

    /// Encodes and writes records that fit, then shows them to the readers.
    fn write(&mut self, records: &[Record<'_>]) -> Result<(), WalError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let position = self.position();
        let (tail, durable) = (position.tail, position.durable as u32);
        let (key, mut link) = (position.segment.key, position.link);
        buffer.clear();
        for record in records {
            let offset = tail + buffer.len() as u64;
            link = encode(record, Place { key, offset }, durable, link, &mut buffer);
        }
        let (segment, file) = (position.segment.clone(), position.file.clone());
        self.write_buffer(&segment, file.as_ref(), &buffer, tail)?;
        let position = self.position_mut();
        position.tail += buffer.len() as u64;
        position.link = link;
        buffer.shrink_to(WAL_BUFFER_BYTES_KEPT);
        self.buffer = buffer;
        self.show(records, tail);
        Ok(())
    }

    fn write_buffer(
        &mut self,
        segment: &Segment,
        file: &dyn DiskFile,
        bytes: &[u8],
        at: u64,
    ) -> Result<(), WalError> {
        let start = Instant::now();
        let written = file.write_at(bytes, at);
        self.parts.metrics.write.seconds(start.elapsed());
        let count = bytes.len() as u64;
        self.parts.metrics.written_bytes.fetch_add(count, Relaxed);
        self.settle("write", &segment.name, written)
    }

    fn show(&mut self, records: &[Record<'_>], mut offset: u64) {
        let sequence = self.position().sequence;
        let mut log = self.parts.shared.log.write();
        for record in records {
            match record {
                Record::Entry {
                    index,
                    term,
                    kind,
                    payload,
                } => {
                    let slot = Slot::new(sequence, offset, payload.len(), *kind);
                    log.map.put(*index, *term, slot);
                }
                Record::HardState(state) => self.parts.hard_state = *state,
                Record::Compacted(mark) => log.map.compact(*mark),
            }
            offset += record.frame_bytes() as u64;
        }
    }

    /// Goes on in the next segment. All of this one is durable before the next exists: only the last can be torn.
    fn roll(&mut self) -> Result<(), WalError> {
        self.sync()?;
        let position = self.position();
        let (sequence, link) = (position.sequence + 1, position.link);
        self.begin_segment(sequence, link)
    }

    /// Turns a spare into a segment. Its header is durable before it has its name: a named segment without a valid
    /// header is damaged.
    fn begin_segment(&mut self, sequence: u64, seed: u32) -> Result<(), WalError> {
        assert!(u32::try_from(sequence).is_ok(), "segment {sequence}");
        let spare = self.parts.spares.take().expect("append reserved it");
        let (mark, next) = {
            let log = self.parts.shared.log.read();
            (log.map.mark(), log.map.last_index() + 1)
        };
        let header = SegmentHeader {
            seed,
            sequence,
            first_index: next,
            identity: self.parts.identity,
        };
        let (mut bytes, key, link) = first_bytes(&header, self.parts.hard_state, mark);
        let name = segment_name(sequence, next);
        let file = spare.file;
        let segment = Segment::new(&self.parts.disk, name, key, file.clone());
        self.write_buffer(&segment, file.as_ref(), &bytes, 0)?;
        let synced = file.sync_data();
        self.settle("sync", &segment.name, synced)?;
        let named = self.parts.disk.rename(&spare.name, &segment.name);
        self.settle("rename", &segment.name, named)?;
        let synced = self.parts.disk.sync_dir();
        self.settle("sync", "", synced)?;
        let segment = Arc::new(segment);
        let mut log = self.parts.shared.log.write();
        log.segments.insert(sequence, segment.clone());
        close_old(&log.segments);
        drop(log);
        self.parts.metrics.segments.fetch_add(1, Relaxed);
        let tail = bytes.len() as u64;
        bytes.clear();
        self.parts.position = Some(Position {
            segment,
            file,
            sequence,
            tail,
            durable: tail,
            link,
        });
        Ok(())
    }
}

/// Header and first frames of a segment; also its key and the link of the last frame.
fn first_bytes(header: &SegmentHeader, state: HardState, mark: LogMark) -> (Vec<u8>, u32, u32) {
    let (head, key) = header.encode();
    let mut bytes = head.to_vec();
    let mut link = header.seed;
    for record in [Record::HardState(state), Record::Compacted(mark)] {
        let offset = bytes.len() as u64;
        link = encode(&record, Place { key, offset }, 0, link, &mut bytes);
    }
    assert_eq!(bytes.len(), HEADER_BYTES + FIRST_FRAMES_BYTES);
    (bytes, key, link)
}
