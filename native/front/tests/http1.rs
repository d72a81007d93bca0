//! HTTP/1 as Go's net/http speaks it: what answers look like, what is refused, and whom nobody keeps waiting.

mod common;

use bytes::Bytes;
use common::{Server, soon};
use netcd_front::FrontEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The id, the headers and the body of the request that comes now.
async fn handed_over(server: &Server) -> (u64, Vec<(String, String)>, Bytes) {
    match server.events.next().await {
        FrontEvent::Http {
            request,
            headers,
            body,
            ..
        } => (request, headers, body),
        other => panic!("an HTTP request expected, not {other:?}"),
    }
}

/// A connection on which these bytes were sent; `half`: and no more will be.
async fn said(address: &str, request: &str, half: bool) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    if half {
        stream.shutdown().await.unwrap();
    }
    stream
}

async fn to_the_end(mut stream: TcpStream) -> String {
    let mut all = String::new();
    soon("the end", stream.read_to_string(&mut all))
        .await
        .unwrap();
    all
}

#[tokio::test]
async fn answers_look_as_go_writes_them() {
    let server = Server::start();
    for (version, end) in [("1.1", ""), ("1.0", "connection: close\r\n")] {
        let request = format!("GET /version HTTP/{version}\r\nHost: h\r\n\r\n");
        let stream = said(&server.address, &request, true).await;
        let (request, ..) = handed_over(&server).await;
        let headers = [("x-etcd-cluster-id", "1"), ("content-type", "a/b")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        server
            .front
            .http_respond(request, 200, headers.to_vec(), Bytes::from_static(b"fine"));
        let answer = to_the_end(stream).await;
        let (before, date) = answer.split_once("Date: ").expect("a date");
        let (_, after) = date.split_once("\r\n").unwrap();
        let head = "200 OK\r\nContent-Type: a/b\r\nX-Etcd-Cluster-Id: 1\r\n";
        assert_eq!(before, format!("HTTP/{version} {head}"));
        let after = after.replace(end, "");
        assert_eq!(after, "Content-Length: 4\r\n\r\nfine");
    }
}

#[tokio::test]
async fn what_go_refuses_nobody_sees() {
    let server = Server::start();
    for (request, status) in [
        (
            "GET /version HTTP/1.1\r\n\r\n",
            "400 Bad Request: missing required Host header",
        ),
        (
            "GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "400 Bad Request",
        ),
        ("GET /%zz HTTP/1.0\r\n\r\n", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "400 Bad Request: malformed Host header",
        ),
    ] {
        let answer = to_the_end(said(&server.address, request, false).await).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let first = head.lines().next().unwrap();
        assert_eq!(
            (&first["HTTP/1.x ".len()..], body),
            (status, status),
            "{request:?}"
        );
        assert!(
            head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"),
            "{head}"
        );
    }
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_waited_for() {
    let server = Server::start();
    for headers in [
        "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        "Content-Length: 300000\r\n\r\n",
    ] {
        let request = format!("POST /version HTTP/1.1\r\nHost: h\r\n{headers}");
        let stream = said(&server.address, &request, false).await;
        let (request, _, body) = handed_over(&server).await;
        assert_eq!(body, "");
        server
            .front
            .http_respond(request, 405, Vec::new(), Bytes::new());
        let answer = to_the_end(stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn thousands_of_headers_are_taken() {
    let server = Server::start();
    let headers: String = (0..3000).map(|i| format!("X-{i}: v\r\n")).collect();
    let request = format!("GET /version HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let _stream = said(&server.address, &request, false).await;
    assert_eq!(handed_over(&server).await.1.len(), 3001);
}
