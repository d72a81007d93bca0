//! Streams that peers open to this member: the handshake's checks, then frames until the peer falls silent.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use netcd_http2::{Body, HeaderBlock, Reason, Responder, SendBuf};
use tokio::time::timeout;

use super::counters::{PeerCounters, add};
use super::frame::Decoder;
use super::shared::Shared;
use super::snapshot::receive_snapshot;
use super::wire;
use crate::grpc::head::RequestHead;

/// Serves the peer paths of a peer listener. Clones are cheap.
#[derive(Clone)]
pub struct PeerAcceptor(pub(super) Arc<Shared>);

impl PeerAcceptor {
    /// Whether a request is for `serve` and not for the control plane.
    pub fn takes(path: &str) -> bool {
        path == wire::STREAM_PATH || path == wire::SNAPSHOT_PATH
    }

    /// Serves one stream to its end.
    pub(crate) async fn serve(&self, request: &RequestHead, body: Body, mut respond: Responder) {
        let shared = &self.0;
        let identity = shared.identity();
        let headers = &request.parts.headers;
        let sender = wire::check_request(
            headers,
            &identity,
            |id| shared.is_removed(id),
            |id| shared.contact(id).is_some(),
        );
        let urls = wire::peer_urls(headers);
        let headers = wire::response_headers(&identity);
        if *shared.leaving.borrow() {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return refuse(&mut respond, status, &headers, wire::LEAVING);
        }
        let from = match sender {
            Ok(from) => from,
            Err(refusal) => {
                if let Some(stranger) = refusal.stranger {
                    shared.events.stranger(stranger, urls);
                }
                return refuse(&mut respond, refusal.status, &headers, refusal.text);
            }
        };
        // The answer stays open: its end would tell the sender that nobody listens any more.
        let accepted = HeaderBlock::response(StatusCode::OK, &headers);
        if respond.respond(&accepted, false).is_err() {
            return;
        }
        let Some(contact) = shared.contact(from) else {
            return;
        };
        contact.heard(urls);
        let counters = contact.counters;
        if request.path() == wire::SNAPSHOT_PATH {
            let outcome = receive_snapshot(shared, from, &counters, body).await;
            let verdict = match outcome {
                Ok(()) => wire::STORED.to_owned(),
                Err(reason) => {
                    add(&counters.received_failures, 1);
                    reason
                }
            };
            // A sender that is gone sends again, if it still must.
            let _ = respond.send_data(SendBuf::raw(verdict.into()), true);
            return;
        }
        let _present = shared.incoming.enter();
        match receive(shared, from, &counters, body, &mut respond).await {
            // The sender learns that all it sent has been taken. One that is gone does not ask.
            Ok(()) => drop(respond.send_data(SendBuf::raw(Bytes::new()), true)),
            Err(Broken) => {
                add(&counters.received_failures, 1);
                respond.reset(Reason::Cancel);
            }
        }
    }
}

fn refuse(respond: &mut Responder, status: StatusCode, headers: &HeaderMap, text: &'static str) {
    let text = Bytes::from_static(text.as_bytes());
    // A sender that is gone does not need the reason.
    let _ = respond
        .respond(&HeaderBlock::response(status, headers), false)
        .and_then(|()| respond.send_data(SendBuf::raw(text), true));
}

/// Why a stream ended before its sender ended it; the sender dials again, so nobody needs the details.
struct Broken;

async fn receive(
    shared: &Shared,
    from: u64,
    counters: &PeerCounters,
    mut body: Body,
    respond: &mut Responder,
) -> Result<(), Broken> {
    let mut decoder = Decoder::default();
    let mut leaving = shared.leaving.subscribe();
    let mut told = false;
    loop {
        let chunk = tokio::select! {
            chunk = timeout(shared.timeouts.read, body.data()) => chunk.map_err(|_| Broken)?,
            // An error means that this member's links are gone.
            left = leaving.wait_for(|leaving| *leaving), if !told => {
                left.map_err(|_| Broken)?;
                told = true;
                let word = SendBuf::raw(wire::LEAVING.into());
                respond.send_data(word, false).map_err(|_| Broken)?;
                continue;
            }
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk = chunk.map_err(|_| Broken)?;
        add(&counters.received_bytes, chunk.len() as u64);
        decoder.push(&chunk);
        body.release(chunk.len());
        while let Some(frame) = decoder.next().map_err(|_| Broken)? {
            if shared.is_removed(from) {
                return Err(Broken);
            }
            shared.events.message(from, frame.header, frame.entries);
        }
    }
}
