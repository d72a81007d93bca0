//! The errors that a client can meet, each with etcd's gRPC code and exact text: the table of proto/errors.json, which
//! TypeScript has too.

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

// A constant for every line of proto/errors.json, made by build.rs.
include!(concat!(env!("OUT_DIR"), "/errors.rs"));
