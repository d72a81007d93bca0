//! HTTP/1.1 connections, through hyper: keep-alive, chunked bodies, Expect and the header timeout are its work.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Exchange, body_bytes_max};
use crate::conn::{ConnCtx, Stage};
use crate::limits::HTTP1_BUFFER_BYTES_MAX;
use crate::outbound::Next;
use crate::worker::Worker;

/// Serves an HTTP/1.1 connection to its end.
pub(crate) async fn serve<S>(worker: Rc<Worker>, conn: Rc<ConnCtx>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| {
        let (worker, conn) = (worker.clone(), conn.clone());
        async move { Ok::<_, Infallible>(answer(&worker, &conn, request).await) }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(worker.shared.config.patience.read_header)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut draining = false;
    // An error is the client's: what it broke off was told to the control plane when its exchange was dropped.
    let _broken = poll_fn(|cx| {
        worker.tick();
        conn.register(cx.waker());
        if conn.stage.get() == Stage::Draining && !draining {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
}

async fn answer(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let limit = body_bytes_max(worker);
    let (parts, body) = request.into_parts();
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(problem) if problem.is::<LengthLimitError>() => {
            return plain(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Err(_) => return plain(StatusCode::BAD_REQUEST),
    };
    let Some(mut exchange) = Exchange::start(worker, conn, &parts, body) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut head = poll_fn(|cx| exchange.outbound.poll_start(cx)).await;
    match head.whole.take() {
        Some(whole) => {
            exchange.complete();
            exchange.response(&head, Answer::Whole(whole))
        }
        None => {
            let mut response = exchange.response(&head, Answer::Whole(Bytes::new()));
            *response.body_mut() = Answer::Stream(exchange);
            response
        }
    }
}

fn plain(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The body of an answer.
enum Answer {
    Whole(Bytes),
    Stream(Exchange),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(whole) if whole.is_empty() => Poll::Ready(None),
            Self::Whole(whole) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(whole))))),
            Self::Stream(exchange) => exchange.outbound.poll_next(cx).map(|(next, drained)| {
                if drained {
                    exchange.drained();
                }
                match next {
                    Next::Bytes(chunk) => Some(Ok(Frame::data(chunk))),
                    Next::End(()) => {
                        exchange.complete();
                        None
                    }
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(whole) if whole.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => SizeHint::with_exact(whole.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
