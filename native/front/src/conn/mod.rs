//! Connections: what a connection's driver and its calls share.

pub(crate) mod driver;
pub(crate) mod first;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::config::ListenerInfo;
use crate::waker;

/// How far a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Open,
    /// Finish what runs, start nothing.
    Draining,
}

/// One connection, shared by its driver and its calls; all on one worker.
#[derive(Debug)]
pub(crate) struct ConnCtx {
    pub(crate) listener: Arc<ListenerInfo>,
    pub(crate) peer: String,
    pub(crate) tls: bool,
    pub(crate) stage: Cell<Stage>,
    /// Bytes of large answers that wait for the client's window.
    unsent: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl ConnCtx {
    pub(crate) fn new(listener: Arc<ListenerInfo>, peer: String, tls: bool) -> Rc<Self> {
        Rc::new(Self {
            listener,
            peer,
            tls,
            stage: Cell::new(Stage::Open),
            unsent: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent.get()
    }

    /// Whom to wake when the stage changes.
    pub(crate) fn register(&self, waker: &Waker) {
        waker::remember(&mut self.waker.borrow_mut(), waker);
    }

    pub(crate) fn drain(&self) {
        self.stage.set(Stage::Draining);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Counts the bytes of a large answer while they wait.
pub(crate) struct Unsent(Rc<ConnCtx>, usize);

impl Unsent {
    pub(crate) fn new(conn: &Rc<ConnCtx>, bytes: usize) -> Self {
        conn.unsent.set(conn.unsent.get() + bytes);
        Self(conn.clone(), bytes)
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.unsent.set(self.0.unsent.get() - self.1);
    }
}
