//! The store from JavaScript: operations, ranges and watch streams of its own, upkeep and figures.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;
use netcd_engine::proto::etcdserverpb::WatchRequest;
use netcd_engine::types::Token;
use prost::Message;

use crate::auth::{self, JsCaller};
use crate::check::{copy, number, op_kind, reason};
use crate::engine::NativeEngine;
use crate::event::Event;
use crate::tasks::{Defragment, HashKv, Range};

/// `StoreStatus`.
#[napi(object, object_from_js = false)]
pub struct StoreStatus {
    /// Current revision.
    pub revision: f64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: f64,
    /// Live keys.
    pub keys: f64,
    /// Bytes of the database.
    pub db_size: f64,
    /// Bytes of it that hold data.
    pub db_size_in_use: f64,
    /// Bytes applied and not yet in the database.
    pub tail_bytes: f64,
    /// Applied index.
    pub applied_index: f64,
    /// Index durable in the database.
    pub flushed_index: f64,
}

#[napi]
impl NativeEngine {
    /// Proposes one operation; answered by `proposed`.
    #[napi]
    pub fn propose(
        &self,
        kind: u8,
        request: Uint8Array,
        token: f64,
        #[napi(ts_arg_type = "AuthUser | string | null")] caller: JsCaller,
    ) -> Result<()> {
        let (kind, number) = (op_kind(kind)?, number("token", token)?);
        let caller = auth::caller(caller)?;
        let token = Token(number | Token::JS_BIT);
        self.shared.enqueue(|running| {
            if let Err(error) = running.backend.propose(kind, &request, token, &caller) {
                self.shared.queue.push(Event::Proposed {
                    token: number,
                    result: Err(error),
                });
            }
            Ok(())
        })
    }

    /// The answer to `quotaExceeded`: the writes that the quota refused are answered.
    #[napi]
    pub fn quota_refused(&self) -> Result<()> {
        self.shared.enqueue(|running| {
            running.backend.answer_refused();
            Ok(())
        })
    }

    /// A serializable range.
    #[napi]
    pub fn range(
        &self,
        request: Uint8Array,
        #[napi(ts_arg_type = "AuthUser | string | null")] caller: JsCaller,
    ) -> Result<AsyncTask<Range>> {
        Ok(AsyncTask::new(Range {
            shared: Arc::clone(&self.shared),
            request: copy(&request),
            caller: auth::caller(caller)?,
        }))
    }

    /// The hash of the store at a revision, 0 = the current one.
    #[napi]
    pub fn hash_kv(&self, revision: f64) -> AsyncTask<HashKv> {
        AsyncTask::new(HashKv(Arc::clone(&self.shared), revision as i64))
    }

    /// Gives back the database's free pages.
    #[napi]
    pub fn defragment(&self) -> AsyncTask<Defragment> {
        AsyncTask::new(Defragment(Arc::clone(&self.shared)))
    }

    /// Which alarms are set.
    #[napi]
    pub fn set_alarms(&self, no_space: bool, corrupt: bool) -> Result<()> {
        self.shared.enqueue(|running| {
            running.store.set_alarms(no_space, corrupt);
            Ok(())
        })
    }

    /// Figures of the store.
    #[napi]
    pub fn store_status(&self) -> Result<StoreStatus> {
        let status = self.shared.running()?.store.status();
        Ok(StoreStatus {
            revision: status.revision as f64,
            compact_revision: status.compact_revision as f64,
            keys: status.keys as f64,
            db_size: status.db_bytes as f64,
            db_size_in_use: status.db_used_bytes as f64,
            tail_bytes: status.tail_bytes as f64,
            applied_index: status.applied.index as f64,
            flushed_index: status.flushed.index as f64,
        })
    }

    /// Opens a watch stream under a number that the caller chose.
    #[napi]
    pub fn watch_open(
        &self,
        stream: f64,
        #[napi(ts_arg_type = "AuthUser | string | null")] caller: JsCaller,
    ) -> Result<()> {
        let (stream, caller) = (number("stream", stream)?, auth::caller(caller)?);
        self.shared.enqueue(|running| {
            running.watches.open(stream, caller);
            Ok(())
        })
    }

    /// Gives a watch stream an encoded WatchRequest.
    #[napi]
    pub fn watch_send(&self, stream: f64, request: Uint8Array) -> Result<()> {
        let stream = number("stream", stream)?;
        let request = WatchRequest::decode(copy(&request)).map_err(reason)?;
        self.shared.enqueue(|running| {
            running.watches.request(stream, request);
            Ok(())
        })
    }

    /// Ends a watch stream. Messages of it may still be in the event queue.
    #[napi]
    pub fn watch_close(&self, stream: f64) -> Result<()> {
        let stream = number("stream", stream)?;
        self.shared.enqueue(|running| {
            running.watches.end(stream);
            Ok(())
        })
    }
}
