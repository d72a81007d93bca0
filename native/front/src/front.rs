//! The transport as its owner sees it: start, listen, answer what was handed over, count, shut down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::{CLIENT_TOO_SLOW, EtcdError};
use parking_lot::Mutex;

use crate::audit::Audit;
use crate::backend::Backend;
use crate::completions::{Arrival, Bound, FrontCompletions, Message};
use crate::config::{FrontConfig, ListenerConfig, ListenerInfo, ServingState};
use crate::events::{FrontEvents, LogLevel, MetadataValue};
use crate::grpc::end::End;
use crate::handover::Back;
use crate::http::{Head, HttpOutbound};
use crate::limits::WORKERS_MAX;
use crate::outbound::Pushed;
use crate::peer::PeerAcceptor;
use crate::probes::{Probe, ProbeCounts};
use crate::shared::{Gauges, Shared};
use crate::tls::{Tls, TlsSide};
use crate::worker::{self, Handlers};
use crate::{hot, listener, metrics};

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen {network} {address}: bind: {problem}")]
pub struct ListenError {
    /// "tcp" or "unix".
    pub network: &'static str,
    /// As configured.
    pub address: String,
    /// The system's answer.
    pub problem: std::io::Error,
}

/// What is open at the moment. All zero when no client is connected and the engine has answered everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrontCounts {
    /// Connections.
    pub connections: usize,
    /// Calls and HTTP requests.
    pub calls: usize,
    /// KV calls that wait for the engine.
    pub waiting: usize,
    /// Calls and requests that the control plane has.
    pub handed_over: usize,
}

/// What the workers do not do themselves.
const HANDLERS: Handlers = Handlers {
    resume: hot::resume,
    take_over: listener::take_over,
};

/// A running transport.
pub struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Listeners that wait for `release`.
    pub(crate) held: Mutex<Vec<(Bound, Arc<ListenerInfo>)>>,
}

impl Front {
    /// The number of transport threads: as configured, or half of the cores when that is 0.
    pub fn threads(configured: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if configured == 0 {
            (cores / 2).clamp(1, 8)
        } else {
            configured.min(WORKERS_MAX)
        }
    }

    /// Starts one thread per mailbox of `completions`.
    ///
    /// # Errors
    /// The system has no threads or descriptors left, or the audit log cannot be opened.
    pub fn start(
        config: FrontConfig,
        backend: Arc<dyn Backend>,
        events: Arc<dyn FrontEvents>,
        completions: &FrontCompletions,
    ) -> std::io::Result<Self> {
        let workers = completions.mailboxes.len();
        let shared = Shared::start(config, backend, events, completions.mailboxes.clone())?;
        let shared = Arc::new(shared);
        let mailboxes = shared.mailboxes.clone();
        shared.auth.on_change(Box::new(move || {
            for mailbox in &mailboxes {
                mailbox.push(Message::AuthChanged);
            }
        }));
        let mut threads = Vec::with_capacity(workers);
        for index in 0..workers {
            let shared = shared.clone();
            let body = move || {
                if let Err(problem) = worker::run(shared.clone(), index, HANDLERS) {
                    let message = "a transport thread could not start";
                    shared.log(LogLevel::Error, message, &problem);
                }
            };
            threads.push(Builder::new().name(format!("front-{index}")).spawn(body)?);
        }
        Ok(Self {
            shared,
            threads: Mutex::new(threads),
            held: Mutex::new(Vec::new()),
        })
    }

    /// Binds all listeners, and serves those that are not held; returns the bound addresses in order. Blocks for name
    /// resolution.
    ///
    /// # Errors
    /// The first address that could not be bound; none is served then.
    pub fn listen(&self, listeners: &[ListenerConfig]) -> Result<Vec<String>, ListenError> {
        let mut all = Vec::with_capacity(listeners.len());
        for config in listeners {
            let bound = listener::bind(config).map_err(|problem| ListenError {
                network: if config.unix { "unix" } else { "tcp" },
                address: config.address.clone(),
                problem,
            })?;
            all.push((bound, config));
        }
        let mut addresses = Vec::with_capacity(all.len());
        for ((bound, address), config) in all {
            let info = Arc::new(ListenerInfo {
                role: config.role.clone(),
                grpc: config.grpc,
                http: config.http,
                plain: config.plain,
                tls: config.tls,
            });
            if config.held {
                self.held.lock().push((bound, info));
            } else {
                self.take_over(bound, info);
            }
            addresses.push(address);
        }
        Ok(addresses)
    }

    /// Serves the listeners that are held; who has connected to them by now comes first.
    pub fn release(&self) {
        for (bound, info) in self.held.lock().drain(..) {
            self.take_over(bound, info);
        }
    }

    fn take_over(&self, bound: Bound, info: Arc<ListenerInfo>) {
        let arrival = Arrival::Listener(bound);
        self.shared.mailboxes[0].push(Message::Serve(arrival, info));
    }

    /// TLS of one side for those who connect from now on.
    pub fn set_tls(&self, side: TlsSide, tls: Arc<Tls>) {
        self.shared.tls.set(side, tls);
    }

    /// TLS of one side, if there is any.
    pub fn tls(&self, side: TlsSide) -> Option<Arc<Tls>> {
        self.shared.tls.get(side)
    }

    /// Streams of other members on peer listeners go to `acceptor` from now on; only the first call counts.
    pub fn set_peer_acceptor(&self, acceptor: PeerAcceptor) {
        self.shared.peers.get_or_init(|| acceptor);
    }

    /// What calls are refused from now on.
    pub fn set_serving(&self, state: ServingState) {
        let bits = self.shared.serving.swap(state.to_bits(), Ordering::Relaxed);
        let had_leader = ServingState::from_bits(bits).has_leader;
        if had_leader != state.has_leader {
            *self.shared.leaderless_since.lock() = (!state.has_leader).then(Instant::now);
        }
        if had_leader && !state.has_leader {
            let losses = self.shared.leader_losses.fetch_add(1, Ordering::Relaxed) + 1;
            self.tell_all(|| Message::LeaderLost(losses));
        }
    }

    /// HTTP requests that are answered from now on without the control plane, in place of those of before.
    pub fn set_probes(&self, probes: Vec<Probe>) {
        self.shared.probes.set(probes);
    }

    /// How many good answers that gave so far.
    pub fn probe_counts(&self) -> ProbeCounts {
        metrics::probe_counts(&self.shared.metrics)
    }

    /// The control plane has drained its event queue: calls that wait for that may go on.
    pub fn events_drained(&self) {
        self.shared.handovers.drained();
    }

    /// Queues a message for the client of a call. False: queued, but wait for `CallDrained` before the next. After
    /// `CallCancelled` it is dropped.
    pub fn call_send(&self, call: u64, message: Bytes) -> bool {
        let Some(Back::Call(outbound)) = self.shared.handovers.get(call) else {
            return true;
        };
        match outbound.push(message) {
            Pushed::Room | Pushed::Closed => true,
            Pushed::Full => false,
            Pushed::Overrun => {
                outbound.end(End::from(&CLIENT_TOO_SLOW));
                false
            }
        }
    }

    /// Ends a call after what is queued.
    pub fn call_end(
        &self,
        call: u64,
        code: u8,
        message: String,
        trailers: Vec<(String, MetadataValue)>,
    ) {
        if let Some(Back::Call(outbound)) = self.shared.handovers.get(call) {
            outbound.end(End {
                code,
                message,
                trailers,
            });
        }
    }

    /// An id for a lease of the control plane itself.
    pub fn next_lease_id(&self) -> i64 {
        self.shared.lease_ids.next()
    }

    /// The answer to `LeaseRenew`: the lease's TTL in seconds, 0 if there is no such lease, or why the stream ends.
    pub fn lease_renewed(&self, renewal: u64, renewed: Result<i64, EtcdError>) {
        self.shared.renewals.answer(renewal, renewed);
    }

    /// The answer to `Identify`: the token is registered now, or why the calls that wait for it fail.
    pub fn identified(&self, ask: u64, identified: Result<(), EtcdError>) {
        self.shared.questions.answer(ask, identified);
    }

    fn http(&self, request: u64) -> Option<Arc<HttpOutbound>> {
        match self.shared.handovers.get(request) {
            Some(Back::Http(outbound)) => Some(outbound),
            _ => None,
        }
    }

    /// Answers an HTTP request as a whole.
    pub fn http_respond(
        &self,
        request: u64,
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) {
        if let Some(outbound) = self.http(request) {
            outbound.start(Head {
                status,
                headers,
                whole: Some(body),
            });
        }
    }

    /// Begins a streamed answer.
    pub fn http_start(&self, request: u64, status: u16, headers: Vec<(String, String)>) {
        if let Some(outbound) = self.http(request) {
            outbound.start(Head {
                status,
                headers,
                whole: None,
            });
        }
    }

    /// Queues a part of a streamed answer. False: queued, but wait for `HttpDrained` before the next.
    pub fn http_write(&self, request: u64, chunk: Bytes) -> bool {
        let Some(outbound) = self.http(request) else {
            return true;
        };
        match outbound.push(chunk) {
            Pushed::Room | Pushed::Closed => true,
            Pushed::Full => false,
            Pushed::Overrun => {
                outbound.end(());
                false
            }
        }
    }

    /// Ends a streamed answer after what is queued.
    pub fn http_end(&self, request: u64) {
        if let Some(outbound) = self.http(request) {
            outbound.end(());
        }
    }

    /// What is open.
    pub fn counts(&self) -> FrontCounts {
        let sum = |pick: fn(&Gauges) -> &AtomicUsize| {
            self.shared
                .gauges
                .iter()
                .map(|gauges| pick(gauges).load(Ordering::Relaxed))
                .sum()
        };
        FrontCounts {
            connections: self.shared.connection_count(),
            calls: sum(|gauges| &gauges.calls),
            waiting: sum(|gauges| &gauges.slots),
            handed_over: self.shared.handovers.len(),
        }
    }

    /// The transport's metrics in Prometheus text format.
    pub fn metrics(&self) -> String {
        let audit = self.shared.audit.as_ref().map(Audit::metrics);
        metrics::render(&self.shared.metrics) + &audit.unwrap_or_default()
    }

    pub(crate) fn tell_all(&self, message: impl Fn() -> Message) {
        for mailbox in &self.shared.mailboxes {
            mailbox.push(message());
        }
    }
}
