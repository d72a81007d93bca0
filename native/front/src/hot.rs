//! The calls of the KV service, LeaseGrant and LeaseRevoke: decoded, validated, and given to the engine. The answer is written when it is there: at
//! once, or when a completion names the call's token.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use netcd_engine::error::{self, EtcdError};
use netcd_engine::mvcc::validate;
use netcd_engine::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    TxnRequest, request_op,
};
use netcd_engine::types::{OpKind, OpResult};
use prost::Message;

use crate::backend::{RangeAnswer, ReadBarrier, ReadKind};
use crate::call::Call;
use crate::grpc::decode::{decode, decode_txn};
use crate::grpc::methods::Route;
use crate::limits::{INLINE_RANGE_KEYS_MAX, SEND_BYTES_MAX, UNSENT_PER_CONNECTION_MAX};
use crate::slots::Work;
use crate::stats::{self, Asked, Came};
use crate::worker::{Worker, spawn};
use crate::{lease, send};

/// Serves a KV call whose message is there.
pub(crate) fn serve(worker: &Rc<Worker>, call: Call, message: Bytes) {
    worker.metrics.message_received(call.method, message.len());
    let max_ops = worker.shared.config.max_txn_ops;
    let method = call.method;
    match method.get().route {
        Route::Range => {
            match decode(method, &message).and_then(|(request, _)| checked_range(worker, request)) {
                Ok(request) => read(worker, call, request.serializable, Work::Range(request)),
                Err(error) => refuse(worker, call, &message, error),
            }
        }
        Route::RangeStream => {
            match decode(method, &message).and_then(|(request, _)| checked_range_stream(request)) {
                Ok(request) => read(
                    worker,
                    call,
                    request.serializable,
                    Work::RangeStream(request),
                ),
                Err(error) => call.finish(worker, Err(error)),
            }
        }
        Route::Put => write::<PutRequest>(worker, call, OpKind::Put, message, validate::check_put),
        Route::DeleteRange => {
            write::<DeleteRangeRequest>(
                worker,
                call,
                OpKind::DeleteRange,
                message,
                validate::check_delete_range,
            );
        }
        Route::Compact => match decode(method, &message).and_then(checked_compaction) {
            Ok((request, message)) => {
                let work = if request.physical {
                    Work::PhysicalCompaction(request.revision)
                } else {
                    Work::Write
                };
                submit(worker, call, OpKind::Compact, message, work);
            }
            Err(error) => call.finish(worker, Err(error)),
        },
        Route::Txn => match decode_txn(method, &message).and_then(|(request, message)| {
            validate::check_txn(&request, max_ops).map(|()| (request, message))
        }) {
            Ok((request, _)) if validate::is_read_only(&request) => {
                read(
                    worker,
                    call,
                    validate::is_serializable(&request),
                    Work::Txn(request),
                );
            }
            Ok((_, message)) => submit(worker, call, OpKind::Txn, message, Work::Write),
            Err(error) => refuse(worker, call, &message, error),
        },
        Route::LeaseGrant => match decode(method, &message) {
            Ok((request, _)) => {
                let request = lease::grant(&worker.shared, request);
                submit(worker, call, OpKind::LeaseGrant, request, Work::Write);
            }
            Err(error) => call.finish(worker, Err(error)),
        },
        Route::LeaseRevoke => {
            write::<LeaseRevokeRequest>(worker, call, OpKind::LeaseRevoke, message, |_| Ok(()));
        }
        Route::Watch | Route::LeaseKeepAlive | Route::HandOver => {
            call.finish(worker, Err(error::NOT_CAPABLE))
        }
    }
}

fn checked_range(worker: &Worker, request: RangeRequest) -> Result<RangeRequest, EtcdError> {
    if !request.serializable && worker.shared.serving().is_learner {
        return Err(error::LEARNER);
    }
    validate::check_range(&request).map(|()| request)
}

fn checked_range_stream(request: RangeRequest) -> Result<RangeRequest, EtcdError> {
    validate::check_range_stream(&request).map(|()| request)
}

fn checked_compaction(
    (request, message): (CompactionRequest, Bytes),
) -> Result<(CompactionRequest, Bytes), EtcdError> {
    validate::check_compaction(&request).map(|()| (request, message))
}

fn write<T: Message + Default>(
    worker: &Rc<Worker>,
    call: Call,
    kind: OpKind,
    message: Bytes,
    check: impl FnOnce(&T) -> Result<(), EtcdError>,
) {
    let decoded = decode(call.method, &message);
    match decoded.and_then(|(request, message)| check(&request).map(|()| message)) {
        Ok(message) => submit(worker, call, kind, message, Work::Write),
        Err(error) => refuse(worker, call, &message, error),
    }
}

fn refuse(worker: &Rc<Worker>, call: Call, message: &Bytes, error: EtcdError) {
    call.finish_asked(worker, Err(error), Asked::Encoded(message));
}

/// Bytes that etcd's raft envelope (InternalRaftRequest with its header) adds to a request of `bytes`.
fn envelope_bytes(bytes: usize) -> usize {
    const HEADER_BYTES: usize = 13;
    let length_digits = (usize::BITS - (bytes | 1).leading_zeros()).div_ceil(7) as usize;
    HEADER_BYTES + 1 + length_digits
}

fn submit(worker: &Rc<Worker>, call: Call, kind: OpKind, message: Bytes, work: Work) {
    let bytes = message.len() + envelope_bytes(message.len());
    if bytes > worker.shared.config.max_request_bytes {
        return refuse(worker, call, &message, error::REQUEST_TOO_LARGE);
    }
    if worker.slots.borrow().is_full() {
        return refuse(worker, call, &message, error::TOO_MANY_REQUESTS);
    }
    let token = worker.slots.borrow().next_token();
    match worker.shared.backend.submit(kind, &message, token) {
        Ok(()) => worker.wait(call, work),
        Err(error) => refuse(worker, call, &message, error),
    }
}

fn read(worker: &Rc<Worker>, call: Call, serializable: bool, work: Work) {
    if call.active.conn.unsent() > UNSENT_PER_CONNECTION_MAX {
        return fail_read(worker, call, &work, error::TOO_MANY_REQUESTS);
    }
    if serializable {
        return serve_read(worker, call, work);
    }
    if worker.slots.borrow().is_full() {
        return fail_read(worker, call, &work, error::TOO_MANY_REQUESTS);
    }
    let token = worker.slots.borrow().next_token();
    match worker.shared.backend.read_barrier(token) {
        Ok(ReadBarrier::Now) => serve_read(worker, call, work),
        Ok(ReadBarrier::Wait) => worker.wait(call, work),
        Err(error) => fail_read(worker, call, &work, error),
    }
}

/// Answers a read that was not served.
pub(crate) fn fail_read(worker: &Rc<Worker>, call: Call, work: &Work, error: EtcdError) {
    match work {
        Work::Range(request) => answer_range(worker, call, request, Err(error)),
        Work::Txn(request) => answer_txn(worker, call, request, Err(error)),
        _ => call.finish(worker, Err(error)),
    }
}

/// True if a range may take long: it goes to a reader thread then, so that it holds up no other client.
fn is_large(request: &RangeRequest) -> bool {
    let unlimited = request.limit <= 0 || request.limit > INLINE_RANGE_KEYS_MAX;
    let reads_all = request.sort_order != 0
        || request.sort_target != 0
        || request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    !request.range_end.is_empty() && (reads_all || (unlimited && !request.count_only))
}

fn is_large_txn(request: &TxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .any(|op| match &op.request {
            Some(request_op::Request::RequestRange(range)) => is_large(range),
            _ => false,
        })
}

/// Serves a read whose barrier is passed.
pub(crate) fn serve_read(worker: &Rc<Worker>, call: Call, work: Work) {
    let backend = &worker.shared.backend;
    match work {
        Work::Range(request) if is_large(&request) => {
            let backend = backend.clone();
            let (request, read) = shared(request);
            send::on_reader(
                worker,
                call,
                move || backend.range(&read),
                move |worker, call, answer| answer_range(worker, call, &request, answer),
            );
        }
        Work::Range(request) => answer_range(worker, call, &request, backend.range(&request)),
        Work::RangeStream(request) => {
            let backend = backend.clone();
            send::on_reader(
                worker,
                call,
                move || backend.range_stream(&request),
                |worker, call, answer| match answer {
                    Ok(messages) => spawn(send::messages(worker.clone(), call, messages)),
                    Err(error) => call.finish(worker, Err(error)),
                },
            );
        }
        Work::Txn(request) if is_large_txn(&request) => {
            let backend = backend.clone();
            let (request, read) = shared(request);
            send::on_reader(
                worker,
                call,
                move || backend.read_txn(&read),
                move |worker, call, answer| answer_txn(worker, call, &request, answer),
            );
        }
        Work::Txn(request) => answer_txn(worker, call, &request, backend.read_txn(&request)),
        Work::Write | Work::SlowWrite(_) | Work::PhysicalCompaction(_) => {
            debug_assert!(false, "a write is answered by its completion");
        }
    }
}

/// Two holders of one request: who reads, and who knows what was asked for when that has ended.
fn shared<T>(request: T) -> (Arc<T>, Arc<T>) {
    let request = Arc::new(request);
    (request.clone(), request)
}

fn answer_txn(worker: &Rc<Worker>, call: Call, request: &TxnRequest, answer: OpResult) {
    let asked = Asked::Txn(request);
    answered(worker, &call, ReadKind::Txn, asked, Came::of(&answer));
    call.finish_asked(worker, answer, asked);
}

/// Counts a read; one that took long is logged.
fn answered(worker: &Worker, call: &Call, kind: ReadKind, asked: Asked<'_>, came: Came<'_>) {
    let took = call.started.elapsed();
    let success = !matches!(came, Came::Error(_));
    if worker.shared.backend.read_answered(kind, success, took) {
        stats::slow_read(worker, kind, took, (asked, came));
    }
    if took > worker.shared.config.slow_request {
        // It was read in this turn, whose time is that of its beginning.
        worker.tick();
    }
}

fn answer_range(
    worker: &Rc<Worker>,
    call: Call,
    request: &RangeRequest,
    answer: Result<RangeAnswer, EtcdError>,
) {
    let (asked, came) = (Asked::Range(request), Came::of_range(&answer));
    answered(worker, &call, ReadKind::Range, asked, came);
    match answer {
        Ok(RangeAnswer::Whole(bytes)) => call.finish_asked(worker, Ok(bytes), asked),
        Ok(RangeAnswer::Chunked {
            bytes,
            kvs,
            count,
            chunks,
        }) => {
            // One that is too large to send is logged as the error that its client gets.
            if bytes <= SEND_BYTES_MAX {
                call.log(worker, asked, Came::Chunks { bytes, kvs, count });
            }
            spawn(send::chunks(worker.clone(), call, bytes, chunks));
        }
        Err(error) => call.finish_asked(worker, Err(error), asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_grows_with_the_length() {
        assert_eq!(envelope_bytes(0), 15);
        assert_eq!(envelope_bytes(127), 15);
        assert_eq!(envelope_bytes(128), 16);
        assert_eq!(envelope_bytes(1 << 20), 17);
    }

    #[test]
    fn large_ranges_are_known_from_the_request() {
        let all = RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            ..Default::default()
        };
        assert!(is_large(&all));
        assert!(!is_large(&RangeRequest {
            key: "a".into(),
            ..Default::default()
        }));
        assert!(!is_large(&RangeRequest {
            limit: 500,
            ..all.clone()
        }));
        assert!(!is_large(&RangeRequest {
            count_only: true,
            ..all.clone()
        }));
        assert!(is_large(&RangeRequest {
            limit: 500,
            sort_order: 2,
            ..all.clone()
        }));
        assert!(is_large(&RangeRequest {
            limit: 500,
            min_mod_revision: 3,
            ..all
        }));
    }
}
