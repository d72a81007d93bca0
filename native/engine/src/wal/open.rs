//! Creating a WAL, and opening one: replays all segments, wipes a torn tail, refuses damage.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::error::WalError;
use super::format::{HardState, Record};
use super::header::SegmentHeader;
use super::map::{LogMap, Slot};
use super::metrics::WalMetrics;
use super::options::WalOptions;
use super::replay::{SegmentEnd, SegmentRules, read_segment};
use super::segment::{Segment, Spares, close_old, parse_segment_name};
use super::writer::{Position, Wal, WalParts};
use super::{Log, Shared};
use crate::disk::Disk;
use crate::limits::WAL_SEGMENT_BYTES;
use crate::types::{Identity, LogMark};

/// What a start found in the log. The entries' metadata is with the `WalReader`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replay {
    /// Whose log it is.
    pub identity: Identity,
    /// The last hard state.
    pub hard_state: HardState,
    /// The entry before the first one of the log.
    pub compacted: LogMark,
    /// The last entry, or `compacted` if there is none.
    pub last: LogMark,
    /// Bytes cut from a torn tail.
    pub torn_bytes: u64,
    /// File and offset of the cut, for the log line; `None` if nothing was cut.
    pub torn_at: Option<(String, u64)>,
}

impl Wal {
    /// Whether the directory has a log.
    pub fn exists(disk: &dyn Disk) -> Result<bool, WalError> {
        Ok(!segment_names(disk)?.is_empty())
    }

    /// Makes an empty log.
    ///
    /// # Errors
    /// `Misplaced` if there is one; `NoSegment`, `Failed`.
    pub fn create(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: WalOptions,
    ) -> Result<Self, WalError> {
        options.check();
        if Self::exists(disk.as_ref())? {
            return Err(WalError::Misplaced(format!(
                "there is a WAL in {} already",
                disk.display("")
            )));
        }
        let mut wal = Wal::from_parts(WalParts {
            spares: spares(&disk, options)?,
            disk,
            identity,
            options,
            shared: Arc::new(Shared {
                log: RwLock::new(Log {
                    map: LogMap::new(false),
                    segments: BTreeMap::new(),
                }),
            }),
            position: None,
            hard_state: HardState::default(),
            metrics: Arc::new(WalMetrics::default()),
        });
        wal.begin_log(random_seed())?;
        Ok(wal)
    }

    /// Opens a log: reads and checks all of it, cuts a torn tail.
    ///
    /// # Errors
    /// `Damaged` names file and offset; `OtherIdentity`; `Misplaced` if there is no log; `Io`, `Failed`.
    pub fn open(
        disk: Arc<dyn Disk>,
        expected: Identity,
        options: WalOptions,
    ) -> Result<(Self, Replay), WalError> {
        options.check();
        let spares = spares(&disk, options)?;
        let mut start = Start::new(disk.clone(), expected)?;
        let names = segment_names(disk.as_ref())?;
        for (number, name) in names.iter().enumerate() {
            start.segment(name, number + 1 == names.len())?;
        }
        let replay = start.finish(&names, options)?;
        let Some((position, _)) = start.end else {
            return Err(WalError::Misplaced(format!(
                "there is no WAL in {}",
                disk.display("")
            )));
        };
        let metrics = Arc::new(WalMetrics::default());
        metrics.segments.store(
            start.segments.len() as u64,
            std::sync::atomic::Ordering::Relaxed,
        );
        let wal = Wal::from_parts(WalParts {
            spares,
            disk,
            identity: expected,
            options,
            shared: Arc::new(Shared {
                log: RwLock::new(Log {
                    map: start.map,
                    segments: start.segments,
                }),
            }),
            position: Some(position),
            hard_state: replay.hard_state,
            metrics,
        });
        Ok((wal, replay))
    }
}

fn spares(disk: &Arc<dyn Disk>, options: WalOptions) -> Result<Spares, WalError> {
    Spares::new(disk.clone(), options.segment_bytes, options.prepare_ahead).map_err(|error| {
        WalError::Io {
            file: disk.display(""),
            error,
        }
    })
}

fn segment_names(disk: &dyn Disk) -> Result<Vec<String>, WalError> {
    let mut names = disk.list().map_err(|error| WalError::Io {
        file: disk.display(""),
        error,
    })?;
    names.retain(|name| parse_segment_name(name).is_some());
    names.sort();
    Ok(names)
}

/// Differs from log to log, so that the frames of one are never valid in another.
fn random_seed() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish() as u32
}

/// The state of a replay.
struct Start {
    disk: Arc<dyn Disk>,
    expected: Identity,
    map: LogMap,
    hard_state: HardState,
    segments: BTreeMap<u64, Arc<Segment>>,
    end: Option<(Position, SegmentEnd)>,
    buffer: Vec<u8>,
}

impl Start {
    fn new(disk: Arc<dyn Disk>, expected: Identity) -> Result<Self, WalError> {
        let first = segment_names(disk.as_ref())?
            .first()
            .and_then(|name| parse_segment_name(name));
        Ok(Self {
            disk,
            expected,
            map: LogMap::new(first.is_some_and(|(sequence, _)| sequence > 0)),
            hard_state: HardState::default(),
            segments: BTreeMap::new(),
            end: None,
            buffer: Vec::new(),
        })
    }

    fn damaged(&self, name: &str, offset: u64, what: impl Into<String>) -> WalError {
        WalError::Damaged {
            file: self.disk.display(name),
            offset,
            what: what.into(),
        }
    }

    fn io(&self, name: &str) -> impl FnOnce(io::Error) -> WalError {
        let file = self.disk.display(name);
        |error| WalError::Io { file, error }
    }

    /// Replays one segment, the next in order.
    fn segment(&mut self, name: &str, is_last: bool) -> Result<(), WalError> {
        let file = self.disk.open(name).map_err(self.io(name))?;
        let length = file.len().map_err(self.io(name))?;
        if length > WAL_SEGMENT_BYTES {
            let what = format!("the file is larger than a segment ({length} bytes)");
            return Err(self.damaged(name, WAL_SEGMENT_BYTES, what));
        }
        let mut data = std::mem::take(&mut self.buffer);
        data.resize(length as usize, 0);
        file.read_exact_at(&mut data, 0).map_err(self.io(name))?;
        let (header, key) = SegmentHeader::decode(&data)
            .map_err(|(offset, what)| self.damaged(name, offset, what))?;
        self.check_header(name, &header)?;
        let rules = SegmentRules {
            key,
            seed: header.seed,
            is_last,
        };
        let (map, hard_state) = (&mut self.map, &mut self.hard_state);
        let end = read_segment(&data, rules, |offset, record| {
            replay_record(map, hard_state, header.sequence, offset, record)
        })
        .map_err(|damage| self.damaged(name, damage.offset, damage.what))?;
        self.buffer = data;
        let segment = Segment::new(&self.disk, name.to_owned(), key, file.clone());
        let segment = Arc::new(segment);
        self.segments.insert(header.sequence, segment.clone());
        close_old(&self.segments);
        let position = Position {
            segment,
            file,
            sequence: header.sequence,
            tail: end.offset,
            durable: end.offset,
            link: end.link,
        };
        self.end = Some((position, end));
        Ok(())
    }

    fn check_header(&self, name: &str, header: &SegmentHeader) -> Result<(), WalError> {
        if header.identity != self.expected {
            return Err(WalError::OtherIdentity {
                found: header.identity,
                expected: self.expected,
            });
        }
        if parse_segment_name(name) != Some((header.sequence, header.first_index)) {
            return Err(self.damaged(name, 16, "the header does not match the file name"));
        }
        let Some((before, end)) = &self.end else {
            return Ok(());
        };
        if header.sequence != before.sequence + 1 {
            let what = format!(
                "segment {:x} follows segment {:x}: one is missing",
                header.sequence, before.sequence
            );
            return Err(self.damaged(name, 16, what));
        }
        if header.seed != end.link {
            // The end of the segment before reads as zeroes, yet records stood there.
            let file = &before.segment.name;
            return Err(self.damaged(file, end.offset, "records are missing at the end"));
        }
        Ok(())
    }

    /// Checks the whole and leaves the last segment clean and durable, ready for appends.
    fn finish(&mut self, names: &[String], options: WalOptions) -> Result<Replay, WalError> {
        let Some((position, end)) = &self.end else {
            return Ok(Replay::default());
        };
        if !self.map.is_whole() {
            let what = format!(
                "entries {} to {} before it are missing",
                self.map.mark().index + 1,
                self.map.first_index() - 1
            );
            return Err(self.damaged(&names[0], 0, what));
        }
        let (name, file) = (&position.segment.name, &position.file);
        if end.torn_bytes > 0 {
            let zeroes = vec![0; end.torn_bytes as usize];
            file.write_at(&zeroes, end.offset).map_err(self.io(name))?;
        }
        if file.len().map_err(self.io(name))? < options.segment_bytes {
            file.preallocate(options.segment_bytes)
                .map_err(self.io(name))?;
        }
        // A killed process may have left writes, and a new name, that only the cache has: from here on they count.
        file.sync_data().map_err(self.io(name))?;
        self.disk.sync_dir().map_err(self.io(""))?;
        self.map.end_replay();
        Ok(Replay {
            identity: self.expected,
            hard_state: self.hard_state,
            compacted: self.map.mark(),
            last: self.map.last(),
            torn_bytes: end.torn_bytes,
            torn_at: (end.torn_bytes > 0).then(|| (self.disk.display(name), end.offset)),
        })
    }
}

/// Does what a record of segment `sequence` says; the error is why it cannot be.
fn replay_record(
    map: &mut LogMap,
    hard_state: &mut HardState,
    sequence: u64,
    offset: u64,
    record: Record<'_>,
) -> Result<(), String> {
    match record {
        Record::HardState(state) => *hard_state = state,
        Record::Compacted(mark) => map.compact(mark),
        Record::Entry {
            index,
            term,
            kind,
            payload,
        } => {
            if !map.admits(index) {
                let last = map.last_index();
                return Err(format!("entry {index} does not follow entry {last}"));
            }
            let slot = Slot::new(sequence, offset, payload.len(), kind);
            map.put(index, term, slot);
        }
    }
    Ok(())
}
