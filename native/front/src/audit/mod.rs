//! The audit log: who did what, one line of JSON for each request that the policy names.
//!
//! Where a call ends its thread copies a compact record into its lane (`lanes`); one thread makes lines of them (`json`)
//! and writes them to a file that it rotates (`file`). What a request tells is named field by field (`requests`): values,
//! passwords and tokens are not among it.

mod answer;
mod config;
mod file;
mod json;
mod lanes;
mod policy;
mod record;
mod requests;
mod time;
mod told;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use std::thread::Builder;
use std::time::Instant;

use netcd_engine::metrics::{head, line};
use parking_lot::Mutex;

pub(crate) use answer::Facts;
pub use config::{AuditConfig, AuditResult, AuditRule};
pub(crate) use lanes::Wait;
pub(crate) use requests::{Silent, Tells, decoded};

use crate::events::FrontEvents;
use crate::grpc::methods::MethodId;
use crate::limits::AUDIT_CLOSE_TIMEOUT;
use file::{LogFile, Output};
use lanes::Lanes;
use policy::{Policy, Verdict};
use record::Record;
use told::{Telling, put_text};
use writer::{Writer, Written};

/// What is kept of a request until its end, since the request is gone by then: for which results it gets a line, and who
/// asked for what.
#[derive(Debug)]
pub(crate) struct Note(Vec<u8>);

impl Note {
    fn verdict(&self) -> Verdict {
        Verdict(self.0[0])
    }

    fn noted(&self) -> &[u8] {
        &self.0[1..]
    }
}

/// What is noted of a call.
#[derive(Debug, Default)]
pub(crate) enum Noted {
    /// Nothing yet.
    #[default]
    Not,
    /// It gets no line, or has it.
    Quiet,
    Due(Note),
}

/// A request that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) worker: usize,
    pub(crate) now: Instant,
    pub(crate) method: MethodId,
    pub(crate) common_name: Option<&'a [u8]>,
    pub(crate) address: &'a str,
    pub(crate) code: u8,
    pub(crate) message: &'a str,
    pub(crate) answer: Facts,
}

/// The audit log of a front.
pub(crate) struct Audit {
    policy: Policy,
    lanes: Arc<Lanes>,
    written: Arc<Written>,
    opened: Instant,
    /// Ends when the writer has.
    writing: Mutex<Option<Receiver<()>>>,
}

impl Audit {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// The file cannot be opened, or a rule names a call that there is not.
    pub(crate) fn start(
        config: &AuditConfig,
        workers: usize,
        events: Arc<dyn FrontEvents>,
    ) -> io::Result<Self> {
        let path = config.path.display();
        let file = LogFile::open(config).map_err(|error| {
            io::Error::new(error.kind(), format!("open audit log {path}: {error}"))
        })?;
        Self::start_with(config, workers, file, events)
    }

    fn start_with(
        config: &AuditConfig,
        workers: usize,
        output: impl Output + 'static,
        events: Arc<dyn FrontEvents>,
    ) -> io::Result<Self> {
        let policy = Policy::compile(&config.rules).map_err(io::Error::other)?;
        let lanes = Arc::new(Lanes::new(workers, config.blocks));
        let written = Arc::new(Written::default());
        let opened = Instant::now();
        let writer = Writer::new(
            lanes.clone(),
            output,
            written.clone(),
            events,
            config.path.display().to_string(),
            opened,
        );
        let (ends, writing) = channel();
        Builder::new().name("audit".to_owned()).spawn(move || {
            // Dropped at the end, whatever that is.
            let _ends = ends;
            writer.run();
        })?;
        Ok(Self {
            policy,
            lanes,
            written,
            opened,
            writing: Mutex::new(Some(writing)),
        })
    }

    /// Whether requests of this RPC may get a line: nothing is done for the others.
    pub(crate) fn may_log(&self, method: MethodId) -> bool {
        self.policy.may_log(method)
    }

    /// Whether requests of this RPC may get a line when this comes of them.
    pub(crate) fn may_log_code(&self, method: MethodId, code: u8) -> bool {
        self.policy.may_log_result(method, AuditResult::of(code))
    }

    /// What is to be kept of a request of this user (nobody's name is empty); None if it gets no line whatever comes of it.
    pub(crate) fn note(&self, method: MethodId, user: &[u8], request: &dyn Tells) -> Option<Note> {
        const USUAL_BYTES: usize = 96;
        let verdict = self.policy.verdict(method, user, request);
        verdict.logs_any().then(|| {
            let mut note = Vec::with_capacity(USUAL_BYTES);
            note.push(verdict.0);
            put_text(&mut note, user);
            request.tell(&mut Telling(&mut note));
            Note(note)
        })
    }

    /// Gives a request that was noted its line, if one is due for what came of it.
    pub(crate) fn ended(&self, ended: &Ended<'_>, note: &Note) {
        if note.verdict().logs(AuditResult::of(ended.code)) {
            self.push(ended, note.noted());
        }
    }

    fn push(&self, ended: &Ended<'_>, noted: &[u8]) {
        let record = Record {
            at: ended.now.saturating_duration_since(self.opened).as_nanos() as u64,
            method: ended.method,
            code: ended.code,
            revision: ended.answer.revision,
            succeeded: ended.answer.succeeded,
            common_name: ended.common_name,
            address: ended.address.as_bytes(),
            message: ended.message.as_bytes(),
            noted,
        };
        self.lanes.push(ended.worker, &record);
    }

    /// Whether a request that may get a line can be served now.
    pub(crate) fn has_room(&self, worker: usize) -> bool {
        self.lanes.has_room(worker)
    }

    /// Ready when a request that may get a line can be served; always where records are rather left out.
    pub(crate) fn poll_room(
        &self,
        worker: usize,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.lanes.poll_room(worker, wait, cx)
    }

    /// Has those that wait for room look whether they still should.
    pub(crate) fn wake(&self, worker: usize) {
        self.lanes.wake(worker);
    }

    /// Writes what is left, once no thread adds to it. A disk that takes nothing is not waited for.
    pub(crate) fn close(&self) {
        self.lanes.close();
        if let Some(writing) = self.writing.lock().take() {
            // It ends by the other end's being dropped.
            let _ended = writing.recv_timeout(AUDIT_CLOSE_TIMEOUT);
        }
    }

    /// Counters in Prometheus text format.
    pub(crate) fn metrics(&self) -> String {
        let mut out = String::new();
        for (name, help, n) in [
            (
                "netcd_audit_lines_total",
                "Total number of requests written to the audit log.",
                self.written.lines.load(Ordering::Relaxed),
            ),
            (
                "netcd_audit_dropped_total",
                "Total number of requests that are missing in the audit log.",
                self.lanes.dropped(),
            ),
            (
                "netcd_audit_write_errors_total",
                "Total number of failures to write or rotate the audit log.",
                self.written.errors.load(Ordering::Relaxed),
            ),
        ] {
            head(&mut out, name, "counter", help);
            line(&mut out, format_args!("{name} {n}"));
        }
        out
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}
