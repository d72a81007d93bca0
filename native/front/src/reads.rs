//! Reads whose barrier is passed: served in this turn, or on a reader thread if that may take long. The engine looks
//! whether the caller may see what it asks for.

use std::rc::Rc;
use std::sync::Arc;

use netcd_engine::auth::Caller;
use netcd_engine::error::EtcdError;
use netcd_engine::proto::etcdserverpb::{RangeRequest, TxnRequest, request_op};
use netcd_engine::types::OpResult;

use crate::audit::Tells;
use crate::backend::{Backend, RangeAnswer, ReadKind};
use crate::call::Call;
use crate::caller::Asker;
use crate::limits::{INLINE_RANGE_KEYS_MAX, SEND_BYTES_MAX};
use crate::read_ahead::on_reader;
use crate::send;
use crate::slots::Work;
use crate::stats::{self, Asked, Came};
use crate::worker::{Worker, spawn};

/// Answers a read that was not served.
pub(crate) fn fail_read(worker: &Rc<Worker>, call: Call, work: &Work, error: EtcdError) {
    match work {
        Work::Range(request) => answer_range(worker, call, request, Err(error)),
        Work::Txn(request) => answer_txn(worker, call, request, Err(error)),
        other => call.finish_asked(worker, Err(error), Asked::of(other)),
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
    let caller = match Asker::of(worker, &call.claim).map(|asker| asker.caller) {
        Ok(caller) => caller,
        Err(error) => return fail_read(worker, call, &work, error),
    };
    let backend = &worker.shared.backend;
    match work {
        Work::Range(request) if is_large(&request) => read_aside(
            worker,
            (call, caller),
            request,
            |backend, request, caller| backend.range(request, caller),
            answer_range,
        ),
        Work::Range(request) => {
            let answer = backend.range(&request, &caller);
            answer_range(worker, call, &request, answer);
        }
        Work::RangeStream(request) => read_aside(
            worker,
            (call, caller),
            request,
            |backend, request, caller| backend.range_stream(request, caller),
            |worker, call, _, answer| match answer {
                Ok(messages) => spawn(send::messages(worker.clone(), call, messages)),
                Err(error) => call.finish(worker, Err(error)),
            },
        ),
        Work::Txn(request) if is_large_txn(&request) => read_aside(
            worker,
            (call, caller),
            request,
            |backend, request, caller| backend.read_txn(request, caller),
            answer_txn,
        ),
        Work::Txn(request) => {
            let answer = backend.read_txn(&request, &caller);
            answer_txn(worker, call, &request, answer);
        }
        Work::Write | Work::SlowWrite(_) | Work::PhysicalCompaction(_) => {
            debug_assert!(false, "a write is answered by its completion");
        }
    }
}

/// Reads on a reader thread. Two hold the request: who reads, and who knows what was asked for when that has ended.
fn read_aside<R, A>(
    worker: &Rc<Worker>,
    (mut call, caller): (Call, Caller),
    request: R,
    read: fn(&dyn Backend, &R, &Caller) -> Result<A, EtcdError>,
    answer: fn(&Rc<Worker>, Call, &R, Result<A, EtcdError>),
) where
    R: Tells + Send + Sync + 'static,
    A: Send + 'static,
{
    call.note(worker, &caller, &request);
    let request = Arc::new(request);
    let (backend, asked) = (worker.shared.backend.clone(), request.clone());
    on_reader(
        worker,
        call,
        move || read(&*backend, &asked, &caller),
        move |worker, call, read| answer(worker, call, &request, read),
    );
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
        stats::slow_read(&worker.shared, kind, took, (asked, came));
    }
    if took > worker.shared.config.slow_request {
        // It was read in this turn, whose time is that of its beginning.
        worker.tick();
    }
}

fn answer_range(
    worker: &Rc<Worker>,
    mut call: Call,
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
            call.note_asked(worker, asked);
            spawn(send::chunks(worker.clone(), call, bytes, chunks));
        }
        Err(error) => call.finish_asked(worker, Err(error), asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
