//! A unary call (or one with a streamed answer) from its headers to its status.

use std::rc::Rc;
use std::time::Instant;

use netcd_engine::error::{self, Code, EtcdError};
use netcd_engine::types::OpResult;

use crate::conn::ActiveCall;
use crate::grpc::buf::SendBuf;
use crate::grpc::methods::MethodId;
use crate::grpc::status::{self, ContentType};
use crate::http2::Responder;
use crate::limits::{ANSWER_TRACKED_BYTES_MIN, SEND_BYTES_MAX};
use crate::slots::Work;
use crate::stats::{self, Asked, Came};
use crate::worker::{Worker, spawn};
use crate::{hot, send};

/// A KV call that will be answered.
pub(crate) struct Call {
    pub(crate) respond: Responder,
    pub(crate) method: MethodId,
    pub(crate) content_type: ContentType,
    /// When its message was there.
    pub(crate) started: Instant,
    /// From grpc-timeout.
    pub(crate) timeout: Option<Instant>,
    pub(crate) active: ActiveCall,
}

/// An answer that is nothing but an error.
pub(crate) fn reply_error(mut respond: Responder, content_type: &ContentType, error: &EtcdError) {
    // An error means that the client is gone.
    let _gone = respond.respond(&status::trailers_only(content_type, error), true);
}

/// grpc-go's refusal to send what no client would take.
pub(crate) fn too_large_to_send(bytes: u64) -> EtcdError {
    EtcdError::new(
        Code::ResourceExhausted,
        format!("grpc: trying to send message larger than max ({bytes} vs. {SEND_BYTES_MAX})"),
    )
}

impl Call {
    /// Until when the engine may take.
    pub(crate) fn waits_until(&self, worker: &Worker) -> Instant {
        let request = worker.now() + worker.shared.config.request_timeout;
        self.timeout.map_or(request, |timeout| timeout.min(request))
    }

    /// The deadline passed: the client's own, or the server's for a proposal or a read index.
    pub(crate) fn expire(self, worker: &Rc<Worker>, work: &Work) {
        let by_client = self.timeout.is_some_and(|timeout| timeout <= worker.now());
        // A leader's own proposal was made, though it may be no leader any more.
        let unproposed = worker.shared.is_leaderless_since(self.started);
        let error = match work {
            _ if by_client => error::DEADLINE,
            Work::Write | Work::SlowWrite(_) | Work::PhysicalCompaction(_) if unproposed => {
                error::DEADLINE
            }
            _ => error::TIMEOUT,
        };
        match work {
            Work::Range(_) | Work::Txn(_) => hot::fail_read(worker, self, work, error),
            _ => self.finish_asked(worker, Err(error), Asked::of(work)),
        }
    }

    /// Logs the call if it took long; its answer is about to be sent.
    pub(crate) fn log(&self, worker: &Worker, asked: Asked<'_>, came: Came<'_>) {
        let took = worker.now().saturating_duration_since(self.started);
        stats::ended(worker, &self.active.conn, self.method, took, (asked, came));
    }

    pub(crate) fn handled(&self, worker: &Worker, code: u8) {
        worker
            .metrics
            .handled(self.method, code, self.started, worker.now());
    }

    /// Answers the call.
    pub(crate) fn finish(self, worker: &Rc<Worker>, result: OpResult) {
        self.finish_asked(worker, result, Asked::Unknown);
    }

    /// Answers the call that asked for this.
    pub(crate) fn finish_asked(self, worker: &Rc<Worker>, result: OpResult, asked: Asked<'_>) {
        let result = result.and_then(|bytes| match bytes.len() as u64 {
            fits if fits <= SEND_BYTES_MAX => Ok(bytes),
            large => Err(too_large_to_send(large)),
        });
        self.log(worker, asked, Came::of(&result));
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                self.handled(worker, error.code as u8);
                return reply_error(self.respond, &self.content_type, &error);
            }
        };
        if bytes.len() >= ANSWER_TRACKED_BYTES_MIN {
            return spawn(send::whole(worker.clone(), self, bytes));
        }
        self.handled(worker, 0);
        worker.metrics.message_sent(self.method, bytes.len());
        let (head, trailers) = (status::head(&self.content_type), status::ok_trailers());
        let mut respond = self.respond;
        // An error means that the client is gone: there is nobody left to tell.
        let _gone = respond.answer(&head, SendBuf::message(bytes), trailers);
    }
}
