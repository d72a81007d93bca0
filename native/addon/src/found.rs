//! What a restart found, and what events hold of it, as JavaScript gets it.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use netcd_engine::mvcc::MetaRow;
use netcd_engine::pipeline::EntryMeta;

use crate::buffer::SharedBytes;
use crate::check::table_name;
use crate::open::Found;

/// `HardState` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundHardState {
    /// Current term.
    pub term: f64,
    /// Vote, 0n = none.
    pub vote: BigInt,
    /// Commit index.
    pub commit: f64,
}

/// `EntryMeta` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundEntry {
    /// Index.
    pub index: f64,
    /// Term.
    pub term: f64,
    /// Kind.
    pub kind: u32,
    /// Bytes of the payload.
    pub bytes: f64,
}

impl From<&EntryMeta> for FoundEntry {
    fn from(meta: &EntryMeta) -> Self {
        Self {
            index: meta.mark.index as f64,
            term: meta.mark.term as f64,
            kind: u32::from(meta.kind as u8),
            bytes: meta.bytes as f64,
        }
    }
}

/// `MetaRow` as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundRow {
    /// Table name.
    pub table: &'static str,
    /// Row key.
    #[napi(ts_type = "Buffer")]
    pub key: SharedBytes,
    /// Row value.
    #[napi(ts_type = "Buffer")]
    pub value: SharedBytes,
}

impl From<MetaRow> for FoundRow {
    fn from(row: MetaRow) -> Self {
        Self {
            table: table_name(row.table),
            key: SharedBytes(row.key),
            value: SharedBytes(row.value),
        }
    }
}

/// A lease as JavaScript gets it.
#[napi(object, object_from_js = false)]
pub struct FoundLease {
    /// Id.
    pub id: BigInt,
    /// Granted seconds.
    pub ttl_seconds: f64,
    /// Remaining seconds at the last checkpoint, 0 = none.
    pub remaining_ttl_seconds: f64,
}

/// `Recovered`.
#[napi(object, object_from_js = false)]
pub struct Recovered {
    /// There was no WAL.
    pub fresh: bool,
    /// Cluster id.
    pub cluster_id: BigInt,
    /// Member id.
    pub member_id: BigInt,
    /// The last hard state.
    pub hard_state: FoundHardState,
    /// The entry before the log's first.
    pub snapshot_index: f64,
    /// Its term.
    pub snapshot_term: f64,
    /// The log.
    pub entries: Vec<FoundEntry>,
    /// Last entry that the store has.
    pub applied_index: f64,
    /// Its term.
    pub applied_term: f64,
    /// Store revision.
    pub revision: f64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: f64,
    /// Control-plane state.
    pub meta: Vec<FoundRow>,
    /// Leases.
    pub leases: Vec<FoundLease>,
    /// Bytes cut from a torn tail.
    pub torn_bytes: f64,
}

/// For JavaScript.
pub fn recovered(found: Found) -> Recovered {
    let Found { store, log } = found;
    let leases = store.leases.iter().map(|lease| FoundLease {
        id: lease.id.into(),
        ttl_seconds: lease.ttl_seconds as f64,
        remaining_ttl_seconds: lease.remaining_ttl_seconds as f64,
    });
    let replay = log.replay;
    Recovered {
        fresh: log.fresh,
        cluster_id: replay.identity.cluster_id.into(),
        member_id: replay.identity.member_id.into(),
        hard_state: FoundHardState {
            term: replay.hard_state.term as f64,
            vote: replay.hard_state.vote.into(),
            commit: replay.hard_state.commit as f64,
        },
        snapshot_index: replay.compacted.index as f64,
        snapshot_term: replay.compacted.term as f64,
        entries: log.entries.iter().map(FoundEntry::from).collect(),
        applied_index: store.applied.index as f64,
        applied_term: store.applied.term as f64,
        revision: store.revision as f64,
        compact_revision: store.compact_revision as f64,
        meta: store.meta.into_iter().map(FoundRow::from).collect(),
        leases: leases.collect(),
        torn_bytes: replay.torn_bytes as f64,
    }
}
