//! Every HTTP/2 request comes in here: told apart, checked as etcd's interceptors do, its message received, and given to
//! whoever serves it.
//!
//! A unary request whose message has arrived with its headers goes on in the turn that read it, without a task of its
//! own.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, request};
use netcd_engine::error::{self, Code, EtcdError};

use crate::call::{Call, reply_error};
use crate::conn::{ActiveCall, ConnCtx};
use crate::grpc::buf::SendBuf;
use crate::grpc::deframe::{self, Deframer, Encoding};
use crate::grpc::head::{self, Head, NotGrpc};
use crate::grpc::methods::{self, MethodId, MethodKind, Route};
use crate::grpc::status;
use crate::grpc::stream::CallStream;
use crate::limits::GRPC_OVERHEAD_BYTES;
use crate::peer::PeerAcceptor;
use crate::worker::{Worker, spawn};
use crate::{handover, hot, http as web, lease, watch};

/// Largest gRPC message that is accepted.
pub(crate) fn message_bytes_max(worker: &Worker) -> usize {
    worker.shared.config.max_request_bytes + GRPC_OVERHEAD_BYTES
}

/// One HTTP/2 request.
pub(crate) fn accept(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    request: Request<RecvStream>,
    respond: SendResponse<SendBuf>,
    cx: &mut Context<'_>,
) {
    if conn.listener.role == "peer"
        && PeerAcceptor::takes(request.uri().path())
        && let Some(acceptor) = worker.shared.peers.get().cloned()
    {
        return spawn(async move { acceptor.serve(request, respond, SendBuf::raw).await });
    }
    let (parts, body) = request.into_parts();
    let http_here = conn.listener.http && (conn.tls || !conn.listener.grpc);
    if http_here && !(conn.listener.grpc && head::is_grpc(&parts.headers)) {
        return web::over_http2::serve(worker, conn, parts, body, respond);
    }
    let head = match Head::parse(&parts) {
        Ok(head) => head,
        Err(refused) => return refuse(respond, &refused),
    };
    let Some(method) = MethodId::find(parts.uri.path()) else {
        let error = EtcdError::new(Code::Unimplemented, methods::unknown(parts.uri.path()));
        return reply_error(respond, &head.content_type, &error);
    };
    worker.metrics.started(method);
    let call = Call {
        respond,
        method,
        content_type: head.content_type.clone(),
        started: worker.now(),
        timeout: head.timeout.map(|timeout| worker.now() + timeout),
        active: ActiveCall::new(worker, conn),
    };
    if let Err(error) = intercept(worker, method, &head) {
        return call.finish(worker, Err(error));
    }
    if call.timeout.is_some_and(|timeout| timeout <= worker.now()) {
        return call.finish(worker, Err(error::DEADLINE));
    }
    let encoding = head.encoding;
    if let Encoding::Unknown(name) = &encoding {
        return call.finish(worker, Err(deframe::unknown_encoding(name)));
    }
    match method.get().route {
        Route::Watch => watch::start(worker, call, body, encoding, head.needs_leader),
        Route::LeaseKeepAlive => {
            lease::keep_alive(worker, call, body, encoding, head.needs_leader);
        }
        Route::HandOver => hand_over(worker, call, &parts, body, encoding),
        _ => receive(worker, call, body, encoding, cx),
    }
}

fn refuse(mut respond: SendResponse<SendBuf>, refused: &NotGrpc) {
    // An error means that the client is gone.
    let _gone = respond.send_response(status::not_grpc(refused.status, &refused.error), true);
}

/// What etcd's interceptors check before any handler, in their order.
fn intercept(worker: &Worker, method: MethodId, head: &Head<'_>) -> Result<(), EtcdError> {
    let serving = worker.shared.serving();
    if !serving.capable {
        return Err(error::NOT_CAPABLE);
    }
    if serving.is_learner && !method.get().learner_serves() {
        return Err(error::LEARNER);
    }
    let version = match head.api_version.map(std::str::from_utf8) {
        None => "unknown",
        Some(Ok(version)) => version,
        Some(Err(_)) => return Err(error::INVALID_CLIENT_API_VERSION),
    };
    worker
        .metrics
        .client_request(version, method.get().kind == MethodKind::Unary);
    if head.needs_leader && !serving.has_leader {
        return Err(error::NO_LEADER);
    }
    Ok(())
}

fn hand_over(
    worker: &Rc<Worker>,
    call: Call,
    parts: &request::Parts,
    body: RecvStream,
    encoding: Encoding,
) {
    let metadata = match head::metadata(parts) {
        Ok(metadata) => metadata,
        Err(refused) => {
            worker.metrics.handled(
                call.method,
                refused.error.code as u8,
                call.started,
                worker.now(),
            );
            return refuse(call.respond, &refused);
        }
    };
    let (conn, deadline) = (call.active.conn.clone(), call.timeout);
    let stream = CallStream::new(worker, call, body, encoding);
    handover::start(stream, &conn, metadata, deadline);
}

/// Takes the one message of a call: in this turn if it is there, else in a task that waits for it.
fn receive(
    worker: &Rc<Worker>,
    call: Call,
    mut body: RecvStream,
    encoding: Encoding,
    cx: &mut Context<'_>,
) {
    let bytes_max = message_bytes_max(worker);
    let mut deframer = Deframer::new(bytes_max, encoding);
    if let Poll::Ready(Some(Ok(data))) = body.poll_data(cx) {
        // The stream may be closed already; then there is no window left to open.
        let _closed = body.flow_control().release_capacity(data.len());
        match deframe::whole_message(data, bytes_max) {
            Ok(message) => return hot::serve(worker, call, message),
            Err(part) => deframer.push(part),
        }
    }
    let worker = worker.clone();
    spawn(async move {
        let received = receive_rest(&mut body, &mut deframer, call.timeout).await;
        worker.tick();
        match received {
            Ok(message) => hot::serve(&worker, call, message),
            Err(error) => call.finish(&worker, Err(error)),
        }
    });
}

async fn receive_rest(
    body: &mut RecvStream,
    deframer: &mut Deframer,
    timeout: Option<Instant>,
) -> Result<Bytes, EtcdError> {
    let receive = async {
        loop {
            if let Some(message) = deframer.next_message()? {
                return Ok(message);
            }
            match body.data().await {
                Some(Ok(data)) => {
                    let _closed = body.flow_control().release_capacity(data.len());
                    deframer.push(data);
                }
                Some(Err(_)) => return Err(error::CANCELED),
                // grpc-go's texts for a request that ends inside a message, and for one without a message.
                None if deframer.is_inside_message() => {
                    return Err(EtcdError::new(Code::Unknown, "unexpected EOF"));
                }
                None => return Err(EtcdError::new(Code::Unknown, "EOF")),
            }
        }
    };
    match timeout {
        None => receive.await,
        Some(at) => tokio::time::timeout_at(at.into(), receive)
            .await
            .unwrap_or(Err(error::DEADLINE)),
    }
}
