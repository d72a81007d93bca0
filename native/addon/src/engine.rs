//! `NativeEngine` from its options to its end, with its handles. The methods are those of binding.ts, each in the file of
//! its subject (log, leases, peers, transport; the store's are the engine's own). Every one only enqueues, or returns a
//! promise.

use std::sync::Arc;
use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::{AsyncTask, Function};
use napi_derive::napi;
use netcd_front::ServingState;
use parking_lot::{Mutex, RwLock};

use crate::auth::NativeAuth;
use crate::check::number;
use crate::event::Event;
use crate::events::{NativeEvent, events};
use crate::leases::NativeLeases;
use crate::log::NativeLog;
use crate::open::Settings;
use crate::options::{EngineOptions, ServingOptions};
use crate::peers::NativePeers;
use crate::queue::EventQueue;
use crate::shared::{Shared, State};
use crate::tasks::{Close, Open};
use crate::transport::NativeTransport;

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

    /// Its raft log. Every access makes a handle; whoever needs one keeps it. So it is with the others.
    #[napi(getter)]
    pub fn log(&self) -> NativeLog {
        NativeLog(Arc::clone(&self.shared))
    }

    /// Its leases.
    #[napi(getter)]
    pub fn leases(&self) -> NativeLeases {
        NativeLeases(Arc::clone(&self.shared))
    }

    /// The other members.
    #[napi(getter)]
    pub fn peers(&self) -> NativePeers {
        NativePeers(Arc::clone(&self.shared))
    }

    /// Its transport.
    #[napi(getter)]
    pub fn transport(&self) -> NativeTransport {
        NativeTransport(Arc::clone(&self.shared))
    }

    /// Users and tokens.
    #[napi(getter)]
    pub fn auth(&self) -> NativeAuth {
        NativeAuth(Arc::clone(&self.shared))
    }

    /// All events since the last call.
    #[napi]
    pub fn drain(&self) -> Vec<NativeEvent> {
        let drained = self.shared.queue.drain();
        let has = |wanted: fn(&Event) -> bool| drained.events.iter().any(wanted);
        let handed_over = has(|event| matches!(event, Event::Front(_)));
        let watched = has(|event| matches!(event, Event::WatchMessage { .. }));
        if (handed_over || watched)
            && let Ok(running) = self.shared.running()
        {
            if watched {
                running.watches.drained();
            }
            if handed_over {
                running.front.events_drained();
            }
        }
        events(drained)
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

    /// Lets calls finish for at most `grace_ms`, then closes everything.
    #[napi]
    pub fn close(&self, grace_ms: f64) -> Result<AsyncTask<Close>> {
        let grace = Duration::from_millis(number("graceMs", grace_ms)?);
        Ok(AsyncTask::new(Close(Arc::clone(&self.shared), grace)))
    }
}
