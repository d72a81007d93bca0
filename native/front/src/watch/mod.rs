//! Watch.Watch: a session of the engine behind one streaming call.
//!
//! Requests go into the session as they come. What it has to say is taken in bounded pieces, and the next piece only
//! when HTTP/2 has taken the one before: a client that does not read leaves its events in the hub's bounded queues.
//!
//! Whether the client may watch a range is asked when it wants to, and again whenever users, roles or tokens change.

mod control;
mod frames;
mod permission;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use netcd_engine::error::{self, Code, EtcdError};
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use netcd_engine::watch::{SessionConfig, WatchSession};
use netcd_http2::{Body, Gone};
use prost::Message;
use tokio::time::Sleep;

pub(crate) use control::{Registered, WakeSlot, Watches};
use frames::Frames;
use permission::{Identifying, Permissions};

use crate::audit::Facts;
use crate::call::Call;
use crate::caller::{self, Identified, Unproven};
use crate::grpc::decode::decode;
use crate::grpc::deframe::Encoding;
use crate::grpc::end::End;
use crate::grpc::stream::CallStream;
use crate::limits::WATCH_WRITE_BYTES;
use crate::worker::{Worker, spawn};

/// Serves a watch call to its end.
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
    let backend = &worker.shared.backend;
    let wake = Arc::new(WakeSlot::default());
    let for_session = wake.clone();
    let config = SessionConfig {
        identity: backend.identity(),
        fragment_bytes: worker.shared.config.message_bytes_max(),
    };
    let mut session = WatchSession::new(
        backend.watch_hub().clone(),
        config,
        Box::new(move || for_session.wake()),
    );
    session.guard(worker.shared.auth.clone());
    let mut watch = WatchCall {
        stream,
        session,
        frames: Frames::default(),
        receiving: true,
        permissions: Permissions::new(claim),
        identifying: None,
        registered: worker.watches.register(wake, needs_leader),
        progress: Progress::new(worker),
    };
    spawn(poll_fn(move |cx| watch.poll(cx)));
}

struct WatchCall {
    stream: CallStream,
    session: WatchSession,
    /// What the session said and HTTP/2 has not taken yet.
    frames: Frames,
    /// The client may still send requests. Its half-close ends nothing else.
    receiving: bool,
    permissions: Permissions,
    /// A request that waits until it is known who makes it.
    identifying: Option<Identifying>,
    registered: Registered,
    progress: Progress,
}

impl WatchCall {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.worker.tick();
        self.registered.wake.register(cx.waker());
        if let Some(error) = self.registered.ended() {
            return self.end(&error);
        }
        if let Poll::Ready(error) = self.stream.poll_gone(cx) {
            return self.end(&error);
        }
        loop {
            if let Err(error) = self.receive(cx) {
                return self.end(&error);
            }
            // After the requests: the first one that wants progress starts the timer.
            if self.session.wants_progress() && self.progress.poll(cx).is_ready() {
                self.session.tick_progress();
            }
            match self.poll_send(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return self.end(&error::CANCELED),
                Poll::Ready(Ok(())) => {}
            }
            let was_full = self.session.is_full();
            let term = self.stream.worker.shared.backend.raft_term();
            self.recheck();
            self.session
                .write(&mut self.frames, WATCH_WRITE_BYTES, term);
            if self.frames.is_empty() && !was_full {
                return Poll::Pending;
            }
            self.frames.count(&self.stream);
        }
    }

    /// Takes requests while the session has room for their answers.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), EtcdError> {
        loop {
            if let Some(identifying) = &mut self.identifying {
                let Poll::Ready((request, identified)) = identifying.poll(cx) else {
                    return Ok(());
                };
                self.identifying = None;
                self.request(request, identified);
            }
            if !self.receiving || self.session.is_full() {
                return Ok(());
            }
            let Poll::Ready(message) = self.stream.poll_message(cx) else {
                return Ok(());
            };
            match message? {
                Some(message) => {
                    let (request, _) = decode::<WatchRequest>(self.stream.method, &message)?;
                    self.identify(request);
                }
                None => self.receiving = false,
            }
        }
    }

    /// Serves a request once it is known who makes it.
    fn identify(&mut self, request: WatchRequest) {
        let creates = matches!(request.request_union, Some(RequestUnion::CreateRequest(_)));
        let worker = &self.stream.worker;
        let asking = creates.then(|| caller::ask(worker, self.permissions.claim()));
        let Some(asking) = asking.flatten() else {
            return self.request(request, Ok(()));
        };
        match Unproven::hold(&worker.unproven, request.encoded_len()) {
            Some(unproven) => {
                let identifying = Identifying::new(worker, request, asking, unproven);
                self.identifying = Some(identifying);
            }
            None => self.request(request, Err(error::TOO_MANY_REQUESTS)),
        }
    }

    fn request(&mut self, request: WatchRequest, identified: Identified) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create, identified),
            // Ends a watch, or asks how far they are: the stream's own.
            other => {
                if let Some(RequestUnion::CancelRequest(cancel)) = &other {
                    let facts = self.facts();
                    self.stream.audit(Ok(facts), *cancel);
                }
                let request = WatchRequest {
                    request_union: other,
                };
                self.session.request(request, &|_, _| Ok(()));
            }
        }
    }

    fn create(&mut self, mut create: WatchCreateRequest, identified: Identified) {
        let asker = identified.and_then(|()| self.permissions.asker(&self.stream.worker));
        let refused = RefCell::new(None);
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create.clone())),
        };
        let created = self.session.request(request, &|key, range_end| {
            permission::check(&asker, key, range_end)
                .inspect_err(|error| *refused.borrow_mut() = Some(error.clone()))
        });
        match created {
            Some(Ok(watch_id)) => {
                create.watch_id = watch_id;
                self.stream.audit(Ok(self.facts()), create);
            }
            Some(Err(reason)) => {
                // Without such an error something is wrong with the request itself.
                let wrong = || EtcdError::new(Code::InvalidArgument, reason.to_string());
                let error = refused.into_inner().unwrap_or_else(wrong);
                let came = Err((error.code as u8, &*error.message));
                self.stream.audit(came, create);
            }
            None => {}
        }
    }

    /// Cancels what is not permitted any more.
    fn recheck(&mut self) {
        let worker = &self.stream.worker;
        let error = &error::PERMISSION_DENIED;
        for (key, range_end) in self.permissions.recheck(worker, &mut self.session) {
            let watch = WatchCreateRequest {
                key,
                range_end,
                ..Default::default()
            };
            let came = Err((error.code as u8, &*error.message));
            self.stream.audit(came, watch);
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            revision: self.stream.worker.shared.backend.revision(),
            succeeded: None,
        }
    }

    /// Hands all frames to HTTP/2; pending while the client's window is closed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            match self.stream.poll_sent(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            match self.frames.next() {
                Some(frame) => self.stream.send(frame)?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Ends the stream behind what the session said before: a message of which a part is sent has to be whole before
    /// there can be trailers.
    fn end(&mut self, error: &EtcdError) -> Poll<()> {
        while let Some(frame) = self.frames.next() {
            if self.stream.send(frame).is_err() {
                break;
            }
        }
        let error = match error.code {
            Code::Canceled => &error::WATCH_CANCELED,
            _ => error,
        };
        self.stream.finish(&End::from(error));
        Poll::Ready(())
    }
}

/// When watchers that asked for it are told of progress: in a fixed interval from the stream's start.
struct Progress {
    started: Instant,
    interval: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Progress {
    fn new(worker: &Worker) -> Self {
        // Up to a tenth longer, so that streams that began together are not told together.
        let interval = worker.shared.config.watch_progress_interval;
        let random = RandomState::new().build_hasher().finish() % 1000;
        Self {
            started: worker.now(),
            interval: interval + interval * random as u32 / 10_000,
            sleep: None,
        }
    }

    /// Ready once an interval.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        loop {
            let sleep = self.sleep.get_or_insert_with(|| {
                let passed = self.started.elapsed().as_nanos() / self.interval.as_nanos().max(1);
                let ticks = u32::try_from(passed + 1).unwrap_or(u32::MAX);
                let due = self.started + self.interval.saturating_mul(ticks);
                Box::pin(tokio::time::sleep_until(due.into()))
            });
            if sleep.as_mut().poll(cx).is_pending() {
                return ready;
            }
            self.sleep = None;
            ready = Poll::Ready(());
        }
    }
}
