//! Streams that peers open to this member: the handshake's checks, then frames until the peer falls silent.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::frame::Decoder;
use super::limits;
use super::shared::{PeerCounters, Shared, add};
use super::snapshot::receive_snapshot;
use super::wire;

/// Serves the peer paths of a peer listener. Clones are cheap.
#[derive(Clone)]
pub struct PeerAcceptor(pub(super) Arc<Shared>);

impl PeerAcceptor {
    /// Whether a request is for `serve` and not for the control plane.
    pub fn takes(path: &str) -> bool {
        path == wire::STREAM_PATH || path == wire::SNAPSHOT_PATH
    }

    /// Serves one stream to its end. `raw` makes the connection's payload type out of bytes.
    pub async fn serve<B: Buf>(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<B>,
        raw: fn(Bytes) -> B,
    ) {
        let shared = &self.0;
        let identity = shared.identity();
        let sender = wire::check_request(
            request.headers(),
            &identity,
            |id| shared.is_removed(id),
            |id| shared.counters(id).is_some(),
        );
        let mut response = Response::new(());
        *response.headers_mut() = wire::response_headers(&identity);
        let from = match sender {
            Ok(from) => from,
            Err(refusal) => {
                return refuse(
                    response,
                    respond,
                    raw(Bytes::from_static(refusal.text.as_bytes())),
                    refusal.status,
                );
            }
        };
        // The answer stays open: its end would tell the sender that nobody listens any more.
        let Ok(mut answer) = respond.send_response(response, false) else {
            return;
        };
        let Some(counters) = shared.counters(from) else {
            return;
        };
        if request.uri().path() == wire::SNAPSHOT_PATH {
            let outcome = receive_snapshot(shared, from, &counters, request.into_body()).await;
            let verdict = match outcome {
                Ok(()) => wire::STORED.to_owned(),
                Err(reason) => {
                    add(&counters.received_failures, 1);
                    reason
                }
            };
            // A sender that is gone sends again, if it still must.
            let _ = answer.send_data(raw(verdict.into()), true);
            return;
        }
        if receive(shared, from, &counters, request.into_body())
            .await
            .is_err()
        {
            add(&counters.received_failures, 1);
        }
        respond.send_reset(h2::Reason::CANCEL);
    }
}

fn refuse<B: Buf>(
    mut response: Response<()>,
    mut respond: SendResponse<B>,
    text: B,
    status: StatusCode,
) {
    *response.status_mut() = status;
    if let Ok(mut body) = respond.send_response(response, false) {
        // A sender that is gone does not need the reason.
        let _ = body.send_data(text, true);
    }
}

/// Why a stream ended before its sender ended it; the sender dials again, so nobody needs the details.
struct Broken;

async fn receive(
    shared: &Shared,
    from: u64,
    counters: &PeerCounters,
    mut body: RecvStream,
) -> Result<(), Broken> {
    let mut decoder = Decoder::default();
    loop {
        let chunk = timeout(limits::SILENCE_MAX, body.data())
            .await
            .map_err(|_| Broken)?;
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk = chunk.map_err(|_| Broken)?;
        add(&counters.received_bytes, chunk.len() as u64);
        decoder.push(&chunk);
        body.flow_control()
            .release_capacity(chunk.len())
            .map_err(|_| Broken)?;
        while let Some(frame) = decoder.next().map_err(|_| Broken)? {
            if shared.is_removed(from) {
                return Err(Broken);
            }
            shared.events.message(from, frame.header, frame.entries);
        }
    }
}
