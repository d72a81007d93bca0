//! One transport thread: a single-threaded runtime, its mailbox, its connections and the calls that wait.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::{self, EtcdError};
use netcd_engine::types::{OpResult, Token};
use slab::Slab;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet};

use crate::backend::ReadBarrier;
use crate::call::{Call, OpenCalls};
use crate::caller::UnprovenBytes;
use crate::completions::{Arrival, Drain, Message};
use crate::config::ListenerInfo;
use crate::conn::ConnCtx;
use crate::limits::{DEADLINE_SWEEP, TOKEN_SWEEP};
use crate::metrics::WorkerMetrics;
use crate::shared::Shared;
use crate::slots::{Slot, Slots, Waiting, Work};
use crate::tls::Handshakes;
use crate::watch::Watches;

/// Why a call waits no longer.
pub(crate) enum Outcome {
    /// Its write was applied, or refused.
    Done(OpResult),
    /// Its read may be served, or not.
    Ready(Result<(), EtcdError>),
    /// Its deadline passed.
    Expired,
}

/// What a worker leaves to the modules above it.
#[derive(Clone, Copy)]
pub(crate) struct Handlers {
    /// Goes on with a call that waited.
    pub(crate) resume: fn(&Rc<Worker>, Slot, Outcome),
    /// Serves a socket that came to this worker.
    pub(crate) take_over: fn(&Rc<Worker>, Arrival, Arc<ListenerInfo>),
}

pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) slots: RefCell<Slots>,
    pub(crate) conns: RefCell<Slab<Rc<ConnCtx>>>,
    pub(crate) calls: Rc<OpenCalls>,
    pub(crate) draining: Cell<Drain>,
    /// See `caller::Unproven`.
    pub(crate) unproven: UnprovenBytes,
    pub(crate) watches: Watches,
    pub(crate) handshakes: Handshakes,
    /// The accept loops of listeners that this worker has.
    pub(crate) accepting: RefCell<Vec<(AbortHandle, Arc<ListenerInfo>)>>,
    handlers: Handlers,
    now: Cell<Instant>,
    /// Wakes the deadline sweep when the first call begins to wait.
    sweep: RefCell<Option<Waker>>,
}

/// A linearizable read that waits.
pub(crate) struct Barrier(oneshot::Receiver<Result<(), EtcdError>>);

impl Barrier {
    /// Resolves when the read may be served, or with the reason why not.
    pub(crate) async fn passed(self) -> Result<(), EtcdError> {
        self.0.await.unwrap_or(Err(error::STOPPED))
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// The time of this turn. One reading of the clock serves all requests of a turn.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The same by the clock of the backend.
    pub(crate) fn now_ms(&self) -> u64 {
        self.shared.ms_at(self.now())
    }

    pub(crate) fn tick(&self) {
        self.now.set(Instant::now());
    }

    fn publish_slots(&self, slots: usize) {
        self.shared.gauges[self.index]
            .slots
            .store(slots, Ordering::Relaxed);
    }

    /// Lets a call wait under the token that `Slots::next_token` gave.
    pub(crate) fn wait(&self, call: Call, work: Work) {
        let allowed = self.now() + self.shared.config.request_timeout;
        let deadline = call.timeout.map_or(allowed, |timeout| timeout.min(allowed));
        self.keep(Waiting::Call(Slot { call, work }), deadline);
    }

    /// Asks whether a linearizable read may be served that is no call's. None: at once.
    pub(crate) fn read_barrier(&self) -> Result<Option<Barrier>, EtcdError> {
        if self.slots.borrow().is_full() {
            return Err(error::TOO_MANY_REQUESTS);
        }
        let token = self.slots.borrow().next_token();
        if self.shared.backend.read_barrier(token)? == ReadBarrier::Now {
            return Ok(None);
        }
        let (passed, barrier) = oneshot::channel();
        let deadline = self.now() + self.shared.config.request_timeout;
        self.keep(Waiting::Barrier(passed), deadline);
        Ok(Some(Barrier(barrier)))
    }

    fn keep(&self, waiting: Waiting, deadline: Instant) {
        let mut slots = self.slots.borrow_mut();
        slots.insert(waiting, deadline);
        self.publish_slots(slots.len());
        if slots.len() == 1
            && let Some(sweep) = self.sweep.borrow_mut().take()
        {
            sweep.wake();
        }
    }

    fn take(&self, token: Token) -> Option<Waiting> {
        self.slots.borrow_mut().take(token)
    }

    fn resume(self: &Rc<Self>, token: Token, outcome: Outcome) {
        if let Some(waiting) = self.take(token) {
            self.go_on(waiting, outcome);
        }
    }

    fn go_on(self: &Rc<Self>, waiting: Waiting, outcome: Outcome) {
        let passed = match waiting {
            Waiting::Call(slot) => return (self.handlers.resume)(self, slot, outcome),
            Waiting::Barrier(passed) => passed,
        };
        let result = match outcome {
            Outcome::Ready(result) => result,
            Outcome::Done(result) => result.map(drop),
            Outcome::Expired => Err(error::TIMEOUT),
        };
        // An error means that the client is gone.
        let _gone = passed.send(result);
    }

    fn ops_done(self: &Rc<Self>, results: Vec<(Token, OpResult)>) {
        for (token, result) in results {
            self.resume(token, Outcome::Done(result));
        }
        self.publish_slots(self.slots.borrow().len());
    }

    /// Keeps what will be logged of requests whose answers come next.
    fn name_slow(&self, requests: Vec<(Token, Bytes)>) {
        let mut slots = self.slots.borrow_mut();
        for (token, request) in requests {
            slots.name(token, request);
        }
    }

    fn reads_ready(self: &Rc<Self>, tokens: Vec<Token>, outcome: &Result<(), EtcdError>) {
        for token in tokens {
            self.resume(token, Outcome::Ready(outcome.clone()));
        }
        self.publish_slots(self.slots.borrow().len());
    }

    fn poll_mailbox(self: &Rc<Self>, inbox: &mut Vec<Message>, cx: &mut Context<'_>) -> Poll<()> {
        while self.shared.mailboxes[self.index].take(inbox, cx.waker()) {
            self.tick();
            for message in inbox.drain(..) {
                match message {
                    Message::Ops(results) => self.ops_done(results),
                    Message::Slow(requests) => self.name_slow(requests),
                    Message::Reads(tokens, outcome) => self.reads_ready(tokens, &outcome),
                    Message::Serve(arrival, info) => (self.handlers.take_over)(self, arrival, info),
                    Message::AuthChanged => self.watches.wake(),
                    Message::LeaderLost(losses) => spawn(self.clone().leader_lost(losses)),
                    Message::Drain(who) => self.drain(who),
                    Message::Stop => return Poll::Ready(()),
                }
            }
        }
        Poll::Pending
    }

    fn drain(&self, who: Drain) {
        self.draining.set(self.draining.get().max(who));
        self.accepting.borrow_mut().retain(|(accepting, listener)| {
            let ends = who.includes(listener);
            if ends {
                accepting.abort();
            }
            !ends
        });
        for (_, conn) in self.conns.borrow().iter() {
            if who.includes(&conn.listener) {
                conn.drain();
            }
        }
        if let Some(audit) = &self.shared.audit {
            audit.wake(self.index);
        }
        // Clients take this for a reason to connect elsewhere; etcd's `watch canceled` they would take for the end.
        self.watches.end(&error::STOPPED, false);
    }

    /// Ends the watch streams of clients that want a leader if there is none for too long.
    async fn leader_lost(self: Rc<Self>, losses: u64) {
        tokio::time::sleep(self.shared.config.leader_loss_timeout).await;
        if !self.shared.serving().has_leader && self.shared.leader_losses() == losses {
            self.watches.end(&error::NO_LEADER, true);
        }
    }

    /// The requests of writes that ran out of time, for the log.
    fn requests_of(&self, expired: &[(Token, Waiting)]) -> HashMap<Token, Bytes> {
        let writes = expired.iter().filter(|(_, waiting)| match waiting {
            Waiting::Call(slot) => matches!(slot.work, Work::Write),
            Waiting::Barrier(_) => false,
        });
        let tokens: HashSet<Token> = writes.map(|(token, _)| *token).collect();
        if tokens.is_empty() {
            return HashMap::new();
        }
        let requests = self.shared.backend.waiting_requests(&tokens);
        requests.into_iter().collect()
    }

    /// Forgets tokens whose time is over.
    async fn sweep_tokens(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TOKEN_SWEEP).await;
            self.tick();
            self.shared.auth.tokens().sweep(self.now_ms());
        }
    }

    /// Answers calls whose deadline passed. Sleeps for good while none waits.
    async fn sweep(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if self.slots.borrow().len() > 0 {
                    return Poll::Ready(());
                }
                *self.sweep.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            tokio::time::sleep(DEADLINE_SWEEP).await;
            self.tick();
            let compacted = || self.shared.backend.compact_revision();
            let expired = self.slots.borrow_mut().expired(self.now(), compacted);
            let mut requests = self.requests_of(&expired);
            for (token, mut waiting) in expired {
                if let Some(request) = requests.remove(&token)
                    && let Waiting::Call(slot) = &mut waiting
                {
                    slot.work = Work::SlowWrite(request);
                }
                self.go_on(waiting, Outcome::Expired);
            }
            self.publish_slots(self.slots.borrow().len());
        }
    }
}

/// Spawns a task on this worker's runtime.
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// The body of a transport thread.
pub(crate) fn run(shared: Arc<Shared>, index: usize, handlers: Handlers) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let worker = Rc::new(Worker {
        index,
        metrics: shared.metrics[index].clone(),
        calls: OpenCalls::new(shared.clone(), index),
        shared,
        slots: RefCell::new(Slots::new(index)),
        conns: RefCell::new(Slab::new()),
        draining: Cell::new(Drain::Nobody),
        unproven: UnprovenBytes::default(),
        watches: Watches::default(),
        handshakes: Handshakes::default(),
        accepting: RefCell::new(Vec::new()),
        handlers,
        now: Cell::new(Instant::now()),
        sweep: RefCell::new(None),
    });
    let tasks = LocalSet::new();
    let mut inbox = Vec::new();
    tasks.block_on(&runtime, async {
        spawn(worker.clone().sweep());
        if index == 0 {
            spawn(worker.clone().sweep_tokens());
        }
        poll_fn(|cx| worker.poll_mailbox(&mut inbox, cx)).await;
    });
    // Calls that still wait hold their streams; the streams must go before the runtime that their tasks live in.
    // They are told so: their writes may be done all the same, and the audit log has each of them.
    let slots = std::mem::replace(&mut *worker.slots.borrow_mut(), Slots::new(index));
    for waiting in slots.into_all() {
        worker.go_on(waiting, Outcome::Done(Err(error::STOPPED)));
    }
    drop(tasks);
    worker.publish_slots(0);
    Ok(())
}
