//! What the audit log is told of calls: each once, where its answer is decided. Of a call that waits for its answer that is
//! noted before, since its request is gone by then.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use netcd_engine::auth::Caller;
use netcd_engine::error::{self, EtcdError};

use crate::audit::{Audit, Ended, Facts, Note, Noted, Silent, Tells, Wait, decoded};
use crate::call::Call;
use crate::completions::Drain;
use crate::conn::ConnCtx;
use crate::grpc::methods::MethodId;
use crate::stats::{Asked, Came};
use crate::worker::Worker;

/// What came of a request: facts of its answer, or code and text of its error.
pub(crate) type Outcome<'a> = Result<Facts, (u8, &'a str)>;

impl Call {
    /// Notes what is asked for, and by whom.
    pub(crate) fn note(&mut self, worker: &Worker, caller: &Caller, request: &dyn Tells) {
        if let Some(audit) = self.unnoted(worker) {
            let user = caller.name().unwrap_or_default();
            self.noted = noted(audit.note(self.method, user, request));
        }
    }

    /// The same by whoever the call's token stands for.
    pub(crate) fn note_asked(&mut self, worker: &Worker, asked: Asked<'_>) {
        if let Some(audit) = self.unnoted(worker) {
            self.noted = self.noted_now(worker, audit, asked);
        }
    }

    /// The audit log, if the call may get a line and nothing is noted for that yet.
    fn unnoted<'w>(&self, worker: &'w Worker) -> Option<&'w Audit> {
        let audit = worker.shared.audit.as_ref()?;
        (matches!(self.noted, Noted::Not) && audit.may_log(self.method)).then_some(audit)
    }

    fn noted_now(&self, worker: &Worker, audit: &Audit, asked: Asked<'_>) -> Noted {
        let user = self.claim.user(&worker.shared.auth);
        let note = |request: &dyn Tells| noted(audit.note(self.method, &user, request));
        match asked {
            Asked::Unknown => note(&Silent),
            Asked::Encoded(request) => note(&*decoded(self.method, request)),
            Asked::Range(request) => note(request),
            Asked::Txn(request) => note(request),
        }
    }

    /// Tells of the call, whose answer is about to be sent.
    pub(crate) fn audit(&mut self, worker: &Worker, asked: Asked<'_>, came: Came<'_>) {
        if worker.shared.audit.is_none() {
            return;
        }
        let method = self.method;
        self.audit_outcome(worker, asked, || match came {
            Came::Message(answer) => Ok(Facts::of(method, answer)),
            Came::Chunks { .. } => Ok(Facts::default()),
            Came::Error(error) => Err(error),
        });
    }

    /// The same once its answer was sent.
    pub(crate) fn audit_outcome<'e>(
        &mut self,
        worker: &Worker,
        asked: Asked<'_>,
        came: impl FnOnce() -> Result<Facts, &'e EtcdError>,
    ) {
        let Some(audit) = &worker.shared.audit else {
            return;
        };
        let noted = std::mem::replace(&mut self.noted, Noted::Quiet);
        if matches!(noted, Noted::Quiet) {
            return;
        }
        let came = came();
        let code = came.as_ref().map_or_else(|error| error.code as u8, |_| 0);
        let noted = match noted {
            Noted::Not if audit.may_log_code(self.method, code) => {
                self.noted_now(worker, audit, asked)
            }
            noted => noted,
        };
        if let Noted::Due(note) = noted {
            let came = came.map_err(|error| (code, &*error.message));
            let conn = &self.active.conn;
            audit.ended(&ended_on(worker, conn, self.method, came), &note);
        }
    }
}

fn noted(note: Option<Note>) -> Noted {
    note.map_or(Noted::Quiet, Noted::Due)
}

fn ended_on<'a>(
    worker: &Worker,
    conn: &'a ConnCtx,
    method: MethodId,
    came: Outcome<'a>,
) -> Ended<'a> {
    let (code, message) = came.err().unwrap_or((0, ""));
    Ended {
        worker: worker.index,
        now: worker.now(),
        method,
        common_name: conn.common_name().map(|name| &**name),
        address: &conn.peer,
        code,
        message,
        answer: came.unwrap_or_default(),
    }
}

/// Tells of a request of this user on a stream.
pub(crate) fn ended(
    worker: &Worker,
    conn: &ConnCtx,
    method: MethodId,
    user: impl FnOnce() -> Bytes,
    came: Outcome<'_>,
    request: impl FnOnce() -> Box<dyn Tells>,
) {
    let code = came.err().map_or(0, |(code, _)| code);
    if let Some(audit) = &worker.shared.audit
        && audit.may_log_code(method, code)
        && let Some(note) = audit.note(method, &user(), &*request())
    {
        audit.ended(&ended_on(worker, conn, method, came), &note);
    }
}

fn audit_of(worker: &Worker, method: MethodId) -> Option<&Audit> {
    let audit = worker.shared.audit.as_ref();
    audit.filter(|audit| audit.may_log(method))
}

/// Whether a request of this RPC can be served now, as far as the audit log is concerned.
pub(crate) fn has_room(worker: &Worker, method: MethodId) -> bool {
    audit_of(worker, method).is_none_or(|audit| audit.has_room(worker.index))
}

/// Ready when it can.
pub(crate) fn poll_room(
    worker: &Worker,
    method: MethodId,
    wait: &mut Wait,
    cx: &mut Context<'_>,
) -> Poll<()> {
    match audit_of(worker, method) {
        Some(audit) => audit.poll_room(worker.index, wait, cx),
        None => Poll::Ready(()),
    }
}

/// Waits until a call can be served.
///
/// # Errors
/// Its client is gone, its time is over, or the server stops.
pub(crate) async fn wait_for_room(worker: &Worker, call: &mut Call) -> Result<(), EtcdError> {
    let mut wait = Wait::default();
    let (method, timeout) = (call.method, call.timeout);
    let waits = poll_fn(|cx| {
        if worker.draining.get() != Drain::Nobody {
            return Poll::Ready(Err(error::STOPPED));
        }
        if call.respond.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(error::CANCELED));
        }
        poll_room(worker, method, &mut wait, cx).map(Ok)
    });
    match timeout {
        None => waits.await,
        Some(at) => tokio::time::timeout_at(at.into(), waits)
            .await
            .unwrap_or(Err(error::DEADLINE)),
    }
}
