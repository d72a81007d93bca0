//! A unary call (or one with a streamed answer) that is open, and the count of those that are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use netcd_engine::error::{Code, EtcdError};
use netcd_http2::Responder;

use crate::audit::Noted;
use crate::caller::{Claim, Unproven};
use crate::conn::ConnCtx;
use crate::grpc::methods::MethodId;
use crate::grpc::status::{self, ContentType};
use crate::limits::SEND_BYTES_MAX;
use crate::shared::Shared;

/// Counts the calls and HTTP requests of one worker.
pub(crate) struct OpenCalls {
    open: Cell<usize>,
    shared: Arc<Shared>,
    worker: usize,
}

impl OpenCalls {
    pub(crate) fn new(shared: Arc<Shared>, worker: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            shared,
            worker,
        })
    }

    fn set(&self, open: usize) {
        self.open.set(open);
        let gauges = &self.shared.gauges[self.worker];
        gauges.calls.store(open, Ordering::Relaxed);
    }
}

/// Counts one call of a connection while it lives.
pub(crate) struct ActiveCall {
    pub(crate) conn: Rc<ConnCtx>,
    calls: Rc<OpenCalls>,
}

impl ActiveCall {
    pub(crate) fn new(calls: &Rc<OpenCalls>, conn: &Rc<ConnCtx>) -> Self {
        calls.set(calls.open.get() + 1);
        Self {
            conn: conn.clone(),
            calls: calls.clone(),
        }
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.calls.set(self.calls.open.get() - 1);
    }
}

/// A KV call that will be answered.
pub(crate) struct Call {
    pub(crate) respond: Responder,
    pub(crate) method: MethodId,
    pub(crate) content_type: ContentType,
    /// When its message was there.
    pub(crate) started: Instant,
    /// From grpc-timeout.
    pub(crate) timeout: Option<Instant>,
    /// Who makes it.
    pub(crate) claim: Claim,
    /// It was refused once, under a table that may have been old (`hot::look_again`).
    pub(crate) looked_again: bool,
    /// The memory of a large request, while it waits.
    pub(crate) unproven: Option<Unproven>,
    /// For the audit log.
    pub(crate) noted: Noted,
    pub(crate) active: ActiveCall,
}

/// An answer that is nothing but an error.
pub(crate) fn reply_error(mut respond: Responder, content_type: &ContentType, error: &EtcdError) {
    // An error means that the client is gone.
    let _gone = respond.respond(&status::trailers_only(content_type, error), true);
}

/// grpc-go's refusal to send what no client would take.
pub(crate) fn too_large_to_send(bytes: u64) -> EtcdError {
    EtcdError::new(
        Code::ResourceExhausted,
        format!("grpc: trying to send message larger than max ({bytes} vs. {SEND_BYTES_MAX})"),
    )
}
