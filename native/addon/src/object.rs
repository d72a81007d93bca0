//! Events as plain JavaScript objects, with the names of binding.ts. The only unsafe code of the addon is here.

use std::time::{Instant, UNIX_EPOCH};

use bytes::Bytes;
use napi::bindgen_prelude::{BigInt, BufferSlice, JsObjectValue, Null, Object, ToNapiValue};
use napi::{Env, Result};
use netcd_engine::describe;
use netcd_engine::error::EtcdError;
use netcd_engine::mvcc::MetaRow;
use netcd_engine::pipeline::EntryMeta;
use netcd_engine::types::LogMark;
use netcd_front::peer::LinkState;
use netcd_front::{FrontEvent, MetadataValue, RequestStats};

use crate::check::table_name;
use crate::event::{Event, PeerEvent};
use crate::limits::EXTERNAL_BUFFER_BYTES_MIN;
use crate::queue::Drained;

/// Makes the objects of one drain.
pub struct Objects<'e>(pub &'e Env);

impl<'e> Objects<'e> {
    /// All events in the order of their delivery.
    pub fn events(&self, drained: Drained) -> Result<Vec<Object<'e>>> {
        let mut objects = Vec::with_capacity(drained.events.len() + 5);
        if !drained.appended.is_empty() {
            objects.push(self.appended(&drained.appended)?);
        }
        for (from, mark) in drained.acknowledged {
            let mut object = self.mark(c"acknowledged", mark)?;
            set(&mut object, c"from", BigInt::from(from))?;
            objects.push(object);
        }
        if let Some(index) = drained.committed {
            let mut object = self.object(c"committed")?;
            set(&mut object, c"index", index as f64)?;
            objects.push(object);
        }
        for event in drained.events {
            objects.push(self.event(event)?);
        }
        if let Some(mark) = drained.stable {
            objects.push(self.mark(c"stable", mark)?);
        }
        if let Some(seq) = drained.persisted {
            let mut object = self.object(c"persisted")?;
            set(&mut object, c"seq", seq as f64)?;
            objects.push(object);
        }
        if let Some(index) = drained.applied {
            let mut object = self.object(c"applied")?;
            set(&mut object, c"index", index as f64)?;
            objects.push(object);
        }
        if let Some(mark) = drained.flushed {
            objects.push(self.mark(c"flushed", mark)?);
        }
        if drained.quota_exceeded {
            objects.push(self.object(c"quotaExceeded")?);
        }
        if drained.dropped_logs > 0 {
            let message = format!(
                "{} log lines of the data plane were dropped",
                drained.dropped_logs
            );
            objects.push(self.log("warn", message, Vec::new())?);
        }
        Ok(objects)
    }

    fn object(&self, kind: &std::ffi::CStr) -> Result<Object<'e>> {
        let mut object = Object::new(self.0)?;
        let kind = kind.to_str().expect("event names are ASCII");
        set(&mut object, c"type", kind)?;
        Ok(object)
    }

    fn mark(&self, kind: &std::ffi::CStr, mark: LogMark) -> Result<Object<'e>> {
        let mut object = self.object(kind)?;
        set(&mut object, c"index", mark.index as f64)?;
        set(&mut object, c"term", mark.term as f64)?;
        Ok(object)
    }

    fn appended(&self, entries: &[EntryMeta]) -> Result<Object<'e>> {
        let mut object = self.object(c"appended")?;
        let entries: Result<Vec<Object<'e>>> =
            entries.iter().map(|entry| self.meta(entry)).collect();
        set(&mut object, c"entries", entries?)?;
        Ok(object)
    }

    fn meta(&self, entry: &EntryMeta) -> Result<Object<'e>> {
        let mut object = Object::new(self.0)?;
        set(&mut object, c"index", entry.mark.index as f64)?;
        set(&mut object, c"term", entry.mark.term as f64)?;
        set(&mut object, c"kind", u32::from(entry.kind as u8))?;
        set(&mut object, c"bytes", entry.bytes as f64)?;
        Ok(object)
    }

    /// Bytes as a Buffer. A large one is the memory itself, which JavaScript must not write to.
    pub fn bytes(&self, bytes: Bytes) -> Result<BufferSlice<'e>> {
        if bytes.len() < EXTERNAL_BUFFER_BYTES_MIN {
            return BufferSlice::copy_from(self.0, &bytes);
        }
        let (data, length) = (bytes.as_ptr().cast_mut(), bytes.len());
        // SAFETY: `bytes` keeps the memory alive and in its place until the finalizer drops it; nobody writes to it,
        // in Rust because it is shared, in JavaScript by the contract of binding.ts.
        unsafe { BufferSlice::from_external(self.0, data, length, bytes, |_, bytes| drop(bytes)) }
    }

    fn event(&self, event: Event) -> Result<Object<'e>> {
        match event {
            Event::Batch {
                payload,
                bytes,
                requests,
            } => {
                let mut object = self.object(c"batch")?;
                set(&mut object, c"payload", payload as f64)?;
                set(&mut object, c"bytes", bytes as f64)?;
                set(&mut object, c"requests", requests)?;
                Ok(object)
            }
            Event::Control { mark, kind, data } => {
                let mut object = self.mark(c"control", mark)?;
                set(&mut object, c"kind", u32::from(kind as u8))?;
                set(&mut object, c"data", &self.bytes(data)?)?;
                Ok(object)
            }
            Event::ReadRequest { ctx } => {
                let mut object = self.object(c"readRequest")?;
                set(&mut object, c"ctx", ctx as f64)?;
                Ok(object)
            }
            Event::WatchMessage { stream, data } => {
                let mut object = self.object(c"watchMessage")?;
                set(&mut object, c"stream", stream as f64)?;
                set(&mut object, c"data", &self.bytes(data)?)?;
                Ok(object)
            }
            Event::Proposed { token, result } => self.proposed(token, result),
            Event::Fatal(message) => {
                let mut object = self.object(c"fatal")?;
                set(&mut object, c"message", message)?;
                Ok(object)
            }
            Event::Log {
                level,
                message,
                fields,
            } => self.log(level, message, fields),
            Event::Peer(event) => self.peer(event),
            Event::Front(event) => self.front(event),
        }
    }

    fn proposed(
        &self,
        token: u64,
        result: std::result::Result<Bytes, EtcdError>,
    ) -> Result<Object<'e>> {
        let mut object = self.object(c"proposed")?;
        set(&mut object, c"token", token as f64)?;
        match result {
            Ok(data) => {
                set(&mut object, c"data", &self.bytes(data)?)?;
                set(&mut object, c"error", Null)?;
            }
            Err(error) => {
                let mut status = Object::new(self.0)?;
                set(&mut status, c"code", u32::from(error.code as u8))?;
                set(&mut status, c"message", error.message.as_ref())?;
                set(&mut object, c"data", Null)?;
                set(&mut object, c"error", status)?;
            }
        }
        Ok(object)
    }

    fn log(
        &self,
        level: &str,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<Object<'e>> {
        let mut object = self.object(c"log")?;
        set(&mut object, c"level", level)?;
        set(&mut object, c"message", message)?;
        set(&mut object, c"fields", pairs(fields))?;
        Ok(object)
    }

    fn request_stats(&self, stats: RequestStats) -> Result<Object<'e>> {
        // A clock before 1970 is shown as then.
        let start = stats.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut object = self.object(c"requestStats")?;
        set(&mut object, c"warn", stats.warn)?;
        set(&mut object, c"startUs", start.as_secs_f64() * 1e6)?;
        set(&mut object, c"spent", describe::duration(stats.took))?;
        set(&mut object, c"peer", stats.peer)?;
        set(&mut object, c"path", stats.path)?;
        for (name, figure) in [
            (c"requestCount", stats.request_count),
            (c"requestBytes", stats.request_bytes),
            (c"responseCount", stats.response_count),
            (c"responseBytes", stats.response_bytes),
        ] {
            set(&mut object, name, figure as f64)?;
        }
        set(&mut object, c"content", stats.content)?;
        Ok(object)
    }

    fn numbered(
        &self,
        kind: &std::ffi::CStr,
        name: &std::ffi::CStr,
        id: u64,
    ) -> Result<Object<'e>> {
        let mut object = self.object(kind)?;
        set(&mut object, name, id as f64)?;
        Ok(object)
    }

    fn front(&self, event: FrontEvent) -> Result<Object<'e>> {
        match event {
            FrontEvent::Call {
                call,
                path,
                metadata,
                peer,
                deadline_ms,
                listener,
            } => {
                let mut object = self.numbered(c"call", c"call", call)?;
                set(&mut object, c"path", path)?;
                set(&mut object, c"metadata", self.metadata(metadata)?)?;
                set(&mut object, c"peer", peer)?;
                match deadline_ms {
                    Some(ms) => set(&mut object, c"deadlineMs", ms as f64)?,
                    None => set(&mut object, c"deadlineMs", Null)?,
                }
                set(&mut object, c"listener", listener)?;
                Ok(object)
            }
            FrontEvent::CallMessage { call, data } => {
                let mut object = self.numbered(c"callMessage", c"call", call)?;
                set(&mut object, c"data", &self.bytes(data)?)?;
                Ok(object)
            }
            FrontEvent::CallHalfClose { call } => self.numbered(c"callHalfClose", c"call", call),
            FrontEvent::CallCancelled { call, code } => {
                let mut object = self.numbered(c"callCancelled", c"call", call)?;
                set(&mut object, c"code", u32::from(code))?;
                Ok(object)
            }
            FrontEvent::CallDrained { call } => self.numbered(c"callDrained", c"call", call),
            FrontEvent::Http {
                request,
                method,
                url,
                headers,
                body,
                peer,
                listener,
            } => {
                let mut object = self.numbered(c"http", c"request", request)?;
                set(&mut object, c"method", method)?;
                set(&mut object, c"url", url)?;
                set(&mut object, c"headers", pairs(headers))?;
                set(&mut object, c"body", &self.bytes(body)?)?;
                set(&mut object, c"peer", peer)?;
                set(&mut object, c"listener", listener)?;
                Ok(object)
            }
            FrontEvent::HttpClosed { request } => self.numbered(c"httpClosed", c"request", request),
            FrontEvent::HttpDrained { request } => {
                self.numbered(c"httpDrained", c"request", request)
            }
            FrontEvent::LeaseRenew { renewal, lease } => {
                let mut object = self.numbered(c"leaseRenew", c"renewal", renewal)?;
                set(&mut object, c"lease", BigInt::from(lease))?;
                Ok(object)
            }
            FrontEvent::RequestStats(stats) => self.request_stats(*stats),
            FrontEvent::Log { .. } => unreachable!("the sink queues log lines as such"),
        }
    }

    fn peer(&self, event: PeerEvent) -> Result<Object<'e>> {
        match event {
            PeerEvent::Message {
                from,
                header,
                metas,
                payloads,
            } => {
                let mut object = self.object(c"peerMessage")?;
                set(&mut object, c"from", BigInt::from(from))?;
                set(&mut object, c"header", &self.bytes(header)?)?;
                let metas: Result<Vec<Object<'e>>> =
                    metas.iter().map(|meta| self.meta(meta)).collect();
                set(&mut object, c"entries", metas?)?;
                let payloads: Vec<f64> = payloads.into_iter().map(|handle| handle as f64).collect();
                set(&mut object, c"payloads", payloads)?;
                Ok(object)
            }
            PeerEvent::Snapshot {
                from,
                header,
                snapshot,
                applied,
                meta,
            } => {
                let mut object = self.object(c"peerSnapshot")?;
                set(&mut object, c"from", BigInt::from(from))?;
                set(&mut object, c"header", &self.bytes(header)?)?;
                set(&mut object, c"snapshot", snapshot as f64)?;
                set(&mut object, c"index", applied.index as f64)?;
                set(&mut object, c"term", applied.term as f64)?;
                let rows: Result<Vec<Object<'e>>> =
                    meta.into_iter().map(|row| self.meta_row(row)).collect();
                set(&mut object, c"meta", rows?)?;
                Ok(object)
            }
            PeerEvent::SnapshotSent { peer, arrived } => {
                let mut object = self.object(c"peerSnapshotSent")?;
                set(&mut object, c"peer", BigInt::from(peer))?;
                set(&mut object, c"arrived", arrived)?;
                Ok(object)
            }
            PeerEvent::Link { peer, state, at } => self.link(peer, state, at),
            PeerEvent::Stranger { id, urls } => {
                let mut object = self.object(c"peerStranger")?;
                set(&mut object, c"id", BigInt::from(id))?;
                set(&mut object, c"peerUrls", urls)?;
                Ok(object)
            }
            PeerEvent::Unreachable { peer } => {
                let mut object = self.object(c"peerUnreachable")?;
                set(&mut object, c"peer", BigInt::from(peer))?;
                Ok(object)
            }
        }
    }

    fn meta_row(&self, row: MetaRow) -> Result<Object<'e>> {
        let mut object = Object::new(self.0)?;
        set(&mut object, c"table", table_name(row.table))?;
        set(&mut object, c"key", &self.bytes(row.key)?)?;
        set(&mut object, c"value", &self.bytes(row.value)?)?;
        Ok(object)
    }

    fn link(&self, peer: u64, state: LinkState, at: Instant) -> Result<Object<'e>> {
        let (state, version, status, text) = match state {
            LinkState::Active { version } => ("active", version, 200, String::new()),
            LinkState::Inactive { reason } => ("inactive", String::new(), 0, reason),
            LinkState::Gone { reason } => ("gone", String::new(), 0, reason),
            LinkState::Refused { status, text } => ("refused", String::new(), status, text),
        };
        let mut object = self.object(c"peerLink")?;
        set(&mut object, c"peer", BigInt::from(peer))?;
        set(&mut object, c"state", state)?;
        set(&mut object, c"ageMs", at.elapsed().as_secs_f64() * 1e3)?;
        set(&mut object, c"version", version)?;
        set(&mut object, c"status", u32::from(status))?;
        set(&mut object, c"text", text)?;
        Ok(object)
    }

    fn metadata(&self, pairs: Vec<(String, MetadataValue)>) -> Result<Vec<Object<'e>>> {
        let pair = |(name, value)| {
            let mut pair = self.0.create_array(2)?;
            pair.set(0, name)?;
            match value {
                MetadataValue::Text(text) => pair.set(1, text)?,
                MetadataValue::Binary(bytes) => pair.set(1, &self.bytes(bytes)?)?,
            }
            pair.coerce_to_object()
        };
        pairs.into_iter().map(pair).collect()
    }
}

fn set<T: ToNapiValue>(object: &mut Object<'_>, name: &std::ffi::CStr, value: T) -> Result<()> {
    object.set_c_named_property(name, value)
}

fn pairs(fields: Vec<(String, String)>) -> Vec<Vec<String>> {
    fields
        .into_iter()
        .map(|(name, value)| vec![name, value])
        .collect()
}
