//! Unary calls in the log: etcd's line `request stats` for those that took longer than `--warning-unary-request-duration`
//! (for all at the level debug), and what the engine's line about a slow read says. Nothing here is done for other calls.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use netcd_engine::describe;
use netcd_engine::error::EtcdError;
use netcd_engine::pipeline::{ReadKind, SlowRead};
use netcd_engine::proto::etcdserverpb::response_op::Response;
use netcd_engine::proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, RangeRequest, RangeResponse, TxnRequest,
    TxnResponse,
};
use prost::{DecodeError, Message};

use crate::backend::RangeAnswer;
use crate::conn::ConnCtx;
use crate::events::{FrontEvent, RequestStats};
use crate::grpc::methods::{MethodId, MethodKind, Route};
use crate::shared::Shared;
use crate::slots::Work;

/// What a call asked for, as far as it is known where the call ends.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Unknown,
    Encoded(&'a Bytes),
    Range(&'a RangeRequest),
    Txn(&'a TxnRequest),
}

impl<'a> Asked<'a> {
    /// Of a call that waited.
    pub(crate) fn of(work: &'a Work) -> Self {
        match work {
            Work::Range(request) | Work::RangeStream(request) => Self::Range(request),
            Work::Txn(request) => Self::Txn(request),
            Work::SlowWrite(request) => Self::Encoded(request),
            Work::Write | Work::PhysicalCompaction(_) => Self::Unknown,
        }
    }
}

/// What came of a call.
#[derive(Clone, Copy)]
pub(crate) enum Came<'a> {
    Message(&'a Bytes),
    /// A range that is too large to be held in memory.
    Chunks {
        bytes: u64,
        kvs: u64,
        count: u64,
    },
    Error(&'a EtcdError),
}

impl<'a> Came<'a> {
    pub(crate) fn of(result: &'a Result<Bytes, EtcdError>) -> Self {
        match result {
            Ok(message) => Self::Message(message),
            Err(error) => Self::Error(error),
        }
    }

    pub(crate) fn of_range(answer: &'a Result<RangeAnswer, EtcdError>) -> Self {
        match answer {
            Ok(RangeAnswer::Whole(message)) => Self::Message(message),
            Ok(RangeAnswer::Chunked {
                bytes, kvs, count, ..
            }) => Self::Chunks {
                bytes: *bytes,
                kvs: *kvs,
                count: *count,
            },
            Err(error) => Self::Error(error),
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Message(message) => message.len() as u64,
            Self::Chunks { bytes, .. } => bytes,
            Self::Error(_) => 0,
        }
    }

    /// The answer of a kind whose count stands in it.
    fn decode<T: Message + Default>(self) -> Result<T, DecodeError> {
        match self {
            Self::Message(message) => T::decode(message.clone()),
            Self::Chunks { .. } | Self::Error(_) => Ok(T::default()),
        }
    }

    fn range_count(self) -> Result<i64, DecodeError> {
        match self {
            Self::Chunks { count, .. } => Ok(count as i64),
            other => other.decode::<RangeResponse>().map(|answer| answer.count),
        }
    }
}

/// The figures of a call, as etcd counts them: -1 where it does not.
struct Figures {
    request_count: i64,
    request_bytes: i64,
    response_count: i64,
    response_bytes: i64,
    content: String,
}

const UNCOUNTED: Figures = Figures {
    request_count: -1,
    request_bytes: -1,
    response_count: -1,
    response_bytes: -1,
    content: String::new(),
};

fn figures(route: Route, asked: Asked<'_>, came: Came<'_>) -> Result<Figures, DecodeError> {
    let response_bytes = came.bytes() as i64;
    let counted = |request_count, request_bytes: usize, response_count, content| Figures {
        request_count,
        request_bytes: request_bytes as i64,
        response_count,
        response_bytes,
        content,
    };
    Ok(match (route, asked) {
        (Route::Range, Asked::Encoded(request)) => {
            let request = RangeRequest::decode(request.clone())?;
            figures(route, Asked::Range(&request), came)?
        }
        (Route::Range, Asked::Range(request)) => {
            let content = describe::range(request);
            counted(0, request.encoded_len(), came.range_count()?, content)
        }
        (Route::Put, Asked::Encoded(request)) => {
            let content = describe::put(&PutRequest::decode(request.clone())?);
            counted(1, request.len(), 0, content)
        }
        (Route::DeleteRange, Asked::Encoded(request)) => {
            let content = describe::delete_range(&DeleteRangeRequest::decode(request.clone())?);
            let deleted = came.decode::<DeleteRangeResponse>()?.deleted;
            counted(0, request.len(), deleted, content)
        }
        (Route::Txn, Asked::Encoded(request)) => {
            let request = TxnRequest::decode(request.clone())?;
            figures(route, Asked::Txn(&request), came)?
        }
        // etcd says nothing of a txn that failed.
        (Route::Txn, Asked::Txn(_)) if matches!(came, Came::Error(_)) => {
            counted(0, 0, 0, String::new())
        }
        (Route::Txn, Asked::Txn(request)) => {
            let taken = match came.decode::<TxnResponse>()?.succeeded {
                true => &request.success,
                false => &request.failure,
            };
            let bytes = taken.iter().map(Message::encoded_len).sum();
            counted(taken.len() as i64, bytes, 0, describe::txn(request))
        }
        _ => UNCOUNTED,
    })
}

/// Logs a unary call that ends now, if it took long or every call is logged.
pub(crate) fn ended(
    shared: &Shared,
    conn: &ConnCtx,
    method: MethodId,
    took: Duration,
    (asked, came): (Asked<'_>, Came<'_>),
) {
    let config = &shared.config;
    if took <= config.slow_request && !config.log_requests {
        return;
    }
    let method = method.get();
    if method.kind != MethodKind::Unary {
        return;
    }
    // What cannot be read was refused, and there is nothing to count.
    let figures = figures(method.route, asked, came).unwrap_or(UNCOUNTED);
    let start = SystemTime::now() - took;
    shared
        .events
        .emit(FrontEvent::RequestStats(Box::new(RequestStats {
            // As etcd: who logs every call finds the slow ones by their time.
            warn: !config.log_requests,
            start,
            took,
            peer: conn.peer.clone(),
            path: method.path,
            request_count: figures.request_count,
            request_bytes: figures.request_bytes,
            response_count: figures.response_count,
            response_bytes: figures.response_bytes,
            content: figures.content,
        })));
}

/// Tells the engine of a read that took longer than `--warning-apply-duration`.
pub(crate) fn slow_read(
    shared: &Shared,
    kind: ReadKind,
    took: Duration,
    (asked, came): (Asked<'_>, Came<'_>),
) {
    let request = match asked {
        Asked::Range(request) => describe::range(request),
        Asked::Txn(request) => describe::txn(request),
        Asked::Encoded(_) | Asked::Unknown => String::new(),
    };
    let error = match came {
        Came::Error(error) => Some(error),
        Came::Message(_) | Came::Chunks { .. } => None,
    };
    let slow = SlowRead {
        kind,
        request,
        response: read_response(kind, came).unwrap_or_default(),
        error,
    };
    shared.backend.slow_read(took, slow);
}

fn read_response(kind: ReadKind, came: Came<'_>) -> Result<String, DecodeError> {
    let bytes = came.bytes();
    Ok(match (came, kind) {
        (Came::Error(_), _) => String::new(),
        (Came::Chunks { kvs, .. }, _) => format!("range_response_count:{kvs} size:{bytes}"),
        (Came::Message(_), ReadKind::Range) => {
            let kvs = came.decode::<RangeResponse>()?.kvs.len();
            format!("range_response_count:{kvs} size:{bytes}")
        }
        (Came::Message(_), ReadKind::Txn) => {
            let responses = came.decode::<TxnResponse>()?.responses;
            let counts = responses.iter().filter_map(|it| match &it.response {
                Some(Response::ResponseRange(range)) => {
                    Some(format!("range_response_count:{}", range.kvs.len()))
                }
                _ => None,
            });
            let counts = counts.collect::<Vec<_>>().join(" ");
            format!("responses:<{counts}> size:{bytes}")
        }
    })
}
