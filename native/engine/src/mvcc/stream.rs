//! RangeStream: a range in messages of growing size, all at one pinned revision. Header, `more` and `count` are in
//! the last message only.

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Caller;
use crate::error::{self, EtcdError};
use crate::proto::etcdserverpb::RangeRequest;

use super::api::Chunks;
use super::encode::{Header, RangeEnding, message_len, put_message_head};
use super::page::ReadError;
use super::pins::Pin;
use super::plan::{Plan, Sort};
use super::select::{Look, Selection, sort_page};
use super::store::Store;

/// Keys of the first message.
const FIRST_MESSAGE_KEYS: usize = 10;

impl Store {
    /// Answers a RangeStream with encoded RangeStreamResponses. Who calls this has validated the request
    /// (`validate::check_range_stream`) and passed the read barrier if it is linearizable.
    ///
    /// Whether `caller` may read it is asked before the read and again when the last message is made, in whose place an
    /// error comes if a change of users or roles came between.
    pub fn range_stream(
        self: &Arc<Self>,
        request: &RangeRequest,
        caller: &Caller,
        raft_term: u64,
    ) -> Result<Chunks, EtcdError> {
        self.auth
            .admit(|table| table.check_range(caller, request))?;
        self.metrics.read(1);
        let mut plan = Plan::new(request);
        let sort = plan.sort.take();
        let plan = Arc::new(plan);
        let (header, at, count, pin) = self.look(|state| {
            let at = state.resolve(request.revision)?;
            let count = state.index.count(&plan.request.key, plan.end(), at);
            let header = self.header(state.revision, raft_term);
            Ok((header, at, count, self.pins.pin(at)))
        })?;
        Ok(Box::new(RangeMessages {
            store: Arc::clone(self),
            pin,
            selection: Selection::walk(plan, at),
            sort,
            header,
            count,
            keys_max: FIRST_MESSAGE_KEYS,
            ended: false,
            caller: caller.clone(),
        }))
    }
}

/// The messages of a RangeStream, written when they are asked for.
struct RangeMessages {
    store: Arc<Store>,
    pin: Pin,
    selection: Selection,
    /// Order within a message.
    sort: Option<Sort>,
    header: Header,
    count: u64,
    /// Keys of the next message.
    keys_max: usize,
    ended: bool,
    caller: Caller,
}

impl RangeMessages {
    fn message(&mut self) -> Result<Bytes, ReadError> {
        let plan = Arc::clone(&self.selection.plan);
        let mut body = Vec::new();
        self.ended = plan.request.count_only;
        if !plan.request.count_only {
            let mut page = self
                .store
                .look(|state| self.selection.page(state, self.keys_max));
            self.ended = self.selection.is_done();
            if let Some(sort) = self.sort {
                page = sort_page(page, sort, &plan, &*self.store)?;
            }
            let tree = self.store.tree();
            let snapshot = tree.snapshot()?;
            let mut stored = snapshot.lookups();
            for i in 0..page.len() {
                page.piece(i, &plan, &mut stored)?.put(&mut body);
            }
        }
        self.grow(body.len());
        Ok(self.wrap(&body))
    }

    /// Whether the caller may still have what was read, once all is.
    fn confirm(&self) -> Result<(), EtcdError> {
        if self.ended {
            self.store.auth.confirm(&self.caller)
        } else {
            Ok(())
        }
    }

    /// Doubles the next message while messages are small, halves it when they are too large.
    fn grow(&mut self, bytes: usize) {
        let measure = self.store.max_request_bytes;
        if bytes < measure / 2 {
            self.keys_max = self.keys_max.saturating_mul(2);
        } else if bytes > measure * 2 {
            self.keys_max = (self.keys_max / 2).max(1);
        }
    }

    fn wrap(&self, kvs: &[u8]) -> Bytes {
        let ending = RangeEnding {
            more: self.selection.more(),
            count: self.count,
        };
        let around = if self.ended {
            self.header.field_len() + ending.len()
        } else {
            0
        };
        let len = kvs.len() + around;
        let mut out = Vec::with_capacity(message_len(len));
        put_message_head(&mut out, 0x0a, len);
        if self.ended {
            self.header.put(&mut out);
        }
        out.extend_from_slice(kvs);
        if self.ended {
            ending.put(&mut out);
        }
        Bytes::from(out)
    }
}

impl Iterator for RangeMessages {
    type Item = Result<Bytes, EtcdError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let error = match self.message() {
            Ok(_) if self.pin.is_broken() => error::COMPACTED,
            Ok(message) => match self.confirm() {
                Ok(()) => return Some(Ok(message)),
                Err(error) => error,
            },
            Err(error) => self.store.pinned_error(&self.pin, error),
        };
        self.ended = true;
        Some(Err(error))
    }
}
