//! Neighbours in memory: a log that fills up, stalls and fails, a store that records what it applies, clients that count
//! their answers, and an inbox for the events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::auth::Caller;
use crate::error::EtcdError;
use crate::pipeline::{
    Applied, Apply, ApplyContext, EntryMeta, HardState, Log, LogEntry, LogError, LogLevel, LogRead,
    MetaWrite, PipelineEvents,
};
use crate::types::{Completions, EntryKind, LogMark, OpKind, OpResult, Token};

/// What the disk of [`MemLog`] does next.
#[derive(Default)]
pub struct MemDisk {
    pub appended: Vec<LogEntry>,
    /// How many of `appended` are durable.
    pub durable: usize,
    pub full: bool,
    pub fail_sync: bool,
    pub stalled: bool,
    pub syncs: u64,
}

/// A log in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemLog {
    disk: Arc<(Mutex<MemDisk>, Condvar)>,
}

impl MemLog {
    pub fn change(&self, change: impl FnOnce(&mut MemDisk)) {
        change(&mut self.disk.0.lock());
        self.disk.1.notify_all();
    }

    pub fn durable(&self) -> Vec<LogEntry> {
        let disk = self.disk.0.lock();
        disk.appended[..disk.durable].to_vec()
    }
}

impl Log for MemLog {
    fn append(&mut self, entries: &[LogEntry], _: Option<&HardState>) -> Result<(), LogError> {
        let mut disk = self.disk.0.lock();
        if disk.full {
            return Err(LogError::NoSegment("the disk is full".into()));
        }
        for entry in entries {
            let at = entry.mark.index as usize - 1;
            assert!(at <= disk.appended.len(), "hole before {:?}", entry.mark);
            disk.appended.truncate(at);
            disk.durable = disk.durable.min(at);
            disk.appended.push(entry.clone());
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let mut disk = self.disk.0.lock();
        while disk.stalled {
            self.disk.1.wait(&mut disk);
        }
        disk.syncs += 1;
        if disk.fail_sync {
            return Err(LogError::Fatal("sync of the log failed".into()));
        }
        disk.durable = disk.appended.len();
        Ok(())
    }

    fn compact(&mut self, _: LogMark) -> Result<(), LogError> {
        Ok(())
    }
}

impl LogRead for MemLog {
    fn read(&self, first: u64, last: u64, _: usize) -> Result<Vec<LogEntry>, LogError> {
        let disk = self.disk.0.lock();
        Ok(disk.appended[first as usize - 1..last as usize].to_vec())
    }
}

/// Records what is applied; the answer of an operation is its own request.
#[derive(Default)]
pub struct RecordingStore {
    pub ops: Mutex<Vec<(u64, OpKind, Bytes)>>,
    /// Who asked for them.
    pub callers: Mutex<Vec<Caller>>,
    pub meta: Mutex<Vec<(LogMark, Vec<MetaWrite>)>>,
    pub compactions: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    /// How long every operation takes.
    pub pause: Mutex<Duration>,
}

impl RecordingStore {
    pub fn requests(&self) -> Vec<Bytes> {
        self.ops.lock().iter().map(|(_, _, r)| r.clone()).collect()
    }
}

impl Apply for RecordingStore {
    fn apply_op(
        &self,
        kind: OpKind,
        request: Bytes,
        caller: &Caller,
        context: &ApplyContext,
    ) -> Applied {
        self.callers.lock().push(caller.clone());
        std::thread::sleep(*self.pause.lock());
        let mut ops = self.ops.lock();
        ops.push((context.mark.index, kind, request.clone()));
        match kind {
            OpKind::Compact => Applied::AfterCompaction {
                revision: ops.len() as i64,
                answer: request,
            },
            _ => Applied::Done(Ok(request)),
        }
    }

    fn apply_meta(&self, mark: LogMark, writes: Vec<MetaWrite>) {
        self.meta.lock().push((mark, writes));
    }

    fn entry_applied(&self, _: LogMark) {}

    fn on_compacted(&self, _: i64, done: Box<dyn FnOnce() + Send>) {
        self.compactions.lock().push(done);
    }
}

/// Counts answers: a token that is answered twice is a failed test.
#[derive(Default)]
pub struct Clients {
    answers: Mutex<HashMap<u64, OpResult>>,
    reads: Mutex<HashMap<u64, Result<(), EtcdError>>>,
    order: Mutex<Vec<u64>>,
    slow: Mutex<Vec<(Token, Bytes)>>,
    changed: Condvar,
}

impl Clients {
    /// Blocks until these tokens are answered, and returns their answers.
    pub fn wait(&self, tokens: impl IntoIterator<Item = u64>) -> Vec<OpResult> {
        let mut answers = self.answers.lock();
        tokens
            .into_iter()
            .map(|token| {
                loop {
                    if let Some(answer) = answers.get(&token) {
                        return answer.clone();
                    }
                    self.changed.wait(&mut answers);
                }
            })
            .collect()
    }

    pub fn answered(&self, token: u64) -> Option<OpResult> {
        self.answers.lock().get(&token).cloned()
    }

    pub fn read(&self, token: u64) -> Option<Result<(), EtcdError>> {
        self.reads.lock().get(&token).cloned()
    }

    /// What was named as slow so far.
    pub fn slow(&self) -> Vec<(Token, Bytes)> {
        self.slow.lock().clone()
    }

    pub fn order(&self) -> Vec<u64> {
        self.order.lock().clone()
    }
}

impl Completions for Clients {
    fn ops_done(&self, results: Vec<(Token, OpResult)>) {
        let mut answers = self.answers.lock();
        for (token, result) in results {
            self.order.lock().push(token.0);
            let before = answers.insert(token.0, result);
            assert!(before.is_none(), "{token:?} was answered twice");
        }
        self.changed.notify_all();
    }

    fn slow(&self, requests: Vec<(Token, Bytes)>) {
        let answers = self.answers.lock();
        for (token, _) in &requests {
            assert!(!answers.contains_key(&token.0), "{token:?} is answered");
        }
        self.slow.lock().extend(requests);
    }

    fn reads_ready(&self, tokens: Vec<Token>, outcome: Result<(), EtcdError>) {
        let mut reads = self.reads.lock();
        for token in tokens {
            let before = reads.insert(token.0, outcome.clone());
            assert!(before.is_none(), "read {token:?} was answered twice");
        }
    }
}

/// An event as the driver takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Batch(u64),
    Appended(Vec<EntryMeta>),
    Acknowledged(u64, LogMark),
    Committed(u64),
    Stable(LogMark),
    Persisted(u64),
    Applied(u64),
    Control(LogMark, Bytes),
    ReadRequest(u64),
    Fatal(String),
    Log(String),
    /// The test ends.
    End,
}

/// A log line: its message and its fields.
pub type Line = (String, Vec<(String, String)>);

/// The control plane's inbox.
#[derive(Default)]
pub struct Inbox {
    /// Every log line with its fields.
    pub logged: Mutex<Vec<Line>>,
    events: Mutex<VecDeque<Event>>,
    changed: Condvar,
}

impl Inbox {
    pub fn put(&self, event: Event) {
        self.events.lock().push_back(event);
        self.changed.notify_all();
    }

    pub fn take(&self) -> Event {
        let mut events = self.events.lock();
        loop {
            if let Some(event) = events.pop_front() {
                return event;
            }
            self.changed.wait(&mut events);
        }
    }

    /// Takes events until this one.
    pub fn wait_for(&self, wanted: &Event) {
        self.take_until(|event| (event == wanted).then_some(()));
    }

    /// Takes events until one fits.
    pub fn take_until<T>(&self, fits: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = fits(&self.take()) {
                return found;
            }
        }
    }
}

impl PipelineEvents for Inbox {
    fn batch(&self, payload: u64, _: usize, _: u32) {
        self.put(Event::Batch(payload));
    }
    fn appended(&self, entries: &[EntryMeta]) {
        self.put(Event::Appended(entries.to_vec()));
    }
    fn acknowledged(&self, from: u64, mark: LogMark) {
        self.put(Event::Acknowledged(from, mark));
    }
    fn committed(&self, index: u64) {
        self.put(Event::Committed(index));
    }
    fn stable(&self, mark: LogMark) {
        self.put(Event::Stable(mark));
    }
    fn persisted(&self, seq: u64) {
        self.put(Event::Persisted(seq));
    }
    fn applied(&self, index: u64) {
        self.put(Event::Applied(index));
    }
    fn control(&self, mark: LogMark, _: EntryKind, data: Bytes) {
        self.put(Event::Control(mark, data));
    }
    fn read_request(&self, ctx: u64) {
        self.put(Event::ReadRequest(ctx));
    }
    fn fatal(&self, message: String) {
        self.put(Event::Fatal(message));
    }
    fn log(&self, _: LogLevel, message: &str, fields: Vec<(String, String)>) {
        self.logged.lock().push((message.to_owned(), fields));
        self.put(Event::Log(message.to_owned()));
    }
}
