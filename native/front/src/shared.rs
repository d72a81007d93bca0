//! What all workers share, and what each of them lets the others see.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use netcd_engine::auth::Auth;
use parking_lot::{Condvar, Mutex};

use crate::admission::{Admission, Warned};
use crate::audit::Audit;
use crate::backend::Backend;
use crate::caller::Questions;
use crate::completions::Mailbox;
use crate::config::{FrontConfig, ListenerInfo, ServingState};
use crate::events::{FrontEvent, FrontEvents, LogLevel};
use crate::handover::Handovers;
use crate::lease::{LeaseIds, Renewals};
use crate::metrics::WorkerMetrics;
use crate::peer::PeerAcceptor;
use crate::probes::Probes;
use crate::readers::Readers;
use crate::tls::{RefusalLog, Resolver, SystemResolver, TlsSlots};

/// Counts of one worker that other threads may read.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Calls and HTTP requests that hold a stream.
    pub(crate) calls: AtomicUsize,
    /// KV calls that wait for the engine.
    pub(crate) slots: AtomicUsize,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: FrontConfig,
    pub(crate) backend: Arc<dyn Backend>,
    /// The backend's.
    pub(crate) auth: Arc<Auth>,
    /// Tokens of which the control plane is asked.
    pub(crate) questions: Questions,
    /// A moment by both clocks: what the backend counts in milliseconds is read off a worker's time.
    clock: (Instant, u64),
    pub(crate) events: Arc<dyn FrontEvents>,
    /// None: none is kept.
    pub(crate) audit: Option<Audit>,
    pub(crate) serving: AtomicU8,
    /// Times that the leader was lost.
    pub(crate) leader_losses: AtomicU64,
    /// Since when there is none.
    pub(crate) leaderless_since: Mutex<Option<Instant>>,
    pub(crate) readers: Readers,
    pub(crate) handovers: Handovers,
    /// HTTP requests whose answer is known.
    pub(crate) probes: Probes,
    pub(crate) lease_ids: LeaseIds,
    pub(crate) renewals: Arc<Renewals>,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) metrics: Vec<Arc<WorkerMetrics>>,
    pub(crate) gauges: Vec<Gauges>,
    /// Connections of each worker.
    pub(crate) connections: Vec<AtomicUsize>,
    /// Those of all workers that are not other members'.
    pub(crate) clients: AtomicUsize,
    /// Who may connect.
    pub(crate) admission: Admission,
    /// When it was said that accepting fails.
    pub(crate) accept_failed: Warned,
    /// Takes the streams of other members that come in through peer listeners, once there is one.
    pub(crate) peers: OnceLock<PeerAcceptor>,
    pub(crate) tls: TlsSlots,
    /// Lines about connections that TLS did not let in.
    pub(crate) tls_refusals: RefusalLog,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Signalled when a connection ended.
    pub(crate) ended: (Mutex<()>, Condvar),
}

impl Shared {
    /// For one worker per mailbox.
    ///
    /// # Errors
    /// The system has no threads left, or the audit log cannot be opened.
    pub(crate) fn start(
        config: FrontConfig,
        backend: Arc<dyn Backend>,
        events: Arc<dyn FrontEvents>,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> std::io::Result<Self> {
        let workers = mailboxes.len();
        // The wall clock only tells this start from earlier ones; nothing is timed by it.
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let audit = config.audit.as_ref();
        let audit = audit.map(|audit| Audit::start(audit, workers, events.clone()));
        let lease_ids = LeaseIds::new(backend.identity().member_id, unix_ms);
        Ok(Self {
            metrics: (0..workers)
                .map(|_| Arc::new(WorkerMetrics::new(config.extensive_metrics)))
                .collect(),
            admission: Admission::new(config.connections_max),
            accept_failed: Warned::default(),
            audit: audit.transpose()?,
            config,
            auth: backend.auth().clone(),
            questions: Questions::default(),
            clock: (Instant::now(), backend.now_ms()),
            backend,
            events,
            serving: AtomicU8::new(ServingState::default().to_bits()),
            leader_losses: AtomicU64::new(0),
            leaderless_since: Mutex::new(Some(Instant::now())),
            readers: Readers::start()?,
            handovers: Handovers::default(),
            probes: Probes::default(),
            lease_ids,
            renewals: Arc::default(),
            mailboxes,
            gauges: (0..workers).map(|_| Gauges::default()).collect(),
            connections: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            clients: AtomicUsize::new(0),
            peers: OnceLock::new(),
            tls: TlsSlots::default(),
            tls_refusals: RefusalLog::default(),
            resolver: Arc::new(SystemResolver),
            ended: (Mutex::new(()), Condvar::new()),
        })
    }

    pub(crate) fn serving(&self) -> ServingState {
        ServingState::from_bits(self.serving.load(Ordering::Relaxed))
    }

    /// Whether there has been no leader since then: what waits since then was proposed to nobody.
    pub(crate) fn is_leaderless_since(&self, then: Instant) -> bool {
        self.leaderless_since
            .lock()
            .is_some_and(|since| since <= then)
    }

    /// The backend's clock at this moment.
    pub(crate) fn ms_at(&self, then: Instant) -> u64 {
        let (start, start_ms) = self.clock;
        start_ms + then.saturating_duration_since(start).as_millis() as u64
    }

    pub(crate) fn leader_losses(&self) -> u64 {
        self.leader_losses.load(Ordering::Relaxed)
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn connection_began(&self, worker: usize, listener: &ListenerInfo) {
        self.connections[worker].fetch_add(1, Ordering::Relaxed);
        if !listener.is_for_peers() {
            self.clients.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn connection_ended(&self, worker: usize, listener: &ListenerInfo) {
        self.connections[worker].fetch_sub(1, Ordering::Relaxed);
        if !listener.is_for_peers() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
        // The lock makes sure that who looked at the count before this is waiting by now.
        let _looked = self.ended.0.lock();
        self.ended.1.notify_all();
    }

    /// Logs that something failed.
    pub(crate) fn log(&self, level: LogLevel, message: &str, problem: &std::io::Error) {
        self.events.emit(FrontEvent::Log {
            level,
            message: message.to_owned(),
            fields: vec![("error".to_owned(), problem.to_string().into())],
        });
    }
}
