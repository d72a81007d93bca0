//! The WAL's slow twin: a log that is a plain list, and a driver that runs the same steps on both and knows every state
//! that a crash may leave.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use netcd_engine::disk::{CrashLoss, Disk, SimDisk};
use netcd_engine::types::{EntryKind, Identity, LogMark};
use netcd_engine::wal::{HardState, Record, Replay, Wal, WalError, WalOptions};

pub const IDENTITY: Identity = Identity {
    cluster_id: 3,
    member_id: 4,
};
pub const OPTIONS: WalOptions = WalOptions {
    segment_bytes: 4096,
    prepare_ahead: false,
};

/// A record that owns its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owned {
    Entry(u64, u64, EntryKind, Arc<[u8]>),
    State(HardState),
    Mark(LogMark),
}

impl Owned {
    pub fn record(&self) -> Record<'_> {
        match self {
            Self::Entry(index, term, kind, payload) => Record::Entry {
                index: *index,
                term: *term,
                kind: *kind,
                payload,
            },
            Self::State(state) => Record::HardState(*state),
            Self::Mark(mark) => Record::Compacted(*mark),
        }
    }
}

/// An entry of term 1 with a payload of so many bytes, none of them zero.
pub fn entry(index: u64, payload_bytes: usize) -> Owned {
    let payload: Arc<[u8]> = (0..payload_bytes).map(|b| (b as u8) | 1).collect();
    Owned::Entry(index, 1, EntryKind::Batch, payload)
}

/// Names of the segments on a disk, in order.
pub fn segments(sim: &SimDisk) -> Vec<String> {
    let mut names = sim.list().unwrap();
    names.retain(|name| name.ends_with(".wal"));
    names
}

/// What a log holds, by the rules of raft, written as plainly as can be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Twin {
    pub state: HardState,
    pub mark: LogMark,
    /// (index, term, kind, payload), ascending.
    pub entries: Vec<(u64, u64, EntryKind, Arc<[u8]>)>,
}

impl Twin {
    pub fn last(&self) -> LogMark {
        let last = self.entries.last();
        last.map_or(self.mark, |(index, term, ..)| LogMark {
            index: *index,
            term: *term,
        })
    }

    pub fn apply(&mut self, record: &Owned) {
        match record {
            Owned::State(state) => self.state = *state,
            Owned::Entry(index, term, kind, payload) => {
                self.entries.retain(|(i, ..)| i < index);
                self.entries.push((*index, *term, *kind, payload.clone()));
            }
            Owned::Mark(mark) if mark.index > self.mark.index => {
                let named = |e: &(u64, u64, EntryKind, Arc<[u8]>)| (e.0, e.1);
                let kept = self.entries.iter().map(named);
                if !kept.clone().any(|e| e == (mark.index, mark.term)) {
                    self.entries.clear();
                }
                self.entries.retain(|(i, ..)| *i > mark.index);
                self.mark = *mark;
            }
            Owned::Mark(_) => {}
        }
    }
}

/// What the production code says its log holds, read back in full.
pub fn read_all(wal: &Wal, state: HardState) -> Twin {
    let reader = wal.reader();
    let (first, last) = (reader.first_index(), reader.last().index);
    assert_eq!(first, reader.compacted().index + 1);
    let mut entries = Vec::new();
    if first <= last {
        for entry in reader.read(first, last, usize::MAX).unwrap() {
            let meta = reader.meta(entry.index).unwrap();
            assert_eq!((meta.term, meta.kind), (entry.term, entry.kind));
            assert_eq!(meta.bytes, entry.payload.len());
            let payload = Arc::from(&entry.payload[..]);
            entries.push((entry.index, entry.term, entry.kind, payload));
        }
    }
    Twin {
        state,
        mark: reader.compacted(),
        entries,
    }
}

/// Opens the log of a disk and reads all of it.
pub fn open(sim: &SimDisk) -> Result<(Wal, Replay, Twin), WalError> {
    let (wal, replay) = Wal::open(sim.handle(), IDENTITY, OPTIONS)?;
    let twin = read_all(&wal, replay.hard_state);
    assert_eq!((replay.compacted, replay.last), (twin.mark, twin.last()));
    Ok((wal, replay, twin))
}

/// One step of a scenario; numbers are taken modulo what is possible.
#[derive(Clone, Debug)]
pub enum Step {
    /// Append entries of these sizes, the first of them `back` below the next index.
    Append {
        back: u64,
        sizes: Vec<usize>,
        fill: u8,
    },
    /// Change the hard state.
    State,
    /// Compact up to `back` below the last entry.
    Compact {
        back: u64,
    },
    /// A mark after the end of the log, as a snapshot from the leader sets it.
    Snapshot {
        ahead: u64,
    },
    Sync,
    Purge,
    /// A power cut, then a start.
    Crash(CrashLoss),
}

/// A WAL and its twin side by side.
pub struct Run {
    pub sim: SimDisk,
    pub wal: Wal,
    /// The state after the last sync and after every record since; the last one is the current.
    pub states: Vec<Twin>,
    term: u64,
}

impl Run {
    pub fn new(sim: SimDisk) -> Result<Self, WalError> {
        Ok(Self {
            wal: Wal::create(sim.handle(), IDENTITY, OPTIONS)?,
            sim,
            states: vec![Twin::default()],
            term: 1,
        })
    }

    pub fn now(&self) -> &Twin {
        self.states.last().unwrap()
    }

    pub fn append(&mut self, records: &[Owned]) -> Result<(), WalError> {
        let before = self.states.len();
        for record in records {
            let mut next = self.now().clone();
            next.apply(record);
            self.states.push(next);
        }
        let borrowed: Vec<_> = records.iter().map(Owned::record).collect();
        let appended = self.wal.append(&borrowed);
        if let Err(WalError::NoSegment(_) | WalError::TooLarge { .. }) = appended {
            self.states.truncate(before);
        }
        appended
    }

    pub fn sync(&mut self) -> Result<(), WalError> {
        self.wal.sync()?;
        self.states.drain(..self.states.len() - 1);
        Ok(())
    }

    fn entries(&mut self, back: u64, sizes: &[usize], fill: u8) -> Vec<Owned> {
        let now = self.now();
        let back = back.min(now.entries.len() as u64);
        let first = now.last().index + 1 - back;
        if back > 0 {
            self.term += 1;
        }
        let entry = |(i, size): (usize, &usize)| {
            let index = first + i as u64;
            let kind = [EntryKind::Batch, EntryKind::Control][i % 2];
            // A fill of 0 makes payloads of zeroes, which look like space that was never written.
            let payload = (0..*size).map(|b| fill.wrapping_mul(b as u8 | 1)).collect();
            Owned::Entry(index, self.term, kind, payload)
        };
        sizes.iter().enumerate().map(entry).collect()
    }

    pub fn step(&mut self, step: &Step) -> Result<(), WalError> {
        match step {
            Step::Append { back, sizes, fill } => {
                let records = self.entries(*back, sizes, *fill);
                self.append(&records)
            }
            Step::State => {
                let state = HardState {
                    term: self.term,
                    vote: self.now().state.vote + 1,
                    commit: self.now().last().index,
                };
                self.append(&[Owned::State(state)])
            }
            Step::Compact { back } => {
                let now = self.now();
                let at = (now.entries.len() as u64).saturating_sub(back + 1);
                let Some((index, term, ..)) = now.entries.get(at as usize).cloned() else {
                    return Ok(());
                };
                self.append(&[Owned::Mark(LogMark { index, term })])
            }
            Step::Snapshot { ahead } => {
                self.term += 1;
                let index = self.now().last().index + ahead;
                let term = self.term;
                self.append(&[Owned::Mark(LogMark { index, term })])
            }
            Step::Sync => self.sync(),
            Step::Purge => self.wal.purge().map(|_| ()),
            Step::Crash(loss) => {
                self.restart(*loss);
                Ok(())
            }
        }
    }

    /// Cuts the power and starts again; what is there must be one of the states that may be.
    pub fn restart(&mut self, loss: CrashLoss) {
        let sim = self.sim.crash(loss);
        let (wal, replay, found) =
            open(&sim).unwrap_or_else(|e| panic!("refused after {loss:?}: {e}"));
        let at = self.states.iter().rposition(|state| *state == found);
        assert!(at.is_some(), "after {loss:?} the log is {found:?}");
        if loss == CrashLoss::Nothing {
            assert_eq!(&found, self.now());
            assert_eq!(replay.torn_bytes, 0);
        }
        self.states = vec![found];
        self.sim = sim;
        self.wal = wal;
    }

    pub fn check(&self) {
        assert_eq!(&read_all(&self.wal, self.wal.hard_state()), self.now());
    }
}
