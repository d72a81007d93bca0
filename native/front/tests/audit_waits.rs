//! The audit log of a front whose lines nobody takes: what waits for it where the policy says so, and what does not.

mod common;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::auditing::{config, rule, txn};
use common::{RANGE, Server, TXN, get, soon};
use netcd_engine::proto::etcdserverpb::PutRequest;
use netcd_engine::proto::etcdserverpb::request_op::Request;
use serde_json::Value;

/// A pipe that looks like a file to the log: what nobody reads stops its writer.
struct Pipe {
    path: PathBuf,
    /// Both ends, so that opening it waits for nobody.
    end: File,
    _dir: tempfile::TempDir,
}

impl Pipe {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        make_pipe(&path);
        let end = OpenOptions::new().read(true).write(true).open(&path);
        Self {
            path,
            end: end.unwrap(),
            _dir: dir,
        }
    }

    /// Takes lines until there were so many; the numbers of the txns in them.
    fn lines(&mut self, count: usize) -> Vec<Option<usize>> {
        let (mut text, mut part, mut ends) = (Vec::new(), vec![0; 64 << 10], 0);
        while ends < count {
            let read = self.end.read(&mut part).unwrap();
            ends += part[..read].iter().filter(|byte| **byte == b'\n').count();
            text.extend_from_slice(&part[..read]);
        }
        let text = String::from_utf8(text).unwrap();
        let number = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let (at, _) = line["ops"][0]["key"].as_str()?.split_once(' ')?;
            at.parse().ok()
        };
        text.lines().map(number).collect()
    }
}

fn make_pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string that ends in a zero byte and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// A txn whose record is as large as one can be.
fn large(at: usize) -> Vec<u8> {
    let op = |nth: usize| {
        Request::RequestPut(PutRequest {
            key: format!("{at} {nth} {}", "k".repeat(1000)).into(),
            ..Default::default()
        })
    };
    txn((0..64).map(op).collect())
}

#[tokio::test]
async fn where_the_policy_blocks_calls_wait_for_the_log_and_nothing_else_does() {
    let mut pipe = Pipe::new();
    let server = Server::with(config(pipe.path.clone(), true, vec![rule(&[TXN])]));
    let (client, answered) = (server.client().await, Arc::new(AtomicUsize::new(0)));
    // More than both buffers of a lane hold, and the pipe.
    const TXNS: usize = 400;
    let txns = tokio::spawn({
        let (client, answered) = (client.clone(), answered.clone());
        async move {
            let mut calls = tokio::task::JoinSet::new();
            for at in 0..TXNS {
                let (client, answered) = (client.clone(), answered.clone());
                calls.spawn(async move {
                    assert_eq!(client.call(TXN, &large(at)).await.code, 0);
                    answered.fetch_add(1, Ordering::SeqCst);
                });
                if calls.len() > 20 {
                    calls.join_next().await.unwrap().unwrap();
                }
            }
            while let Some(call) = calls.join_next().await {
                call.unwrap();
            }
        }
    });
    // It stands still: no call is answered for a while.
    soon("the log is full", async {
        loop {
            let before = answered.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 100 && answered.load(Ordering::SeqCst) == before {
                break;
            }
        }
    })
    .await;
    assert!(answered.load(Ordering::SeqCst) < TXNS);
    let waiting = server.front.counts();
    assert_eq!(
        waiting.waiting, 0,
        "the engine has answered what it was given"
    );
    assert!(waiting.calls >= 20, "{waiting:?}");
    // What gets no line goes on, and a call that waits has its own time.
    assert_eq!(client.call(RANGE, &get("k")).await.code, 0);
    let late = client
        .call_with(TXN, &[("grpc-timeout", "100m")], &large(TXNS))
        .await;
    assert_eq!(late.code, 4, "{late:?}");
    let reading = tokio::task::spawn_blocking(move || (pipe.lines(TXNS + 1), pipe));
    soon("all txns", txns).await.unwrap();
    let (mut calls, _pipe) = soon("all lines", reading).await.unwrap();
    // The one that was late has its line, too.
    calls.sort_unstable();
    let all: Vec<Option<usize>> = [None].into_iter().chain((0..TXNS).map(Some)).collect();
    assert_eq!(calls, all);
    assert!(
        server
            .front
            .metrics()
            .contains("netcd_audit_dropped_total 0\n")
    );
}

#[tokio::test]
async fn calls_that_wait_for_the_log_end_with_the_server() {
    let pipe = Pipe::new();
    let server = Server::with(config(pipe.path.clone(), true, vec![rule(&[TXN])]));
    let client = server.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for at in 0..400 {
        let client = client.clone();
        calls.spawn(async move { client.call(TXN, &large(at)).await.status().0 });
        if calls.len() > 20 && at < 380 {
            let late = tokio::time::timeout(Duration::from_millis(300), calls.join_next());
            if late.await.is_err() {
                break;
            }
        }
    }
    let front = server.front.clone();
    let ended = tokio::task::spawn_blocking(move || front.shutdown(Duration::from_secs(20)));
    let mut codes = BTreeMap::new();
    while let Some(code) = soon("an answer", calls.join_next()).await {
        *codes.entry(code.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(
        codes,
        BTreeMap::from([(14, 21)]),
        "etcdserver: server stopped"
    );
    // What the writer waits for fails now, and is not tried again for ever.
    drop(pipe);
    soon("the end", ended).await.unwrap();
}
