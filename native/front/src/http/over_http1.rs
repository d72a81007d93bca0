//! HTTP/1.1 connections, through hyper: keep-alive, chunked bodies and the header timeout are its work. Answers look as
//! Go's net/http writes them.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::admit::{self, Refusal};
use super::exchange::Exchange;
use super::probe::{self, Probed};
use crate::conn::{ConnCtx, Stage};
use crate::limits::{BODY_DISCARDED_BYTES_MAX, HTTP1_BUFFER_BYTES_MAX, HTTP1_HEADERS_MAX};
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
        .max_headers(HTTP1_HEADERS_MAX)
        // A client that has said all it will still waits for its answer.
        .half_close(true)
        .title_case_headers(true)
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
    let (parts, body) = request.into_parts();
    if let Some(refusal) = admit::refusal(&parts) {
        return refused(refusal);
    }
    let (body, closes) = if reads_body(&conn.listener.role, parts.uri.path()) {
        match received(body, worker.shared.config.body_bytes_max()).await {
            Ok(body) => (body, false),
            Err(refusal) => return refused(refusal),
        }
    } else {
        // Nobody waits for a body that nobody reads; what is left of it cannot be told from the next request.
        let closes = admit::expects_continue(&parts) && !body.is_end_stream()
            || received(body, BODY_DISCARDED_BYTES_MAX).await.is_err();
        (Bytes::new(), closes)
    };
    let failed_read = match probe::answer(worker, conn, &parts).await {
        Probed::Answered(response) => {
            let mut response = response.map(Answer::Whole);
            dress(&mut response, closes);
            return response;
        }
        Probed::HandOver(failed_read) => failed_read,
    };
    let Some(mut exchange) = Exchange::start(worker, conn, &parts, body, failed_read) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut head = poll_fn(|cx| exchange.outbound.poll_start(cx)).await;
    let mut response = match head.whole.take() {
        Some(whole) => {
            exchange.complete();
            exchange.response(&head, Answer::Whole(whole))
        }
        None => {
            let mut response = exchange.response(&head, Answer::Whole(Bytes::new()));
            *response.body_mut() = Answer::Stream(exchange);
            response
        }
    };
    dress(&mut response, closes);
    response
}

/// Whether an endpoint looks at what it is sent. Of the others a client may wait for leave to send in vain.
fn reads_body(role: &str, path: &str) -> bool {
    match role {
        "client" => path.starts_with("/v3/"),
        "peer" => path == "/members/hashkv" || path.starts_with("/leases"),
        _ => false,
    }
}

/// A body of at most `limit` bytes.
async fn received(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let too_large = Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        why: "",
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(problem) if problem.is::<LengthLimitError>() => Err(too_large),
        Err(_) => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            why: "",
        }),
    }
}

/// The headers in Go's order: by name, and those of the transport behind them.
fn dress(response: &mut Response<Answer>, closes: bool) {
    let mut sorted: Vec<_> = response.headers().iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let mut headers: HeaderMap = sorted
        .into_iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let date = httpdate::fmt_http_date(SystemTime::now());
    headers.insert(DATE, header_value(&date));
    if let Some(length) = response.body().size_hint().exact() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    *response.headers_mut() = headers;
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a date and a status are visible ASCII")
}

fn plain(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The connection ends with it: what the client meant to say is not known.
fn refused(Refusal { status, why }: Refusal) -> Response<Answer> {
    let reason = format!("{}{why}", status.canonical_reason().unwrap_or_default());
    let text = match status {
        StatusCode::EXPECTATION_FAILED => String::new(),
        _ => format!("{} {reason}", status.as_u16()),
    };
    let mut response = Response::new(Answer::Whole(text.into()));
    *response.status_mut() = status;
    if status != StatusCode::EXPECTATION_FAILED {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
    }
    if let Ok(reason) = ReasonPhrase::try_from(reason) {
        response.extensions_mut().insert(reason);
    }
    dress(&mut response, true);
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
