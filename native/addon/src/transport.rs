//! The transport from JavaScript: its listeners, and the calls and HTTP requests that JavaScript answers.

use std::sync::Arc;
use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;
use netcd_front::tls::{Tls, TlsSide};
use netcd_front::{Front, Probe};

use crate::check::{copy, number, reason, tls_side};
use crate::options::{JsMetadata, ListenerOptions, ProbeOptions, metadata};
use crate::shared::Shared;
use crate::tasks::{DrainClients, Listen};
use crate::tls::TlsOptions;

/// Good answers to probes that JavaScript was not asked for.
#[napi(object, object_from_js = false)]
pub struct ProbeCounts {
    /// Of `/health`.
    pub health: f64,
    /// Of `/livez`.
    pub livez: f64,
    /// Of `/readyz`.
    pub readyz: f64,
}

/// The transport of an engine.
#[napi]
pub struct NativeTransport(pub(crate) Arc<Shared>);

#[napi]
impl NativeTransport {
    /// Binds, and serves what is not held.
    #[napi]
    pub fn listen(&self, listeners: Vec<ListenerOptions>) -> AsyncTask<Listen> {
        let listeners = listeners.into_iter().map(Into::into).collect();
        AsyncTask::new(Listen(Arc::clone(&self.0), listeners))
    }

    /// Serves the listeners that are held.
    #[napi]
    pub fn release(&self) -> Result<()> {
        self.0.front(Front::release)
    }

    /// TLS of one side for handshakes from now on.
    #[napi]
    pub fn set_tls(&self, side: String, options: TlsOptions) -> Result<()> {
        let (side, options) = (tls_side(&side)?, options.read()?);
        let running = self.0.running()?;
        let before = running.front.tls(side);
        let tls = Tls::compile(&options, before.as_deref()).map_err(reason)?;
        let tls = Arc::new(tls);
        if side == TlsSide::Peer {
            running.peers.set_tls(Arc::clone(&tls));
        }
        running.front.set_tls(side, tls);
        Ok(())
    }

    /// The HTTP requests that are answered as said here from now on, in place of those of before.
    #[napi]
    pub fn set_probes(&self, probes: Vec<ProbeOptions>) -> Result<()> {
        let probes = probes.into_iter().map(Probe::try_from);
        let probes = probes.collect::<Result<Vec<_>>>()?;
        self.0.front(|front| front.set_probes(probes))
    }

    /// How many were answered so.
    #[napi]
    pub fn probe_counts(&self) -> Result<ProbeCounts> {
        let counts = self.0.running()?.front.probe_counts();
        Ok(ProbeCounts {
            health: counts.health as f64,
            livez: counts.livez as f64,
            readyz: counts.readyz as f64,
        })
    }

    /// GOAWAY to clients, and their calls finish, for at most `grace_ms`; members talk on meanwhile.
    #[napi]
    pub fn drain_clients(&self, grace_ms: f64) -> Result<AsyncTask<DrainClients>> {
        let grace = Duration::from_millis(number("graceMs", grace_ms)?);
        Ok(AsyncTask::new(DrainClients(Arc::clone(&self.0), grace)))
    }

    /// Sends a message of a call; false: wait for `callDrained`.
    #[napi]
    pub fn call_send(&self, call: f64, message: Uint8Array) -> Result<bool> {
        let call = number("call", call)?;
        self.0.front(|front| front.call_send(call, copy(&message)))
    }

    /// Ends a call.
    #[napi]
    pub fn call_end(
        &self,
        call: f64,
        code: u8,
        message: String,
        trailers: Vec<JsMetadata>,
    ) -> Result<()> {
        let (call, trailers) = (number("call", call)?, metadata(trailers));
        self.0
            .front(|front| front.call_end(call, code, message, trailers))
    }

    /// A whole answer.
    #[napi]
    pub fn http_respond(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
        body: Uint8Array,
    ) -> Result<()> {
        let (request, body) = (number("request", request)?, copy(&body));
        self.0
            .front(|front| front.http_respond(request, status, headers, body))
    }

    /// Begins a streamed answer.
    #[napi]
    pub fn http_start(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<()> {
        let request = number("request", request)?;
        self.0
            .front(|front| front.http_start(request, status, headers))
    }

    /// A part of a streamed answer; false: wait for `httpDrained`.
    #[napi]
    pub fn http_write(&self, request: f64, chunk: Uint8Array) -> Result<bool> {
        let request = number("request", request)?;
        self.0
            .front(|front| front.http_write(request, copy(&chunk)))
    }

    /// Ends a streamed answer.
    #[napi]
    pub fn http_end(&self, request: f64) -> Result<()> {
        let request = number("request", request)?;
        self.0.front(|front| front.http_end(request))
    }
}
