//! What front tells the control plane: the transport half of src/native/binding.ts.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// A metadata value: text, or the decoded bytes of a `-bin` key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataValue {
    /// ASCII text as sent.
    Text(String),
    /// Base64-decoded value of a key that ends in `-bin`.
    Binary(Bytes),
}

/// Severity of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// The value of a log line's field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for FieldValue {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

/// A unary call that is to be logged, with etcd's figures: -1 where it counts nothing.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RequestStats {
    /// It took too long; else every call is logged.
    pub warn: bool,
    pub start: SystemTime,
    pub took: Duration,
    pub peer: String,
    pub path: &'static str,
    pub request_count: i64,
    pub request_bytes: i64,
    pub response_count: i64,
    pub response_bytes: i64,
    /// The request without its values.
    pub content: String,
}

/// An event for the control plane. Events of one call or request come in order, from one thread.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum FrontEvent {
    /// A gRPC call that the control plane serves.
    Call {
        call: u64,
        path: String,
        metadata: Vec<(String, MetadataValue)>,
        peer: String,
        /// Milliseconds from now, from grpc-timeout.
        deadline_ms: Option<u64>,
        listener: String,
        /// Of the certificate that the client has shown, where that is its user's name.
        common_name: Option<String>,
    },
    /// One message of the client.
    CallMessage { call: u64, data: Bytes },
    /// The client sends no more.
    CallHalfClose { call: u64 },
    /// The client cancelled (1), its deadline passed (4), or the call broke; nothing more may be sent.
    CallCancelled { call: u64, code: u8 },
    /// The send queue has room again after `call_send` returned false.
    CallDrained { call: u64 },
    /// An HTTP request with its whole body.
    Http {
        request: u64,
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Bytes,
        peer: String,
        listener: String,
        /// Why a linearizable read failed that this request has waited for already.
        failed_read: Option<String>,
        /// As for calls.
        common_name: Option<String>,
    },
    /// The client of an HTTP request is gone before its answer was complete.
    HttpClosed { request: u64 },
    /// The send queue has room again after `http_write` returned false.
    HttpDrained { request: u64 },
    /// A lease is to be renewed that this member does not renew on its own; answered by `Front::lease_renewed`.
    LeaseRenew { renewal: u64, lease: i64 },
    /// Calls wait for what a token stands for that is not known here; answered by `Front::identified`.
    Identify { ask: u64, token: String },
    /// The line `request stats` of one call.
    RequestStats(Box<RequestStats>),
    /// A log line.
    Log {
        level: LogLevel,
        message: String,
        fields: Vec<(String, FieldValue)>,
    },
}

/// Takes the events. Called on transport threads: it must only queue.
pub trait FrontEvents: Send + Sync + 'static {
    /// Queue one event. After the control plane has drained its queue it calls `Front::events_drained`.
    fn emit(&self, event: FrontEvent);
}
