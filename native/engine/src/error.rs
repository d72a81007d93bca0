//! The errors that a client can meet, each with etcd's gRPC code and exact text, in one table.

use std::borrow::Cow;

/// gRPC status codes that the data plane sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// An error as the client sees it: a gRPC code and etcd's text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct EtcdError {
    /// gRPC status code.
    pub code: Code,
    /// gRPC status message; clients match on the exact string.
    pub message: Cow<'static, str>,
}

impl EtcdError {
    /// An error whose text is made at run time (gRPC's own errors).
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

macro_rules! etcd_errors {
    ($($name:ident = $code:ident, $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $name: EtcdError = EtcdError { code: Code::$code, message: Cow::Borrowed($text) };
        )*
    };
}

etcd_errors! {
    EMPTY_KEY = InvalidArgument, "etcdserver: key is not provided";
    KEY_NOT_FOUND = InvalidArgument, "etcdserver: key not found";
    VALUE_PROVIDED = InvalidArgument, "etcdserver: value is provided";
    LEASE_PROVIDED = InvalidArgument, "etcdserver: lease is provided";
    TOO_MANY_OPS = InvalidArgument, "etcdserver: too many operations in txn request";
    DUPLICATE_KEY = InvalidArgument, "etcdserver: duplicate key given in txn request";
    INVALID_CLIENT_API_VERSION = InvalidArgument, "etcdserver: invalid client api version";
    INVALID_SORT_OPTION = InvalidArgument, "etcdserver: invalid sort option";
    COMPACTED = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    FUTURE_REVISION = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    NO_SPACE = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    LEASE_NOT_FOUND = NotFound, "etcdserver: requested lease not found";
    LEASE_EXISTS = FailedPrecondition, "etcdserver: lease already exists";
    LEASE_TTL_TOO_LARGE = OutOfRange, "etcdserver: too large lease TTL";
    WATCH_CANCELED = Canceled, "etcdserver: watch canceled";
    REQUEST_TOO_LARGE = InvalidArgument, "etcdserver: request is too large";
    TOO_MANY_REQUESTS = Unknown, "etcdserver: too many requests";
    NO_LEADER = Unavailable, "etcdserver: no leader";
    NOT_LEADER = FailedPrecondition, "etcdserver: not leader";
    LEADER_CHANGED = Unavailable, "etcdserver: leader changed";
    NOT_CAPABLE = FailedPrecondition, "etcdserver: not capable";
    STOPPED = Unavailable, "etcdserver: server stopped";
    TIMEOUT = Unavailable, "etcdserver: request timed out";
    TIMEOUT_LEADER_FAIL = Unavailable, "etcdserver: request timed out, possibly due to previous leader failure";
    TIMEOUT_CONNECTION_LOST = Unavailable, "etcdserver: request timed out, possibly due to connection lost";
    CORRUPT = DataLoss, "etcdserver: corrupt cluster";
    LEARNER = FailedPrecondition, "etcdserver: rpc not supported for learner";
    REQUEST_CANCELED = Canceled, "etcdserver: request canceled";
    STREAM_SORT = Unimplemented, "RangeStream does not support custom sort orders";
    STREAM_FILTER = Unimplemented, "RangeStream does not support revision filters";
    NOT_PRIMARY_LESSOR = Unknown, "not a primary lessor";
    DEADLINE = DeadlineExceeded, "context deadline exceeded";
    CANCELED = Canceled, "context canceled";
}
