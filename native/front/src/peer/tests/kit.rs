//! Two members on loopback: links over a log and a store that are made up.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::task::Context;
use std::time::{Duration, Instant};

use netcd_engine::pipeline::LogEntry;
use netcd_engine::snapshot::{SnapshotInfo, SnapshotStart};
use netcd_engine::types::{EntryKind, LogMark};
use netcd_http2::{Config, Connection, Request};
use parking_lot::Condvar;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::super::*;
use crate::grpc::head::GrpcRequest;

/// As a member has them that was told nothing else.
pub(super) const TIMEOUTS: LinkTimeouts = LinkTimeouts {
    read: Duration::from_secs(5),
    write: Duration::from_secs(3),
};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(super) struct Seen {
    pub(super) messages: Vec<(u64, Bytes, Vec<LogEntry>)>,
    pub(super) links: Vec<(u64, LinkState)>,
    pub(super) strangers: Vec<(u64, Vec<String>)>,
    pub(super) unreachable: usize,
    pub(super) copies_sent: Vec<Result<SnapshotInfo, String>>,
    pub(super) copies: Vec<(u64, Bytes, Vec<u8>, SnapshotInfo)>,
}

/// Records events and lets a test wait for them.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) seen: Mutex<Seen>,
    pub(super) changed: Condvar,
}

impl Recorder {
    pub(super) fn wait<T>(&self, what: &str, found: impl Fn(&Seen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.lock();
        loop {
            if let Some(result) = found(&seen) {
                return result;
            }
            assert!(Instant::now() < deadline, "never seen: {what}");
            self.changed.wait_for(&mut seen, Duration::from_millis(100));
        }
    }

    pub(super) fn record(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock());
        self.changed.notify_all();
    }
}

impl PeerEvents for Recorder {
    fn message(&self, from: u64, header: Bytes, entries: Vec<LogEntry>) {
        self.record(|seen| seen.messages.push((from, header, entries)));
    }
    fn link(&self, peer: u64, state: LinkState) {
        self.record(|seen| seen.links.push((peer, state)));
    }
    fn stranger(&self, id: u64, urls: Vec<String>) {
        self.record(|seen| seen.strangers.push((id, urls)));
    }
    fn unreachable(&self, _peer: u64) {
        self.record(|seen| seen.unreachable += 1);
    }
    fn snapshot_sent(&self, _peer: u64, outcome: Result<SnapshotInfo, String>) {
        self.record(|seen| seen.copies_sent.push(outcome));
    }
}

/// A store of random bytes in a directory of its own.
pub(super) struct FakeStore {
    pub(super) dir: tempfile::TempDir,
    pub(super) seen: Arc<Recorder>,
    pub(super) content: Mutex<Vec<u8>>,
    /// A copy fails when it has given so many bytes.
    pub(super) breaks_at: Mutex<Option<usize>>,
}

struct FakeCopy {
    content: Vec<u8>,
    info: SnapshotInfo,
    at: usize,
    breaks_at: Option<usize>,
}

impl StoreCopy for FakeCopy {
    fn start(&self) -> SnapshotStart {
        SnapshotStart {
            applied: self.info.applied,
            revision: self.info.revision,
            bytes_max: self.info.bytes,
        }
    }
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        if self.breaks_at.is_some_and(|at| self.at >= at) {
            return Err("the disk failed".into());
        }
        let rest = &self.content[self.at..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
    fn info(&self) -> SnapshotInfo {
        self.info
    }
}

impl FakeStore {
    pub(super) fn info(&self, content: &[u8]) -> SnapshotInfo {
        SnapshotInfo {
            applied: LogMark { index: 5, term: 2 },
            revision: 4,
            bytes: content.len() as u64,
            checksum: content.iter().fold(7, |sum: u32, byte| {
                sum.wrapping_mul(31).wrapping_add((*byte).into())
            }),
        }
    }

    pub(super) fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path())
            .expect("directory")
            .count()
    }
}

impl PeerStore for FakeStore {
    fn directory(&self) -> &Path {
        self.dir.path()
    }
    fn copy(&self, _to: u64) -> Result<Box<dyn StoreCopy>, String> {
        let content = self.content.lock().clone();
        let (info, breaks_at) = (self.info(&content), *self.breaks_at.lock());
        Ok(Box::new(FakeCopy {
            content,
            info,
            at: 0,
            breaks_at,
        }))
    }
    fn received(
        &self,
        from: u64,
        header: Bytes,
        path: PathBuf,
        info: SnapshotInfo,
        _started: Instant,
    ) -> Result<(), String> {
        let content = std::fs::read(&path).map_err(|error| error.to_string())?;
        std::fs::remove_file(&path).map_err(|error| error.to_string())?;
        if self.info(&content) != info {
            return Err("damaged".into());
        }
        self.seen
            .record(|seen| seen.copies.push((from, header, content, info)));
        Ok(())
    }
}

/// A log of 100 entries of term 1, the first 50 only "on disk".
pub(super) struct FakeLog;

pub(super) fn entry(index: u64) -> LogEntry {
    LogEntry {
        mark: LogMark { index, term: 1 },
        kind: EntryKind::Batch,
        payload: vec![index as u8; index as usize * 100].into(),
    }
}

impl PeerLog for FakeLog {
    fn cached(&self, first: u64, last: u64) -> Option<Vec<LogEntry>> {
        (first > 50).then(|| (first..=last).map(entry).collect())
    }
    fn read(&self, first: u64, last: u64) -> Result<Vec<LogEntry>, String> {
        if last > 100 {
            Err("compacted".into())
        } else {
            Ok((first..=last).map(entry).collect())
        }
    }
}

/// Ends a server's thread, and waits for it.
pub(super) type Server = (oneshot::Sender<()>, JoinHandle<()>);

pub(super) struct Member {
    pub(super) peers: Peers,
    pub(super) seen: Arc<Recorder>,
    pub(super) store: Arc<FakeStore>,
    pub(super) address: SocketAddr,
    pub(super) server: Option<Server>,
    /// What its server encrypts with; None: nothing.
    pub(super) encrypts: Option<Arc<rustls::ServerConfig>>,
}

impl Member {
    pub(super) fn start(id: u64, cluster_id: u64) -> Self {
        Self::with(id, cluster_id, TIMEOUTS)
    }

    pub(super) fn with(id: u64, cluster_id: u64, timeouts: LinkTimeouts) -> Self {
        let seen = Arc::new(Recorder::default());
        let identity = Identity {
            cluster_id,
            member_id: id,
            version: "3.7.3".into(),
            min_cluster_version: "3.0.0".into(),
            peer_urls: vec![],
        };
        let store = Arc::new(FakeStore {
            dir: tempfile::tempdir().expect("directory"),
            seen: seen.clone(),
            content: Mutex::default(),
            breaks_at: Mutex::default(),
        });
        let peers = Peers::start(
            identity,
            timeouts,
            Arc::new(FakeLog),
            store.clone(),
            seen.clone(),
        );
        let peers = peers.expect("thread");
        let mut member = Self {
            peers,
            seen,
            store,
            address: ([127, 0, 0, 1], 0).into(),
            server: None,
            encrypts: None,
        };
        member.serve();
        member
    }

    /// What front's listener does for a peer URL, without the rest of front.
    pub(super) fn serve(&mut self) {
        let (wanted, encrypts) = (self.address, self.encrypts.clone());
        let (bound, address) = std::sync::mpsc::channel();
        self.server = Some(self.serving(async move |acceptor| {
            let socket = TcpSocket::new_v4().expect("socket");
            socket.set_reuseaddr(true).expect("option");
            socket.bind(wanted).expect("bind");
            let listener: TcpListener = socket.listen(16).expect("listen");
            bound
                .send(listener.local_addr().expect("address"))
                .expect("test waits");
            loop {
                let io = listener.accept().await.expect("accept").0;
                welcome(io, encrypts.clone(), &acceptor);
            }
        }));
        self.address = address.recv().expect("bound");
    }

    /// Serves from now on at the same address with TLS, or without.
    pub(super) fn encrypt(&mut self, config: Option<Arc<rustls::ServerConfig>>) {
        self.stop_serving();
        self.encrypts = config;
        self.serve();
    }

    /// As `serve`, on a socket in the file system, whose file stays.
    pub(super) fn serve_unix(&self, path: &Path) -> Server {
        let (path, encrypts) = (path.to_owned(), self.encrypts.clone());
        let (bound, is_bound) = std::sync::mpsc::channel();
        let server = self.serving(async move |acceptor| {
            let listener = UnixListener::bind(path).expect("bind");
            bound.send(()).expect("test waits");
            loop {
                let io = listener.accept().await.expect("accept").0;
                welcome(io, encrypts.clone(), &acceptor);
            }
        });
        is_bound.recv().expect("bound");
        server
    }

    fn serving<F>(&self, accepting: F) -> Server
    where
        F: AsyncFnOnce(PeerAcceptor) + Send + 'static,
    {
        let acceptor = self.peers.acceptor();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                tokio::select! {
                    () = accepting(acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        (stop, thread)
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.encrypts.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// What this member tells others of where it is.
    pub(super) fn says_it_is_at(&self, there: &Member) {
        self.peers.set_identity(Identity {
            peer_urls: vec![there.url()],
            ..(*self.peers.shared.identity()).clone()
        });
    }

    pub(super) fn stop_serving(&mut self) {
        let (stop, thread) = self.server.take().expect("serving");
        stop.send(()).expect("running");
        thread.join().expect("no panic");
    }

    pub(super) fn knows(&self, id: u64, other: &Member) {
        self.peers.set_peer(id, vec![other.url()]);
    }
}

fn welcome<S>(io: S, encrypts: Option<Arc<rustls::ServerConfig>>, acceptor: &PeerAcceptor)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Some(config) = encrypts else {
        return serve_one(io, acceptor);
    };
    let acceptor = acceptor.clone();
    tokio::task::spawn_local(async move {
        // Tests look at what the other side says of a failure.
        if let Ok(io) = TlsAcceptor::from(config).accept(io).await {
            serve_one(io, &acceptor);
        }
    });
}

fn serve_one<S>(io: S, acceptor: &PeerAcceptor)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let acceptor = acceptor.clone();
    tokio::task::spawn_local(async move {
        let config = Config {
            max_concurrent_streams: 100,
            pings: None,
        };
        let mut connection = Connection::new(io, b"", config, Instant::now());
        let mut each = |(request, body, respond): Request<GrpcRequest>, _: &mut Context<'_>| {
            assert!(PeerAcceptor::takes(request.path()));
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                acceptor.serve(&request, body, respond).await;
            });
        };
        poll_fn(|cx| connection.poll_turn(Instant::now(), cx, &mut each)).await;
    });
}

pub(super) fn pair() -> (Member, Member) {
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    two.knows(1, &one);
    one.knows(2, &two);
    one.seen.wait("link", |seen| {
        seen.links.contains(&(2, active())).then_some(())
    });
    (one, two)
}

pub(super) fn active() -> LinkState {
    LinkState::Active {
        version: "3.7.3".into(),
    }
}

/// Accepts links and their streams, and then makes no room for what is sent on them.
pub(super) struct Deaf {
    pub(super) address: SocketAddr,
}

impl Deaf {
    pub(super) fn listen() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("option");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("listener");
                // Connections stay open until the test process ends.
                while let Ok((io, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let mut connection = h2::server::handshake(io).await.expect("handshake");
                        let mut kept = Vec::new();
                        while let Some(Ok((request, mut respond))) = connection.accept().await {
                            let accepted = http::Response::new(());
                            kept.push((request, respond.send_response(accepted, false)));
                        }
                    });
                }
            });
        });
        Self { address }
    }
}
