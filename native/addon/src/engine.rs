//! `NativeEngine` from its options to its end, and what all its methods share. They are those of binding.ts, each in the
//! file of its subject (calls, leases, log, peers, store, watches). Every method only enqueues, or returns a promise.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Function, Object};
use napi::{Env, Result};
use napi_derive::napi;
use netcd_front::{Front, ServingState};
use parking_lot::{Mutex, RwLock};

use crate::check::number;
use crate::event::Event;
use crate::object::Objects;
use crate::open::Settings;
use crate::options::{EngineOptions, ListenerOptions, ServingOptions};
use crate::queue::EventQueue;
use crate::shared::{Shared, State};
use crate::tasks::{Close, DrainClients, LeavePeers, Listen, Open};

/// One member's data plane.
#[napi]
pub struct NativeEngine {
    pub(crate) shared: Arc<Shared>,
}

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
                changing: Mutex::new(()),
            }),
        })
    }

    /// Opens or creates WAL and store.
    #[napi]
    pub fn open(&self) -> AsyncTask<Open> {
        AsyncTask::new(Open(Arc::clone(&self.shared)))
    }

    /// Binds, and serves what is not held.
    #[napi]
    pub fn listen(&self, listeners: Vec<ListenerOptions>) -> AsyncTask<Listen> {
        let listeners = listeners.into_iter().map(Into::into).collect();
        AsyncTask::new(Listen(Arc::clone(&self.shared), listeners))
    }

    /// Serves the listeners that are held.
    #[napi]
    pub fn release(&self) -> Result<()> {
        self.shared.front(Front::release)
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

    /// Term for headers, and what the transport must know to refuse requests early.
    #[napi]
    pub fn set_serving(&self, state: ServingOptions) -> Result<()> {
        let term = number("term", state.term)?;
        self.shared.enqueue(|running| {
            running.pipeline.set_raft_term(term);
            running.front.set_serving(ServingState {
                has_leader: state.has_leader,
                is_learner: state.is_learner,
            });
            Ok(())
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

    /// GOAWAY to clients, and their calls finish, for at most `grace_ms`; members talk on meanwhile.
    #[napi]
    pub fn drain_clients(&self, grace_ms: f64) -> Result<AsyncTask<DrainClients>> {
        let grace = Duration::from_millis(number("graceMs", grace_ms)?);
        Ok(AsyncTask::new(DrainClients(
            Arc::clone(&self.shared),
            grace,
        )))
    }

    /// Takes nothing more from other members than what they have sent by now, which is in the queue of events then.
    #[napi]
    pub fn leave_peers(&self) -> AsyncTask<LeavePeers> {
        AsyncTask::new(LeavePeers(Arc::clone(&self.shared)))
    }

    /// Lets calls finish for at most `grace_ms`, then closes everything.
    #[napi]
    pub fn close(&self, grace_ms: f64) -> Result<AsyncTask<Close>> {
        let grace = Duration::from_millis(number("graceMs", grace_ms)?);
        Ok(AsyncTask::new(Close(Arc::clone(&self.shared), grace)))
    }
}
