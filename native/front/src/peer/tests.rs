//! Two members' links over loopback: delivery in order, refusals, loss of the peer, entries that are gone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netcd_engine::pipeline::LogEntry;
use netcd_engine::snapshot::SnapshotInfo;
use netcd_engine::types::{EntryKind, LogMark};
use parking_lot::Condvar;
use tokio::net::{TcpListener, TcpSocket};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Seen {
    messages: Vec<(u64, Bytes, Vec<LogEntry>)>,
    links: Vec<(u64, LinkState)>,
    unreachable: usize,
    copies_sent: Vec<Result<SnapshotInfo, String>>,
    copies: Vec<(u64, Bytes, Vec<u8>, SnapshotInfo)>,
}

/// Records events and lets a test wait for them.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Recorder {
    fn wait<T>(&self, what: &str, found: impl Fn(&Seen) -> Option<T>) -> T {
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

    fn record(&self, change: impl FnOnce(&mut Seen)) {
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
    fn unreachable(&self, _peer: u64) {
        self.record(|seen| seen.unreachable += 1);
    }
    fn snapshot_sent(&self, _peer: u64, outcome: Result<SnapshotInfo, String>) {
        self.record(|seen| seen.copies_sent.push(outcome));
    }
}

/// A store of random bytes in a directory of its own.
struct FakeStore {
    dir: tempfile::TempDir,
    seen: Arc<Recorder>,
    content: Mutex<Vec<u8>>,
}

impl FakeStore {
    fn info(&self, content: &[u8]) -> SnapshotInfo {
        SnapshotInfo {
            applied: LogMark { index: 5, term: 2 },
            revision: 4,
            bytes: content.len() as u64,
            checksum: content.iter().fold(7, |sum: u32, byte| {
                sum.wrapping_mul(31).wrapping_add((*byte).into())
            }),
        }
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path())
            .expect("directory")
            .count()
    }
}

impl PeerStore for FakeStore {
    fn directory(&self) -> &Path {
        self.dir.path()
    }
    fn copy(&self, _to: u64, path: &Path) -> Result<SnapshotInfo, String> {
        let content = self.content.lock().clone();
        std::fs::write(path, &content).map_err(|error| error.to_string())?;
        Ok(self.info(&content))
    }
    fn received(
        &self,
        from: u64,
        header: Bytes,
        path: PathBuf,
        info: SnapshotInfo,
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
struct FakeLog;

fn entry(index: u64) -> LogEntry {
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

struct Member {
    peers: Peers,
    seen: Arc<Recorder>,
    store: Arc<FakeStore>,
    address: SocketAddr,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Member {
    fn start(id: u64, cluster_id: u64) -> Self {
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
        });
        let peers = Peers::start(identity, Arc::new(FakeLog), store.clone(), seen.clone());
        let peers = peers.expect("thread");
        let mut member = Self {
            peers,
            seen,
            store,
            address: ([127, 0, 0, 1], 0).into(),
            server: None,
        };
        member.serve();
        member
    }

    /// What front's listener does for a peer URL, without the rest of front.
    fn serve(&mut self) {
        let acceptor = self.peers.acceptor();
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let wanted = self.address;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async move {
                let socket = TcpSocket::new_v4().expect("socket");
                socket.set_reuseaddr(true).expect("option");
                socket.bind(wanted).expect("bind");
                let listener: TcpListener = socket.listen(16).expect("listen");
                bound
                    .send(listener.local_addr().expect("address"))
                    .expect("test waits");
                tokio::select! {
                    () = accept_all(listener, acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        self.address = address.recv().expect("bound");
        self.server = Some((stop, thread));
    }

    fn stop_serving(&mut self) {
        let (stop, thread) = self.server.take().expect("serving");
        stop.send(()).expect("running");
        thread.join().expect("no panic");
    }

    fn knows(&self, id: u64, other: &Member) {
        self.peers
            .set_peer(id, vec![format!("http://{}", other.address)]);
    }
}

async fn accept_all(listener: TcpListener, acceptor: PeerAcceptor) {
    loop {
        let (io, _) = listener.accept().await.expect("accept");
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(io).await.expect("handshake");
            while let Some(Ok((request, respond))) = connection.accept().await {
                assert!(PeerAcceptor::takes(request.uri().path()));
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.serve(request, respond, |bytes| bytes).await });
            }
        });
    }
}

fn pair() -> (Member, Member) {
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    two.knows(1, &one);
    one.knows(2, &two);
    one.seen.wait("link", |seen| {
        seen.links.contains(&(2, active())).then_some(())
    });
    (one, two)
}

fn active() -> LinkState {
    LinkState::Active {
        version: "3.7.3".into(),
    }
}

#[test]
fn messages_arrive_in_order_with_their_entries_from_memory_and_from_disk() {
    let (one, two) = pair();
    let log = |first, last| Payload::Log {
        first,
        last,
        last_term: 1,
    };
    assert!(one.peers.send(2, "a".into(), log(60, 70), 10_000));
    assert!(one.peers.send(2, "b".into(), log(3, 40), 10_000));
    assert!(one.peers.send(2, "c".into(), Payload::None, 0));
    assert!(
        one.peers
            .send(2, "d".into(), Payload::Held(vec![entry(9)]), 900)
    );
    let got = two.seen.wait("four messages", |seen| {
        (seen.messages.len() == 4).then(|| seen.messages.clone())
    });
    let expected = [
        (1, Bytes::from("a"), (60..=70).map(entry).collect()),
        (1, Bytes::from("b"), (3..=40).map(entry).collect()),
        (1, Bytes::from("c"), vec![]),
        (1, Bytes::from("d"), vec![entry(9)]),
    ];
    assert_eq!(got, expected);
    assert_eq!(
        one.peers.counters()[0]
            .1
            .queued_bytes
            .load(Ordering::Relaxed),
        0
    );
}

#[test]
fn a_message_whose_entries_are_gone_or_rewritten_is_dropped_and_raft_told() {
    let (one, two) = pair();
    let stale = Payload::Log {
        first: 60,
        last: 61,
        last_term: 4,
    };
    let compacted = Payload::Log {
        first: 40,
        last: 101,
        last_term: 1,
    };
    assert!(one.peers.send(2, "stale".into(), stale, 1));
    assert!(one.peers.send(2, "compacted".into(), compacted, 1));
    assert!(one.peers.send(2, "good".into(), Payload::None, 0));
    let got = two
        .seen
        .wait("the good one", |seen| seen.messages.first().cloned());
    assert_eq!(got.1, Bytes::from("good"));
    one.seen
        .wait("both reports", |seen| (seen.unreachable == 2).then_some(()));
}

#[test]
fn strangers_and_removed_members_are_refused() {
    let (one, two, other) = (
        Member::start(1, 7),
        Member::start(2, 7),
        Member::start(3, 8),
    );
    one.knows(2, &two);
    let refused = |status, text: &str| {
        (
            2,
            LinkState::Refused {
                status,
                text: text.into(),
            },
        )
    };
    one.seen.wait("unknown", |seen| {
        seen.links
            .contains(&refused(404, "error sender not found"))
            .then_some(())
    });
    two.peers.set_removed([1]);
    two.knows(1, &one);
    let gone = Member::start(1, 7);
    gone.knows(2, &two);
    gone.seen.wait("removed", |seen| {
        seen.links
            .contains(&refused(410, "removed member"))
            .then_some(())
    });
    other.knows(2, &two);
    other.seen.wait("cluster", |seen| {
        seen.links
            .contains(&refused(412, "cluster ID mismatch"))
            .then_some(())
    });
}

#[test]
fn a_link_comes_back_after_its_peer_did_and_says_what_was_lost() {
    let (one, mut two) = pair();
    two.stop_serving();
    one.seen.wait("loss", |seen| {
        seen.links
            .iter()
            .any(|(_, state)| matches!(state, LinkState::Inactive { .. }))
            .then_some(())
    });
    assert!(one.peers.send(2, "lost".into(), Payload::None, 0));
    one.seen
        .wait("report", |seen| (seen.unreachable > 0).then_some(()));
    two.serve();
    one.seen.wait("return", |seen| {
        (seen.links.iter().filter(|(_, s)| *s == active()).count() == 2).then_some(())
    });
    assert!(one.peers.send(2, "found".into(), Payload::None, 0));
    let got = two
        .seen
        .wait("message", |seen| seen.messages.last().cloned());
    assert_eq!(got.1, Bytes::from("found"));
}

#[test]
fn a_peer_that_does_not_keep_up_costs_no_more_than_the_queue() {
    let one = Member::start(1, 7);
    one.peers.set_peer(2, vec!["http://127.0.0.1:1".into()]);
    let half = limits::QUEUE_BYTES_MAX / 2 + 1;
    let mut refused = 0;
    for _ in 0..limits::QUEUE_MESSAGES_MAX {
        refused += usize::from(!one.peers.send(2, Bytes::new(), Payload::None, half));
    }
    assert!(refused > 0);
    assert!(
        one.peers.counters()[0]
            .1
            .queued_bytes
            .load(Ordering::Relaxed)
            <= limits::QUEUE_BYTES_MAX
    );
    assert!(
        !one.peers.send(99, Bytes::new(), Payload::None, 0),
        "unknown peer"
    );
}

#[test]
fn a_copy_of_the_store_arrives_whole_behind_its_message() {
    let (one, two) = pair();
    for bytes in [0, 10, 3_000_000] {
        let content: Vec<u8> = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        *one.store.content.lock() = content.clone();
        let before = two.seen.seen.lock().copies.len();
        one.peers.send_snapshot(2, "announced".into());
        let sent = one
            .seen
            .wait("report", |seen| seen.copies_sent.get(before).cloned());
        assert_eq!(sent, Ok(one.store.info(&content)));
        let got = two.seen.seen.lock().copies[before].clone();
        assert_eq!((got.0, got.1), (1, Bytes::from("announced")));
        assert!(got.2 == content);
        // The sender's copy goes with the end of the transfer, before the report.
        assert_eq!((one.store.files(), two.store.files()), (0, 0));
    }
}

#[test]
fn a_peer_that_is_gone_or_refuses_gets_no_copy() {
    let (one, mut two) = pair();
    one.peers.send_snapshot(99, "to a stranger".into());
    two.peers.set_removed([1]);
    one.peers.send_snapshot(2, "from a removed one".into());
    let failed = |seen: &Seen, at: usize| seen.copies_sent.get(at).cloned();
    let second = one.seen.wait("refusal", |seen| failed(seen, 1));
    assert!(second.is_err_and(|reason| reason.contains("410")));
    two.stop_serving();
    one.peers.send_snapshot(2, "to nobody".into());
    assert!(one.seen.wait("loss", |seen| failed(seen, 2)).is_err());
    assert_eq!((one.store.files(), two.store.files()), (0, 0));
    assert_eq!(two.seen.seen.lock().copies.len(), 0);
}

#[test]
fn a_receiver_that_dies_in_the_middle_leaves_nothing_and_gets_a_fresh_copy() {
    let (one, mut two) = pair();
    *one.store.content.lock() = vec![1; 64 << 20];
    one.peers.send_snapshot(2, "cut".into());
    let deadline = Instant::now() + PATIENCE;
    while two.store.files() == 0 {
        assert!(Instant::now() < deadline, "never began");
        std::thread::yield_now();
    }
    two.stop_serving();
    let cut = one
        .seen
        .wait("report", |seen| seen.copies_sent.first().cloned());
    assert!(cut.is_err());
    assert_eq!((one.store.files(), two.store.files()), (0, 0));
    two.serve();
    *one.store.content.lock() = vec![2; 1000];
    one.peers.send_snapshot(2, "again".into());
    one.seen.wait("second", |seen| {
        seen.copies_sent.get(1).map(|sent| assert!(sent.is_ok()))
    });
    assert_eq!(two.seen.seen.lock().copies[0].2, vec![2; 1000]);
}
