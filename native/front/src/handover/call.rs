//! Calls that the control plane serves: their messages go out as events, its answers come back from its thread.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use netcd_engine::error::{self, Code, EtcdError};

use super::registry::{Back, Undrained};
use crate::conn::ConnCtx;
use crate::events::{FrontEvent, MetadataValue};
use crate::grpc::decode;
use crate::grpc::end::End;
use crate::grpc::stream::{CallStream, Outcome};
use crate::shared::Shared;
use crate::worker::spawn;
use netcd_http2::Held;

/// Tells the control plane of a call and lets it run.
pub(crate) fn start(
    mut stream: CallStream,
    conn: &Rc<ConnCtx>,
    metadata: Vec<(String, MetadataValue)>,
    held: Held,
    timeout: Option<Instant>,
) {
    let shared = stream.worker.shared.clone();
    let Some(id) = shared.handovers.add(Back::Call(stream.outbound.clone())) else {
        return stream.finish(&End::from(&error::TOO_MANY_REQUESTS));
    };
    let now = stream.worker.now();
    shared.events.emit(FrontEvent::Call {
        call: id,
        path: stream.method.get().path.to_owned(),
        metadata,
        peer: conn.peer.clone(),
        deadline_ms: timeout.map(|at| at.saturating_duration_since(now).as_millis() as u64),
        listener: conn.listener.role.clone(),
        common_name: conn.certified_name(),
    });
    let mut call = HandedCall {
        id,
        shared,
        stream,
        receiving: true,
        undrained: Undrained::default(),
        over: false,
        _held: held,
    };
    spawn(poll_fn(move |cx| call.poll(cx)));
}

struct HandedCall {
    id: u64,
    shared: Arc<Shared>,
    stream: CallStream,
    /// The client may still send messages.
    receiving: bool,
    undrained: Undrained,
    over: bool,
    /// The control plane has a copy of the call's headers.
    _held: Held,
}

impl HandedCall {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.worker.tick();
        loop {
            match self.stream.poll_outbound(cx) {
                Poll::Ready(Outcome::Drained) => {
                    self.emit(FrontEvent::CallDrained { call: self.id })
                }
                Poll::Ready(Outcome::Ended) => {
                    self.over = true;
                    return Poll::Ready(());
                }
                Poll::Ready(Outcome::Gone) => return self.cancel(&error::CANCELED),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(why) = self.stream.poll_gone(cx) {
            return self.cancel(&why);
        }
        while self.receiving
            && self
                .undrained
                .poll_room(&self.shared.handovers, cx)
                .is_ready()
        {
            match self.stream.poll_message(cx) {
                Poll::Ready(Ok(Some(data))) => {
                    // The control plane's decoder neither skips what Go skips nor checks what Go checks.
                    let data = match decode::clean(self.stream.method, &data) {
                        Ok(data) => data,
                        Err(malformed) => return self.cancel(&malformed),
                    };
                    self.stream.asks(&data);
                    self.undrained.add(&self.shared.handovers, data.len());
                    self.emit(FrontEvent::CallMessage {
                        call: self.id,
                        data,
                    });
                }
                Poll::Ready(Ok(None)) => {
                    self.receiving = false;
                    self.emit(FrontEvent::CallHalfClose { call: self.id });
                }
                Poll::Ready(Err(error)) => return self.cancel(&error),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn emit(&self, event: FrontEvent) {
        self.shared.events.emit(event);
    }

    /// Ends the call on both sides.
    fn cancel(&mut self, why: &EtcdError) -> Poll<()> {
        self.over = true;
        self.stream.finish(&End::from(why));
        self.emit(FrontEvent::CallCancelled {
            call: self.id,
            code: why.code as u8,
        });
        Poll::Ready(())
    }
}

impl Drop for HandedCall {
    fn drop(&mut self) {
        self.shared.handovers.remove(self.id);
        if !self.over {
            self.emit(FrontEvent::CallCancelled {
                call: self.id,
                code: Code::Unavailable as u8,
            });
        }
    }
}
