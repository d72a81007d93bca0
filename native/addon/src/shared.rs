//! What the handles of one engine and their promises share: where it is in its life, and the way to what is open.

use std::sync::Arc;

use napi::{Error, Result};
use netcd_engine::pipeline::{Pipeline, PipelineError};
use netcd_front::Front;
use netcd_front::peer::Peers;
use parking_lot::{Mutex, RwLock};

use crate::check::reason;
use crate::open::{Running, Settings};
use crate::queue::EventQueue;

/// What the methods and their promises share.
pub struct Shared {
    /// The checked options.
    pub settings: Settings,
    /// What waits for JavaScript.
    pub queue: Arc<EventQueue>,
    /// Where the engine is in its life. Locked for a moment only, never while something is opened, closed or dropped:
    /// JavaScript's thread reads it at every call.
    pub state: RwLock<State>,
    /// Held while the engine is opened, listens or is closed: a close waits for what is being opened, and closes it.
    pub changing: Mutex<()>,
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
        match &*self.state.read() {
            State::Open(running) => Ok(Arc::clone(running)),
            State::Closed => Err(Error::from_reason("the engine is closed")),
            State::New => Err(Error::from_reason("the engine is not open")),
        }
    }

    /// True once `close` is done.
    pub fn is_closed(&self) -> bool {
        matches!(*self.state.read(), State::Closed)
    }

    /// Does something that only enqueues. Once the engine is closed there is nobody to do it for: JavaScript may still
    /// have events of before, and what it answers is dropped.
    pub fn enqueue<R: Default>(&self, act: impl FnOnce(&Running) -> Result<R>) -> Result<R> {
        match self.running() {
            Ok(running) => act(&running),
            Err(_) if self.is_closed() => Ok(R::default()),
            Err(error) => Err(error),
        }
    }

    /// As `enqueue`, for the transport.
    pub fn front<R: Default>(&self, act: impl FnOnce(&Front) -> R) -> Result<R> {
        self.enqueue(|running| Ok(act(&running.front)))
    }

    /// As `enqueue`, for the links to other members.
    pub fn peers<R: Default>(&self, act: impl FnOnce(&Peers) -> R) -> Result<R> {
        self.enqueue(|running| Ok(act(&running.peers)))
    }

    /// As `enqueue`, for what the pipeline may refuse.
    pub fn pipeline(
        &self,
        act: impl FnOnce(&Pipeline) -> std::result::Result<(), PipelineError>,
    ) -> Result<()> {
        self.enqueue(|running| match act(&running.pipeline) {
            // It is about to be closed.
            Ok(()) | Err(PipelineError::Closed) => Ok(()),
            Err(error) => Err(reason(error)),
        })
    }
}
