//! Bytes of clients that may know no HTTP/1.1, on connections of a whole front: each ends, an answer is one of HTTP's, and
//! what reaches the control plane is well-formed.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Server, soon};
use netcd_front::FrontEvent;
use netcd_front::limits::{GRPC_OVERHEAD_BYTES, HTTP_BODY_FACTOR};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY_BYTES_MAX: usize = (1_572_864 + GRPC_OVERHEAD_BYTES) * HTTP_BODY_FACTOR;

/// Panics of any thread: one on a transport thread ends a connection and nothing else.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Answers what was handed over.
async fn answer(server: &Server, found: &mut BTreeSet<String>) {
    while server.events.waiting() > 0 {
        let FrontEvent::Http {
            request,
            method,
            url,
            headers,
            body,
            ..
        } = server.events.next().await
        else {
            continue;
        };
        assert!(!method.is_empty() && method.bytes().all(|b| b.is_ascii_graphic()));
        assert!(
            !url.is_empty() && url.bytes().all(|b| b > b' ' && b != 0x7f),
            "{url:?}"
        );
        assert!(body.len() <= BODY_BYTES_MAX);
        for (name, value) in &headers {
            assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
            assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
        }
        found.insert(format!("{} headers", headers.len().min(4)));
        found.insert(format!("body: {}", !body.is_empty()));
        server
            .front
            .http_respond(request, 200, Vec::new(), Bytes::from_static(b"fine"));
    }
}

/// Sends an input as all that a client says, and reads until the server closes.
async fn connection(server: &Server, input: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut stream = TcpStream::connect(&server.address).await.expect("connect");
    // The server may have refused what came first, and may be gone.
    let _refused = stream.write_all(input).await;
    let _refused = stream.shutdown().await;
    let mut out = Vec::new();
    loop {
        answer(server, &mut found).await;
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read_buf(&mut out));
        if let Ok(Ok(0) | Err(_)) = read.await {
            break;
        }
    }
    let text = String::from_utf8_lossy(&out);
    // A client that begins as HTTP/2 is answered so.
    if !input.starts_with(b"PRI * HTTP/2.0") {
        assert!(out.is_empty() || text.starts_with("HTTP/1."), "{text:?}");
    }
    for line in text.lines().filter(|line| line.starts_with("HTTP/1.")) {
        found.insert(line.get(..12).unwrap_or(line).to_owned());
    }
    assert_eq!(
        PANICS.load(Ordering::SeqCst),
        0,
        "a transport thread panicked"
    );
    found
}

#[test]
fn no_bytes_break_a_connection_and_nothing_is_left_of_them() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        report(panic);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let server = Server::start();
    let seeds = [
        "GET /health?a=b HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nT: u\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
        "PUT http://h/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec());
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "http1", &seeds, |input| {
        runtime.block_on(soon("a connection", connection(&server, input)))
    });
    assert!(outcome.found > seeds.len());
    runtime.block_on(server.nothing_left());
}
