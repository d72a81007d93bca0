//! Answers probes whose answer is known beforehand (`probes.rs`), after the reads that they need.

use std::rc::Rc;

use bytes::Bytes;
use http::{Response, request};
use netcd_engine::auth::Caller;
use netcd_engine::proto::etcdserverpb::RangeRequest;

use crate::call::ActiveCall;
use crate::conn::ConnCtx;
use crate::worker::Worker;

/// What became of a request that may be a probe.
pub(super) enum Probed {
    Answered(Response<Bytes>),
    /// The control plane must decide. With why a linearizable read failed that it waited for, if it did: the client
    /// shall not wait for another one.
    HandOver(Option<String>),
}

/// The cheapest read there is: the number of keys of one name.
fn store_read() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"a"),
        serializable: true,
        count_only: true,
        ..Default::default()
    }
}

/// Answers a probe if all is well.
pub(super) async fn answer(
    worker: &Rc<Worker>,
    conn: &Rc<ConnCtx>,
    parts: &request::Parts,
) -> Probed {
    let shared = &worker.shared;
    let role = &conn.listener.role;
    let Some(probe) = shared.probes.find(role, parts, shared.serving()) else {
        return Probed::HandOver(None);
    };
    let _active = ActiveCall::new(&worker.calls, conn);
    if probe.reads_store
        && shared
            .backend
            .range(&store_read(), &Caller::Internal)
            .is_err()
    {
        return Probed::HandOver(None);
    }
    if probe.reads_quorum {
        match worker.read_barrier() {
            Ok(None) => {}
            Ok(Some(barrier)) => {
                if let Err(error) = barrier.passed().await {
                    return Probed::HandOver(Some(error.message.into_owned()));
                }
            }
            Err(_) => return Probed::HandOver(None),
        }
    }
    worker.metrics.probe_answered(probe.kind);
    let mut response = Response::new(probe.body.clone());
    *response.headers_mut() = probe.headers.clone();
    Probed::Answered(response)
}
