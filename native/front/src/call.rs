//! A unary call (or one with a streamed answer) from its headers to its status.

use std::rc::Rc;
use std::time::Instant;

use netcd_engine::error::{self, Code, EtcdError};
use netcd_engine::types::OpResult;
use netcd_http2::Responder;

use crate::conn::ActiveCall;
use crate::grpc::buf;
use crate::grpc::methods::MethodId;
use crate::grpc::status::{self, ContentType};
use crate::limits::{ANSWER_TRACKED_BYTES_MIN, SEND_BYTES_MAX};
use crate::send;
use crate::slots::Work;
use crate::worker::{Worker, spawn};

/// A KV call that will be answered.
pub(crate) struct Call {
    pub(crate) respond: Responder,
    pub(crate) method: MethodId,
    pub(crate) content_type: ContentType,
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
        let leaderless = !worker.shared.serving().has_leader;
        let error = match work {
            _ if by_client => error::DEADLINE,
            Work::Write | Work::PhysicalCompaction(_) if leaderless => error::DEADLINE,
            _ => error::TIMEOUT,
        };
        self.finish(worker, Err(error));
    }

    pub(crate) fn handled(&self, worker: &Worker, code: u8) {
        worker
            .metrics
            .handled(self.method, code, self.started, worker.now());
    }

    /// Answers the call.
    pub(crate) fn finish(self, worker: &Rc<Worker>, result: OpResult) {
        let bytes = match result {
            Ok(bytes) if bytes.len() as u64 <= SEND_BYTES_MAX => bytes,
            Ok(bytes) => return self.finish(worker, Err(too_large_to_send(bytes.len() as u64))),
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
        let _gone = respond.answer(&head, buf::message(bytes), trailers);
    }
}
