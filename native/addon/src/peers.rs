//! Links to other members: what JavaScript asks of them, where their messages take entries from, and their events.

use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use napi::Result;
use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use netcd_engine::pipeline::message::PeerMessage;
use netcd_engine::pipeline::{LogEntry, PeerLinks, Pipeline, PipelineError, Received};
use netcd_engine::snapshot::SnapshotInfo;
use netcd_engine::types::LogMark;
use netcd_front::peer::{Identity, LinkState, Payload, PeerEvents, PeerLog, Peers};

use crate::engine::NativeEngine;
use crate::event::{Event, PeerEvent};
use crate::open::reason;
use crate::options::{JsPersistEntry, copy, entry_kind, id, number};
use crate::sink::Sink;

/// The log of this member, for messages.
pub struct EngineLog(pub Arc<Pipeline>);

impl PeerLog for EngineLog {
    fn cached(&self, first: u64, last: u64) -> Option<Vec<LogEntry>> {
        let entries = self.0.cached_entries(first, last)?;
        let complete = entries.last().is_some_and(|entry| entry.mark.index == last);
        complete.then_some(entries)
    }

    fn read(&self, first: u64, last: u64) -> std::result::Result<Vec<LogEntry>, String> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut next = first;
        while next <= last {
            let more = self.0.read_entries(next, last, usize::MAX);
            let more = more.map_err(|error| error.to_string())?;
            let Some(end) = more.last() else {
                return Err(format!("entry {next} is not in the log"));
            };
            next = end.mark.index + 1;
            entries.extend(more);
        }
        Ok(entries)
    }
}

/// The links as the pipeline uses them. Weak, because the links hold the pipeline.
pub struct EngineLinks {
    /// All links.
    pub peers: Weak<Peers>,
    /// Where lost messages are told.
    pub sink: Sink,
}

impl PeerLinks for EngineLinks {
    fn send(&self, to: u64, message: PeerMessage, entries: Vec<LogEntry>) {
        let Some(peers) = self.peers.upgrade() else {
            return;
        };
        let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
        let payload = if entries.is_empty() {
            Payload::None
        } else {
            Payload::Held(entries)
        };
        if !peers.send(to, message.encode(), payload, bytes) {
            let lost = PeerEvent::Unreachable { peer: to };
            self.sink.0.push(Event::Peer(lost));
        }
    }
}

/// Peers' messages on their way to JavaScript: payloads stay in the pipeline behind handles.
pub struct PeerSink {
    /// Everyone's way to JavaScript.
    pub sink: Sink,
    /// Where payloads wait for their entries.
    pub pipeline: Arc<Pipeline>,
}

impl PeerEvents for PeerSink {
    fn message(&self, from: u64, header: Bytes, entries: Vec<LogEntry>) {
        let entries = match PeerMessage::decode(&header) {
            Some(message) => match self.pipeline.receive(from, message, entries) {
                Received::Taken => return,
                Received::Left(entries) => entries,
            },
            None => entries,
        };
        let metas = entries.iter().map(LogEntry::meta).collect();
        let payloads = entries
            .into_iter()
            .map(|entry| self.hold(entry.payload))
            .collect();
        self.push(PeerEvent::Message {
            from,
            header,
            metas,
            payloads,
        });
    }

    fn link(&self, peer: u64, state: LinkState) {
        let at = Instant::now();
        self.push(PeerEvent::Link { peer, state, at });
    }

    fn stranger(&self, id: u64, urls: Vec<String>) {
        self.push(PeerEvent::Stranger { id, urls });
    }

    fn unreachable(&self, peer: u64) {
        self.push(PeerEvent::Unreachable { peer });
    }

    fn snapshot_sent(&self, peer: u64, outcome: std::result::Result<SnapshotInfo, String>) {
        let arrived = outcome.is_ok();
        let remote = ("remote-peer-id".to_owned(), format!("{peer:x}"));
        let (level, message, field) = match outcome {
            Ok(info) => {
                let index = info.applied.index.to_string();
                ("info", "sent database snapshot", ("snapshot-index", index))
            }
            Err(error) => ("warn", "failed to send database snapshot", ("error", error)),
        };
        let fields = vec![(field.0.to_owned(), field.1), remote];
        self.sink.0.log(level, message.to_owned(), fields);
        self.push(PeerEvent::SnapshotSent { peer, arrived });
    }
}

impl PeerSink {
    fn push(&self, event: PeerEvent) {
        self.sink.0.push(Event::Peer(event));
    }

    /// 0 is "no payload".
    fn hold(&self, payload: Bytes) -> u64 {
        if payload.is_empty() {
            0
        } else {
            self.pipeline.add_payload(payload)
        }
    }
}

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

impl NativeEngine {
    /// As `enqueue`, for the links to other members.
    fn peers<R: Default>(&self, act: impl FnOnce(&Peers) -> R) -> Result<R> {
        self.enqueue(|running| Ok(act(&running.peers)))
    }
}

#[napi]
impl NativeEngine {
    /// What this member says of itself to its peers.
    #[napi]
    pub fn set_peer_identity(&self, identity: PeerIdentity) -> Result<()> {
        self.enqueue(|running| {
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
    pub fn set_peer(&self, peer: BigInt, urls: Vec<String>) -> Result<()> {
        let peer = id("peer", &peer)?;
        self.peers(|peers| peers.set_peer(peer, urls))
    }

    /// Ends the link to a peer.
    #[napi]
    pub fn remove_peer(&self, peer: BigInt) -> Result<()> {
        let peer = id("peer", &peer)?;
        self.peers(|peers| peers.remove_peer(peer))
    }

    /// Members that were removed for good: their streams are refused.
    #[napi]
    pub fn set_removed_peers(&self, peers: Vec<BigInt>) -> Result<()> {
        let ids: Result<Vec<u64>> = peers.iter().map(|peer| id("peers", peer)).collect();
        let ids = ids?;
        self.peers(|peers| peers.set_removed(ids))
    }

    /// Sends a message with the log entries `first..=last`, or with none when `last` is 0.
    #[napi]
    pub fn peer_send(
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
        self.peers(|peers| peers.send(to, copy(&header), payload, bytes))
    }

    /// Streams a copy of the store behind this message; ends in `peerSnapshotSent`.
    #[napi]
    pub fn peer_send_snapshot(&self, to: BigInt, header: Uint8Array) -> Result<()> {
        let to = id("to", &to)?;
        self.peers(|peers| peers.send_snapshot(to, copy(&header)))
    }

    /// The arrived store takes the place of the own one, and the log starts after it.
    #[napi]
    pub fn install_snapshot(&self, snapshot: f64) -> Result<()> {
        let handle = number("snapshot", snapshot)?;
        self.enqueue(|running| {
            let received = running.snapshots.take(handle);
            let received =
                received.ok_or_else(|| reason(format!("snapshot {handle} is not known")))?;
            let (mark, store) = (received.applied(), Arc::clone(&running.store));
            let install = move || match received.install(&store) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            let queued = running.pipeline.install_snapshot(mark, Box::new(install));
            match queued {
                // It is about to be closed.
                Ok(()) | Err(PipelineError::Closed) => Ok(()),
                Err(error) => Err(reason(error)),
            }
        })
    }

    /// An arrived store is not wanted.
    #[napi]
    pub fn drop_snapshot(&self, snapshot: f64) -> Result<()> {
        let handle = number("snapshot", snapshot)?;
        self.enqueue(|running| {
            drop(running.snapshots.take(handle));
            Ok(())
        })
    }

    /// Sends a message with entries that are in no log yet (proposals on their way to the leader).
    #[napi]
    pub fn peer_forward(
        &self,
        to: BigInt,
        header: Uint8Array,
        entries: Vec<JsPersistEntry>,
    ) -> Result<bool> {
        let to = id("to", &to)?;
        self.enqueue(|running| {
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
