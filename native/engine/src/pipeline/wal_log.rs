//! The WAL as the pipeline's log, and opening a pipeline over one.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Instant;

use super::core::{PipelineConfig, StartMarks};
use super::ports::{Apply, EntryMeta, HardState, Log, LogEntry, LogError, LogRead, PipelineEvents};
use super::running::{Neighbours, Pipeline};
use crate::disk::Disk;
use crate::types::{Completions, Identity, LogMark};
use crate::wal::{Record, Replay, Wal, WalError, WalOptions, WalReader};

impl From<WalError> for LogError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::NoSegment(_) => Self::NoSegment(error.to_string()),
            error => Self::Fatal(error.to_string()),
        }
    }
}

/// The WAL behind [`Log`].
pub struct WalLog(Wal);

impl WalLog {
    /// Wraps an opened WAL.
    pub fn new(wal: Wal) -> Self {
        Self(wal)
    }
}

impl Log for WalLog {
    fn append(
        &mut self,
        entries: &[LogEntry],
        hard_state: Option<&HardState>,
    ) -> Result<(), LogError> {
        let entries = entries.iter().map(|entry| Record::Entry {
            index: entry.mark.index,
            term: entry.mark.term,
            kind: entry.kind,
            payload: &entry.payload,
        });
        let state = hard_state.map(|state| Record::HardState(*state));
        let records: Vec<Record<'_>> = entries.chain(state).collect();
        Ok(self.0.append(&records)?)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        Ok(self.0.sync()?)
    }

    fn compact(&mut self, mark: LogMark) -> Result<(), LogError> {
        let metrics = self.0.metrics();
        let started = Instant::now();
        self.0.append(&[Record::Compacted(mark)])?;
        let appended = Instant::now();
        // Segments may go only when the mark that makes them unneeded cannot be lost.
        self.0.sync()?;
        metrics.mark_fsync.seconds(appended.elapsed());
        self.0.purge()?;
        metrics.mark.seconds(started.elapsed());
        Ok(())
    }
}

impl LogRead for WalReader {
    fn read(&self, first: u64, last: u64, max_bytes: usize) -> Result<Vec<LogEntry>, LogError> {
        let entries = WalReader::read(self, first, last, max_bytes)?;
        let entries = entries.into_iter().map(|entry| LogEntry {
            mark: LogMark {
                index: entry.index,
                term: entry.term,
            },
            kind: entry.kind,
            payload: entry.payload,
        });
        Ok(entries.collect())
    }
}

/// What a restart found in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRecovered {
    /// True if there was no WAL: a new member.
    pub fresh: bool,
    /// Identity, hard state, marks and the torn tail.
    pub replay: Replay,
    /// Metadata of all entries of the log.
    pub entries: Vec<EntryMeta>,
}

/// The log cannot be opened, or it does not belong to the store.
#[derive(Debug, thiserror::Error)]
pub enum PipelineOpenError {
    /// The WAL is damaged, another member's, or cannot be read.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The store has applied what the log does not have.
    #[error(
        "the store has applied entry {applied}, the write-ahead log ends at {last}: the log was lost or replaced"
    )]
    LogLost {
        /// Last entry of the store.
        applied: u64,
        /// Last entry of the log.
        last: u64,
    },
    /// The log begins after what the store has.
    #[error("the write-ahead log begins after entry {compacted}, the store ends at {applied}")]
    StoreLost {
        /// The entry before the log's first.
        compacted: u64,
        /// Last entry of the store.
        applied: u64,
    },
    /// Log and store have different entries at the same index.
    #[error("entry {index} has term {store} in the store and term {log} in the write-ahead log")]
    Differ {
        /// Index of the entry.
        index: u64,
        /// Its term in the store.
        store: u64,
        /// Its term in the log.
        log: u64,
    },
    /// A thread could not be started.
    #[error("cannot start the pipeline's threads: {0}")]
    Thread(#[from] std::io::Error),
}

/// Where the log is and whose it is.
pub struct LogPlace {
    /// The directory of the WAL.
    pub disk: Arc<dyn Disk>,
    /// Written into a new WAL; an existing one is checked against it.
    pub identity: Identity,
    /// How the WAL is made.
    pub options: WalOptions,
}

/// A WAL that was read to its end and is not yet compared with the store.
pub struct OpenedLog {
    wal: Wal,
    replay: Replay,
    fresh: bool,
}

impl LogPlace {
    /// Opens or creates the WAL. Reads all of it, which the store's own start need not wait for.
    ///
    /// # Errors
    /// The WAL is damaged, another member's, or cannot be read.
    pub fn open(self) -> Result<OpenedLog, WalError> {
        let fresh = !Wal::exists(self.disk.as_ref())?;
        let (wal, replay) = if fresh {
            let wal = Wal::create(self.disk, self.identity, self.options)?;
            let replay = Replay {
                identity: self.identity,
                ..Replay::default()
            };
            (wal, replay)
        } else {
            Wal::open(self.disk, self.identity, self.options)?
        };
        Ok(OpenedLog { wal, replay, fresh })
    }
}

impl<A: Apply> Pipeline<A> {
    /// Checks the opened WAL against `applied`, the last entry that the store has, and starts. Entries above `applied` are applied again when raft commits them. If the store came from another
    /// member (`installed`) and a crash kept the log from starting after it, it does so now.
    pub fn open(
        config: PipelineConfig,
        log: OpenedLog,
        (store, applied, installed): (Arc<A>, LogMark, LogMark),
        events: Arc<dyn PipelineEvents>,
        completions: Arc<dyn Completions>,
    ) -> Result<(Arc<Self>, LogRecovered), PipelineOpenError> {
        let (wal, recovered) = reconcile(log, applied, installed)?;
        let reader = wal.reader();
        check(&recovered.replay, &reader, applied)?;
        let marks = StartMarks {
            last: recovered.replay.last,
            applied,
            committed: recovered.replay.hard_state.commit,
        };
        let neighbours = Neighbours {
            store,
            wal_metrics: wal.metrics(),
            log: Box::new(WalLog::new(wal)),
            reader: Arc::new(reader),
            events,
            completions,
        };
        let pipeline = Self::start(config, random_origin(), marks, neighbours)?;
        Ok((pipeline, recovered))
    }
}

/// What the log holds, once it starts after an installed store.
fn reconcile(
    log: OpenedLog,
    applied: LogMark,
    installed: LogMark,
) -> Result<(Wal, LogRecovered), WalError> {
    let OpenedLog {
        mut wal,
        mut replay,
        fresh,
    } = log;
    let interrupted = applied == installed && installed.index > replay.compacted.index;
    if interrupted && !fresh {
        restart_log(&mut wal, &mut replay, installed)?;
    }
    reach(&mut replay.hard_state, replay.compacted);
    let metas = wal.reader().metas(0, u64::MAX);
    let entries = metas.into_iter().map(|meta| EntryMeta {
        mark: LogMark {
            index: meta.index,
            term: meta.term,
        },
        kind: meta.kind,
        bytes: meta.bytes,
    });
    let recovered = LogRecovered {
        fresh,
        replay,
        entries: entries.collect(),
    };
    Ok((wal, recovered))
}

/// Does what a crash kept the WAL thread from doing after a store was put in place.
fn restart_log(wal: &mut Wal, replay: &mut Replay, installed: LogMark) -> Result<(), WalError> {
    wal.append(&[Record::Compacted(installed)])?;
    wal.sync()?;
    wal.purge()?;
    replay.compacted = installed;
    replay.last = wal.reader().last();
    Ok(())
}

/// The hard state that goes with an installed store is written after it: until then the old one may be behind. What is
/// in the store was committed, in a term in which this member has not voted if it has not heard of it.
fn reach(state: &mut HardState, compacted: LogMark) {
    state.commit = state.commit.max(compacted.index);
    if state.term < compacted.term {
        state.term = compacted.term;
        state.vote = 0;
    }
}

fn check(replay: &Replay, log: &WalReader, applied: LogMark) -> Result<(), PipelineOpenError> {
    let index = applied.index;
    if index > replay.last.index {
        return Err(PipelineOpenError::LogLost {
            applied: index,
            last: replay.last.index,
        });
    }
    if index < replay.compacted.index {
        return Err(PipelineOpenError::StoreLost {
            compacted: replay.compacted.index,
            applied: index,
        });
    }
    match log.term(index) {
        Some(term) if term != applied.term && index > 0 => Err(PipelineOpenError::Differ {
            index,
            store: applied.term,
            log: term,
        }),
        _ => Ok(()),
    }
}

/// Differs from process to process and, within one, from pipeline to pipeline.
fn random_origin() -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
