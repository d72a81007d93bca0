//! A watch stream of a client, with what came through it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use prost::Message;

use super::{Client, WATCH, frame, soon};

pub struct Stream {
    pub send: h2::SendStream<Bytes>,
    response: Option<h2::client::ResponseFuture>,
    body: Option<h2::RecvStream>,
    /// What is left of a message that is not whole.
    pub data: BytesMut,
    messages: VecDeque<WatchResponse>,
    /// DATA frames received.
    pub frames: usize,
}

/// How a stream ended: gRPC status and message.
pub type Ended = (u8, String);

impl Stream {
    pub async fn open(client: &Client, headers: &[(&str, &str)]) -> Self {
        let (response, send) = client.open(WATCH, headers).await;
        Self {
            send,
            response: Some(response),
            body: None,
            data: BytesMut::new(),
            messages: VecDeque::new(),
            frames: 0,
        }
    }

    pub fn send(&mut self, union: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(union),
        };
        let framed = frame(&request.encode_to_vec());
        self.send.send_data(framed, false).unwrap();
    }

    pub async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request));
        let response = self.next().await.unwrap();
        assert!(response.created, "{response:?}");
        response
    }

    pub async fn next(&mut self) -> Result<WatchResponse, Ended> {
        soon("a response", self.receive()).await
    }

    async fn receive(&mut self) -> Result<WatchResponse, Ended> {
        if let Some(response) = self.response.take() {
            let (parts, body) = response.await.unwrap().into_parts();
            if parts.headers.contains_key("grpc-status") {
                return Err(status(&parts.headers));
            }
            self.body = Some(body);
        }
        let body = self.body.as_mut().unwrap();
        while self.messages.is_empty() {
            let Some(data) = body.data().await else {
                return Err(status(&body.trailers().await.unwrap().unwrap()));
            };
            let data = data.unwrap();
            self.frames += 1;
            body.flow_control().release_capacity(data.len()).unwrap();
            self.data.extend_from_slice(&data);
            while let Some(length) = self.data.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.data.len() < 5 + length {
                    break;
                }
                let message = self.data.split_to(5 + length).split_off(5);
                self.messages
                    .push_back(WatchResponse::decode(message).unwrap());
            }
        }
        Ok(self.messages.pop_front().unwrap())
    }

    /// Values of `count` events of one watcher.
    pub async fn values(&mut self, watch_id: i64, count: usize) -> Vec<Bytes> {
        let mut values = Vec::new();
        while values.len() < count {
            let response = self.next().await.unwrap();
            assert_eq!(response.watch_id, watch_id);
            values.extend(response.events.into_iter().map(|e| e.kv.unwrap().value));
        }
        values
    }
}

fn status(headers: &http::HeaderMap) -> Ended {
    let text = |name| headers[name].to_str().unwrap().to_owned();
    (text("grpc-status").parse().unwrap(), text("grpc-message"))
}

pub fn watch(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..WatchCreateRequest::default()
    }
}
