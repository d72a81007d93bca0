//! The words that the engine's parts share with each other and with front and addon.

use bytes::Bytes;

use crate::error::EtcdError;

/// Names the waiting caller of one request; opaque to the engine. front packs worker, slot and generation into it;
/// the addon sets `Token::JS_BIT` for callers in JavaScript.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub u64);

impl Token {
    /// Set in the tokens of callers in JavaScript.
    pub const JS_BIT: u64 = 1 << 63;
}

/// What one request of a batch does. The number is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OpKind {
    /// etcdserverpb.PutRequest
    Put = 1,
    /// etcdserverpb.DeleteRangeRequest
    DeleteRange = 2,
    /// etcdserverpb.TxnRequest
    Txn = 3,
    /// etcdserverpb.CompactionRequest
    Compact = 4,
    /// etcdserverpb.LeaseGrantRequest (ID and TTL already chosen)
    LeaseGrant = 5,
    /// etcdserverpb.LeaseRevokeRequest
    LeaseRevoke = 6,
    /// etcdserverpb.LeaseCheckpointRequest
    LeaseCheckpoint = 7,
}

impl OpKind {
    /// The kind with this number on disk.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Put,
            2 => Self::DeleteRange,
            3 => Self::Txn,
            4 => Self::Compact,
            5 => Self::LeaseGrant,
            6 => Self::LeaseRevoke,
            7 => Self::LeaseCheckpoint,
            _ => return None,
        })
    }
}

/// What one raft log entry holds. The number is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EntryKind {
    /// A new leader's empty entry.
    Empty = 0,
    /// A batch of client requests, applied by the store.
    Batch = 1,
    /// Applied by TypeScript (membership, auth, alarms, cluster version): a barrier for apply.
    Control = 2,
    /// A raft configuration change, applied by TypeScript: a barrier for apply.
    ConfChange = 3,
}

impl EntryKind {
    /// The kind with this number on disk.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Empty,
            1 => Self::Batch,
            2 => Self::Control,
            3 => Self::ConfChange,
            _ => return None,
        })
    }
}

/// The position of an entry in the raft log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct LogMark {
    /// Index of the entry; the first is 1, 0 is "before all".
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

/// The place of one change in the store's history: `main` counts operations, `sub` the changes within one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision {
    /// Revision of the operation; what clients call "revision".
    pub main: i64,
    /// Number of the change within the operation, from 0.
    pub sub: u32,
}

/// Who answers: the constant part of a response header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Cluster id of the response header.
    pub cluster_id: u64,
    /// Member id of the response header.
    pub member_id: u64,
}

/// A request's answer: the encoded response message with its header, or the client's error.
pub type OpResult = Result<Bytes, EtcdError>;

/// Where answers go. Implemented outside the engine; called from the engine's threads; must not block.
pub trait Completions: Send + Sync {
    /// The answers of one applied batch, in the order of its requests.
    fn ops_done(&self, results: Vec<(Token, OpResult)>);
    /// The requests, encoded, whose answers come next and took long: for those who log such. Others need nothing.
    fn slow(&self, _requests: Vec<(Token, Bytes)>) {}
    /// Linearizable reads that may be served now, or that failed.
    fn reads_ready(&self, tokens: Vec<Token>, outcome: Result<(), EtcdError>);
}
