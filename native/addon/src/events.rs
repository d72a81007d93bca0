//! What a drain brings to JavaScript: `NativeEvent`, of which napi writes down the form and events.ts says the meaning.

use std::time::{Instant, UNIX_EPOCH};

use napi::bindgen_prelude::{BigInt, Either};
use napi_derive::napi;
use netcd_engine::describe;
use netcd_engine::error::EtcdError;
use netcd_engine::types::LogMark;
use netcd_front::peer::LinkState;
use netcd_front::{FieldValue, FrontEvent, MetadataValue, RequestStats};

use crate::buffer::SharedBytes;
use crate::event::{Event, PeerEvent};
use crate::found::{FoundEntry, FoundRow};
use crate::queue::Drained;

/// gRPC code and text, as JavaScript gets them.
#[napi(object, object_from_js = false)]
pub struct FoundStatus {
    /// gRPC code.
    pub code: u8,
    /// Text.
    pub message: String,
}

impl From<EtcdError> for FoundStatus {
    fn from(error: EtcdError) -> Self {
        Self {
            code: error.code as u8,
            message: error.message.into_owned(),
        }
    }
}

/// One event.
#[napi(
    object_from_js = false,
    use_nullable = true,
    discriminant_case = "camelCase"
)]
pub enum NativeEvent {
    Batch {
        payload: f64,
        bytes: f64,
        requests: u32,
    },
    Appended {
        entries: Vec<FoundEntry>,
    },
    Acknowledged {
        from: BigInt,
        index: f64,
        term: f64,
    },
    Committed {
        index: f64,
    },
    Stable {
        index: f64,
        term: f64,
    },
    Persisted {
        seq: f64,
    },
    Applied {
        index: f64,
    },
    Control {
        index: f64,
        term: f64,
        kind: u8,
        #[napi(ts_type = "Buffer")]
        data: SharedBytes,
    },
    Flushed {
        index: f64,
        term: f64,
    },
    ReadRequest {
        ctx: f64,
    },
    Proposed {
        token: f64,
        #[napi(ts_type = "Buffer")]
        data: Option<SharedBytes>,
        error: Option<FoundStatus>,
    },
    LeaseRenew {
        renewal: f64,
        lease: BigInt,
    },
    Identify {
        ask: f64,
        token: String,
    },
    WatchMessage {
        stream: f64,
        #[napi(ts_type = "Buffer")]
        data: SharedBytes,
    },
    Fatal {
        message: String,
    },
    QuotaExceeded,
    Log {
        level: &'static str,
        message: String,
        #[napi(ts_type = "Array<[string, string | Array<string>]>")]
        fields: Vec<(String, Either<String, Vec<String>>)>,
    },
    RequestStats {
        warn: bool,
        start_us: f64,
        spent: String,
        peer: String,
        path: String,
        request_count: f64,
        request_bytes: f64,
        response_count: f64,
        response_bytes: f64,
        content: String,
    },
    PeerMessage {
        from: BigInt,
        #[napi(ts_type = "Buffer")]
        header: SharedBytes,
        entries: Vec<FoundEntry>,
        payloads: Vec<f64>,
    },
    PeerLink {
        peer: BigInt,
        state: &'static str,
        age_ms: f64,
        version: String,
        status: u16,
        text: String,
    },
    PeerStranger {
        id: BigInt,
        peer_urls: Vec<String>,
    },
    PeerUnreachable {
        peer: BigInt,
    },
    PeerSnapshot {
        from: BigInt,
        #[napi(ts_type = "Buffer")]
        header: SharedBytes,
        snapshot: f64,
        index: f64,
        term: f64,
        meta: Vec<FoundRow>,
    },
    PeerSnapshotSent {
        peer: BigInt,
        arrived: bool,
    },
    Call {
        call: f64,
        path: String,
        #[napi(ts_type = "Array<[string, string | Buffer]>")]
        metadata: Vec<(String, Either<String, SharedBytes>)>,
        peer: String,
        deadline_ms: Option<f64>,
        listener: String,
        common_name: Option<String>,
    },
    CallMessage {
        call: f64,
        #[napi(ts_type = "Buffer")]
        data: SharedBytes,
    },
    CallHalfClose {
        call: f64,
    },
    CallCancelled {
        call: f64,
        code: u8,
    },
    CallDrained {
        call: f64,
    },
    Http {
        request: f64,
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        #[napi(ts_type = "Buffer")]
        body: SharedBytes,
        peer: String,
        listener: String,
        failed_read: Option<String>,
        common_name: Option<String>,
    },
    HttpClosed {
        request: f64,
    },
    HttpDrained {
        request: f64,
    },
}

/// All events of a drain in the order of their delivery.
pub fn events(drained: Drained) -> Vec<NativeEvent> {
    let mut events = Vec::with_capacity(drained.events.len() + 5);
    if !drained.appended.is_empty() {
        let entries = drained.appended.iter().map(FoundEntry::from).collect();
        events.push(NativeEvent::Appended { entries });
    }
    for (from, LogMark { index, term }) in drained.acknowledged {
        events.push(NativeEvent::Acknowledged {
            from: from.into(),
            index: index as f64,
            term: term as f64,
        });
    }
    let number = |value: u64| value as f64;
    let committed = drained.committed.map(number);
    events.extend(committed.map(|index| NativeEvent::Committed { index }));
    events.extend(drained.events.into_iter().map(NativeEvent::from));
    events.extend(drained.stable.map(|mark| NativeEvent::Stable {
        index: mark.index as f64,
        term: mark.term as f64,
    }));
    let persisted = drained.persisted.map(number);
    events.extend(persisted.map(|seq| NativeEvent::Persisted { seq }));
    let applied = drained.applied.map(number);
    events.extend(applied.map(|index| NativeEvent::Applied { index }));
    events.extend(drained.flushed.map(|mark| NativeEvent::Flushed {
        index: mark.index as f64,
        term: mark.term as f64,
    }));
    if drained.quota_exceeded {
        events.push(NativeEvent::QuotaExceeded);
    }
    if drained.dropped_logs > 0 {
        events.push(NativeEvent::Log {
            level: "warn",
            message: format!(
                "{} log lines of the data plane were dropped",
                drained.dropped_logs
            ),
            fields: Vec::new(),
        });
    }
    events
}

impl From<Event> for NativeEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Batch {
                payload,
                bytes,
                requests,
            } => Self::Batch {
                payload: payload as f64,
                bytes: bytes as f64,
                requests,
            },
            Event::Control { mark, kind, data } => Self::Control {
                index: mark.index as f64,
                term: mark.term as f64,
                kind: kind as u8,
                data: SharedBytes(data),
            },
            Event::ReadRequest { ctx } => Self::ReadRequest { ctx: ctx as f64 },
            Event::WatchMessage { stream, data } => Self::WatchMessage {
                stream: stream as f64,
                data: SharedBytes(data),
            },
            Event::Proposed { token, result } => {
                let (data, error) = match result {
                    Ok(data) => (Some(SharedBytes(data)), None),
                    Err(error) => (None, Some(error.into())),
                };
                Self::Proposed {
                    token: token as f64,
                    data,
                    error,
                }
            }
            Event::Fatal(message) => Self::Fatal { message },
            Event::Log {
                level,
                message,
                fields,
            } => Self::Log {
                level,
                message,
                fields: fields.into_iter().map(found_field).collect(),
            },
            Event::Peer(event) => event.into(),
            Event::Front(event) => event.into(),
        }
    }
}

impl From<FrontEvent> for NativeEvent {
    fn from(event: FrontEvent) -> Self {
        let number = |id: u64| id as f64;
        match event {
            FrontEvent::Call {
                call,
                path,
                metadata,
                peer,
                deadline_ms,
                listener,
                common_name,
            } => Self::Call {
                call: number(call),
                path,
                metadata: metadata.into_iter().map(found_metadata).collect(),
                peer,
                deadline_ms: deadline_ms.map(|ms| ms as f64),
                listener,
                common_name,
            },
            FrontEvent::CallMessage { call, data } => Self::CallMessage {
                call: number(call),
                data: SharedBytes(data),
            },
            FrontEvent::CallHalfClose { call } => Self::CallHalfClose { call: number(call) },
            FrontEvent::CallCancelled { call, code } => Self::CallCancelled {
                call: number(call),
                code,
            },
            FrontEvent::CallDrained { call } => Self::CallDrained { call: number(call) },
            FrontEvent::Http {
                request,
                method,
                url,
                headers,
                body,
                peer,
                listener,
                failed_read,
                common_name,
            } => Self::Http {
                request: number(request),
                method,
                url,
                headers,
                body: SharedBytes(body),
                peer,
                listener,
                failed_read,
                common_name,
            },
            FrontEvent::HttpClosed { request } => Self::HttpClosed {
                request: number(request),
            },
            FrontEvent::HttpDrained { request } => Self::HttpDrained {
                request: number(request),
            },
            FrontEvent::LeaseRenew { renewal, lease } => Self::LeaseRenew {
                renewal: number(renewal),
                lease: lease.into(),
            },
            FrontEvent::Identify { ask, token } => Self::Identify {
                ask: number(ask),
                token,
            },
            FrontEvent::RequestStats(stats) => (*stats).into(),
            FrontEvent::Log { .. } => unreachable!("the sink queues log lines as such"),
        }
    }
}

fn found_field((name, value): (String, FieldValue)) -> (String, Either<String, Vec<String>>) {
    match value {
        FieldValue::Text(text) => (name, Either::A(text)),
        FieldValue::List(list) => (name, Either::B(list)),
    }
}

fn found_metadata((name, value): (String, MetadataValue)) -> (String, Either<String, SharedBytes>) {
    match value {
        MetadataValue::Text(text) => (name, Either::A(text)),
        MetadataValue::Binary(bytes) => (name, Either::B(SharedBytes(bytes))),
    }
}

impl From<RequestStats> for NativeEvent {
    fn from(stats: RequestStats) -> Self {
        // A clock before 1970 is shown as then.
        let start = stats.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::RequestStats {
            warn: stats.warn,
            start_us: start.as_secs_f64() * 1e6,
            spent: describe::duration(stats.took),
            peer: stats.peer,
            path: stats.path.into(),
            request_count: stats.request_count as f64,
            request_bytes: stats.request_bytes as f64,
            response_count: stats.response_count as f64,
            response_bytes: stats.response_bytes as f64,
            content: stats.content,
        }
    }
}

impl From<PeerEvent> for NativeEvent {
    fn from(event: PeerEvent) -> Self {
        match event {
            PeerEvent::Message {
                from,
                header,
                metas,
                payloads,
            } => Self::PeerMessage {
                from: from.into(),
                header: SharedBytes(header),
                entries: metas.iter().map(FoundEntry::from).collect(),
                payloads: payloads.into_iter().map(|handle| handle as f64).collect(),
            },
            PeerEvent::Snapshot {
                from,
                header,
                snapshot,
                applied,
                meta,
            } => Self::PeerSnapshot {
                from: from.into(),
                header: SharedBytes(header),
                snapshot: snapshot as f64,
                index: applied.index as f64,
                term: applied.term as f64,
                meta: meta.into_iter().map(FoundRow::from).collect(),
            },
            PeerEvent::SnapshotSent { peer, arrived } => Self::PeerSnapshotSent {
                peer: peer.into(),
                arrived,
            },
            PeerEvent::Link { peer, state, at } => link(peer, state, at),
            PeerEvent::Stranger { id, urls } => Self::PeerStranger {
                id: id.into(),
                peer_urls: urls,
            },
            PeerEvent::Unreachable { peer } => Self::PeerUnreachable { peer: peer.into() },
        }
    }
}

fn link(peer: u64, state: LinkState, at: Instant) -> NativeEvent {
    let (state, version, status, text) = match state {
        LinkState::Active { version } => ("active", version, 200, String::new()),
        LinkState::Inactive { reason } => ("inactive", String::new(), 0, reason),
        LinkState::Gone { reason } => ("gone", String::new(), 0, reason),
        LinkState::Refused { status, text } => ("refused", String::new(), status, text),
    };
    NativeEvent::PeerLink {
        peer: peer.into(),
        state,
        age_ms: at.elapsed().as_secs_f64() * 1e3,
        version,
        status,
        text,
    }
}
