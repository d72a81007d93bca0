//! Opening and closing one engine: store, pipeline and transport, in that order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use napi::Result;
use netcd_engine::disk::{RealDisk, RealDiskOptions};
use netcd_engine::mvcc::{Store, StoreConfig, StoreEvents, StoreRecovered};
use netcd_engine::pipeline::{LogPlace, LogRecovered, OpenedLog, Pipeline, PipelineConfig};
use netcd_engine::types::Identity;
use netcd_engine::wal::WalOptions;
use netcd_front::limits::GRPC_OVERHEAD_BYTES;
use netcd_front::peer::{self, LinkTimeouts, Peers};
use netcd_front::{Front, FrontCompletions, FrontConfig, FrontEvents, Patience};

use crate::backend::EngineBackend;
use crate::check::{count, duration, id, number, reason, size, token_kind};
use crate::links::{EngineLinks, EngineLog, PeerSink};
use crate::options::{AuditOptions, EngineOptions};
use crate::queue::EventQueue;
use crate::sink::{Router, Sink};
use crate::snapshots::Snapshots;
use crate::watches::Watches;

/// The checked options.
#[derive(Clone)]
pub struct Settings {
    member_dir: PathBuf,
    wal_dir: PathBuf,
    identity: Identity,
    no_fsync: bool,
    quota_bytes: Option<u64>,
    batch_interval: Duration,
    batch_limit: Option<usize>,
    compaction_batch_limit: Option<usize>,
    compaction_sleep: Duration,
    front_threads: usize,
    pipeline: PipelineConfig,
    link_timeouts: LinkTimeouts,
    front: FrontConfig,
}

impl Settings {
    /// Checks what JavaScript gave.
    pub fn read(options: EngineOptions) -> Result<Self> {
        let member_dir = PathBuf::from(options.member_dir);
        let wal_dir = options.wal_dir.map(PathBuf::from);
        let quota = options.quota_backend_bytes;
        let slow_request = duration(
            "warningUnaryRequestDurationMs",
            options.warning_unary_request_duration_ms,
        )?;
        let max_request_bytes = count("maxRequestBytes", options.max_request_bytes)? as usize;
        Ok(Self {
            wal_dir: wal_dir.unwrap_or_else(|| member_dir.join("wal")),
            member_dir,
            identity: Identity {
                cluster_id: id("clusterId", &options.cluster_id)?,
                member_id: id("memberId", &options.member_id)?,
            },
            no_fsync: options.unsafe_no_fsync,
            quota_bytes: (quota > 0.0)
                .then(|| number("quotaBackendBytes", quota))
                .transpose()?,
            batch_interval: duration("backendBatchIntervalMs", options.backend_batch_interval_ms)?,
            batch_limit: size("backendBatchLimit", options.backend_batch_limit)?,
            compaction_batch_limit: size("compactionBatchLimit", options.compaction_batch_limit)?,
            compaction_sleep: duration(
                "compactionSleepIntervalMs",
                options.compaction_sleep_interval_ms,
            )?,
            front_threads: Front::threads(count("frontThreads", options.front_threads)? as usize),
            pipeline: PipelineConfig {
                max_request_bytes,
                append_grant: options.append_grant,
                slow_apply: duration("warningApplyDurationMs", options.warning_apply_duration_ms)?,
                slow_request: match options.log_requests {
                    true => Duration::ZERO,
                    false => slow_request,
                },
            },
            link_timeouts: LinkTimeouts {
                read: duration("peerReadTimeoutMs", options.peer_read_timeout_ms)?,
                write: duration("peerWriteTimeoutMs", options.peer_write_timeout_ms)?,
            },
            front: FrontConfig {
                max_request_bytes,
                max_txn_ops: count("maxTxnOps", options.max_txn_ops)? as usize,
                max_concurrent_streams: count(
                    "maxConcurrentStreams",
                    options.max_concurrent_streams,
                )?,
                keepalive_min_time: duration(
                    "grpcKeepaliveMinTimeMs",
                    options.grpc_keepalive_min_time_ms,
                )?,
                keepalive_interval: duration(
                    "grpcKeepaliveIntervalMs",
                    options.grpc_keepalive_interval_ms,
                )?,
                keepalive_timeout: duration(
                    "grpcKeepaliveTimeoutMs",
                    options.grpc_keepalive_timeout_ms,
                )?,
                request_timeout: duration("requestTimeoutMs", options.request_timeout_ms)?,
                watch_progress_interval: duration(
                    "watchProgressNotifyIntervalMs",
                    options.watch_progress_notify_interval_ms,
                )?,
                leader_loss_timeout: 3 * duration(
                    "electionTimeoutMs",
                    options.election_timeout_ms,
                )?,
                lease_ttl_seconds_min: count("leaseTtlSecondsMin", options.lease_ttl_seconds_min)?
                    .into(),
                extensive_metrics: options.extensive_metrics,
                connections_max: netcd_front::connections_max(),
                slow_request,
                log_requests: options.log_requests,
                audit: options.audit.map(AuditOptions::read).transpose()?,
                tokens: token_kind(&options.auth_token)?,
                patience: Patience::default(),
            },
        })
    }
}

/// An open engine.
pub struct Running {
    /// The store.
    pub store: Arc<Store>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The pipeline behind the quota.
    pub backend: Arc<EngineBackend>,
    /// The transport.
    pub front: Front,
    /// Watch streams of the control plane.
    pub watches: Watches,
    /// The links to other members.
    pub peers: Arc<Peers>,
    /// Stores from and for them.
    pub snapshots: Arc<Snapshots>,
    /// Of this member.
    pub identity: Identity,
}

/// What a restart found on disk.
pub struct Found {
    /// In the store.
    pub store: StoreRecovered,
    /// In the log.
    pub log: LogRecovered,
}

/// Opens or creates everything; reads the disk. After an error nothing stays open.
pub fn open(settings: &Settings, queue: &Arc<EventQueue>) -> Result<(Running, Found)> {
    let sink = Arc::new(Sink(Arc::clone(queue)));
    queue.start_delays().map_err(reason)?;
    let (log, store, recovered) = open_disk(settings, &sink)?;
    let router = Arc::new(Router {
        front: FrontCompletions::new(settings.front_threads),
        queue: Arc::clone(queue),
    });
    let opened = Pipeline::open(
        settings.pipeline.clone(),
        log,
        (Arc::clone(&store), recovered.applied, recovered.installed),
        sink,
        Arc::clone(&router) as _,
    );
    let (pipeline, log) = opened.map_err(|error| {
        store.close();
        reason(error)
    })?;
    let running = start(settings, queue, &pipeline, &router).inspect_err(|_| {
        pipeline.close();
        store.close();
    })?;
    let found = Found {
        store: recovered,
        log,
    };
    Ok((running, found))
}

/// Log and store.
fn open_disk(
    settings: &Settings,
    sink: &Arc<Sink>,
) -> Result<(OpenedLog, Arc<Store>, StoreRecovered)> {
    // The WAL's lock is taken first: a second process must not come near the store.
    let options = RealDiskOptions {
        no_fsync: settings.no_fsync,
    };
    let disk = RealDisk::open(&settings.wal_dir, options)
        .map_err(|error| reason(format!("opening {}: {error}", settings.wal_dir.display())))?;
    let place = LogPlace {
        disk,
        identity: settings.identity,
        options: WalOptions::default(),
    };
    // Both are read from end to end; side by side that takes as long as the longer one.
    let (log, store) = std::thread::scope(|scope| {
        let log = scope.spawn(|| place.open());
        let store = open_store(settings, sink);
        (log.join().expect("opening the log does not panic"), store)
    });
    let (store, recovered) = store?;
    match log {
        Ok(log) => Ok((log, store, recovered)),
        Err(error) => {
            store.close();
            Err(reason(error))
        }
    }
}

/// What stands around the pipeline: links to other members, transport, watches of the control plane.
fn start(
    settings: &Settings,
    queue: &Arc<EventQueue>,
    pipeline: &Arc<Pipeline>,
    router: &Arc<Router>,
) -> Result<Running> {
    let (snapshots, peers) = start_peers(settings, queue, pipeline)?;
    let backend = Arc::new(EngineBackend::new(
        Arc::clone(pipeline),
        Arc::clone(queue),
        Arc::clone(router) as _,
    ));
    let front = Front::start(
        settings.front.clone(),
        Arc::clone(&backend) as _,
        Arc::new(Sink(Arc::clone(queue))) as Arc<dyn FrontEvents>,
        &router.front,
    );
    let front = front.map_err(reason)?;
    front.set_peer_acceptor(peers.acceptor());
    let fragment_bytes = settings.pipeline.max_request_bytes + GRPC_OVERHEAD_BYTES;
    let watches = Watches::start(Arc::clone(pipeline), Arc::clone(queue), fragment_bytes);
    let watches = watches.map_err(|error| {
        front.shutdown(Duration::ZERO);
        reason(error)
    })?;
    Ok(Running {
        store: Arc::clone(pipeline.store()),
        pipeline: Arc::clone(pipeline),
        backend,
        front,
        watches,
        peers,
        snapshots,
        identity: settings.identity,
    })
}

fn open_store(settings: &Settings, sink: &Arc<Sink>) -> Result<(Arc<Store>, StoreRecovered)> {
    let config = StoreConfig {
        dir: settings.member_dir.clone(),
        identity: settings.identity,
        quota_bytes: settings.quota_bytes,
        max_request_bytes: settings.pipeline.max_request_bytes,
        batch_interval: settings.batch_interval,
        batch_limit: settings.batch_limit,
        compaction_batch_limit: settings.compaction_batch_limit,
        compaction_sleep: settings.compaction_sleep,
        no_fsync: settings.no_fsync,
        events: Arc::clone(sink) as Arc<dyn StoreEvents>,
    };
    Store::open(config).map_err(reason)
}

fn start_peers(
    settings: &Settings,
    queue: &Arc<EventQueue>,
    pipeline: &Arc<Pipeline>,
) -> Result<(Arc<Snapshots>, Arc<Peers>)> {
    let snapshots = Arc::new(Snapshots::new(
        Arc::clone(pipeline.store()),
        Arc::clone(queue),
        &settings.member_dir,
        settings.no_fsync,
    ));
    let identity = peer::Identity {
        cluster_id: settings.identity.cluster_id,
        member_id: settings.identity.member_id,
        ..peer::Identity::default()
    };
    let events = PeerSink {
        sink: Sink(Arc::clone(queue)),
        pipeline: Arc::clone(pipeline),
    };
    let log = EngineLog(Arc::clone(pipeline));
    let store = Arc::clone(&snapshots) as _;
    let peers = Peers::start(
        identity,
        settings.link_timeouts,
        Arc::new(log),
        store,
        Arc::new(events),
    );
    let peers = peers.map(Arc::new).map_err(reason)?;
    pipeline.set_links(Arc::new(EngineLinks {
        peers: Arc::downgrade(&peers),
        sink: Sink(Arc::clone(queue)),
    }));
    Ok((snapshots, peers))
}

impl Running {
    /// Ends the links to other members, lets their calls finish for at most `grace`, as those of clients that are left,
    /// then flushes and closes everything.
    pub fn close(&self, grace: Duration) {
        self.peers.close();
        self.front.shutdown(grace);
        self.watches.close();
        self.pipeline.close();
        self.store.close();
    }
}
