//! Connections: what a connection's driver and its calls share.

pub(crate) mod driver;
pub(crate) mod first;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::config::ListenerInfo;
use crate::waker;

/// How far a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Open,
    /// Finish what runs, start nothing.
    Draining,
}

/// What is known of a connection by its TLS handshake.
#[derive(Debug, Default)]
pub(crate) struct TlsFacts {
    /// Of the client's certificate; None: it has shown none.
    pub(crate) common_name: Option<Bytes>,
    /// That is the name of the client's user.
    pub(crate) names_user: bool,
}

/// One connection, shared by its driver and its calls; all on one worker.
#[derive(Debug)]
pub(crate) struct ConnCtx {
    pub(crate) listener: Arc<ListenerInfo>,
    pub(crate) peer: String,
    /// Set by the handshake.
    pub(crate) tls: OnceCell<TlsFacts>,
    pub(crate) stage: Cell<Stage>,
    /// Bytes of large answers that wait for the client's window.
    unsent: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl ConnCtx {
    pub(crate) fn new(listener: Arc<ListenerInfo>, peer: String) -> Rc<Self> {
        Rc::new(Self {
            listener,
            peer,
            tls: OnceCell::new(),
            stage: Cell::new(Stage::Open),
            unsent: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// The common name of the client's certificate.
    pub(crate) fn common_name(&self) -> Option<&Bytes> {
        self.tls.get()?.common_name.as_ref()
    }

    /// The user whom the client's certificate names.
    pub(crate) fn certified_user(&self) -> Option<&Bytes> {
        self.tls
            .get()
            .filter(|tls| tls.names_user)?
            .common_name
            .as_ref()
    }

    /// The same as a text.
    pub(crate) fn certified_name(&self) -> Option<String> {
        let name = self.certified_user();
        name.map(|name| String::from_utf8_lossy(name).into_owned())
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
