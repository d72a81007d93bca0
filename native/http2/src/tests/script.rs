//! A server whose calls do what their paths say.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Context;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::DuplexStream;
use tokio::task::{spawn_local, yield_now};

use super::kit::{Request, ok, trailers};
use crate::send_buf::SendBuf;
use crate::state::State;
use crate::{Body, Config, Connection, Gone, Reason, Responder};

/// Bytes that a streamed answer hands over at once.
const PIECE_BYTES: usize = 10_000;

/// Bytes that differ from place to place.
pub(super) fn content(bytes: usize) -> Bytes {
    (0..bytes)
        .map(|at| (at ^ at >> 8 ^ at >> 16) as u8)
        .collect()
}

/// Serves one connection in this thread until its client is gone. The task says whether nothing was left half received.
pub(super) fn serve(pipe: DuplexStream) -> (Rc<RefCell<State>>, tokio::task::JoinHandle<bool>) {
    let config = Config {
        max_concurrent_streams: 1000,
        pings: None,
    };
    let mut server = Connection::new(pipe, b"", config, Instant::now());
    let state = server.state.clone();
    let running = spawn_local(async move {
        let mut each = |request: Request, _: &mut Context<'_>| {
            // A client that is gone is no mistake of the server's.
            spawn_local(async move {
                let _gone = answer(request).await;
            });
        };
        poll_fn(|cx| server.poll_turn(Instant::now(), cx, &mut each)).await;
        server.receiver.is_at_rest()
    });
    (state, running)
}

async fn answer((head, mut body, mut respond): Request) -> Result<(), Gone> {
    let number = head.parts.uri.query().and_then(|query| query.parse().ok());
    match head.path() {
        "/echo" => {
            let all = collect(&mut body).await?;
            let end = trailers("bytes", &all.len().to_string());
            respond.answer(&ok(), SendBuf::raw(all), end)
        }
        "/stream" => {
            respond.respond(&ok(), false)?;
            let mut bytes = 0;
            while let Some(data) = body.data().await {
                let data = data?;
                bytes += data.len();
                send(&mut respond, data.clone()).await?;
                body.release(data.len());
            }
            respond.send_trailers(trailers("bytes", &bytes.to_string()))
        }
        "/large" | "/early" => {
            let all = content(number.expect("a number"));
            if head.path() == "/large" {
                collect(&mut body).await?;
            }
            respond.respond(&ok(), false)?;
            for piece in all.chunks(PIECE_BYTES) {
                send(&mut respond, all.slice_ref(piece)).await?;
            }
            respond.send_trailers(trailers("bytes", &all.len().to_string()))
        }
        "/hold" => {
            poll_fn(|cx| respond.poll_gone(cx)).await;
            Err(Gone)
        }
        "/reset" => {
            respond.respond(&ok(), false)?;
            respond.reset(Reason::EnhanceYourCalm);
            Ok(())
        }
        // Dropped without an answer.
        _ => Ok(()),
    }
}

/// Reads the whole request, and lets some of it lie for a while.
async fn collect(body: &mut Body) -> Result<Bytes, Gone> {
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        if data.len() % 3 == 0 {
            yield_now().await;
        }
        body.release(data.len());
    }
    Ok(all.freeze())
}

async fn send(respond: &mut Responder, data: Bytes) -> Result<(), Gone> {
    respond.send_data(SendBuf::raw(data), false)?;
    poll_fn(|cx| respond.poll_sent(0, cx)).await
}
