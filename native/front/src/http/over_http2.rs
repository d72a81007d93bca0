//! HTTP/2 requests that are no gRPC calls.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Response, StatusCode, request};

use super::{Exchange, Head, body_bytes_max};
use crate::conn::ConnCtx;
use crate::grpc::buf::SendBuf;
use crate::grpc::stream::send_some;
use crate::outbound::Next;
use crate::worker::{Worker, spawn};

/// Serves one request in a task of its own.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    parts: request::Parts,
    body: RecvStream,
    respond: SendResponse<SendBuf>,
) {
    let (worker, conn) = (worker.clone(), conn.clone());
    spawn(async move {
        // An error means that the client is gone; the exchange has told the control plane.
        let _gone = run(&worker, &conn, parts, body, respond).await;
    });
}

async fn run(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    parts: request::Parts,
    body: RecvStream,
    mut respond: SendResponse<SendBuf>,
) -> Result<(), h2::Error> {
    let Some(body) = collect(body, body_bytes_max(worker)).await? else {
        return refuse(&mut respond, StatusCode::PAYLOAD_TOO_LARGE);
    };
    let Some(mut exchange) = Exchange::start(worker, conn, &parts, body) else {
        return refuse(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
    };
    let head = poll_fn(|cx| poll_head(&exchange, &mut respond, cx)).await?;
    let mut send = respond.send_response(exchange.response(&head, ()), false)?;
    if let Some(whole) = head.whole {
        exchange.complete();
        let mut sending = SendBuf::raw(whole);
        poll_fn(|cx| poll_sending(&mut send, &mut sending, cx)).await?;
    } else {
        stream(&mut exchange, &mut send).await?;
    }
    send.send_data(SendBuf::raw(Bytes::new()), true)
}

/// The body, None if it is above the limit.
async fn collect(mut body: RecvStream, limit: usize) -> Result<Option<Bytes>, h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if whole.len() + data.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(Some(whole.freeze()))
}

fn refuse(respond: &mut SendResponse<SendBuf>, status: StatusCode) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    respond.send_response(response, true).map(drop)
}

fn poll_head(
    exchange: &Exchange,
    respond: &mut SendResponse<SendBuf>,
    cx: &mut Context<'_>,
) -> Poll<Result<Head, h2::Error>> {
    if let Poll::Ready(reason) = respond.poll_reset(cx) {
        return Poll::Ready(Err(reason?.into()));
    }
    exchange.outbound.poll_start(cx).map(Ok)
}

fn poll_sending(
    send: &mut SendStream<SendBuf>,
    sending: &mut SendBuf,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    if let Poll::Ready(reason) = send.poll_reset(cx) {
        return Poll::Ready(Err(reason?.into()));
    }
    send_some(send, sending, cx)
}

async fn stream(exchange: &mut Exchange, send: &mut SendStream<SendBuf>) -> Result<(), h2::Error> {
    let mut sending = SendBuf::raw(Bytes::new());
    poll_fn(|cx| {
        loop {
            ready!(poll_sending(send, &mut sending, cx))?;
            debug_assert!(!sending.has_remaining());
            let (next, drained) = ready!(exchange.outbound.poll_next(cx));
            if drained {
                exchange.drained();
            }
            match next {
                Next::Bytes(chunk) => sending = SendBuf::raw(chunk),
                Next::End(()) => {
                    exchange.complete();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    })
    .await
}
