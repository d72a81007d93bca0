//! Sends answers that do not fit into one turn: large messages, messages that are encoded while they are sent, and
//! streams of messages. At most two chunks are in memory for one call: one being sent, one being read.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use netcd_engine::error::{self, EtcdError};
use netcd_http2::{Reason, SendBuf};
use tokio::sync::oneshot;

use crate::backend::Chunks;
use crate::call::{Call, too_large_to_send};
use crate::conn::Unsent;
use crate::grpc::buf;
use crate::grpc::status;
use crate::limits::SEND_BYTES_MAX;
use crate::worker::{Worker, spawn};

/// Reads on a reader thread, then goes on here.
pub(crate) fn on_reader<T: Send + 'static>(
    worker: &Rc<Worker>,
    call: Call,
    read: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(&Rc<Worker>, Call, T) + 'static,
) {
    match worker.shared.readers.run(read) {
        Err(error) => call.finish(worker, Err(error)),
        Ok(answer) => {
            let worker = worker.clone();
            spawn(async move {
                let answer = before(call.timeout, answer).await;
                worker.tick();
                match answer {
                    Ok(answer) => then(&worker, call, answer),
                    Err(error) => call.finish(&worker, Err(error)),
                }
            });
        }
    }
}

async fn before<T>(timeout: Option<Instant>, answer: oneshot::Receiver<T>) -> Result<T, EtcdError> {
    let answer = async { answer.await.map_err(|_| error::STOPPED) };
    match timeout {
        None => answer.await,
        Some(at) => tokio::time::timeout_at(at.into(), answer)
            .await
            .unwrap_or(Err(error::DEADLINE)),
    }
}

/// The next chunk, and the iterator back.
type Pulled = (Chunks, Option<Result<Bytes, EtcdError>>);

fn pull(worker: &Worker, mut chunks: Chunks) -> Result<oneshot::Receiver<Pulled>, EtcdError> {
    worker.shared.readers.run(move || {
        let chunk = chunks.next();
        (chunks, chunk)
    })
}

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
}

impl Sending {
    fn open(worker: Rc<Worker>, mut call: Call) -> Option<Self> {
        match call
            .respond
            .respond(&status::head(&call.content_type), false)
        {
            Ok(()) => Some(Self { worker, call }),
            Err(_) => {
                call.handled(&worker, error::CANCELED.code as u8);
                None
            }
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
            let until = self
                .call
                .timeout
                .map_or(stall, |timeout| timeout.min(stall));
            // Some of it, so that a client that takes it slowly is not taken for one that takes nothing.
            let some = poll_fn(|cx| self.call.respond.poll_sent(waiting - 1, cx));
            let sent = tokio::time::timeout_at(until.into(), some).await;
            self.worker.tick();
            match sent {
                Ok(Ok(())) => waiting = self.call.respond.unsent(),
                Ok(Err(_)) => return Err(Stop::Gone),
                Err(_) if self.call.timeout.is_some_and(|at| at <= self.worker.now()) => {
                    return Err(Stop::Failed(error::DEADLINE));
                }
                Err(_) => return Err(Stop::Gone),
            }
        }
        Ok(())
    }

    fn end(mut self, outcome: Result<(), Stop>) {
        match outcome {
            Ok(()) => {
                self.call.handled(&self.worker, 0);
                // An error means that the client is gone.
                let _gone = self.call.respond.send_trailers(status::ok_trailers());
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
    let prefix = Bytes::copy_from_slice(&buf::prefix(bytes as u32));
    let outcome = async {
        sending.send(SendBuf::raw(prefix)).await?;
        forward(&mut sending, chunks, |_, chunk| SendBuf::raw(chunk)).await
    };
    let outcome = outcome.await;
    sending.end(outcome);
}

/// A stream of messages.
pub(crate) async fn messages(worker: Rc<Worker>, call: Call, messages: Chunks) {
    let Some(mut sending) = Sending::open(worker, call) else {
        return;
    };
    let outcome = forward(&mut sending, messages, |sending, message| {
        sending
            .worker
            .metrics
            .message_sent(sending.call.method, message.len());
        buf::message(message)
    })
    .await;
    sending.end(outcome);
}

/// Sends what the iterator gives; while one chunk is on its way the next is read.
async fn forward(
    sending: &mut Sending,
    chunks: Chunks,
    wrap: impl Fn(&Sending, Bytes) -> SendBuf,
) -> Result<(), Stop> {
    let mut pulling = pull(&sending.worker, chunks)?;
    loop {
        let (chunks, chunk) = before(sending.call.timeout, pulling).await?;
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk = chunk?;
        pulling = pull(&sending.worker, chunks)?;
        let data = wrap(sending, chunk);
        sending.send(data).await?;
    }
}
