//! The plain objects of binding.ts that come from JavaScript, and what they are in Rust.

use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{BigInt, Either, Uint8Array};
use napi::{Error, Result};
use napi_derive::napi;
use netcd_engine::error::{Code, EtcdError};
use netcd_engine::mvcc::MetaWrite;
use netcd_engine::pipeline::{GrantMember, HardState, PersistEntry, PersistPayload, Quorum};
use netcd_engine::types::LogMark;
use netcd_front::{
    AuditConfig, AuditResult, AuditRule, ListenerConfig, MetadataValue, Probe, header_map,
};

use crate::check::{copy, entry_kind, id, number, probe_kind, reason, table};

/// `EngineOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct EngineOptions {
    /// `<data-dir>/member`.
    pub member_dir: String,
    /// Where the WAL is; null = in the member directory.
    pub wal_dir: Option<String>,
    /// Cluster id.
    pub cluster_id: BigInt,
    /// Member id.
    pub member_id: BigInt,
    /// Do not wait for the disk.
    pub unsafe_no_fsync: bool,
    /// Quota; 0 or less = none.
    pub quota_backend_bytes: f64,
    /// Bytes of one request.
    pub max_request_bytes: f64,
    /// Operations of one txn.
    pub max_txn_ops: f64,
    /// HTTP/2 streams of one connection.
    pub max_concurrent_streams: f64,
    /// Clients may ping this often.
    pub grpc_keepalive_min_time_ms: f64,
    /// The server pings after so long without a byte.
    pub grpc_keepalive_interval_ms: f64,
    /// How long it waits then.
    pub grpc_keepalive_timeout_ms: f64,
    /// How long a proposal or a read index may take.
    pub request_timeout_ms: f64,
    /// How long followers wait for a leader before they elect another.
    pub election_timeout_ms: f64,
    /// The shortest time to live that a lease is granted.
    pub lease_ttl_seconds_min: f64,
    /// Measure how long calls take.
    pub extensive_metrics: bool,
    /// Unary calls that take longer are logged.
    pub warning_unary_request_duration_ms: f64,
    /// Every unary call is logged.
    pub log_requests: bool,
    /// Operations that are applied and reads that take longer are logged.
    pub warning_apply_duration_ms: f64,
    /// The audit log; null = none is kept.
    pub audit: Option<AuditOptions>,
    /// Links from other members may bring nothing for so long.
    pub peer_read_timeout_ms: f64,
    /// Other members may take nothing for so long.
    pub peer_write_timeout_ms: f64,
    /// Longest time from a change to its commit.
    pub backend_batch_interval_ms: f64,
    /// Changes that are committed before that; null = only their bytes count.
    pub backend_batch_limit: Option<f64>,
    /// Revisions that one step of a compaction removes; null = as many as leave room for others.
    pub compaction_batch_limit: Option<f64>,
    /// Pause between two steps.
    pub compaction_sleep_interval_ms: f64,
    /// Progress notifications of watches.
    pub watch_progress_notify_interval_ms: f64,
    /// What tokens look like.
    pub auth_token: String,
    /// Transport threads; 0 = chosen.
    pub front_threads: f64,
    /// Whether the append grant may be given.
    pub append_grant: bool,
}

/// `AuditRule`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct AuditRuleOptions {
    /// Paths of RPCs.
    pub calls: Vec<String>,
    /// Names; null = whoever asks.
    pub users: Option<Vec<String>>,
    /// Of keys; null = whatever keys.
    pub prefixes: Option<Vec<String>>,
    /// "ok", "refused", "failed".
    pub results: Vec<String>,
    /// Whether what matches gets a line.
    pub logged: bool,
}

/// `AuditOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct AuditOptions {
    /// The log's file.
    pub path: String,
    /// It is rotated at so many bytes; null = never.
    pub bytes_max: Option<f64>,
    /// Rotated files are removed after so many days; null = never.
    pub days_max: Option<f64>,
    /// So many rotated files are kept; null = all.
    pub backups_max: Option<f64>,
    /// Requests wait for a slow disk.
    pub blocks: bool,
    /// The policy.
    pub rules: Vec<AuditRuleOptions>,
}

impl AuditOptions {
    /// For the transport.
    pub fn read(self) -> Result<AuditConfig> {
        const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
        let number = |name, value: Option<f64>| value.map(|it| number(name, it)).transpose();
        let days = number("daysMax", self.days_max)?;
        let rules = self.rules.into_iter().map(AuditRuleOptions::read);
        Ok(AuditConfig {
            path: self.path.into(),
            bytes_max: number("bytesMax", self.bytes_max)?,
            age_max: days.map(|days| Duration::from_secs(days.saturating_mul(SECONDS_PER_DAY))),
            backups_max: number("backupsMax", self.backups_max)?.map(|it| it as usize),
            blocks: self.blocks,
            rules: rules.collect::<Result<_>>()?,
        })
    }
}

impl AuditRuleOptions {
    fn read(self) -> Result<AuditRule> {
        let bytes = |texts: Vec<String>| texts.into_iter().map(Bytes::from).collect();
        let result = |name: String| match name.as_str() {
            "ok" => Ok(AuditResult::Ok),
            "refused" => Ok(AuditResult::Refused),
            "failed" => Ok(AuditResult::Failed),
            other => Err(reason(format!("no such result: {other}"))),
        };
        Ok(AuditRule {
            calls: self.calls,
            users: self.users.map(bytes),
            prefixes: self.prefixes.map(bytes),
            results: self
                .results
                .into_iter()
                .map(result)
                .collect::<Result<_>>()?,
            logged: self.logged,
        })
    }
}

/// `HardState`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct JsHardState {
    /// Current term.
    pub term: f64,
    /// Vote, 0n = none.
    pub vote: BigInt,
    /// Commit index.
    pub commit: f64,
}

impl JsHardState {
    /// For the log.
    pub fn read(&self) -> Result<HardState> {
        Ok(HardState {
            term: number("term", self.term)?,
            vote: id("vote", &self.vote)?,
            commit: number("commit", self.commit)?,
        })
    }
}

/// `PersistEntry`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct JsPersistEntry {
    /// Index.
    pub index: f64,
    /// Term.
    pub term: f64,
    /// Kind.
    pub kind: u8,
    /// Handle, 0 = none.
    pub payload: f64,
    /// Payload without a handle; null = empty.
    pub data: Option<Uint8Array>,
}

impl JsPersistEntry {
    /// For the log.
    pub fn read(&self) -> Result<PersistEntry> {
        let payload = match (number("payload", self.payload)?, &self.data) {
            (0, Some(data)) => PersistPayload::Data(copy(data)),
            (0, None) => PersistPayload::Data(Bytes::new()),
            (handle, _) => PersistPayload::Handle(handle),
        };
        Ok(PersistEntry {
            mark: LogMark {
                index: number("index", self.index)?,
                term: number("term", self.term)?,
            },
            kind: entry_kind(self.kind)?,
            payload,
        })
    }
}

/// `GrantMember`.
#[napi(object, object_to_js = false)]
pub struct JsGrantMember {
    /// Its id.
    pub id: BigInt,
    /// Whether it is a voter.
    pub votes: bool,
    /// The last entry known to be durable there and equal.
    pub matched: f64,
}

/// `GrantQuorum`.
#[napi(object, object_to_js = false)]
pub struct JsQuorum {
    /// Whether this member is a voter.
    pub own_vote: bool,
    /// Raft's commit index.
    pub committed: f64,
    /// All others.
    pub members: Vec<JsGrantMember>,
}

impl JsQuorum {
    /// For the pipeline.
    pub fn read(&self) -> Result<Quorum> {
        let member = |member: &JsGrantMember| {
            Ok(GrantMember {
                id: id("id", &member.id)?,
                votes: member.votes,
                matched: number("matched", member.matched)?,
            })
        };
        Ok(Quorum {
            own_vote: self.own_vote,
            committed: number("committed", self.committed)?,
            members: self.members.iter().map(member).collect::<Result<_>>()?,
        })
    }
}

/// `NativeStatus`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct JsStatus {
    /// gRPC code.
    pub code: u8,
    /// Text.
    pub message: String,
}

impl From<JsStatus> for EtcdError {
    fn from(status: JsStatus) -> Self {
        Self::new(code(status.code), status.message)
    }
}

/// A gRPC code that the data plane knows; the others are those that only services of TypeScript use.
fn code(number: u8) -> Code {
    match number {
        0 => Code::Ok,
        1 => Code::Canceled,
        3 => Code::InvalidArgument,
        4 => Code::DeadlineExceeded,
        5 => Code::NotFound,
        7 => Code::PermissionDenied,
        8 => Code::ResourceExhausted,
        9 => Code::FailedPrecondition,
        11 => Code::OutOfRange,
        12 => Code::Unimplemented,
        13 => Code::Internal,
        14 => Code::Unavailable,
        15 => Code::DataLoss,
        16 => Code::Unauthenticated,
        _ => Code::Unknown,
    }
}

/// `MetaWrite`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct JsMetaWrite {
    /// Table name.
    pub table: String,
    /// Row key.
    pub key: Uint8Array,
    /// Row value; null deletes.
    pub value: Option<Uint8Array>,
}

impl JsMetaWrite {
    /// For the store.
    pub fn read(&self) -> Result<MetaWrite> {
        Ok(MetaWrite {
            table: table(&self.table)?,
            key: copy(&self.key),
            value: self.value.as_deref().map(copy),
        })
    }
}

/// `ListenerOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ListenerOptions {
    /// Names the listener.
    pub role: String,
    /// host:port or path.
    pub address: String,
    /// A unix socket.
    pub unix: bool,
    /// Serves gRPC.
    pub grpc: bool,
    /// Serves HTTP.
    pub http: bool,
    /// Serves connections without TLS.
    pub plain: bool,
    /// Serves those with TLS.
    pub tls: bool,
    /// Connections wait until `release`.
    pub held: bool,
}

impl From<ListenerOptions> for ListenerConfig {
    fn from(options: ListenerOptions) -> Self {
        Self {
            role: options.role,
            address: options.address,
            unix: options.unix,
            grpc: options.grpc,
            http: options.http,
            plain: options.plain,
            tls: options.tls,
            held: options.held,
        }
    }
}

/// `Probe`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ProbeOptions {
    /// What it asks about.
    pub kind: String,
    /// Role of the listeners that answer it.
    pub listener: String,
    /// Path and query.
    pub target: String,
    /// Answered only while a leader is known.
    pub needs_leader: bool,
    /// Answered only by a member that is no learner.
    pub needs_vote: bool,
    /// Answered only after a read of this member's store.
    pub reads_store: bool,
    /// Answered only when a linearizable read might be served.
    pub reads_quorum: bool,
    /// Of the answer.
    pub headers: Vec<(String, String)>,
    /// Of the answer.
    pub body: String,
}

impl TryFrom<ProbeOptions> for Probe {
    type Error = Error;

    fn try_from(options: ProbeOptions) -> Result<Self> {
        let headers = header_map(&options.headers);
        Ok(Self {
            kind: probe_kind(&options.kind)?,
            listener: options.listener,
            target: options.target,
            needs_leader: options.needs_leader,
            needs_vote: options.needs_vote,
            reads_store: options.reads_store,
            reads_quorum: options.reads_quorum,
            headers: headers.ok_or_else(|| reason("headers that HTTP cannot carry"))?,
            body: options.body.into(),
        })
    }
}

/// The state of `setServing`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ServingOptions {
    /// Raft term.
    pub term: f64,
    /// A leader is known.
    pub has_leader: bool,
    /// This member is a learner.
    pub is_learner: bool,
}

/// One pair of metadata: name and text or bytes.
#[napi]
pub type JsMetadata = (String, Either<String, Uint8Array>);

/// Metadata for the transport.
pub fn metadata(pairs: Vec<JsMetadata>) -> Vec<(String, MetadataValue)> {
    let value = |value: Either<String, Uint8Array>| match value {
        Either::A(text) => MetadataValue::Text(text),
        Either::B(bytes) => MetadataValue::Binary(copy(&bytes)),
    };
    pairs
        .into_iter()
        .map(|(name, given)| (name, value(given)))
        .collect()
}
