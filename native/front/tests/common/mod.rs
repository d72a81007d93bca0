//! A front on a fake engine, a recorder of its events, and a small HTTP/2 client that shows what really came back.
#![allow(dead_code, missing_docs)]

pub mod auditing;
pub mod certs;
pub mod fake;
pub mod tls;
pub mod users;
pub mod watching;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use netcd_engine::proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse};
use netcd_front::{
    Front, FrontCompletions, FrontConfig, FrontCounts, FrontEvent, FrontEvents, ListenerConfig,
    ServingState,
};
use prost::Message;
use tokio::net::TcpStream;

use fake::Fake;

pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";
pub const PUT: &str = "/etcdserverpb.KV/Put";
pub const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const COMPACT: &str = "/etcdserverpb.KV/Compact";
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
/// A stream that the control plane serves.
pub const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
pub const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
pub const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
pub const MEMBERS: &str = "/etcdserverpb.Cluster/MemberList";

/// A test that waits this long has failed: it ends what would hang, and decides nothing else.
const HANG: Duration = Duration::from_secs(30);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: hangs"))
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[derive(Default)]
pub struct Recorder(Mutex<VecDeque<FrontEvent>>);

impl FrontEvents for Recorder {
    fn emit(&self, event: FrontEvent) {
        self.0.lock().unwrap().push_back(event);
    }
}

impl Recorder {
    pub async fn next(&self) -> FrontEvent {
        let mut event = None;
        until("an event", || {
            event = self.0.lock().unwrap().pop_front();
            event.is_some()
        })
        .await;
        event.unwrap()
    }

    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The id of the call that begins now.
    pub async fn call(&self) -> u64 {
        match self.next().await {
            FrontEvent::Call { call, .. } => call,
            other => panic!("a call expected, not {other:?}"),
        }
    }
}

/// A range of one key.
pub fn get(key: &str) -> Vec<u8> {
    RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
    .encode_to_vec()
}

pub fn put(key: &str, value: &[u8]) -> Vec<u8> {
    let (key, value) = (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value),
    );
    PutRequest {
        key,
        value,
        ..Default::default()
    }
    .encode_to_vec()
}

pub struct Server {
    pub front: Arc<Front>,
    pub fake: Arc<Fake>,
    pub events: Arc<Recorder>,
    pub address: String,
}

pub fn leading() -> ServingState {
    ServingState {
        has_leader: true,
        is_learner: false,
    }
}

pub fn listener(role: &str, grpc: bool, http: bool) -> ListenerConfig {
    ListenerConfig {
        role: role.into(),
        address: "127.0.0.1:0".into(),
        unix: false,
        grpc,
        http,
        plain: true,
        tls: false,
        held: false,
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(FrontConfig::default())
    }

    pub fn with(config: FrontConfig) -> Self {
        let mut server = Self::unbound(config);
        server.listen(&listener("client", true, true));
        server
    }

    /// One that listens nowhere yet.
    pub fn unbound(config: FrontConfig) -> Self {
        let completions = FrontCompletions::new(2);
        let fake = Fake::new(&completions);
        let events = Arc::new(Recorder::default());
        let front = Front::start(config, fake.clone(), events.clone(), &completions).unwrap();
        front.set_serving(leading());
        Self {
            front: Arc::new(front),
            fake,
            events,
            address: String::new(),
        }
    }

    /// Serves there from now on.
    pub fn listen(&mut self, on: &ListenerConfig) {
        let mut addresses = self.front.listen(std::slice::from_ref(on)).unwrap();
        self.address = addresses.remove(0);
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// Nothing may be left once the clients are gone.
    pub async fn nothing_left(&self) {
        let mut counts = FrontCounts::default();
        let empty = FrontCounts::default();
        let looked = tokio::time::timeout(HANG, async {
            loop {
                counts = self.front.counts();
                if counts == empty {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(looked.await.is_ok(), "left behind: {counts:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.fake.close();
    }
}

#[derive(Clone)]
pub struct Client {
    pub requests: SendRequest<Bytes>,
}

/// What a call gave.
#[derive(Debug)]
pub struct Answer {
    pub http_status: u16,
    pub headers: HeaderMap,
    pub messages: Vec<Bytes>,
    pub trailers: HeaderMap,
    pub code: u8,
    pub message: String,
}

pub fn frame(message: &[u8]) -> Bytes {
    frame_with(0, message)
}

pub fn frame_with(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.extend_from_slice(&[flag]);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out.freeze()
}

pub fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::post(format!("http://127.0.0.1{path}"));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        builder = builder.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

/// One HTTP/2 frame.
pub fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

pub fn deframe(mut data: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !data.is_empty() {
        let head = data.split_to(5);
        assert_eq!(head[0], 0, "identity answers");
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        messages.push(data.split_to(length));
    }
    messages
}

impl Answer {
    /// The one key of a Range's answer.
    pub fn key(&self) -> Bytes {
        let response = RangeResponse::decode(self.messages[0].clone()).unwrap();
        assert_eq!(response.kvs.len(), 1);
        response.kvs[0].key.clone()
    }

    /// Status code and message.
    pub fn status(&self) -> (u8, &str) {
        (self.code, &self.message)
    }
}

impl Client {
    pub async fn connect(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = soon("handshake", h2::client::handshake(stream))
            .await
            .unwrap();
        tokio::spawn(async move {
            // How a connection ends is for the tests of connections.
            let _ended = connection.await;
        });
        Self {
            requests: requests.ready().await.unwrap(),
        }
    }

    /// A request whose body follows.
    pub async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests
            .send_request(request(path, headers), false)
            .unwrap()
    }

    /// One request with its body in these pieces, to its end.
    pub async fn exchange(
        &self,
        request: Request<()>,
        body: Vec<Bytes>,
    ) -> Result<Answer, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut send) = requests.send_request(request, false)?;
        for piece in body {
            send.send_data(piece, false)?;
        }
        send.send_data(Bytes::new(), true)?;
        soon("answer", read_answer(response)).await
    }

    pub async fn call_with(&self, path: &str, headers: &[(&str, &str)], message: &[u8]) -> Answer {
        self.exchange(request(path, headers), vec![frame(message)])
            .await
            .unwrap()
    }

    pub async fn call(&self, path: &str, message: &[u8]) -> Answer {
        self.call_with(path, &[], message).await
    }
}

pub async fn read_answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut body) = response.await?.into_parts();
    let mut data = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        data.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let status = if trailers.is_empty() {
        &parts.headers
    } else {
        &trailers
    };
    let text = |name: &str| {
        status
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let whole = parts
        .headers
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let (code, message) = (text("grpc-status"), text("grpc-message"));
    Ok(Answer {
        http_status: parts.status.as_u16(),
        headers: parts.headers,
        messages: if whole {
            deframe(data.freeze())
        } else {
            vec![data.freeze()]
        },
        code: code.map_or(u8::MAX, |code| code.parse().unwrap()),
        message: message.unwrap_or_default(),
        trailers,
    })
}
