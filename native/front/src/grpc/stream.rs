//! One gRPC call as a stream of messages in both directions: messages of the client come out deframed, messages to the
//! client go in through a bounded queue from any thread and leave as its window opens.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use netcd_engine::error::{self, Code, EtcdError};
use tokio::time::Sleep;

use super::buf::SendBuf;
use super::deframe::{Deframer, Encoding};
use super::head::encode_binary;
use super::status::{self, ContentType};
use crate::call::Call;
use crate::conn::ActiveCall;
use crate::dispatch::message_bytes_max;
use crate::events::MetadataValue;
use crate::grpc::methods::MethodId;
use crate::outbound::{Next, Outbound};
use crate::worker::Worker;

/// How a call ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) trailers: Vec<(String, MetadataValue)>,
}

impl From<&EtcdError> for End {
    fn from(error: &EtcdError) -> Self {
        Self {
            code: error.code as u8,
            message: error.message.clone().into_owned(),
            trailers: Vec::new(),
        }
    }
}

impl End {
    /// The end of a call that did what it was asked.
    pub(crate) fn ok() -> Self {
        Self {
            code: 0,
            message: String::new(),
            trailers: Vec::new(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = if self.code == 0 {
            status::ok_trailers()
        } else {
            status::trailers(self.code, &self.message)
        };
        for (name, value) in &self.trailers {
            let value = match value {
                MetadataValue::Text(text) => HeaderValue::from_str(text),
                MetadataValue::Binary(bytes) => HeaderValue::from_str(&encode_binary(bytes)),
            };
            // A name or value that HTTP cannot carry is left out, as grpc-go does.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// Queue of messages to the client of one call.
pub(crate) type CallOutbound = Outbound<(), End>;

/// What happened on the way out.
pub(crate) enum Outcome {
    /// A pusher that was told `Full` may go on.
    Drained,
    /// The end was sent.
    Ended,
    /// The client is gone.
    Gone,
}

/// The transport's side of one streaming call.
pub(crate) struct CallStream {
    pub(crate) worker: Rc<Worker>,
    pub(crate) method: MethodId,
    content_type: ContentType,
    body: Option<RecvStream>,
    deframer: Deframer,
    respond: SendResponse<SendBuf>,
    send: Option<SendStream<SendBuf>>,
    sending: SendBuf,
    pub(crate) outbound: Arc<CallOutbound>,
    deadline: Option<Pin<Box<Sleep>>>,
    started: Instant,
    finished: bool,
    _active: ActiveCall,
}

impl CallStream {
    /// The call as a stream of messages.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        call: Call,
        body: RecvStream,
        encoding: Encoding,
    ) -> Self {
        Self {
            worker: worker.clone(),
            method: call.method,
            content_type: call.content_type,
            body: Some(body),
            deframer: Deframer::new(message_bytes_max(worker), encoding),
            respond: call.respond,
            send: None,
            sending: SendBuf::raw(Bytes::new()),
            outbound: Arc::new(Outbound::new()),
            deadline: call
                .timeout
                .map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            started: worker.now(),
            finished: false,
            _active: call.active,
        }
    }

    /// The same for a call that lives as long as its client wants; None if the worker drains, which ends it at once.
    pub(crate) fn long_lived(
        worker: &Rc<Worker>,
        call: Call,
        body: RecvStream,
        encoding: Encoding,
    ) -> Option<Self> {
        let mut stream = Self::new(worker, call, body, encoding);
        if worker.draining.get() {
            stream.finish(&End::from(&error::STOPPED));
            return None;
        }
        Some(stream)
    }

    /// The next message of the client; None after its last one.
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, EtcdError>> {
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
                    // The stream may be closed already; then there is no window left to open.
                    let _closed = body.flow_control().release_capacity(data.len());
                    self.deframer.push(data);
                }
                Some(Err(_)) => return Poll::Ready(Err(error::CANCELED)),
                None => self.body = None,
            }
        }
    }

    /// Ready when the client reset the stream or its connection ended, or its deadline passed: with the gRPC code.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<EtcdError> {
        let reset = match self.send.as_mut() {
            Some(send) => send.poll_reset(cx).is_ready(),
            None => self.respond.poll_reset(cx).is_ready(),
        };
        if reset {
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
            if self.sending.has_remaining() {
                if ready!(self.poll_send(cx)).is_err() {
                    return Poll::Ready(Outcome::Gone);
                }
                continue;
            }
            let (next, drained) = ready!(self.outbound.poll_next(cx));
            match next {
                Next::Bytes(message) => {
                    if self.open().is_err() {
                        return Poll::Ready(Outcome::Gone);
                    }
                    self.worker.metrics.message_sent(self.method, message.len());
                    self.sending = SendBuf::message(message);
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

    /// Ready when all that was given to `send` is with HTTP/2; pending while the client's window is closed.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if self.sending.has_remaining() {
            self.poll_send(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Begins to send; `poll_sent` goes on with it. For streams that do not use `outbound`.
    pub(crate) fn send(&mut self, data: SendBuf) -> Result<(), h2::Error> {
        debug_assert!(!self.sending.has_remaining(), "one after the other");
        self.open()?;
        self.sending = data;
        Ok(())
    }

    fn open(&mut self) -> Result<&mut SendStream<SendBuf>, h2::Error> {
        match &mut self.send {
            Some(send) => Ok(send),
            none => Ok(none.insert(
                self.respond
                    .send_response(status::head(&self.content_type), false)?,
            )),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(send) = self.send.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        send_some(send, &mut self.sending, cx)
    }

    /// Ends the call towards the client, once. What is still queued is dropped.
    pub(crate) fn finish(&mut self, end: &End) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.worker
            .metrics
            .handled(self.method, end.code, self.started, self.worker.now());
        // Errors below mean that the client is gone, which ends the call as well.
        let _gone = match self.send.as_mut() {
            Some(send) => send.send_trailers(end.headers()),
            None if end.code == 0 => match self.open() {
                Ok(send) => send.send_trailers(end.headers()),
                Err(gone) => Err(gone),
            },
            None => {
                let mut response = status::head(&self.content_type);
                response.headers_mut().extend(end.headers());
                self.respond.send_response(response, true).map(drop)
            }
        };
        self.outbound.close();
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        self.outbound.close();
        if !self.finished {
            self.worker.metrics.handled(
                self.method,
                error::CANCELED.code as u8,
                self.started,
                self.worker.now(),
            );
        }
    }
}

/// Sends as much of `sending` as the window allows; ready when all of it is with HTTP/2.
pub(crate) fn send_some(
    send: &mut SendStream<SendBuf>,
    sending: &mut SendBuf,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while sending.has_remaining() {
        send.reserve_capacity(sending.remaining());
        let mut capacity = send.capacity();
        if capacity == 0 {
            capacity = match ready!(send.poll_capacity(cx)) {
                Some(capacity) => capacity?,
                None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
            };
        }
        let part = sending.split_to(capacity.min(sending.remaining()));
        send.send_data(part, false)?;
    }
    Poll::Ready(Ok(()))
}
