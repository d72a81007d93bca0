//! Probes: HTTP requests that are answered without the control plane, and those of them that must go to it all the same.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Server, leading, listener, soon, until};
use http::Request;
use netcd_engine::error;
use netcd_engine::types::Completions;
use netcd_front::{
    FrontConfig, FrontEvent, Probe, ProbeCounts, ProbeKind, ServingState, header_map,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A probe of clients that needs nothing.
fn probe(kind: ProbeKind, target: &str) -> Probe {
    let headers = [("X-Content-Type-Options", "nosniff"), ("Content-Type", "t")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Probe {
        kind,
        listener: "client".to_owned(),
        target: target.to_owned(),
        needs_leader: false,
        needs_vote: false,
        reads_store: false,
        reads_quorum: false,
        headers: header_map(&headers).unwrap(),
        body: Bytes::from_static(b"ok\n"),
    }
}

/// All that there are.
fn probes() -> Vec<Probe> {
    let health = Probe {
        needs_leader: true,
        reads_quorum: true,
        ..probe(ProbeKind::Health, "/health")
    };
    let local = Probe {
        reads_store: true,
        ..probe(ProbeKind::Health, "/health?serializable=true")
    };
    let livez = Probe {
        reads_store: true,
        ..probe(ProbeKind::Livez, "/livez")
    };
    let readyz = Probe {
        needs_vote: true,
        reads_store: true,
        reads_quorum: true,
        ..probe(ProbeKind::Readyz, "/readyz")
    };
    vec![
        probe(ProbeKind::Version, "/version"),
        health,
        local,
        livez,
        readyz,
    ]
}

fn started(config: FrontConfig) -> Server {
    let server = Server::with(config);
    server.front.set_probes(probes());
    server
}

async fn said(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A connection on which this was asked for, and nothing will be after it.
async fn asked(address: &str, method: &str, target: &str) -> TcpStream {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    said(address, &request).await
}

async fn to_the_end(mut stream: TcpStream) -> String {
    let mut all = String::new();
    soon("the end", stream.read_to_string(&mut all))
        .await
        .unwrap();
    all
}

/// The request that is handed over now is answered; what it was, and why a read of it failed.
async fn handed_over(server: &Server) -> (String, Option<String>) {
    match server.events.next().await {
        FrontEvent::Http {
            request,
            method,
            url,
            failed_read,
            ..
        } => {
            server
                .front
                .http_respond(request, 503, Vec::new(), Bytes::new());
            (format!("{method} {url}"), failed_read)
        }
        other => panic!("an HTTP request expected, not {other:?}"),
    }
}

async fn assert_handed_over(server: &Server, address: &str, method: &str, target: &str) {
    let stream = asked(address, method, target).await;
    assert_eq!(
        handed_over(server).await,
        (format!("{method} {target}"), None)
    );
    let answer = to_the_end(stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn good_probes_reach_nobody() {
    let server = started(FrontConfig::default());
    for waits in [false, true] {
        server.fake.reads_wait.store(waits, Ordering::SeqCst);
        for probe in probes() {
            let stream = asked(&server.address, "GET", &probe.target).await;
            if waits && probe.reads_quorum {
                until("it waits", || server.front.counts().waiting == 1).await;
                assert_eq!(server.front.counts().calls, 1);
                let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
                server.fake.completions().reads_ready(tokens, Ok(()));
            }
            let answer = to_the_end(stream).await;
            let (head, rest) = answer.split_once("Date: ").expect("a date");
            assert_eq!(
                head,
                "HTTP/1.1 200 OK\r\nContent-Type: t\r\nX-Content-Type-Options: nosniff\r\n"
            );
            assert!(rest.contains("\r\nContent-Length: 3\r\n"), "{rest}");
            assert!(rest.ends_with("\r\n\r\nok\n"), "{rest}");
        }
    }
    let counts = ProbeCounts {
        health: 4,
        livez: 2,
        readyz: 2,
    };
    assert_eq!(server.front.probe_counts(), counts);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn many_are_answered_on_one_connection() {
    let server = started(FrontConfig::default());
    let request = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n".repeat(9);
    let last = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = to_the_end(said(&server.address, &format!("{request}{last}")).await).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 10);
    assert_eq!(server.front.probe_counts().health, 10);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn over_http2_too() {
    let server = Server::start();
    let addresses = server.front.listen(&[listener("metrics", false, true)]);
    let probes = probes().into_iter().map(|probe| Probe {
        listener: "metrics".to_owned(),
        ..probe
    });
    server.front.set_probes(probes.collect());
    let client = Client::connect(&addresses.unwrap()[0]).await;
    for target in ["/health", "/readyz"] {
        let request = Request::get(format!("http://h{target}")).body(()).unwrap();
        let answer = client.exchange(request, Vec::new()).await.unwrap();
        assert_eq!(answer.http_status, 200);
        assert_eq!(answer.headers["content-type"], "t");
        assert_eq!(answer.messages, [Bytes::from_static(b"ok\n")]);
    }
    drop(client);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn all_else_is_handed_over() {
    let server = started(FrontConfig::default());
    for (method, target) in [
        ("HEAD", "/health"),
        ("POST", "/version"),
        ("GET", "/health?"),
        ("GET", "/health?exclude=x"),
        ("GET", "/readyz?verbose"),
        ("GET", "/readyz/non_learner"),
        ("GET", "//livez"),
    ] {
        assert_handed_over(&server, &server.address, method, target).await;
    }
    // A listener of another role.
    let addresses = server.front.listen(&[listener("metrics", false, true)]);
    assert_handed_over(&server, &addresses.unwrap()[0], "GET", "/health").await;
    // The control plane has taken back what it said.
    server.front.set_probes(Vec::new());
    assert_handed_over(&server, &server.address, "GET", "/health").await;
    assert_eq!(server.front.probe_counts(), ProbeCounts::default());
}

#[tokio::test]
async fn what_is_not_good_is_handed_over() {
    let server = started(FrontConfig::default());
    let is_answered = async |target| {
        let answer = to_the_end(asked(&server.address, "GET", target).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
    };
    server.front.set_serving(ServingState {
        has_leader: false,
        ..leading()
    });
    assert_handed_over(&server, &server.address, "GET", "/health").await;
    is_answered("/health?serializable=true").await;
    server.front.set_serving(ServingState {
        is_learner: true,
        ..leading()
    });
    assert_handed_over(&server, &server.address, "GET", "/readyz").await;
    is_answered("/health").await;
    server.front.set_serving(leading());
    server.fake.store_is_broken.store(true, Ordering::SeqCst);
    for target in ["/livez", "/readyz", "/health?serializable=true"] {
        assert_handed_over(&server, &server.address, "GET", target).await;
    }
    is_answered("/version").await;
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn a_read_that_failed_is_told() {
    let config = FrontConfig {
        request_timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let server = started(config);
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    for target in ["/health", "/readyz"] {
        let stream = asked(&server.address, "GET", target).await;
        let (_, why) = handed_over(&server).await;
        assert_eq!(why.as_deref(), Some("etcdserver: request timed out"));
        to_the_end(stream).await;
        // The answer that comes too late is nobody's.
        let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
        server.fake.completions().reads_ready(tokens, Ok(()));
    }
    let stream = asked(&server.address, "GET", "/health").await;
    until("it waits", || {
        !server.fake.waiting_reads.lock().unwrap().is_empty()
    })
    .await;
    let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
    let changed = Err(error::LEADER_CHANGED);
    server.fake.completions().reads_ready(tokens, changed);
    let (_, why) = handed_over(&server).await;
    assert_eq!(why.as_deref(), Some("etcdserver: leader changed"));
    to_the_end(stream).await;
    assert_eq!(server.front.probe_counts(), ProbeCounts::default());
    server.nothing_left().await;
}
