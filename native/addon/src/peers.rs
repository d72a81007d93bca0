//! Links to other members: what JavaScript asks of them.

use std::sync::Arc;

use bytes::Bytes;
use napi::Result;
use napi::bindgen_prelude::{AsyncTask, BigInt, Uint8Array};
use napi_derive::napi;
use netcd_engine::pipeline::{LogEntry, Pipeline};
use netcd_engine::types::LogMark;
use netcd_front::peer::{Identity, Payload};

use crate::check::{copy, entry_kind, id, number, reason};
use crate::options::JsPersistEntry;
use crate::shared::Shared;
use crate::tasks::LeavePeers;

/// `PeerIdentity`.
#[napi(object, object_to_js = false)]
pub struct PeerIdentity {
    /// Version of this server.
    pub version: String,
    /// Oldest cluster version that it can join.
    pub min_cluster_version: String,
    /// Peer URLs that it advertises.
    pub peer_urls: Vec<String>,
}

/// The other members of the cluster, for an engine.
#[napi]
pub struct NativePeers(pub(crate) Arc<Shared>);

#[napi]
impl NativePeers {
    /// What this member says of itself to its peers.
    #[napi]
    pub fn set_identity(&self, identity: PeerIdentity) -> Result<()> {
        self.0.enqueue(|running| {
            running.peers.set_identity(Identity {
                cluster_id: running.identity.cluster_id,
                member_id: running.identity.member_id,
                version: identity.version,
                min_cluster_version: identity.min_cluster_version,
                peer_urls: identity.peer_urls,
            });
            Ok(())
        })
    }

    /// Adds a peer, or gives it other URLs.
    #[napi]
    pub fn set(&self, peer: BigInt, urls: Vec<String>) -> Result<()> {
        let peer = id("peer", &peer)?;
        self.0.peers(|peers| peers.set_peer(peer, urls))
    }

    /// Ends the link to a peer.
    #[napi]
    pub fn remove(&self, peer: BigInt) -> Result<()> {
        let peer = id("peer", &peer)?;
        self.0.peers(|peers| peers.remove_peer(peer))
    }

    /// Members that were removed for good: their streams are refused.
    #[napi]
    pub fn set_removed(&self, peers: Vec<BigInt>) -> Result<()> {
        let ids: Result<Vec<u64>> = peers.iter().map(|peer| id("peers", peer)).collect();
        let ids = ids?;
        self.0.peers(|peers| peers.set_removed(ids))
    }

    /// Sends a message with the log entries `first..=last`, or with none when `last` is 0.
    #[napi]
    pub fn send(
        &self,
        to: BigInt,
        header: Uint8Array,
        first: f64,
        last: f64,
        last_term: f64,
        bytes: f64,
    ) -> Result<bool> {
        let (first, last) = (number("first", first)?, number("last", last)?);
        let payload = if last == 0 {
            Payload::None
        } else {
            let last_term = number("lastTerm", last_term)?;
            Payload::Log {
                first,
                last,
                last_term,
            }
        };
        let (to, bytes) = (id("to", &to)?, number("bytes", bytes)? as usize);
        self.0
            .peers(|peers| peers.send(to, copy(&header), payload, bytes))
    }

    /// Streams a copy of the store behind this message; ends in `peerSnapshotSent`.
    #[napi]
    pub fn send_snapshot(&self, to: BigInt, header: Uint8Array) -> Result<()> {
        let to = id("to", &to)?;
        self.0.peers(|peers| peers.send_snapshot(to, copy(&header)))
    }

    /// The arrived store takes the place of the own one, and the log starts after it.
    #[napi]
    pub fn install_snapshot(&self, snapshot: f64) -> Result<()> {
        let handle = number("snapshot", snapshot)?;
        self.0.enqueue(|running| {
            let received = running.snapshots.take(handle);
            let received =
                received.ok_or_else(|| reason(format!("snapshot {handle} is not known")))?;
            let (mark, store) = (received.applied(), Arc::clone(&running.store));
            let install = move || match received.install(&store) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            self.0
                .pipeline(|pipeline| pipeline.install_snapshot(mark, Box::new(install)))
        })
    }

    /// An arrived store is not wanted.
    #[napi]
    pub fn drop_snapshot(&self, snapshot: f64) -> Result<()> {
        let handle = number("snapshot", snapshot)?;
        self.0.enqueue(|running| {
            drop(running.snapshots.take(handle));
            Ok(())
        })
    }

    /// Sends a message with entries that are in no log yet (proposals on their way to the leader).
    #[napi]
    pub fn forward(
        &self,
        to: BigInt,
        header: Uint8Array,
        entries: Vec<JsPersistEntry>,
    ) -> Result<bool> {
        let to = id("to", &to)?;
        self.0.enqueue(|running| {
            let held: Result<Vec<LogEntry>> = entries
                .iter()
                .map(|entry| held_entry(&running.pipeline, entry))
                .collect();
            let held = held?;
            let bytes = held.iter().map(|entry| entry.payload.len()).sum();
            Ok(running
                .peers
                .send(to, copy(&header), Payload::Proposals(held), bytes))
        })
    }

    /// Takes nothing more from other members than what they have sent by now, which is in the queue of events then.
    #[napi]
    pub fn leave(&self) -> AsyncTask<LeavePeers> {
        AsyncTask::new(LeavePeers(Arc::clone(&self.0)))
    }
}

fn held_entry(pipeline: &Pipeline, entry: &JsPersistEntry) -> Result<LogEntry> {
    let handle = number("payload", entry.payload)?;
    let payload = match &entry.data {
        Some(data) => copy(data),
        None if handle == 0 => Bytes::new(),
        None => pipeline.payload(handle).map_err(reason)?,
    };
    Ok(LogEntry {
        mark: LogMark::default(),
        kind: entry_kind(entry.kind)?,
        payload,
    })
}
