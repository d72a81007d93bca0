//! HTTP requests that are handed over: HTTP/1.1 on raw sockets, and HTTP/2 where gRPC is not served.

mod common;

use bytes::Bytes;
use common::{Client, Server, listener, request, soon};
use netcd_front::FrontEvent;
use netcd_front::limits::{CALL_SEND_BYTES_HIGH, GRPC_OVERHEAD_BYTES, HTTP_BODY_FACTOR};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection on which a GET was sent.
async fn get(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads an answer's head, and as much of its body as its Content-Length says.
async fn read_http1(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("head", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    soon("body", stream.read_exact(&mut body)).await.unwrap();
    (head, body)
}

struct Seen {
    request: u64,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    listener: String,
}

async fn http_event(server: &Server) -> Seen {
    match server.events.next().await {
        FrontEvent::Http {
            request,
            method,
            url,
            headers,
            body,
            listener,
            ..
        } => Seen {
            request,
            method,
            url,
            headers,
            body,
            listener,
        },
        other => panic!("an HTTP request expected, not {other:?}"),
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = Server::start();
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    for i in 0..3 {
        let text = format!("GET /health?n={i} HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let seen = http_event(&server).await;
        assert_eq!(
            (seen.method.as_str(), seen.url, seen.listener.as_str()),
            ("GET", format!("/health?n={i}"), "client")
        );
        assert!(seen.headers.contains(&("host".to_owned(), "h".to_owned())));
        assert!(seen.headers.contains(&("x-a".to_owned(), "b".to_owned())));
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        server
            .front
            .http_respond(seen.request, 200, headers, Bytes::from_static(b"fine"));
        let (head, body) = read_http1(&mut stream).await;
        assert!(
            head.starts_with("http/1.1 200 ok\r\n")
                && head.contains("content-type: text/plain\r\n")
        );
        assert_eq!(body, b"fine");
    }
    drop(stream);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn bodies_chunked_expected_and_too_large() {
    let server = Server::start();
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let chunked = "POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let seen = http_event(&server).await;
    assert_eq!(seen.body, "{}abc");
    server
        .front
        .http_respond(seen.request, 204, Vec::new(), Bytes::new());
    assert!(read_http1(&mut stream).await.0.starts_with("http/1.1 204"));

    let expect =
        "POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(expect.as_bytes()).await.unwrap();
    assert!(read_http1(&mut stream).await.0.starts_with("http/1.1 100"));
    stream.write_all(b"{}").await.unwrap();
    let seen = http_event(&server).await;
    assert_eq!(seen.body, "{}");
    server
        .front
        .http_respond(seen.request, 200, Vec::new(), Bytes::new());
    assert!(read_http1(&mut stream).await.0.starts_with("http/1.1 200"));

    let limit = (1_572_864 + GRPC_OVERHEAD_BYTES) * HTTP_BODY_FACTOR;
    let large = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        limit + 1
    );
    stream.write_all(large.as_bytes()).await.unwrap();
    assert!(read_http1(&mut stream).await.0.starts_with("http/1.1 413"));
    drop(stream);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn answers_stream_and_wait_for_the_reader() {
    let server = Server::start();
    let mut stream = get(&server.address, "/v3/watch").await;
    let request = http_event(&server).await.request;
    server.front.http_start(request, 200, Vec::new());
    let (head, _) = read_http1(&mut stream).await;
    assert!(head.contains("transfer-encoding: chunked"));
    let chunk = Bytes::from(vec![b'x'; CALL_SEND_BYTES_HIGH / 2]);
    let mut sent = 1;
    while server.front.http_write(request, chunk.clone()) {
        sent += 1;
    }
    let mut body = 0;
    let mut buf = vec![0; 64 << 10];
    while body < sent * chunk.len() {
        let n = soon("body", stream.read(&mut buf)).await.unwrap();
        body += buf[..n].iter().filter(|byte| **byte == b'x').count();
    }
    assert!(
        matches!(server.events.next().await, FrontEvent::HttpDrained { request: of } if of == request)
    );
    server.front.http_end(request);
    let mut rest = Vec::new();
    while !rest.ends_with(b"0\r\n\r\n") {
        rest.push(soon("end", stream.read_u8()).await.unwrap());
    }
    drop(stream);
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_is_reported() {
    let server = Server::start();
    for streaming in [false, true] {
        let mut stream = get(&server.address, "/slow").await;
        let request = http_event(&server).await.request;
        if streaming {
            server.front.http_start(request, 200, Vec::new());
            read_http1(&mut stream).await;
        }
        drop(stream);
        if streaming {
            // hyper notices a closed socket when it writes.
            while server.events.waiting() == 0 {
                server.front.http_write(request, Bytes::from_static(b"x"));
                tokio::task::yield_now().await;
            }
        }
        if streaming {
            assert!(
                matches!(server.events.next().await, FrontEvent::HttpClosed { request: of } if of == request)
            );
        } else {
            // That a client has said all it will does not mean that it is gone: it gets its answer, or nobody does.
            server
                .front
                .http_respond(request, 200, Vec::new(), Bytes::new());
        }
        server.nothing_left().await;
    }
}

#[tokio::test]
async fn an_answer_that_http_cannot_carry_is_a_500() {
    let server = Server::start();
    let mut stream = get(&server.address, "/").await;
    let request = http_event(&server).await.request;
    let headers = vec![("bad name".to_owned(), "v".to_owned())];
    server
        .front
        .http_respond(request, 200, headers, Bytes::new());
    assert!(read_http1(&mut stream).await.0.starts_with("http/1.1 500"));
    assert!(matches!(server.events.next().await, FrontEvent::Log { .. }));
}

#[tokio::test]
async fn roles_of_listeners() {
    let server = Server::start();
    let listeners = [
        listener("metrics", false, true),
        listener("grpc", true, false),
    ];
    let addresses = server.front.listen(&listeners).unwrap();
    // HTTP/2 on a listener without gRPC is handed over, gRPC or not.
    let client = Client::connect(&addresses[0]).await;
    let call = client.clone();
    let answer = tokio::spawn(async move {
        call.exchange(
            request("/metrics?a=b", &[]),
            vec![Bytes::from_static(b"body")],
        )
        .await
    });
    let seen = http_event(&server).await;
    assert_eq!(
        (seen.url.as_str(), seen.listener.as_str(), &seen.body[..]),
        ("/metrics?a=b", "metrics", &b"body"[..])
    );
    assert!(
        seen.headers
            .contains(&("host".to_owned(), "127.0.0.1".to_owned()))
    );
    server
        .front
        .http_start(seen.request, 200, vec![("x".to_owned(), "y".to_owned())]);
    server
        .front
        .http_write(seen.request, Bytes::from_static(b"one"));
    server
        .front
        .http_write(seen.request, Bytes::from_static(b"two"));
    server.front.http_end(seen.request);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(
        (answer.http_status, &answer.messages[0][..]),
        (200, &b"onetwo"[..])
    );
    assert_eq!(answer.headers["x"], "y");
    // HTTP/1.1 on a listener for gRPC alone is closed.
    let mut stream = get(&addresses[1], "/").await;
    let ended = soon("end", stream.read(&mut [0; 10])).await;
    assert!(matches!(ended, Ok(0) | Err(_)));
    drop(client);
    server.nothing_left().await;
}
