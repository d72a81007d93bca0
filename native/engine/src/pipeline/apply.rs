//! The apply thread: takes committed, stable entries in log order through the store and answers their requests. A
//! Control or ConfChange entry is a barrier: TypeScript applies it, then apply goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::{self, BatchError};
use super::core::Core;
use super::gate::{Control, Install, Work};
use super::ports::{Applied, Apply, ApplyContext, LogEntry, LogError};
use crate::describe;
use crate::error::STOPPED;
use crate::limits::{APPLY_CHUNK_BYTES, REQUESTS_PENDING_MAX};
use crate::types::{EntryKind, LogMark, OpKind, OpResult, Token};

/// Why the thread ends.
enum End {
    Stopped,
    /// Not at all: a store that is to be put in place overtakes what was being applied.
    Overtaken,
    Fatal(String),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        Self::Fatal(format!("reading the log for apply: {error}"))
    }
}

/// Body of the apply thread.
pub(super) fn run<A: Apply>(core: &Arc<Core<A>>) {
    loop {
        let applied = core.applied.load(SeqCst);
        let done = match core.gate.wait_above(applied) {
            None => return,
            Some(Work::Apply(target)) => apply_through(core, applied, target),
            Some(Work::Install(mark, install)) => install_store(core, mark, install),
        };
        match done {
            Ok(()) | Err(End::Overtaken) => {}
            Err(End::Stopped) => return,
            Err(End::Fatal(message)) => return core.fail(message),
        }
    }
}

/// Puts another member's store in place. What it holds counts as applied.
fn install_store<A: Apply>(
    core: &Arc<Core<A>>,
    mark: LogMark,
    install: Install,
) -> Result<(), End> {
    install().map_err(|error| End::Fatal(format!("installing a snapshot: {error}")))?;
    core.applied.store(mark.index, SeqCst);
    core.committed.fetch_max(mark.index, Relaxed);
    let ready = core.reads.applied(mark.index);
    core.serve_reads(ready);
    core.events.applied(mark.index);
    core.gate.in_place(mark);
    Ok(())
}

fn apply_through<A: Apply>(core: &Arc<Core<A>>, mut applied: u64, target: u64) -> Result<(), End> {
    while applied < target {
        let entries = core.read_entries(applied + 1, target, APPLY_CHUNK_BYTES)?;
        for entry in &entries {
            if core.failed.load(Relaxed) {
                return Err(End::Stopped);
            }
            if core.gate.is_installing() {
                return Err(End::Overtaken);
            }
            if entry.mark.index != applied + 1 {
                return Err(End::Fatal(format!(
                    "entry {} asked from the log, {} found",
                    applied + 1,
                    entry.mark.index
                )));
            }
            apply_entry(core, entry)?;
            applied = entry.mark.index;
        }
        core.events.applied(applied);
    }
    Ok(())
}

fn apply_entry<A: Apply>(core: &Arc<Core<A>>, entry: &LogEntry) -> Result<(), End> {
    match entry.kind {
        EntryKind::Empty => finish(core, entry.mark),
        EntryKind::Batch => {
            let batch = Batch::read(core, entry).map_err(|error| {
                let index = entry.mark.index;
                End::Fatal(format!("log entry {index} cannot be applied: {error}"))
            })?;
            batch.apply(core);
        }
        EntryKind::Control | EntryKind::ConfChange => {
            let started = Instant::now();
            core.events
                .control(entry.mark, entry.kind, entry.payload.clone());
            let writes = match core.gate.wait_control(entry.mark.index) {
                Control::Applied(writes) => writes,
                Control::Overtaken => return Err(End::Overtaken),
                Control::Stopped => return Err(End::Stopped),
            };
            core.store.apply_meta(entry.mark, writes);
            finish(core, entry.mark);
            let took = started.elapsed();
            if took > core.config.slow_apply {
                // What it says is the control plane's, and may be secret.
                let request = format!("{:?} entry {}", entry.kind, entry.mark.index);
                core.warn_of_slow_apply(took, "", request, String::new(), None);
            }
        }
    }
    Ok(())
}

/// The whole entry is in the store: what waits for that may go on.
fn finish<A: Apply>(core: &Core<A>, mark: LogMark) {
    core.store.entry_applied(mark);
    core.applied.store(mark.index, SeqCst);
    let ready = core.reads.applied(mark.index);
    core.serve_reads(ready);
}

/// A batch that was read whole before any of it is applied.
struct Batch {
    requests: Vec<batch::BatchRequest>,
    /// Where they are from; an operation that was slow is looked up in it again.
    payload: Bytes,
    /// Set if this process took the requests.
    sequence: Option<u64>,
    mark: LogMark,
}

/// What one request of the batch gave, for its metrics.
struct Answer {
    kind: OpKind,
    token: Token,
    applied: Applied,
}

impl Batch {
    fn read<A: Apply>(core: &Core<A>, entry: &LogEntry) -> Result<Self, BatchError> {
        Ok(Self {
            requests: batch::requests(&entry.payload)?.collect::<Result<_, _>>()?,
            payload: entry.payload.clone(),
            sequence: core.own_sequence(entry.kind, &entry.payload),
            mark: entry.mark,
        })
    }

    fn apply<A: Apply>(self, core: &Arc<Core<A>>) {
        let context = ApplyContext {
            mark: self.mark,
            raft_term: core.raft_term().max(self.mark.term),
        };
        let mut answers = Vec::with_capacity(self.requests.len());
        let mut start = Instant::now();
        for request in self.requests {
            let (kind, token) = (request.kind, request.token);
            let applied = core
                .store
                .apply_op(kind, request.request, &request.caller, &context);
            let end = Instant::now();
            let success = !matches!(applied, Applied::Done(Err(_)));
            core.metrics.applied(kind, success, end - start);
            if end - start > core.config.slow_apply {
                warn_of_slow(core, &self.payload, answers.len(), &applied, end - start);
            }
            start = end;
            answers.push(Answer {
                kind,
                token,
                applied,
            });
        }
        finish(core, self.mark);
        // Nobody waits if another process took the requests, or if they were failed meanwhile.
        if let Some(waiting) = self
            .sequence
            .and_then(|sequence| core.take_applied(sequence))
        {
            let took = waiting.since.elapsed();
            if core.is_slow(took) {
                let requests = batch::own_requests(&waiting.payload);
                core.completions
                    .slow(requests.map(|it| (it.token, it.request)).collect());
            }
            answer(core, answers, took);
        }
    }
}

/// Logs that the operation at this place of a batch was applied for longer than the operator wants, as etcd does.
fn warn_of_slow<A: Apply>(
    core: &Core<A>,
    payload: &Bytes,
    at: usize,
    applied: &Applied,
    took: Duration,
) {
    let requests = batch::requests(payload).ok();
    let Some(Ok(slow)) = requests.and_then(|mut requests| requests.nth(at)) else {
        return;
    };
    let request = describe::operation(slow.kind, &slow.request, slow.token);
    let (response, error) = match applied {
        Applied::Done(Ok(answer)) | Applied::AfterCompaction { answer, .. } => {
            (format!("size:{}", answer.len()), None)
        }
        Applied::Done(Err(error)) => (String::new(), Some(error)),
    };
    core.warn_of_slow_apply(took, "", request, response, error);
}

fn answer<A: Apply>(core: &Arc<Core<A>>, answers: Vec<Answer>, took: Duration) {
    let mut results: Vec<(Token, OpResult)> = Vec::with_capacity(answers.len());
    for Answer {
        kind,
        token,
        applied,
    } in answers
    {
        match applied {
            Applied::Done(result) => {
                core.metrics.answered(kind, result.is_ok(), took);
                results.push((token, result));
            }
            Applied::AfterCompaction { revision, answer } => {
                core.metrics.answered(kind, true, took);
                answer_after_compaction(core, token, revision, answer);
            }
        }
    }
    core.completions.ops_done(results);
}

/// Answers when the compaction is physically done, or with `server stopped` when the pipeline closes before.
fn answer_after_compaction<A: Apply>(
    core: &Arc<Core<A>>,
    token: Token,
    revision: i64,
    answer: Bytes,
) {
    let mut waiting = core.compactions.lock();
    let result = match waiting.as_mut() {
        None => Err(STOPPED),
        // The compaction itself is decided and in the log: only the wait is refused.
        Some(tokens) if tokens.len() >= REQUESTS_PENDING_MAX => Ok(answer),
        Some(tokens) => {
            tokens.insert(token.0);
            drop(waiting);
            let weak = Arc::downgrade(core);
            let done = move || {
                if let Some(core) = weak.upgrade() {
                    core.compacted(token, answer);
                }
            };
            return core.store.on_compacted(revision, Box::new(done));
        }
    };
    drop(waiting);
    core.completions.ops_done(vec![(token, result)]);
}

impl<A: Apply> Core<A> {
    fn compacted(&self, token: Token, answer: Bytes) {
        let waited = self
            .compactions
            .lock()
            .as_mut()
            .is_some_and(|tokens| tokens.remove(&token.0));
        if waited {
            self.completions.ops_done(vec![(token, Ok(answer))]);
        }
    }
}
