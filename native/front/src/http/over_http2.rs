//! HTTP/2 requests that are no gRPC calls.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use netcd_http2::{Body, Gone, HeaderBlock, Responder, SendBuf};

use super::exchange::Exchange;
use super::head::Head;
use super::probe::{self, Probed};
use crate::conn::ConnCtx;
use crate::grpc::head::RequestHead;
use crate::outbound::Next;
use crate::worker::{Worker, spawn};

/// Serves one request in a task of its own.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    request: Rc<RequestHead>,
    body: Body,
    respond: Responder,
) {
    let (worker, conn) = (worker.clone(), conn.clone());
    spawn(async move {
        // An error means that the client is gone; the exchange has told the control plane.
        let _gone = run(&worker, &conn, &request, body, respond).await;
    });
}

async fn run(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    request: &RequestHead,
    body: Body,
    mut respond: Responder,
) -> Result<(), Gone> {
    let Some(body) = collect(body, worker.shared.config.body_bytes_max()).await? else {
        return refuse(&mut respond, StatusCode::PAYLOAD_TOO_LARGE);
    };
    // The control plane gets a copy of the headers.
    let _held = request.held();
    let parts = request.to_parts();
    let failed_read = match probe::answer(worker, conn, &parts).await {
        Probed::Answered(response) => {
            let (head, body) = response.into_parts();
            let head = Response::from_parts(head, ());
            respond.respond(&block(&head), false)?;
            return send_whole(&mut respond, body).await;
        }
        Probed::HandOver(failed_read) => failed_read,
    };
    let Some(mut exchange) = Exchange::start(worker, conn, &parts, body, failed_read) else {
        return refuse(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
    };
    let head = poll_fn(|cx| poll_head(&exchange, &mut respond, cx)).await?;
    respond.respond(&block(&exchange.response(&head, ())), false)?;
    if let Some(whole) = head.whole {
        exchange.complete();
        return send_whole(&mut respond, whole).await;
    }
    stream(&mut exchange, &mut respond).await?;
    respond.send_data(SendBuf::raw(Bytes::new()), true)
}

async fn send_whole(respond: &mut Responder, body: Bytes) -> Result<(), Gone> {
    respond.send_data(SendBuf::raw(body), false)?;
    poll_fn(|cx| respond.poll_sent(0, cx)).await?;
    respond.send_data(SendBuf::raw(Bytes::new()), true)
}

/// The body, None if it is above the limit.
async fn collect(mut body: Body, limit: usize) -> Result<Option<Bytes>, Gone> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if whole.len() + data.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
        body.release(data.len());
    }
    Ok(Some(whole.freeze()))
}

fn refuse(respond: &mut Responder, status: StatusCode) -> Result<(), Gone> {
    respond.respond(&HeaderBlock::status(status), true)
}

fn block(response: &Response<()>) -> HeaderBlock {
    HeaderBlock::response(response.status(), response.headers())
}

fn poll_head(
    exchange: &Exchange,
    respond: &mut Responder,
    cx: &mut Context<'_>,
) -> Poll<Result<Head, Gone>> {
    if respond.poll_gone(cx).is_ready() {
        return Poll::Ready(Err(Gone));
    }
    exchange.outbound.poll_start(cx).map(Ok)
}

async fn stream(exchange: &mut Exchange, respond: &mut Responder) -> Result<(), Gone> {
    poll_fn(|cx| {
        loop {
            ready!(respond.poll_sent(0, cx))?;
            if respond.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Gone));
            }
            let (next, drained) = ready!(exchange.outbound.poll_next(cx));
            if drained {
                exchange.drained();
            }
            match next {
                Next::Bytes(chunk) => respond.send_data(SendBuf::raw(chunk), false)?,
                Next::End(()) => {
                    exchange.complete();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    })
    .await
}
