//! Lease.LeaseKeepAlive: one answer for each request, in order. The leader renews in its lease table at once, with
//! neither JavaScript nor disk; what it cannot decide alone goes to the control plane while the stream waits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use netcd_engine::error::{self, EtcdError};
use netcd_engine::proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader,
};
use netcd_http2::Body;
use prost::Message;

use super::renewals::Asking;
use crate::audit::Facts;
use crate::call::Call;
use crate::caller::{self, Asker, Claim, Identified};
use crate::events::FrontEvent;
use crate::grpc::buf;
use crate::grpc::decode::decode;
use crate::grpc::deframe::Encoding;
use crate::grpc::end::End;
use crate::grpc::stream::CallStream;
use crate::watch::{Registered, WakeSlot};
use crate::worker::{Worker, spawn};

/// Serves a keep-alive call to its end.
pub(crate) fn start(
    worker: &Rc<Worker>,
    call: Call,
    body: Body,
    encoding: Encoding,
    needs_leader: bool,
) {
    let claim = call.claim.clone();
    let Some(stream) = CallStream::long_lived(worker, call, body, encoding) else {
        return;
    };
    let wake = Arc::new(WakeSlot::default());
    let mut keep_alive = KeepAlive {
        stream,
        claim,
        registered: worker.watches.register(wake, needs_leader),
        identifying: None,
        waiting: None,
    };
    spawn(poll_fn(move |cx| keep_alive.poll(cx)));
}

/// A request that the control plane decides.
struct Waiting {
    response: LeaseKeepAliveResponse,
    asking: Asking,
}

/// A request that waits until it is known who makes it.
struct Identifying {
    lease: i64,
    answer: Pin<Box<dyn Future<Output = Identified>>>,
}

struct KeepAlive {
    stream: CallStream,
    claim: Claim,
    registered: Registered,
    identifying: Option<Identifying>,
    waiting: Option<Waiting>,
}

impl KeepAlive {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.worker.tick();
        self.registered.wake.register(cx.waker());
        let end = match self.run(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => End::ok(),
            Poll::Ready(Err(error)) => End::from(&error),
        };
        self.stream.finish(&end);
        Poll::Ready(())
    }

    /// Ready when the stream ends.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EtcdError>> {
        if let Some(error) = self.registered.ended() {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(error) = self.stream.poll_gone(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            // The next request only when the client has taken the answer before: it cannot make answers pile up.
            match self.stream.poll_sent(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(error::CANCELED)),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(identifying) = &mut self.identifying {
                let lease = identifying.lease;
                ready!(identifying.answer.as_mut().poll(cx))?;
                self.identifying = None;
                self.renew(lease)?;
                continue;
            }
            if let Some(waiting) = self.waiting.take() {
                match waiting.asking.take() {
                    Some(renewed) => self.answer(waiting.response, renewed?)?,
                    None => {
                        self.waiting = Some(waiting);
                        return Poll::Pending;
                    }
                }
                continue;
            }
            match self.stream.poll_message(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(message))) => {
                    self.stream.asks(&message);
                    let (request, _): (LeaseKeepAliveRequest, _) =
                        decode(self.stream.method, &message)?;
                    self.identify(request.id)?;
                }
            }
        }
    }

    /// Renews once it is known who asks for it.
    fn identify(&mut self, lease: i64) -> Result<(), EtcdError> {
        let worker = &self.stream.worker;
        let Some(asking) = caller::ask(worker, &self.claim) else {
            return self.renew(lease);
        };
        let worker = worker.clone();
        let answer = Box::pin(async move { caller::wait(&worker, asking, None).await });
        self.identifying = Some(Identifying { lease, answer });
        Ok(())
    }

    fn renew(&mut self, id: i64) -> Result<(), EtcdError> {
        let shared = &self.stream.worker.shared;
        let backend = &shared.backend;
        // At each message, as in etcd: a lease that is kept alive for months is not that of whoever was asked once.
        let asker = Asker::of(&self.stream.worker, &self.claim)?;
        asker.check(|table, caller| backend.check_lease(table, caller, id))?;
        let identity = backend.identity();
        // Before the renewal: what the client reads at this revision was written while the lease was certainly alive.
        let response = LeaseKeepAliveResponse {
            header: Some(ResponseHeader {
                cluster_id: identity.cluster_id,
                member_id: identity.member_id,
                revision: backend.revision(),
                raft_term: backend.raft_term(),
            }),
            id,
            ttl: 0,
        };
        if let Some(ttl_seconds) = backend.renew_lease(id) {
            return self.answer(response, ttl_seconds);
        }
        let asking = shared.renewals.ask(Arc::clone(&self.registered.wake));
        shared.events.emit(FrontEvent::LeaseRenew {
            renewal: asking.id,
            lease: id,
        });
        self.waiting = Some(Waiting { response, asking });
        Ok(())
    }

    fn answer(
        &mut self,
        mut response: LeaseKeepAliveResponse,
        ttl_seconds: i64,
    ) -> Result<(), EtcdError> {
        response.ttl = ttl_seconds;
        self.stream.answered(Facts {
            revision: response.header.as_ref().map_or(0, |header| header.revision),
            succeeded: None,
        });
        let bytes = response.encode_to_vec();
        let stream = &mut self.stream;
        stream
            .worker
            .metrics
            .message_sent(stream.method, bytes.len());
        stream
            .send(buf::message(bytes.into()))
            .map_err(|_| error::CANCELED)
    }
}
