//! The events that cross to JavaScript one by one (those that are merged are fields of the queue).

use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::EtcdError;
use netcd_engine::mvcc::MetaRow;
use netcd_engine::pipeline::EntryMeta;
use netcd_engine::types::{EntryKind, LogMark};
use netcd_front::peer::LinkState;
use netcd_front::{FieldValue, FrontEvent};

/// See `NativeEvent` in binding.ts.
pub enum Event {
    /// A closed batch waits for a proposal.
    Batch {
        payload: u64,
        bytes: usize,
        requests: u32,
    },
    /// Apply stands at this entry.
    Control {
        mark: LogMark,
        kind: EntryKind,
        data: Bytes,
    },
    /// Reads wait for a read index.
    ReadRequest { ctx: u64 },
    /// The answer of `propose`.
    Proposed {
        token: u64,
        result: Result<Bytes, EtcdError>,
    },
    /// A message of a watch stream of the control plane.
    WatchMessage { stream: u64, data: Bytes },
    /// The process must end.
    Fatal(String),
    /// A log line.
    Log {
        level: &'static str,
        message: String,
        fields: Vec<(String, FieldValue)>,
    },
    /// Of the links to other members.
    Peer(PeerEvent),
    /// Of the transport.
    Front(FrontEvent),
}

/// What comes from other members.
pub enum PeerEvent {
    /// A raft message; the payloads of its entries wait behind handles.
    Message {
        from: u64,
        header: Bytes,
        metas: Vec<EntryMeta>,
        payloads: Vec<u64>,
    },
    /// The state of the link to a peer changed, then.
    Link {
        peer: u64,
        state: LinkState,
        at: Instant,
    },
    /// A member that is not known here called, from these URLs.
    Stranger { id: u64, urls: Vec<String> },
    /// Messages to a peer were dropped.
    Unreachable { peer: u64 },
    /// A peer's store waits behind a handle.
    Snapshot {
        from: u64,
        header: Bytes,
        snapshot: u64,
        applied: LogMark,
        meta: Vec<MetaRow>,
    },
    /// How the own store's way to a peer ended.
    SnapshotSent { peer: u64, arrived: bool },
}
