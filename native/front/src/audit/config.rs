//! What the control plane chooses about the audit log.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

/// Settings of the audit log; they do not change while a front runs.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// The log's file.
    pub path: PathBuf,
    /// It is rotated at so many bytes.
    pub bytes_max: Option<u64>,
    /// Rotated files are removed after so long.
    pub age_max: Option<Duration>,
    /// So many rotated files are kept.
    pub backups_max: Option<usize>,
    /// Requests wait while the disk is slower than they are; else lines are left out and counted.
    pub blocks: bool,
    /// The first that matches a request decides whether it gets a line; without a match it gets none.
    pub rules: Vec<AuditRule>,
}

/// One rule of the policy.
#[derive(Clone, Debug)]
pub struct AuditRule {
    /// Paths of RPCs; with `#read` behind: its requests that do no more than look.
    pub calls: Vec<String>,
    /// The empty name is a request without a user; None: whoever asks.
    pub users: Option<Vec<Bytes>>,
    /// Of keys; None: whatever keys, and requests without any.
    pub prefixes: Option<Vec<Bytes>>,
    /// What came of the request.
    pub results: Vec<AuditResult>,
    /// Whether what matches gets a line.
    pub logged: bool,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditResult {
    /// It was done.
    Ok,
    /// It was refused because of who asked, or of what was asked.
    Refused,
    /// It failed for another reason, and may have been done.
    Failed,
}

impl AuditResult {
    pub(crate) const ALL: [Self; 3] = [Self::Ok, Self::Refused, Self::Failed];

    /// Of a gRPC code.
    pub(crate) fn of(code: u8) -> Self {
        // etcd answers some failures of authentication with InvalidArgument and FailedPrecondition.
        const INVALID_ARGUMENT: u8 = 3;
        const PERMISSION_DENIED: u8 = 7;
        const FAILED_PRECONDITION: u8 = 9;
        const UNAUTHENTICATED: u8 = 16;
        match code {
            0 => Self::Ok,
            INVALID_ARGUMENT | PERMISSION_DENIED | FAILED_PRECONDITION | UNAUTHENTICATED => {
                Self::Refused
            }
            _ => Self::Failed,
        }
    }
}
