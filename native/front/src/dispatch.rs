//! Every HTTP/2 request comes in here: told apart, checked as etcd's interceptors do, its message received, and given to
//! whoever serves it.
//!
//! A unary request whose message has arrived with its headers goes on in the turn that read it, without a task of its
//! own.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::{self, Code, EtcdError};
use netcd_http2::{Body, Responder};

use crate::audit::Noted;
use crate::call::{ActiveCall, Call, reply_error};
use crate::caller::Claim;
use crate::conn::ConnCtx;
use crate::conn::driver::Request;
use crate::grpc::deframe::{self, Deframer, Encoding};
use crate::grpc::head::{self, GrpcRequest, Head, NotGrpc, RequestHead};
use crate::grpc::methods::{self, MethodId, MethodKind, Route};
use crate::grpc::status;
use crate::grpc::stream::CallStream;
use crate::peer::PeerAcceptor;
use crate::worker::{Worker, spawn};
use crate::{audited, handover, hot, http as web, lease, watch};

/// One HTTP/2 request.
pub(crate) fn accept(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    (request, body, respond): Request,
    cx: &mut Context<'_>,
) {
    if conn.listener.is_for_peers()
        && PeerAcceptor::takes(request.path())
        && let Some(acceptor) = worker.shared.peers.get().cloned()
    {
        return spawn(async move { acceptor.serve(&request, body, respond).await });
    }
    let http_here = conn.listener.http && (conn.is_tls() || !conn.listener.grpc);
    if http_here && !(conn.listener.grpc && head::is_grpc(&request.parts.headers)) {
        return web::over_http2::serve(worker, conn, request, body, respond);
    }
    let grpc = request.memo(GrpcRequest::parse);
    let head = match &grpc.head {
        Ok(head) => head,
        Err(refused) => return refuse(respond, refused),
    };
    let Some(method) = grpc.method else {
        let error = EtcdError::new(Code::Unimplemented, methods::unknown(request.path()));
        return reply_error(respond, &head.content_type, &error);
    };
    worker.metrics.started(method);
    let call = Call {
        respond,
        method,
        content_type: head.content_type.clone(),
        started: worker.now(),
        timeout: head.timeout.map(|timeout| worker.now() + timeout),
        claim: Claim::new(&request, head, conn),
        looked_again: false,
        unproven: None,
        noted: Noted::Not,
        active: ActiveCall::new(&worker.calls, conn),
    };
    if let Err(error) = intercept(worker, method, head) {
        return call.finish(worker, Err(error));
    }
    if call.timeout.is_some_and(|timeout| timeout <= worker.now()) {
        return call.finish(worker, Err(error::DEADLINE));
    }
    let encoding = head.encoding.clone();
    if let Encoding::Unknown(name) = &encoding {
        return call.finish(worker, Err(deframe::unknown_encoding(name)));
    }
    let needs_leader = head.needs_leader;
    let arrived = Arrived {
        call,
        request,
        body,
        encoding,
        needs_leader,
    };
    if audited::has_room(worker, method) {
        arrived.serve(worker, cx);
    } else {
        spawn(wait_for_room(worker.clone(), arrived));
    }
}

/// A call that is to be served.
struct Arrived {
    call: Call,
    request: Rc<RequestHead>,
    body: Body,
    encoding: Encoding,
    needs_leader: bool,
}

impl Arrived {
    fn serve(self, worker: &Rc<Worker>, cx: &mut Context<'_>) {
        let Self {
            call,
            request,
            body,
            encoding,
            needs_leader,
        } = self;
        match call.method.get().route {
            Route::Watch => watch::start(worker, call, body, encoding, needs_leader),
            Route::LeaseKeepAlive => lease::keep_alive(worker, call, body, encoding, needs_leader),
            Route::HandOver => hand_over(worker, call, &request, body, encoding),
            _ => receive(worker, call, body, encoding, cx),
        }
    }
}

/// Serves a call when the audit log has room for it. Nothing of its body is read before, so that its client can send no
/// more than the window of its stream.
async fn wait_for_room(worker: Rc<Worker>, mut arrived: Arrived) {
    let waited = audited::wait_for_room(&worker, &mut arrived.call).await;
    worker.tick();
    if let Err(error) = waited {
        return arrived.call.finish(&worker, Err(error));
    }
    let mut arrived = Some(arrived);
    poll_fn(|cx| {
        if let Some(arrived) = arrived.take() {
            arrived.serve(&worker, cx);
        }
        Poll::Ready(())
    })
    .await;
}

fn refuse(mut respond: Responder, refused: &NotGrpc) {
    // An error means that the client is gone.
    let _gone = respond.respond(&status::not_grpc(refused.status, &refused.error), true);
}

/// What etcd's interceptors check before any handler, in their order.
fn intercept(worker: &Worker, method: MethodId, head: &Head) -> Result<(), EtcdError> {
    let serving = worker.shared.serving();
    if serving.is_learner && !method.get().learner_serves() {
        return Err(error::LEARNER);
    }
    let version = head
        .api_version
        .as_ref()
        .map(|version| std::str::from_utf8(version.as_bytes()));
    let version = match version {
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
    request: &RequestHead,
    body: Body,
    encoding: Encoding,
) {
    let metadata = match head::metadata(request) {
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
    handover::start(stream, &conn, metadata, request.held(), deadline);
}

/// Takes the one message of a call: in this turn if it is there, else in a task that waits for it.
fn receive(
    worker: &Rc<Worker>,
    call: Call,
    mut body: Body,
    encoding: Encoding,
    cx: &mut Context<'_>,
) {
    let bytes_max = worker.shared.config.message_bytes_max();
    let mut deframer = Deframer::new(bytes_max, encoding);
    if let Poll::Ready(Some(Ok(data))) = body.poll_data(cx) {
        body.release(data.len());
        match deframe::whole_message(data, bytes_max) {
            Ok(message) => return hot::serve(worker, call, message),
            Err(part) => deframer.push(part),
        }
    }
    let worker = worker.clone();
    spawn(async move {
        let mut call = call;
        let received = receive_rest(&mut body, &mut deframer, call.timeout).await;
        worker.tick();
        // How long its client took to send it is not the call's time.
        call.started = worker.now();
        match received {
            Ok(message) => hot::serve(&worker, call, message),
            Err(error) => call.finish(&worker, Err(error)),
        }
    });
}

async fn receive_rest(
    body: &mut Body,
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
                    body.release(data.len());
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
