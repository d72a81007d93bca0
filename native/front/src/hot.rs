//! The calls of the KV service, LeaseGrant and LeaseRevoke: decoded, validated, and given to the engine. The answer is
//! written when it is there: at once, or when a completion names the call's token.
//!
//! A write is checked against the table of users here, before anything is asked of quota or log, and by apply once more.
//! A read is checked where it is served.

use std::rc::Rc;

use bytes::Bytes;
use netcd_engine::auth::{Caller, Table};
use netcd_engine::error::{self, EtcdError};
use netcd_engine::mvcc::validate;
use netcd_engine::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};
use netcd_engine::types::OpKind;
use prost::Message;

use crate::audit::Tells;
use crate::backend::ReadBarrier;
use crate::call::Call;
use crate::caller::{self, Asker, Claim, Unproven};
use crate::grpc::decode::{decode, decode_txn};
use crate::grpc::methods::Route;
use crate::lease;
use crate::limits::{UNPROVEN_READ_BYTES_MIN, UNSENT_PER_CONNECTION_MAX};
use crate::reads::{fail_read, serve_read};
use crate::slots::{Slot, Work};
use crate::stats::Asked;
use crate::worker::{Outcome, Worker, spawn};

/// Serves a KV call whose message is there.
pub(crate) fn serve(worker: &Rc<Worker>, call: Call, message: Bytes) {
    worker.metrics.message_received(call.method, message.len());
    let Some(asking) = caller::ask(worker, &call.claim) else {
        return serve_claimed(worker, call, message);
    };
    let Some(unproven) = Unproven::hold(&worker.unproven, message.len()) else {
        return refuse(worker, call, &message, error::TOO_MANY_REQUESTS);
    };
    let worker = worker.clone();
    spawn(async move {
        let mut call = call;
        let identified = caller::wait(&worker, asking, call.timeout).await;
        drop(unproven);
        worker.tick();
        // Whether that matters is seen where the caller is asked for: what is wrong with the request comes before.
        if let Err(error) = identified {
            call.claim = Claim::Refused(error);
        }
        serve_claimed(&worker, call, message);
    });
}

/// The same once the control plane has nothing to say of the call's token, or has said it.
fn serve_claimed(worker: &Rc<Worker>, call: Call, message: Bytes) {
    let max_ops = worker.shared.config.max_txn_ops;
    let method = call.method;
    match method.get().route {
        Route::Range => {
            match decode(method, &message).and_then(|(request, _)| checked_range(worker, request)) {
                Ok(request) => {
                    let serializable = request.serializable;
                    read(
                        worker,
                        call,
                        message.len(),
                        serializable,
                        Work::Range(request),
                    );
                }
                Err(error) => refuse(worker, call, &message, error),
            }
        }
        Route::RangeStream => {
            match decode(method, &message).and_then(|(request, _)| checked_range_stream(request)) {
                Ok(request) => {
                    let serializable = request.serializable;
                    let work = Work::RangeStream(request);
                    read(worker, call, message.len(), serializable, work);
                }
                Err(error) => refuse(worker, call, &message, error),
            }
        }
        Route::Put => {
            let checks = (validate::check_put, Table::check_put);
            write::<PutRequest>(worker, call, OpKind::Put, message, checks);
        }
        Route::DeleteRange => {
            let checks = (validate::check_delete_range, Table::check_delete);
            write::<DeleteRangeRequest>(worker, call, OpKind::DeleteRange, message, checks);
        }
        Route::Compact => match decode(method, &message).and_then(checked_compaction) {
            Ok((request, message)) => {
                let work = if request.physical {
                    Work::PhysicalCompaction(request.revision)
                } else {
                    Work::Write
                };
                let permitted = Table::check_admin;
                let write = (OpKind::Compact, message);
                submit(worker, call, write, &request, work, permitted);
            }
            Err(error) => refuse(worker, call, &message, error),
        },
        Route::Txn => match decode_txn(method, &message).and_then(|(request, message)| {
            validate::check_txn(&request, max_ops).map(|()| (request, message))
        }) {
            Ok((request, message)) if validate::is_read_only(&request) => {
                let serializable = validate::is_serializable(&request);
                read(
                    worker,
                    call,
                    message.len(),
                    serializable,
                    Work::Txn(request),
                );
            }
            Ok((request, message)) => {
                let permitted = |table: &Table, caller: &Caller| table.check_txn(caller, &request);
                let write = (OpKind::Txn, message);
                submit(worker, call, write, &request, Work::Write, permitted);
            }
            Err(error) => refuse(worker, call, &message, error),
        },
        Route::LeaseGrant => match decode(method, &message) {
            Ok((request, _)) => {
                let request = lease::grant(&worker.shared, request);
                let write = (OpKind::LeaseGrant, request.encode_to_vec().into());
                let permitted = Table::check_known;
                submit(worker, call, write, &request, Work::Write, permitted);
            }
            Err(error) => refuse(worker, call, &message, error),
        },
        Route::LeaseRevoke => {
            // Which keys it deletes is seen by apply.
            let known = |table: &Table, caller: &Caller, _: &_| table.check_known(caller);
            let checks = (|_: &_| Ok(()), known);
            write::<LeaseRevokeRequest>(worker, call, OpKind::LeaseRevoke, message, checks);
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

/// A write that is checked as a request, and then as this caller's.
fn write<T: Message + Default + Tells>(
    worker: &Rc<Worker>,
    call: Call,
    kind: OpKind,
    message: Bytes,
    (valid, permitted): (
        impl FnOnce(&T) -> Result<(), EtcdError>,
        impl FnOnce(&Table, &Caller, &T) -> Result<(), EtcdError>,
    ),
) {
    let decoded = decode(call.method, &message);
    match decoded.and_then(|(request, message)| valid(&request).map(|()| (request, message))) {
        Ok((request, message)) => {
            let permitted = |table: &Table, caller: &Caller| permitted(table, caller, &request);
            submit(
                worker,
                call,
                (kind, message),
                &request,
                Work::Write,
                permitted,
            );
        }
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

fn submit(
    worker: &Rc<Worker>,
    mut call: Call,
    (kind, message): (OpKind, Bytes),
    request: &dyn Tells,
    work: Work,
    permitted: impl FnOnce(&Table, &Caller) -> Result<(), EtcdError>,
) {
    let asker = match Asker::of(worker, &call.claim) {
        Ok(asker) => asker,
        Err(error) => return refuse(worker, call, &message, error),
    };
    let bytes = message.len() + envelope_bytes(message.len());
    if bytes > worker.shared.config.max_request_bytes {
        return refuse(worker, call, &message, error::REQUEST_TOO_LARGE);
    }
    match asker.check(permitted) {
        Ok(()) => {}
        Err(error) if call.looked_again => return refuse(worker, call, &message, error),
        Err(error) => return look_again(worker, call, message, error),
    }
    if worker.slots.borrow().is_full() {
        return refuse(worker, call, &message, error::TOO_MANY_REQUESTS);
    }
    let token = worker.slots.borrow().next_token();
    let backend = &worker.shared.backend;
    match backend.submit(kind, &message, token, &asker.caller) {
        Ok(()) => {
            call.note(worker, &asker.caller, request);
            worker.wait(call, work);
        }
        Err(error) => refuse(worker, call, &message, error),
    }
}

/// What another member has acknowledged before, a new permission say, may not be applied here yet. So nobody is refused
/// before all that was acknowledged when the call came is, unless too much waits for that already.
fn look_again(worker: &Rc<Worker>, mut call: Call, message: Bytes, refusal: EtcdError) {
    let Some(unproven) = Unproven::hold(&worker.unproven, message.len()) else {
        return refuse(worker, call, &message, refusal);
    };
    call.looked_again = true;
    match worker.read_barrier() {
        Ok(None) => serve_claimed(worker, call, message),
        Ok(Some(barrier)) => {
            let worker = worker.clone();
            spawn(async move {
                let passed = barrier.passed().await;
                drop(unproven);
                worker.tick();
                match passed {
                    Ok(()) => serve_claimed(&worker, call, message),
                    Err(error) => refuse(&worker, call, &message, error),
                }
            });
        }
        Err(error) => refuse(worker, call, &message, error),
    }
}

fn read(worker: &Rc<Worker>, mut call: Call, bytes: usize, serializable: bool, work: Work) {
    if call.active.conn.unsent() > UNSENT_PER_CONNECTION_MAX {
        return fail_read(worker, call, &work, error::TOO_MANY_REQUESTS);
    }
    if serializable {
        return serve_read(worker, call, work);
    }
    if worker.slots.borrow().is_full() {
        return fail_read(worker, call, &work, error::TOO_MANY_REQUESTS);
    }
    if bytes >= UNPROVEN_READ_BYTES_MIN {
        // Whose it is, and whether he may, is asked when it is served.
        call.unproven = Unproven::hold(&worker.unproven, bytes);
        if call.unproven.is_none() {
            return fail_read(worker, call, &work, error::TOO_MANY_REQUESTS);
        }
    }
    let token = worker.slots.borrow().next_token();
    match worker.shared.backend.read_barrier(token) {
        Ok(ReadBarrier::Now) => serve_read(worker, call, work),
        Ok(ReadBarrier::Wait) => worker.wait(call, work),
        Err(error) => fail_read(worker, call, &work, error),
    }
}

/// Goes on with a call that waited.
pub(crate) fn resume(worker: &Rc<Worker>, slot: Slot, outcome: Outcome) {
    let Slot { call, work, .. } = slot;
    match outcome {
        Outcome::Done(result) => call.finish_asked(worker, result, Asked::of(&work)),
        Outcome::Ready(Ok(())) => serve_read(worker, call, work),
        Outcome::Ready(Err(error)) => fail_read(worker, call, &work, error),
        Outcome::Expired => expire(worker, call, &work),
    }
}

/// The deadline passed: the client's own, or the server's for a proposal or a read index.
fn expire(worker: &Rc<Worker>, call: Call, work: &Work) {
    let by_client = call.timeout.is_some_and(|timeout| timeout <= worker.now());
    // A leader's own proposal was made, though it may be no leader any more.
    let unproposed = worker.shared.is_leaderless_since(call.started);
    let error = match work {
        _ if by_client => error::DEADLINE,
        Work::Write | Work::SlowWrite(_) | Work::PhysicalCompaction(_) if unproposed => {
            error::DEADLINE
        }
        _ => error::TIMEOUT,
    };
    match work {
        Work::Range(_) | Work::Txn(_) => fail_read(worker, call, work, error),
        _ => call.finish_asked(worker, Err(error), Asked::of(work)),
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
}
