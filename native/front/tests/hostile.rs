//! Random sequences of HTTP/2 frames, valid and not, on one connection after the other: the server must neither panic nor
//! keep anything of them, and every call that it handed over must end exactly once.

mod common;

use std::cell::Cell;
use std::collections::HashSet;

use bytes::Bytes;
use common::{MEMBERS, PUT, RANGE, Server, WATCH, frame, http2_frame};
use netcd_engine::proto::etcdserverpb::{PutRequest, RangeRequest};
use netcd_front::FrontEvent;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATHS: [&str; 6] = [
    RANGE,
    PUT,
    MEMBERS,
    WATCH,
    "/etcdserverpb.KV/RangeStream",
    "/no.Service/Method",
];

/// One frame. `of` picks one of the streams opened so far.
#[derive(Clone, Debug)]
enum Step {
    Headers {
        path: usize,
        end: bool,
    },
    Message {
        of: usize,
        cut: usize,
        end: bool,
    },
    Data {
        of: usize,
        bytes: Vec<u8>,
        end: bool,
    },
    Reset {
        of: usize,
    },
    Window {
        of: usize,
        by: u32,
    },
    Any {
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    },
    Bytes(Vec<u8>),
    /// Wait until the server has seen all that was sent.
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        40 => (0..PATHS.len(), any::<bool>()).prop_map(|(path, end)| Step::Headers { path, end }),
        40 => (0usize..4, 0usize..20, any::<bool>()).prop_map(|(of, cut, end)| Step::Message { of, cut, end }),
        10 => (0usize..4, bytes(), any::<bool>()).prop_map(|(of, bytes, end)| Step::Data { of, bytes, end }),
        20 => (0usize..4).prop_map(|of| Step::Reset { of }),
        10 => (0usize..4, 0u32..1 << 20).prop_map(|(of, by)| Step::Window { of, by }),
        2 => (0u8..12, any::<u8>(), 0u32..9, bytes())
            .prop_map(|(kind, flags, stream, payload)| Step::Any { kind, flags, stream, payload }),
        1 => bytes().prop_map(Step::Bytes),
        60 => Just(Step::Sync),
    ]
}

/// A header block without compression: POST, http, the path, the content type.
fn header_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    let grpc = b"application/grpc";
    block.extend([0x0f, 0x10, grpc.len() as u8]);
    block.extend(grpc);
    block
}

/// Bytes of a request that every method takes: a key.
fn message() -> Bytes {
    let range = RangeRequest {
        key: "k".into(),
        ..Default::default()
    }
    .encode_to_vec();
    debug_assert_eq!(
        range,
        PutRequest {
            key: "k".into(),
            ..Default::default()
        }
        .encode_to_vec()
    );
    frame(&range)
}

/// The bytes of each step; None = wait.
fn encode(steps: &[Step]) -> Vec<Option<Vec<u8>>> {
    let mut out = vec![Some(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()), None];
    let mut last = 0;
    let mut garbled = false;
    let mut open: Vec<u32> = Vec::new();
    for step in steps {
        let bytes = match step {
            // After garbage the server may wait for the rest of what it takes for a frame.
            Step::Sync if garbled => continue,
            Step::Sync => None,
            Step::Headers { path, end } => {
                last = if last == 0 { 1 } else { last + 2 };
                if !end {
                    open.push(last);
                }
                Some(http2_frame(
                    1,
                    4 | u8::from(*end),
                    last,
                    &header_block(PATHS[*path]),
                ))
            }
            Step::Any {
                kind,
                flags,
                stream,
                payload,
            } => Some(http2_frame(*kind, *flags, *stream, payload)),
            Step::Bytes(bytes) => {
                garbled = true;
                Some(bytes.clone())
            }
            Step::Message { of, .. }
            | Step::Data { of, .. }
            | Step::Reset { of }
            | Step::Window { of, .. } => {
                if open.is_empty() {
                    continue;
                }
                let at = of % open.len();
                Some(on_stream(step, &mut open, at))
            }
        };
        out.push(bytes);
    }
    out
}

/// The frame of a step on the open stream at `at`; a stream that it ends leaves the list.
fn on_stream(step: &Step, open: &mut Vec<u32>, at: usize) -> Vec<u8> {
    let stream = open[at];
    let (bytes, ends) = match step {
        Step::Message { cut, end, .. } => {
            let message = message();
            (
                http2_frame(
                    0,
                    u8::from(*end),
                    stream,
                    &message[..message.len().min(*cut)],
                ),
                *end,
            )
        }
        Step::Data { bytes, end, .. } => (http2_frame(0, u8::from(*end), stream, bytes), *end),
        Step::Window { by, .. } => (http2_frame(8, 0, stream, &by.max(&1).to_be_bytes()), false),
        _ => (http2_frame(3, 0, stream, &8u32.to_be_bytes()), true),
    };
    if ends {
        open.remove(at);
    }
    bytes
}

/// Sends SETTINGS and reads until they are acknowledged: then everything before them has been looked at. False: the
/// server hung up.
async fn sync(stream: &mut TcpStream) -> bool {
    const SETTINGS: u8 = 4;
    if stream
        .write_all(&http2_frame(SETTINGS, 0, 0, &[]))
        .await
        .is_err()
    {
        return false;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return false;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return false;
        }
        if head[3] == SETTINGS && head[4] & 1 != 0 {
            return true;
        }
    }
}

async fn play(server: &Server, steps: &[Step], orderly: bool) {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for step in encode(steps) {
        let goes_on = match step {
            Some(bytes) => stream.write_all(&bytes).await.is_ok(),
            None => common::soon("acknowledgement", sync(&mut stream)).await,
        };
        if !goes_on {
            break;
        }
    }
    if orderly {
        // The server may have hung up already.
        let _hung_up = stream.shutdown().await;
        let mut rest = Vec::new();
        let _reset = common::soon("end", stream.read_to_end(&mut rest)).await;
    }
    drop(stream);
    server.nothing_left().await;
}

/// Every call that began ended once, and nothing came after its end. Returns how many there were.
async fn calls_ended(server: &Server) -> usize {
    let mut began = 0;
    let mut open = HashSet::new();
    while server.events.waiting() > 0 {
        match server.events.next().await {
            FrontEvent::Call { call, .. } => {
                began += 1;
                assert!(open.insert(call));
            }
            FrontEvent::CallCancelled { call, .. } => assert!(open.remove(&call)),
            FrontEvent::CallMessage { call, .. } | FrontEvent::CallHalfClose { call } => {
                assert!(open.contains(&call))
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(open.is_empty());
    began
}

#[test]
fn random_frames_leave_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = Server::start();
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        // A step that hangs costs half a minute each time.
        max_shrink_iters: 20,
        ..Config::default()
    });
    let began = Cell::new(0);
    let strategy = (proptest::collection::vec(step(), 0..30), any::<bool>());
    let outcome = runner.run(&strategy, |(steps, orderly)| {
        runtime.block_on(async {
            play(&server, &steps, orderly).await;
            began.set(began.get() + calls_ended(&server).await);
        });
        Ok(())
    });
    outcome.unwrap();
    assert!(began.get() > 50, "only {} calls got through", began.get());
    let still =
        runtime.block_on(async { server.client().await.call(RANGE, &message()[5..]).await });
    assert_eq!(still.code, 0, "it still serves");
}
