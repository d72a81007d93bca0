//! The WAL thread: takes everything that waits, writes it, syncs once, and says what is on stable storage.
//!
//! A full disk is not fatal. What could not be written is held and tried again, because a hole in the log cannot be
//! left behind; meanwhile new requests get `database space exceeded`. A batch stamped under a sole voter's grant has
//! been seen by nobody else, so its place is given to an empty entry and its clients get that error too. Any other
//! entry may be on a peer already: it stays as it is and its clients wait (or run into their timeout).

use std::time::Duration;

use super::core::Core;
use super::gate::Install;
use super::grants::Following;
use super::ports::{Apply, HardState, Log, LogEntry, LogError, LogLevel};
use super::queue::WriteItem;
use crate::error::NO_SPACE;
use crate::limits::WAL_NO_SPACE_RETRY_MS;
use crate::types::{EntryKind, LogMark};

/// Entries that one append writes.
#[derive(Default)]
struct Run {
    entries: Vec<LogEntry>,
    hard_state: Option<HardState>,
    /// The batches of this process among the entries.
    sequences: Vec<u64>,
    /// Same length as entries, under a grant: the batch to fail if its entry cannot be written.
    own: Vec<Option<u64>>,
    /// Answered by `persisted`.
    seq: Option<u64>,
    granted: bool,
    sole: bool,
    /// From whom the entries are under the follow grant, and up to where that is acknowledged.
    followed: Option<(Following, u64)>,
}

impl Run {
    fn extends(&self, sole: bool) -> bool {
        self.granted && self.sole == sole
    }

    fn continues(&self, sender: Following) -> bool {
        self.followed.is_some_and(|(before, _)| before == sender)
    }

    /// The last entry that was stamped under the append grant.
    fn stamped(&self) -> Option<LogMark> {
        let last = self.entries.last().filter(|_| self.granted)?;
        Some(last.mark)
    }

    /// The last entry that is here under either grant, with the term of the grant.
    fn under_grant(&self) -> Option<LogMark> {
        let followed = self.followed.map(|(sender, index)| LogMark {
            index,
            term: sender.term,
        });
        followed.or_else(|| self.stamped())
    }

    /// Gives the places of unwritten batches to empty entries; returns the batches.
    fn empty_batches(&mut self) -> Vec<u64> {
        let mut failed = Vec::new();
        for (entry, own) in self.entries.iter_mut().zip(&mut self.own) {
            if let Some(sequence) = own.take() {
                entry.kind = EntryKind::Empty;
                entry.payload = bytes::Bytes::new();
                failed.push(sequence);
            }
        }
        failed
    }
}

/// Orders what was queued into appends: granted entries together, each `persist` on its own.
fn runs(items: &mut Vec<WriteItem>) -> (Vec<Run>, Option<LogMark>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut compact = None;
    for item in items.drain(..) {
        match item {
            WriteItem::Granted {
                entry,
                sole,
                sequence,
            } => {
                if !runs.last().is_some_and(|run| run.extends(sole)) {
                    runs.push(Run {
                        granted: true,
                        sole,
                        ..Run::default()
                    });
                }
                let run = runs.last_mut().expect("just pushed");
                run.entries.push(entry);
                run.own.push(sequence);
                run.sequences.extend(sequence);
            }
            WriteItem::Followed {
                sender,
                last,
                entries,
                sequences,
            } => {
                if !runs.last().is_some_and(|run| run.continues(sender)) {
                    runs.push(Run::default());
                }
                let run = runs.last_mut().expect("just pushed");
                run.followed = Some((sender, last));
                run.entries.extend(entries);
                run.sequences.extend(sequences);
            }
            WriteItem::Persist {
                seq,
                hard_state,
                entries,
                sequences,
            } => runs.push(Run {
                entries,
                hard_state,
                sequences,
                seq: Some(seq),
                ..Run::default()
            }),
            WriteItem::Compact(mark) => compact = compact.max(Some(mark)),
            WriteItem::Install { .. } => unreachable!("write_all takes it out"),
        }
    }
    (runs, compact)
}

/// Why the thread ends.
enum End {
    Stopped,
    Fatal(String),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        Self::Fatal(error.to_string())
    }
}

/// Body of the WAL thread.
pub(super) fn run<A: Apply>(core: &Core<A>, mut log: Box<dyn Log>) {
    let mut items = Vec::new();
    while core.queue.take(&mut items).is_some() {
        match write_all(core, log.as_mut(), &mut items) {
            Ok(()) => {}
            Err(End::Stopped) => break,
            Err(End::Fatal(message)) => {
                core.fail(message);
                break;
            }
        }
    }
}

/// Writes in order; a store to be put in place divides what is before it from what is after it.
fn write_all<A: Apply>(
    core: &Core<A>,
    log: &mut dyn Log,
    items: &mut Vec<WriteItem>,
) -> Result<(), End> {
    let mut before = Vec::new();
    for item in items.drain(..) {
        if let WriteItem::Install { mark, install } = item {
            let (runs, compact) = runs(&mut before);
            write_group(core, log, runs, compact)?;
            install_store(core, log, mark, install)?;
        } else {
            before.push(item);
        }
    }
    let (runs, compact) = runs(&mut before);
    write_group(core, log, runs, compact)
}

/// The store first: while the log does not say so yet, the store itself says where it stands, and a start begins the
/// log there. The other way round a crash between would leave a store that ends before its log begins.
fn install_store<A: Apply>(
    core: &Core<A>,
    log: &mut dyn Log,
    mark: LogMark,
    install: Install,
) -> Result<(), End> {
    if !core.gate.install(mark, install) {
        return Err(End::Stopped);
    }
    while let Err(error) = log.compact(mark) {
        if !matches!(error, LogError::NoSegment(_)) {
            return Err(error.into());
        }
        // Entries that follow have no place in the log before the mark is there.
        let pause = Duration::from_millis(WAL_NO_SPACE_RETRY_MS);
        if core.queue.wait_stop(pause) {
            return Err(End::Stopped);
        }
    }
    core.gate.end_install(mark);
    core.cache.set_stable(mark.index);
    Ok(())
}

fn write_group<A: Apply>(
    core: &Core<A>,
    log: &mut dyn Log,
    runs: Vec<Run>,
    compact: Option<LogMark>,
) -> Result<(), End> {
    let mut written: Vec<Run> = Vec::with_capacity(runs.len());
    for mut run in runs {
        let mut full = false;
        loop {
            let reason = match log.append(&run.entries, run.hard_state.as_ref()) {
                Ok(()) => break,
                Err(LogError::NoSegment(reason)) => reason,
                Err(error) => return Err(error.into()),
            };
            // What is written already shall not wait for room.
            sync_and_report(core, log, std::mem::take(&mut written))?;
            hold(core, &mut run, (!full).then_some(reason));
            full = true;
            if core
                .queue
                .wait_stop(Duration::from_millis(WAL_NO_SPACE_RETRY_MS))
            {
                return Err(End::Stopped);
            }
        }
        if full {
            core.set_no_space(false);
            let fields = Vec::new();
            core.events
                .log(LogLevel::Info, "write-ahead log has room again", fields);
        }
        written.push(run);
    }
    sync_and_report(core, log, written)?;
    if let Some(mark) = compact {
        match log.compact(mark) {
            // Nothing waits for it; the next compaction covers it.
            Err(LogError::NoSegment(reason)) => core.events.log(
                LogLevel::Warn,
                "no space to note the compaction of the log",
                vec![
                    ("index".into(), mark.index.to_string()),
                    ("error".into(), reason),
                ],
            ),
            other => other?,
        }
    }
    Ok(())
}

/// The disk is full: refuse what is new, and fail what nobody else has seen. `reason`: it is so since now.
fn hold<A: Apply>(core: &Core<A>, run: &mut Run, reason: Option<String>) {
    if let Some(reason) = reason {
        core.set_no_space(true);
        core.events.log(
            LogLevel::Error,
            "no space left for the write-ahead log; writes are refused until there is room",
            vec![
                ("entries-held".into(), run.entries.len().to_string()),
                ("error".into(), reason),
            ],
        );
    }
    if run.sole {
        let failed = run.empty_batches();
        for entry in &run.entries {
            core.cache.replace(entry);
        }
        core.fail_batches(&failed, &NO_SPACE);
    }
}

fn sync_and_report<A: Apply>(
    core: &Core<A>,
    log: &mut dyn Log,
    written: Vec<Run>,
) -> Result<(), End> {
    if written.is_empty() {
        return Ok(());
    }
    log.sync()?;
    report(core, &written);
    Ok(())
}

fn report<A: Apply>(core: &Core<A>, written: &[Run]) {
    let last = |runs: &[Run], sole: bool| {
        let mut runs = runs.iter().rev().filter(|run| !sole || run.sole);
        runs.find_map(|run| run.entries.last())
            .map(|entry| entry.mark)
    };
    // Commit before stable: apply wakes once, with both. When the grant has ended meanwhile it is raft's to commit, if it
    // still leads.
    if let Some(mark) = last(written, true).filter(|_| core.holds_sole_grant()) {
        core.commit(mark.index);
    }
    if let Some(mark) = last(written, false) {
        let stable = core.queue.report_stable(mark.index, &core.gate);
        core.cache.set_stable(stable);
    }
    let followed = written.iter().rev().find_map(|run| run.followed);
    if let Some((sender, last)) = followed {
        core.acknowledge(sender, last);
    }
    let sequences: Vec<u64> = written
        .iter()
        .flat_map(|run| run.sequences.iter().copied())
        .collect();
    let stamped = written.iter().rev().find_map(Run::stamped);
    if !sequences.is_empty() || stamped.is_some() {
        core.batches_stable(&sequences, stamped);
    }
    if let Some(mark) = written.iter().rev().find_map(Run::under_grant) {
        core.events.stable(mark);
    }
    if let Some(seq) = written.iter().rev().find_map(|run| run.seq) {
        core.events.persisted(seq);
    }
}
