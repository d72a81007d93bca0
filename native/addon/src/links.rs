//! Links to other members as the pipeline and the transport use them: where messages take entries from, where messages
//! go, and the events of both.

use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::pipeline::message::PeerMessage;
use netcd_engine::pipeline::{LogEntry, PeerLinks, Pipeline, Received};
use netcd_engine::snapshot::SnapshotInfo;
use netcd_front::peer::{LinkState, Payload, PeerEvents, PeerLog, Peers};

use crate::event::{Event, PeerEvent};
use crate::sink::Sink;

/// The log of this member, for messages.
pub struct EngineLog(pub Arc<Pipeline>);

impl PeerLog for EngineLog {
    fn cached(&self, first: u64, last: u64) -> Option<Vec<LogEntry>> {
        let entries = self.0.cached_entries(first, last)?;
        let complete = entries.last().is_some_and(|entry| entry.mark.index == last);
        complete.then_some(entries)
    }

    fn read(&self, first: u64, last: u64) -> Result<Vec<LogEntry>, String> {
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

    fn snapshot_sent(&self, peer: u64, outcome: Result<SnapshotInfo, String>) {
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
