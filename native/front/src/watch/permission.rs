//! Who watches, and what he may: asked for each watch, and for all of them again when users, roles or tokens change.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use netcd_engine::auth::Caller;
use netcd_engine::error::{self, EtcdError};
use netcd_engine::proto::etcdserverpb::WatchRequest;
use netcd_engine::watch::WatchSession;

use crate::caller::{self, Asker, Asking, Claim, Identified, Unproven, Watcher};
use crate::worker::Worker;

/// What a stream was opened with.
pub(super) struct Permissions {
    watcher: Watcher,
}

impl Permissions {
    pub(super) fn new(claim: Claim) -> Self {
        Self {
            watcher: Watcher::new(claim),
        }
    }

    pub(super) fn claim(&self) -> &Claim {
        self.watcher.claim()
    }

    /// Who opens a watch now.
    pub(super) fn asker(&mut self, worker: &Worker) -> Result<Asker, EtcdError> {
        let asker = Asker::of(worker, self.claim())?;
        if let Some(table) = asker.table() {
            let auth = &worker.shared.auth;
            self.watcher.identified(auth, table, worker.now_ms());
        }
        Ok(asker)
    }

    /// Cancels the watches that are not permitted any more, if there may be such. Why does not matter to a client: etcd's
    /// ends such a watch whatever the reason says. What was watched, for the audit log: key and range end of each.
    pub(super) fn recheck(
        &mut self,
        worker: &Worker,
        session: &mut WatchSession,
    ) -> Vec<(Bytes, Bytes)> {
        let cancelled = RefCell::new(Vec::new());
        if !session.is_outdated() {
            return cancelled.into_inner();
        }
        let auth = &worker.shared.auth;
        let table = auth.table();
        let caller = match table.enabled {
            false => Ok(Caller::Nobody),
            true => self.watcher.caller(auth, &table, worker.now_ms()),
        };
        session.recheck(&|key, range_end| {
            let checked = match &caller {
                Ok(caller) => table.check_read(caller, key, range_end),
                Err(error) => Err(error.clone()),
            };
            checked.map_err(|_| {
                let range = [key, range_end].map(Bytes::copy_from_slice);
                cancelled.borrow_mut().push(range.into());
                error::PERMISSION_DENIED
            })
        });
        cancelled.into_inner()
    }
}

/// Whether whoever asks may watch a range. etcd names three reasons to clients, which do something about them; all
/// others are one to it.
pub(super) fn check(
    asker: &Result<Asker, EtcdError>,
    key: &[u8],
    range_end: &[u8],
) -> Result<(), EtcdError> {
    let asker = asker.as_ref().map_err(EtcdError::clone)?;
    asker.check(|table, caller| table.check_read(caller, key, range_end))
}

/// A request, while the control plane is asked for who makes it.
pub(super) struct Identifying {
    request: Option<WatchRequest>,
    _unproven: Unproven,
    answer: Pin<Box<dyn Future<Output = Identified>>>,
}

impl Identifying {
    pub(super) fn new(
        worker: &Rc<Worker>,
        request: WatchRequest,
        asking: Result<Asking, EtcdError>,
        unproven: Unproven,
    ) -> Self {
        let worker = worker.clone();
        Self {
            request: Some(request),
            _unproven: unproven,
            answer: Box::pin(async move { caller::wait(&worker, asking, None).await }),
        }
    }

    /// The request, and whether it may be known now who makes it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(WatchRequest, Identified)> {
        self.answer.as_mut().poll(cx).map(|identified| {
            let request = self.request.take();
            (request.expect("it is taken once"), identified)
        })
    }
}
