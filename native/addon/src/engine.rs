//! `NativeEngine`: one method for each of binding.ts. Every method only enqueues, or returns a promise.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, BigInt, Function, Object, Uint8Array};
use napi::{Env, Error, Result};
use napi_derive::napi;
use netcd_engine::error::EtcdError;
use netcd_engine::pipeline::{GrantKind, Pipeline, PipelineError, Streamed};
use netcd_engine::proto::etcdserverpb::WatchRequest;
use netcd_engine::types::{LogMark, Token};
use netcd_front::{Backend, Front, ServingState};
use parking_lot::RwLock;
use prost::Message;

use crate::event::Event;
use crate::object::Objects;
use crate::open::{Running, Settings, reason};
use crate::options::{
    EngineOptions, JsHardState, JsMetaWrite, JsMetadata, JsPersistEntry, JsQuorum, JsStatus,
    ListenerOptions, ServingOptions, copy, entry_kind, id, metadata, number, op_kind,
};
use crate::queue::EventQueue;
use crate::tasks::{Close, Defragment, HashKv, Listen, Open, Range, ReadEntries};

/// What the methods and their promises share.
pub struct Shared {
    /// The checked options.
    pub settings: Settings,
    /// What waits for JavaScript.
    pub queue: Arc<EventQueue>,
    /// Where the engine is in its life.
    pub state: RwLock<State>,
}

/// The life of an engine.
pub enum State {
    /// Not open yet.
    New,
    /// From `open` until `close` is done, so that calls can finish meanwhile.
    Open(Arc<Running>),
    /// Closed.
    Closed,
}

impl Shared {
    /// The open engine; an error before and after.
    pub fn running(&self) -> Result<Arc<Running>> {
        match self.state.try_read().as_deref() {
            Some(State::Open(running)) => Ok(Arc::clone(running)),
            Some(State::Closed) => Err(Error::from_reason("the engine is closed")),
            Some(State::New) | None => Err(Error::from_reason("the engine is not open")),
        }
    }
}

/// `StoreStatus`.
#[napi(object, object_from_js = false)]
pub struct StoreStatus {
    /// Current revision.
    pub revision: f64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: f64,
    /// Live keys.
    pub keys: f64,
    /// Bytes of the database.
    pub db_size: f64,
    /// Bytes of it that hold data.
    pub db_size_in_use: f64,
    /// Bytes applied and not yet in the database.
    pub tail_bytes: f64,
    /// Applied index.
    pub applied_index: f64,
    /// Index durable in the database.
    pub flushed_index: f64,
}

/// One member's data plane.
#[napi]
pub struct NativeEngine {
    shared: Arc<Shared>,
}

impl NativeEngine {
    /// Does something that only enqueues. Once the engine is closed there is nobody to do it for: JavaScript may still
    /// have events of before, and what it answers is dropped.
    pub(crate) fn enqueue<R: Default>(&self, act: impl FnOnce(&Running) -> Result<R>) -> Result<R> {
        if let Some(State::Closed) = self.shared.state.try_read().as_deref() {
            return Ok(R::default());
        }
        act(&*self.shared.running()?)
    }

    /// As `enqueue`, for what the pipeline may refuse.
    fn pipeline(&self, act: impl FnOnce(&Pipeline) -> Outcome) -> Result<()> {
        self.enqueue(|running| match act(&running.pipeline) {
            // It is about to be closed.
            Ok(()) | Err(PipelineError::Closed) => Ok(()),
            Err(error) => Err(reason(error)),
        })
    }

    /// As `enqueue`, for the transport.
    pub(crate) fn front<R: Default>(&self, act: impl FnOnce(&Front) -> R) -> Result<R> {
        self.enqueue(|running| Ok(act(&running.front)))
    }
}

impl NativeEngine {
    /// The open engine, for what has an answer.
    pub(crate) fn running(&self) -> Result<Arc<Running>> {
        self.shared.running()
    }
}

type Outcome = std::result::Result<(), PipelineError>;

#[napi]
impl NativeEngine {
    /// Checks the options; nothing is opened yet. `wake` is called when the event queue becomes non-empty.
    #[napi(constructor)]
    pub fn new(options: EngineOptions, wake: Function<'_, (), ()>) -> Result<Self> {
        let wake = wake
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .build()?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings: Settings::read(options)?,
                queue: Arc::new(EventQueue::new(wake)),
                state: RwLock::new(State::New),
            }),
        })
    }

    /// Opens or creates WAL and store.
    #[napi]
    pub fn open(&self) -> AsyncTask<Open> {
        AsyncTask::new(Open(Arc::clone(&self.shared)))
    }

    /// Binds and serves.
    #[napi]
    pub fn listen(&self, listeners: Vec<ListenerOptions>) -> AsyncTask<Listen> {
        let listeners = listeners.into_iter().map(Into::into).collect();
        AsyncTask::new(Listen(Arc::clone(&self.shared), listeners))
    }

    /// All events since the last call.
    #[napi]
    pub fn drain<'e>(&self, env: &'e Env) -> Result<Vec<Object<'e>>> {
        let drained = self.shared.queue.drain();
        let handed_over = drained
            .events
            .iter()
            .any(|event| matches!(event, Event::Front(_)));
        let watched = drained
            .events
            .iter()
            .any(|event| matches!(event, Event::WatchMessage { .. }));
        let objects = Objects(env).events(drained)?;
        if watched && let Ok(running) = self.shared.running() {
            running.watches.drained();
        }
        if handed_over && let Ok(running) = self.shared.running() {
            running.front.events_drained();
        }
        Ok(objects)
    }

    /// Queues entries and hard state for the WAL.
    #[napi]
    pub fn persist(
        &self,
        seq: f64,
        hard_state: Option<JsHardState>,
        entries: Vec<JsPersistEntry>,
    ) -> Result<()> {
        let seq = number(seq)?;
        let hard_state = hard_state.map(|state| state.read()).transpose()?;
        let entries = entries.iter().map(JsPersistEntry::read);
        let entries = entries.collect::<Result<Vec<_>>>()?;
        self.pipeline(|pipeline| pipeline.persist(seq, hard_state, entries))
    }

    /// Forgets payloads; clients of those that are batches get the error.
    #[napi]
    pub fn drop_payloads(&self, payloads: Vec<f64>, error: JsStatus) -> Result<()> {
        let handles = payloads.into_iter().map(number);
        let handles = handles.collect::<Result<Vec<u64>>>()?;
        let error = EtcdError::from(error);
        self.pipeline(|pipeline| {
            pipeline.drop_payloads(&handles, &error);
            Ok(())
        })
    }

    /// Gives the append grant; without others the leader is the sole voter.
    #[napi]
    pub fn grant(&self, term: f64, next_index: f64, others: Option<JsQuorum>) -> Result<()> {
        let (term, next_index) = (number(term)?, number(next_index)?);
        let kind = match others {
            None => GrantKind::SoleVoter,
            Some(quorum) => GrantKind::Quorum(quorum.read()?),
        };
        let patient = kind == GrantKind::SoleVoter;
        self.pipeline(|pipeline| pipeline.grant(term, next_index, kind))?;
        self.shared.queue.set_patient(patient);
        Ok(())
    }

    /// Sends to these members what is stamped from now on; false: `last` is not the last index that was stamped.
    #[napi]
    pub fn stream(&self, last: f64, members: Vec<BigInt>) -> Result<bool> {
        let last = number(last)?;
        let members = members.iter().map(id).collect::<Result<Vec<u64>>>()?;
        let streamed = self.enqueue(|running| match running.pipeline.stream(last, &members) {
            Ok(streamed) => Ok(Some(streamed)),
            // It is about to be closed.
            Err(PipelineError::Closed) => Ok(None),
            Err(error) => Err(reason(error)),
        })?;
        let Some(streamed) = streamed.filter(|streamed| *streamed != Streamed::Refused) else {
            return Ok(false);
        };
        self.shared.queue.set_patient(streamed == Streamed::Quorum);
        Ok(true)
    }

    /// Asks again for a quorum's word if reads still wait for it.
    #[napi]
    pub fn repeat_read(&self) -> Result<()> {
        self.pipeline(|pipeline| {
            pipeline.repeat_read();
            Ok(())
        })
    }

    /// Gives the follow grant.
    #[napi]
    pub fn follow(&self, term: f64, leader: BigInt, last: f64) -> Result<()> {
        let (term, leader, last) = (number(term)?, id(&leader)?, number(last)?);
        self.pipeline(|pipeline| pipeline.follow(term, leader, last))?;
        self.shared.queue.set_patient(true);
        Ok(())
    }

    /// Tells that index is applied as soon as it is, also where marks may wait.
    #[napi]
    pub fn await_applied(&self, index: f64) -> Result<()> {
        self.shared.queue.await_applied(number(index)?);
        Ok(())
    }

    /// Ends either grant; returns the last index given to the WAL.
    #[napi]
    pub fn revoke_grant(&self) -> Result<f64> {
        self.shared.queue.set_patient(false);
        self.enqueue(|running| Ok(running.pipeline.revoke_grant() as f64))
    }

    /// Apply up to index.
    #[napi]
    pub fn commit(&self, index: f64) -> Result<()> {
        let index = number(index)?;
        self.pipeline(|pipeline| {
            pipeline.commit(index);
            Ok(())
        })
    }

    /// The control entry at index was applied.
    #[napi]
    pub fn control_applied(&self, index: f64, writes: Vec<JsMetaWrite>) -> Result<()> {
        let index = number(index)?;
        let writes = writes.iter().map(JsMetaWrite::read);
        let writes = writes.collect::<Result<Vec<_>>>()?;
        self.pipeline(|pipeline| {
            pipeline.control_applied(index, writes);
            Ok(())
        })
    }

    /// Queues a Control or ConfChange entry under the grant.
    #[napi]
    pub fn propose_control(&self, kind: u8, data: Uint8Array) -> Result<()> {
        let (kind, data) = (entry_kind(kind)?, copy(&data));
        self.pipeline(|pipeline| pipeline.propose_control(kind, data))
    }

    /// Stamps the payload behind a handle under the grant.
    #[napi]
    pub fn stamp_payload(&self, kind: u8, payload: f64) -> Result<()> {
        let (kind, payload) = (entry_kind(kind)?, number(payload)?);
        self.pipeline(|pipeline| pipeline.stamp_payload(kind, payload))
    }

    /// The next batch no longer waits for this one, which was forwarded.
    #[napi]
    pub fn release_batch(&self, payload: f64) -> Result<()> {
        let payload = number(payload)?;
        self.pipeline(|pipeline| {
            pipeline.release_batch(payload);
            Ok(())
        })
    }

    /// Forgets log entries up to index.
    #[napi]
    pub fn compact_log(&self, index: f64, term: f64) -> Result<()> {
        let (index, term) = (number(index)?, number(term)?);
        self.pipeline(|pipeline| {
            pipeline.compact_log(LogMark { index, term });
            Ok(())
        })
    }

    /// The payloads of entries.
    #[napi]
    pub fn read_entries(&self, first: f64, last: f64) -> Result<AsyncTask<ReadEntries>> {
        Ok(AsyncTask::new(ReadEntries {
            shared: Arc::clone(&self.shared),
            first: number(first)?,
            last: number(last)?,
        }))
    }

    /// Proposes one operation; answered by `proposed`.
    #[napi]
    pub fn propose(&self, kind: u8, request: Uint8Array, token: f64) -> Result<()> {
        let (kind, number) = (op_kind(kind)?, number(token)?);
        let token = Token(number | Token::JS_BIT);
        self.enqueue(|running| {
            if let Err(error) = Backend::submit(&*running.backend, kind, &request, token) {
                self.shared.queue.push(Event::Proposed {
                    token: number,
                    result: Err(error),
                });
            }
            Ok(())
        })
    }

    /// The answer to `quotaExceeded`: the writes that the quota refused are answered.
    #[napi]
    pub fn quota_refused(&self) -> Result<()> {
        self.enqueue(|running| {
            running.backend.answer_refused();
            Ok(())
        })
    }

    /// The read index of `ctx` is known.
    #[napi]
    pub fn read_index_ready(&self, ctx: f64, index: f64) -> Result<()> {
        let (ctx, index) = (number(ctx)?, number(index)?);
        self.pipeline(|pipeline| {
            pipeline.read_index_ready(ctx, index);
            Ok(())
        })
    }

    /// The read index of `ctx` could not be had.
    #[napi]
    pub fn read_index_failed(&self, ctx: f64, error: JsStatus) -> Result<()> {
        let ctx = number(ctx)?;
        self.pipeline(|pipeline| {
            pipeline.read_index_failed(ctx, error.into());
            Ok(())
        })
    }

    /// A serializable range.
    #[napi]
    pub fn range(&self, request: Uint8Array) -> AsyncTask<Range> {
        AsyncTask::new(Range(Arc::clone(&self.shared), copy(&request)))
    }

    /// Term for headers, and what the transport must know to refuse requests early.
    #[napi]
    pub fn set_serving(&self, state: ServingOptions) -> Result<()> {
        let term = number(state.term)?;
        self.enqueue(|running| {
            running.pipeline.set_raft_term(term);
            running.front.set_serving(ServingState {
                has_leader: state.has_leader,
                is_learner: state.is_learner,
                capable: state.capable,
            });
            Ok(())
        })
    }

    /// The hash of the store at a revision, 0 = the current one.
    #[napi]
    pub fn hash_kv(&self, revision: f64) -> AsyncTask<HashKv> {
        AsyncTask::new(HashKv(Arc::clone(&self.shared), revision as i64))
    }

    /// Gives back the database's free pages.
    #[napi]
    pub fn defragment(&self) -> AsyncTask<Defragment> {
        AsyncTask::new(Defragment(Arc::clone(&self.shared)))
    }

    /// Which alarms are set.
    #[napi]
    pub fn set_alarms(&self, no_space: bool, corrupt: bool) -> Result<()> {
        self.enqueue(|running| {
            running.store.set_alarms(no_space, corrupt);
            Ok(())
        })
    }

    /// Sends a message of a call; false: wait for `callDrained`.
    #[napi]
    pub fn call_send(&self, call: f64, message: Uint8Array) -> Result<bool> {
        let call = number(call)?;
        self.front(|front| front.call_send(call, copy(&message)))
    }

    /// Ends a call.
    #[napi]
    pub fn call_end(
        &self,
        call: f64,
        code: u8,
        message: String,
        trailers: Vec<JsMetadata>,
    ) -> Result<()> {
        let (call, trailers) = (number(call)?, metadata(trailers));
        self.front(|front| front.call_end(call, code, message, trailers))
    }

    /// A whole answer.
    #[napi]
    pub fn http_respond(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
        body: Uint8Array,
    ) -> Result<()> {
        let (request, body) = (number(request)?, copy(&body));
        self.front(|front| front.http_respond(request, status, headers, body))
    }

    /// Begins a streamed answer.
    #[napi]
    pub fn http_start(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<()> {
        let request = number(request)?;
        self.front(|front| front.http_start(request, status, headers))
    }

    /// A part of a streamed answer; false: wait for `httpDrained`.
    #[napi]
    pub fn http_write(&self, request: f64, chunk: Uint8Array) -> Result<bool> {
        let request = number(request)?;
        self.front(|front| front.http_write(request, copy(&chunk)))
    }

    /// Ends a streamed answer.
    #[napi]
    pub fn http_end(&self, request: f64) -> Result<()> {
        let request = number(request)?;
        self.front(|front| front.http_end(request))
    }

    /// Opens a watch stream under a number that the caller chose.
    #[napi]
    pub fn watch_open(&self, stream: f64) -> Result<()> {
        let stream = number(stream)?;
        self.enqueue(|running| {
            running.watches.open(stream);
            Ok(())
        })
    }

    /// Gives a watch stream an encoded WatchRequest.
    #[napi]
    pub fn watch_send(&self, stream: f64, request: Uint8Array) -> Result<()> {
        let stream = number(stream)?;
        let request = WatchRequest::decode(copy(&request)).map_err(reason)?;
        self.enqueue(|running| {
            running.watches.request(stream, request);
            Ok(())
        })
    }

    /// Ends a watch stream. Messages of it may still be in the event queue.
    #[napi]
    pub fn watch_close(&self, stream: f64) -> Result<()> {
        let stream = number(stream)?;
        self.enqueue(|running| {
            running.watches.end(stream);
            Ok(())
        })
    }

    /// Figures of the store.
    #[napi]
    pub fn store_status(&self) -> Result<StoreStatus> {
        let status = self.shared.running()?.store.status();
        Ok(StoreStatus {
            revision: status.revision as f64,
            compact_revision: status.compact_revision as f64,
            keys: status.keys as f64,
            db_size: status.db_bytes as f64,
            db_size_in_use: status.db_used_bytes as f64,
            tail_bytes: status.tail_bytes as f64,
            applied_index: status.applied.index as f64,
            flushed_index: status.flushed.index as f64,
        })
    }

    /// The data plane's metrics in Prometheus text.
    #[napi]
    pub fn metrics(&self) -> Result<String> {
        let running = self.shared.running()?;
        Ok(running.pipeline.metrics()
            + &running.store.metrics()
            + &running.store.leases().metrics()
            + &running.store.watch_hub().metrics()
            + &running.front.metrics()
            + &running.peers.metrics())
    }

    /// Lets calls finish for at most `grace_ms`, then closes everything.
    #[napi]
    pub fn close(&self, grace_ms: f64) -> Result<AsyncTask<Close>> {
        let grace = Duration::from_millis(number(grace_ms)?);
        Ok(AsyncTask::new(Close(Arc::clone(&self.shared), grace)))
    }
}
