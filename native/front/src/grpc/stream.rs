//! One gRPC call as a stream of messages in both directions: messages of the client come out deframed, messages to the
//! client go in through a bounded queue from any thread and leave as its window opens.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::{self, Code, EtcdError};
use netcd_http2::{Body, Gone, HeaderBlock, Responder, SendBuf};
use tokio::time::Sleep;

use super::buf;
use super::deframe::{Deframer, Encoding};
use super::end::{CallOutbound, End};
use super::methods::MethodId;
use super::status::{self, ContentType};
use crate::audit::{Facts, Silent, Tells, Wait, decoded};
use crate::audited;
use crate::call::{ActiveCall, Call};
use crate::caller::Claim;
use crate::completions::Drain;
use crate::outbound::{Next, Outbound};
use crate::stats::{self, Asked, Came};
use crate::worker::Worker;

/// What happened on the way out.
pub(crate) enum Outcome {
    /// A pusher that was told `Full` may go on.
    Drained,
    /// The end was sent.
    Ended,
    /// The client is gone.
    Gone,
}

/// A request as it is kept for the audit log.
struct Request {
    message: Bytes,
    /// Who asked, if that was known then.
    user: Bytes,
}

/// The transport's side of one streaming call.
pub(crate) struct CallStream {
    pub(crate) worker: Rc<Worker>,
    pub(crate) method: MethodId,
    content_type: ContentType,
    body: Option<Body>,
    deframer: Deframer,
    respond: Responder,
    /// The headers of the answer are sent.
    opened: bool,
    pub(crate) outbound: Arc<CallOutbound>,
    deadline: Option<Pin<Box<Sleep>>>,
    started: Instant,
    finished: bool,
    claim: Claim,
    /// The request that was not answered yet, if the audit log may tell of it.
    asked: Option<Request>,
    /// Of the first answer, for the audit log.
    facts: Option<Facts>,
    /// For room in the audit log.
    wait: Wait,
    active: ActiveCall,
}

impl CallStream {
    /// The call as a stream of messages.
    pub(crate) fn new(worker: &Rc<Worker>, call: Call, body: Body, encoding: Encoding) -> Self {
        Self {
            worker: worker.clone(),
            method: call.method,
            content_type: call.content_type,
            body: Some(body),
            deframer: Deframer::new(worker.shared.config.message_bytes_max(), encoding),
            respond: call.respond,
            opened: false,
            outbound: Arc::new(Outbound::new()),
            deadline: call
                .timeout
                .map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            started: worker.now(),
            finished: false,
            claim: call.claim,
            asked: None,
            facts: None,
            wait: Wait::default(),
            active: call.active,
        }
    }

    /// The same for a call that lives as long as its client wants; None if the worker drains, which ends it at once.
    pub(crate) fn long_lived(
        worker: &Rc<Worker>,
        call: Call,
        body: Body,
        encoding: Encoding,
    ) -> Option<Self> {
        let mut stream = Self::new(worker, call, body, encoding);
        if worker.draining.get() != Drain::Nobody {
            stream.finish(&End::from(&error::STOPPED));
            return None;
        }
        Some(stream)
    }

    /// Keeps the first request until it is answered, if the audit log may tell of it.
    pub(crate) fn asks(&mut self, request: &Bytes) {
        let audit = self.worker.shared.audit.as_ref();
        if self.asked.is_none() && audit.is_some_and(|audit| audit.may_log(self.method)) {
            self.asked = Some(Request {
                message: request.clone(),
                user: self.claim.user(&self.worker.shared.auth),
            });
        }
    }

    /// The request that was kept is answered, and others may follow it.
    pub(crate) fn answered(&mut self, facts: Facts) {
        if let Some(request) = self.asked.take() {
            self.audit_request(Ok(facts), &request);
        }
    }

    /// Tells the audit log of a request on this stream.
    pub(crate) fn audit(&self, came: audited::Outcome<'_>, request: impl Tells + 'static) {
        let user = || self.claim.user(&self.worker.shared.auth);
        let (conn, request) = (&self.active.conn, || Box::new(request) as _);
        audited::ended(&self.worker, conn, self.method, user, came, request);
    }

    fn audit_request(&self, came: audited::Outcome<'_>, request: &Request) {
        // A token that was not known at the beginning may be by now; one that is withdrawn since was that user's.
        let user = || match request.user.is_empty() {
            true => self.claim.user(&self.worker.shared.auth),
            false => request.user.clone(),
        };
        let message = || decoded(self.method, &request.message);
        let conn = &self.active.conn;
        audited::ended(&self.worker, conn, self.method, user, came, message);
    }

    fn audit_end(&mut self, end: &End) {
        let asked = self.asked.take();
        let came = match end.code {
            0 => Ok(self.facts.unwrap_or_default()),
            code => Err((code, end.message.as_str())),
        };
        match asked {
            Some(request) => self.audit_request(came, &request),
            // All requests on it were told of when they were answered.
            None if end.code == 0 => {}
            None => self.audit(came, Silent),
        }
    }

    /// The next message of the client; None after its last one. It is not read while the audit log has no room.
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, EtcdError>> {
        ready!(audited::poll_room(
            &self.worker,
            self.method,
            &mut self.wait,
            cx
        ));
        loop {
            if let Some(message) = self.deframer.next_message()? {
                self.worker
                    .metrics
                    .message_received(self.method, message.len());
                return Poll::Ready(Ok(Some(message)));
            }
            let Some(body) = self.body.as_mut() else {
                return Poll::Ready(if self.deframer.is_inside_message() {
                    Err(EtcdError::new(Code::Internal, "unexpected EOF"))
                } else {
                    Ok(None)
                });
            };
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    body.release(data.len());
                    self.deframer.push(data);
                }
                Some(Err(_)) => return Poll::Ready(Err(error::CANCELED)),
                None => self.body = None,
            }
        }
    }

    /// Ready when the client reset the stream or its connection ended, or its deadline passed: with the gRPC code.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<EtcdError> {
        if self.respond.poll_gone(cx).is_ready() {
            return Poll::Ready(error::CANCELED);
        }
        match self.deadline.as_mut() {
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| error::DEADLINE),
            None => Poll::Pending,
        }
    }

    /// Sends what is queued. Pending when the queue is empty or the client's window closed.
    pub(crate) fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            if ready!(self.poll_sent(cx)).is_err() {
                return Poll::Ready(Outcome::Gone);
            }
            let (next, drained) = ready!(self.outbound.poll_next(cx));
            match next {
                Next::Bytes(message) => {
                    if self.asked.is_some() && self.facts.is_none() {
                        self.facts = Some(Facts::of(self.method, &message));
                    }
                    self.worker.metrics.message_sent(self.method, message.len());
                    if self.send(buf::message(message)).is_err() {
                        return Poll::Ready(Outcome::Gone);
                    }
                    if drained {
                        return Poll::Ready(Outcome::Drained);
                    }
                }
                Next::End(end) => {
                    self.finish(&end);
                    return Poll::Ready(Outcome::Ended);
                }
            }
        }
    }

    /// Ready when all that was given to `send` is on its way; pending while the client's window is closed.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.respond.poll_sent(0, cx)
    }

    /// Begins to send; `poll_sent` says when the next may follow. For streams that do not use `outbound`.
    pub(crate) fn send(&mut self, data: SendBuf) -> Result<(), Gone> {
        self.open()?;
        self.respond.send_data(data, false)
    }

    fn open(&mut self) -> Result<(), Gone> {
        if !self.opened {
            self.respond
                .respond(&status::head(&self.content_type), false)?;
            self.opened = true;
        }
        Ok(())
    }

    /// Ends the call towards the client, once. What is still queued is dropped.
    pub(crate) fn finish(&mut self, end: &End) {
        if self.finished {
            return;
        }
        self.finished = true;
        let took = self.worker.now().saturating_duration_since(self.started);
        let uncounted = (Asked::Unknown, Came::Message(&Bytes::new()));
        let conn = &self.active.conn;
        stats::ended(&self.worker.shared, conn, self.method, took, uncounted);
        self.audit_end(end);
        self.worker
            .metrics
            .handled(self.method, end.code, self.started, self.worker.now());
        // An error means that the client is gone, which ends the call as well.
        let _gone = if !self.opened && end.code != 0 {
            let block = status::head_and_trailers(&self.content_type, end.headers());
            self.respond.respond(&block, true)
        } else {
            let trailers = HeaderBlock::trailers(&end.headers());
            self.open()
                .and_then(|()| self.respond.send_trailers(trailers))
        };
        self.outbound.close();
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        self.outbound.close();
        if !self.finished {
            if self.asked.is_some() {
                // The server ends before the answer: what was asked for may be done all the same.
                self.audit_end(&End::from(&error::STOPPED));
            }
            self.worker.metrics.handled(
                self.method,
                error::CANCELED.code as u8,
                self.started,
                self.worker.now(),
            );
        }
    }
}
