//! The way back from the engine's threads to the workers: one lock and one wake per worker and batch.
//!
//! A token is `worker` (7 bits from bit 56), `generation` (24 bits from bit 32) and `slot` (32 bits). The generation
//! makes an answer that comes after its slot was reused a miss and not a mix-up. Bit 63 is JavaScript's.

use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use netcd_engine::error::EtcdError;
use netcd_engine::types::{Completions, OpResult, Token};
use parking_lot::Mutex;

use crate::admission::Place;
use crate::config::ListenerInfo;
use crate::limits::WORKERS_MAX;
use crate::unix_socket::UnixSocket;

const WORKER_SHIFT: u32 = 56;
const WORKER_MASK: u64 = 0x7f;
const GENERATION_SHIFT: u32 = 32;
pub(crate) const GENERATION_MASK: u32 = 0x00ff_ffff;

const _: () = assert!((WORKER_MASK << WORKER_SHIFT) & Token::JS_BIT == 0);

pub(crate) fn pack(worker: usize, generation: u32, slot: usize) -> Token {
    debug_assert!(
        worker < WORKERS_MAX && generation <= GENERATION_MASK && slot <= u32::MAX as usize
    );
    Token((worker as u64) << WORKER_SHIFT | u64::from(generation) << GENERATION_SHIFT | slot as u64)
}

pub(crate) fn worker_of(token: Token) -> usize {
    (token.0 >> WORKER_SHIFT & WORKER_MASK) as usize
}

/// Generation and slot.
pub(crate) fn unpack(token: Token) -> (u32, usize) {
    (
        (token.0 >> GENERATION_SHIFT) as u32 & GENERATION_MASK,
        (token.0 & u64::from(u32::MAX)) as usize,
    )
}

/// A connection that was accepted and waits for its worker.
pub(crate) enum Accepted {
    Tcp(std::net::TcpStream, String),
    Unix(std::os::unix::net::UnixStream),
}

/// A bound socket that waits for the worker that accepts on it.
pub(crate) enum Bound {
    Tcp(StdTcpListener),
    Unix(UnixSocket),
}

/// A socket that a worker takes over.
pub(crate) enum Arrival {
    Connection(Accepted, Place),
    Listener(Bound),
}

/// Whose connections end. Members talk on while clients' calls finish: those may need a quorum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Drain {
    Nobody,
    Clients,
    Everybody,
}

impl Drain {
    pub(crate) fn includes(self, listener: &ListenerInfo) -> bool {
        match self {
            Self::Nobody => false,
            Self::Clients => !listener.is_for_peers(),
            Self::Everybody => true,
        }
    }
}

/// What other threads say to a worker.
pub(crate) enum Message {
    Ops(Vec<(Token, OpResult)>),
    /// Requests whose answers come next and took long, encoded.
    Slow(Vec<(Token, Bytes)>),
    Reads(Vec<Token>, Result<(), EtcdError>),
    Serve(Arrival, Arc<ListenerInfo>),
    /// Who may do what has changed.
    AuthChanged,
    /// Since this many losses of the leader there is none.
    LeaderLost(u64),
    /// Stop accepting these, GOAWAY to those that are there, end connections as they become idle.
    Drain(Drain),
    /// End everything now.
    Stop,
}

#[derive(Default)]
struct MailboxState {
    messages: Vec<Message>,
    waker: Option<Waker>,
}

/// The queue of one worker. Its length is bounded by what it answers: slots, connections and listeners.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<MailboxState>);

impl Mailbox {
    pub(crate) fn push(&self, message: Message) {
        let waker = {
            let mut state = self.0.lock();
            state.messages.push(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves all messages into `into` (empty), or remembers whom to wake if there are none.
    pub(crate) fn take(&self, into: &mut Vec<Message>, waker: &Waker) -> bool {
        debug_assert!(into.is_empty());
        let mut state = self.0.lock();
        if state.messages.is_empty() {
            crate::waker::remember(&mut state.waker, waker);
            return false;
        }
        std::mem::swap(&mut state.messages, into);
        true
    }
}

/// Front's end of the pipeline's `Completions`: made before the pipeline, handed to it and then to `Front::start`.
pub struct FrontCompletions {
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
}

impl FrontCompletions {
    /// For a front of `workers` threads (see `Front::threads`).
    pub fn new(workers: usize) -> Arc<Self> {
        assert!(
            (1..=WORKERS_MAX).contains(&workers),
            "1 to {WORKERS_MAX} workers"
        );
        Arc::new(Self {
            mailboxes: (0..workers).map(|_| Arc::default()).collect(),
        })
    }

    fn by_worker<T>(
        &self,
        items: Vec<T>,
        token: impl Fn(&T) -> Token,
        send: impl Fn(&Mailbox, Vec<T>),
    ) {
        if items.is_empty() {
            return;
        }
        if let [only] = self.mailboxes.as_slice() {
            return send(only, items);
        }
        let mut parts: Vec<Vec<T>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
        let expected = items.len() / parts.len() + 8;
        for item in items {
            let Some(part) = parts.get_mut(worker_of(token(&item))) else {
                debug_assert!(false, "a token of no worker");
                continue;
            };
            if part.capacity() == 0 {
                part.reserve(expected);
            }
            part.push(item);
        }
        for (mailbox, part) in self.mailboxes.iter().zip(parts) {
            if !part.is_empty() {
                send(mailbox, part);
            }
        }
    }
}

impl Completions for FrontCompletions {
    fn ops_done(&self, results: Vec<(Token, OpResult)>) {
        self.by_worker(
            results,
            |(token, _)| *token,
            |mailbox, part| mailbox.push(Message::Ops(part)),
        );
    }

    fn slow(&self, requests: Vec<(Token, Bytes)>) {
        self.by_worker(
            requests,
            |(token, _)| *token,
            |mailbox, part| mailbox.push(Message::Slow(part)),
        );
    }

    fn reads_ready(&self, tokens: Vec<Token>, outcome: Result<(), EtcdError>) {
        self.by_worker(
            tokens,
            |token| *token,
            |mailbox, part| mailbox.push(Message::Reads(part, outcome.clone())),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn token_survives_packing(worker in 0..WORKERS_MAX, generation in 0..=GENERATION_MASK, slot in any::<u32>()) {
            let token = pack(worker, generation, slot as usize);
            prop_assert_eq!(token.0 & Token::JS_BIT, 0);
            prop_assert_eq!(worker_of(token), worker);
            prop_assert_eq!(unpack(token), (generation, slot as usize));
        }
    }

    #[test]
    fn a_batch_reaches_each_worker_once_and_in_order() {
        let completions = FrontCompletions::new(3);
        let batch = (0..30)
            .map(|i| (pack(i % 3, 1, i), Ok(Default::default())))
            .collect();
        completions.ops_done(batch);
        for (worker, mailbox) in completions.mailboxes.iter().enumerate() {
            let mut messages = Vec::new();
            assert!(mailbox.take(&mut messages, Waker::noop()));
            assert_eq!(messages.len(), 1);
            let Some(Message::Ops(part)) = messages.pop() else {
                panic!("ops expected")
            };
            let slots: Vec<usize> = part.iter().map(|(token, _)| unpack(*token).1).collect();
            assert_eq!(slots, (0..10).map(|i| i * 3 + worker).collect::<Vec<_>>());
        }
    }
}
