//! Sends the answers of calls: in one turn if that can be, else in a task of its own: large messages, messages that are
//! encoded while they are sent, and streams of messages. At most two chunks are in memory for one call: one being sent,
//! one being read.
//!
//! Trailers may only follow a whole message: a client takes them after a part of one for `unexpected EOF`, whatever they
//! say. So the client's deadline does not count inside a message (the client ends the stream itself then, as with etcd,
//! whose messages are queued whole), and an error that comes there resets the stream.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use netcd_engine::error::{self, Code, EtcdError};
use netcd_engine::types::OpResult;
use netcd_http2::{Reason, SendBuf};

use crate::audit::Facts;
use crate::backend::Chunks;
use crate::call::{Call, reply_error, too_large_to_send};
use crate::conn::Unsent;
use crate::grpc::buf;
use crate::grpc::status;
use crate::limits::{ANSWER_TRACKED_BYTES_MIN, SEND_BYTES_MAX};
use crate::read_ahead::Ahead;
use crate::stats::{self, Asked, Came};
use crate::worker::{Worker, spawn};

impl Call {
    /// Logs the call if it took long; its answer is about to be sent.
    pub(crate) fn log(&self, worker: &Worker, asked: Asked<'_>, came: Came<'_>) {
        let took = worker.now().saturating_duration_since(self.started);
        stats::ended(
            &worker.shared,
            &self.active.conn,
            self.method,
            took,
            (asked, came),
        );
    }

    /// Counts the call as answered with this code.
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
    pub(crate) fn finish_asked(mut self, worker: &Rc<Worker>, result: OpResult, asked: Asked<'_>) {
        let result = result.and_then(|bytes| match bytes.len() as u64 {
            fits if fits <= SEND_BYTES_MAX => Ok(bytes),
            large => Err(too_large_to_send(large)),
        });
        self.log(worker, asked, Came::of(&result));
        self.audit(worker, asked, Came::of(&result));
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                self.handled(worker, error.code as u8);
                return reply_error(self.respond, &self.content_type, &error);
            }
        };
        if bytes.len() >= ANSWER_TRACKED_BYTES_MIN {
            return spawn(whole(worker.clone(), self, bytes));
        }
        self.handled(worker, 0);
        worker.metrics.message_sent(self.method, bytes.len());
        let (head, trailers) = (status::head(&self.content_type), status::ok_trailers());
        let mut respond = self.respond;
        // An error means that the client is gone: there is nobody left to tell.
        let _gone = respond.answer(&head, buf::message(bytes), trailers);
    }
}

/// A message that came in pieces was not as long as it had been announced.
const BROKEN_ANSWER: EtcdError = EtcdError {
    code: Code::Internal,
    message: Cow::Borrowed("netcd: an answer is not as long as was announced"),
};

/// Why sending stopped before its end.
enum Stop {
    /// The client is gone, or took nothing for too long.
    Gone,
    /// The call fails with this.
    Failed(EtcdError),
}

impl From<EtcdError> for Stop {
    fn from(error: EtcdError) -> Self {
        Self::Failed(error)
    }
}

/// A call in the middle of its answer.
struct Sending {
    worker: Rc<Worker>,
    call: Call,
    /// Bytes of the message that was begun which are not handed to HTTP/2 yet.
    owed: u64,
    /// Of the answer's beginning, for the audit log.
    facts: Option<Facts>,
}

impl Sending {
    fn open(worker: Rc<Worker>, mut call: Call) -> Option<Self> {
        match call
            .respond
            .respond(&status::head(&call.content_type), false)
        {
            Ok(()) => Some(Self {
                worker,
                call,
                owed: 0,
                facts: None,
            }),
            Err(_) => {
                call.audit(&worker, Asked::Unknown, Came::Error(&error::CANCELED));
                call.handled(&worker, error::CANCELED.code as u8);
                None
            }
        }
    }

    /// Begins a message of `bytes` that comes in pieces.
    async fn begin(&mut self, bytes: u32) -> Result<(), Stop> {
        self.owed = u64::from(bytes);
        let prefix = Bytes::copy_from_slice(&buf::prefix(bytes));
        self.send(SendBuf::raw(prefix)).await
    }

    /// The next piece of the message that was begun.
    async fn piece(&mut self, piece: Bytes) -> Result<(), Stop> {
        self.look(&piece);
        let bytes = piece.len() as u64;
        self.owed = self.owed.checked_sub(bytes).ok_or(BROKEN_ANSWER)?;
        self.send(SendBuf::raw(piece)).await
    }

    /// Keeps what the audit log tells of the answer, of which this is the next part.
    fn look(&mut self, part: &[u8]) {
        if self.worker.shared.audit.is_some() && self.facts.is_none() {
            self.facts = Some(Facts::of(self.call.method, part));
        }
    }

    /// Hands all of `data` to HTTP/2 as the client's window opens.
    async fn send(&mut self, data: SendBuf) -> Result<(), Stop> {
        let mut waiting = data.remaining();
        if self.call.respond.send_data(data, false).is_err() {
            return Err(Stop::Gone);
        }
        while waiting > 0 {
            let stall = self.worker.now() + self.worker.shared.config.patience.stream_stall;
            // Some of it, so that a client that takes it slowly is not taken for one that takes nothing.
            let some = poll_fn(|cx| self.call.respond.poll_sent(waiting - 1, cx));
            let sent = tokio::time::timeout_at(stall.into(), some).await;
            self.worker.tick();
            match sent {
                Ok(Ok(())) => waiting = self.call.respond.unsent(),
                Ok(Err(_)) | Err(_) => return Err(Stop::Gone),
            }
        }
        Ok(())
    }

    fn end(mut self, outcome: Result<(), Stop>) {
        let outcome = match outcome {
            Ok(()) if self.owed > 0 => Err(Stop::Failed(BROKEN_ANSWER)),
            outcome => outcome,
        };
        let facts = self.facts.unwrap_or_default();
        let came = match &outcome {
            Ok(()) => Ok(facts),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Gone) => Err(&error::CANCELED),
        };
        self.call
            .audit_outcome(&self.worker, Asked::Unknown, || came);
        match outcome {
            Ok(()) => {
                self.call.handled(&self.worker, 0);
                // An error means that the client is gone.
                let _gone = self.call.respond.send_trailers(status::ok_trailers());
            }
            Err(Stop::Failed(error)) if self.owed > 0 => {
                self.call.handled(&self.worker, error.code as u8);
                self.call.respond.reset(status::reset_reason(error.code));
            }
            Err(Stop::Failed(error)) => {
                self.call.handled(&self.worker, error.code as u8);
                let _gone = self
                    .call
                    .respond
                    .send_trailers(status::trailers(error.code as u8, &error.message));
            }
            Err(Stop::Gone) => {
                self.call.handled(&self.worker, error::CANCELED.code as u8);
                self.call.respond.reset(Reason::Cancel);
            }
        }
    }
}

/// A message that is there but should wait for the client's window.
pub(crate) async fn whole(worker: Rc<Worker>, call: Call, bytes: Bytes) {
    let _unsent = Unsent::new(&call.active.conn, bytes.len());
    let Some(mut sending) = Sending::open(worker, call) else {
        return;
    };
    sending
        .worker
        .metrics
        .message_sent(sending.call.method, bytes.len());
    let outcome = sending.send(buf::message(bytes)).await;
    sending.end(outcome);
}

/// One message of `bytes`, encoded chunk by chunk.
pub(crate) async fn chunks(worker: Rc<Worker>, call: Call, bytes: u64, chunks: Chunks) {
    if bytes > SEND_BYTES_MAX {
        return call.finish(&worker, Err(too_large_to_send(bytes)));
    }
    let Some(mut sending) = Sending::open(worker, call) else {
        return;
    };
    sending
        .worker
        .metrics
        .message_sent(sending.call.method, bytes as usize);
    let outcome = async {
        sending.begin(bytes as u32).await?;
        let mut chunks = Ahead::new(&sending.worker, chunks)?;
        while let Some(piece) = chunks.next(&sending.worker, None).await? {
            sending.piece(piece).await?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    sending.end(outcome);
}

/// A stream of messages.
pub(crate) async fn messages(worker: Rc<Worker>, call: Call, messages: Chunks) {
    let Some(mut sending) = Sending::open(worker, call) else {
        return;
    };
    let outcome = async {
        let mut messages = Ahead::new(&sending.worker, messages)?;
        let timeout = sending.call.timeout;
        while let Some(message) = messages.next(&sending.worker, timeout).await? {
            sending
                .worker
                .metrics
                .message_sent(sending.call.method, message.len());
            sending.look(&message);
            sending.send(buf::message(message)).await?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    sending.end(outcome);
}
