//! The bounded queue from another thread (the control plane, later the watch hub) to the stream of one client: a start,
//! any number of byte strings, an end.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::limits::{CALL_SEND_BYTES_HIGH, CALL_SEND_BYTES_LOW, CALL_SEND_BYTES_MAX};

/// What a push found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pushed {
    /// Queued, and more may follow.
    Room,
    /// Queued; the pusher should wait until it is told that the queue drained.
    Full,
    /// Not queued: the pusher went on far beyond `Full`. The stream must be ended.
    Overrun,
    /// Not queued: the stream is gone.
    Closed,
}

/// What the stream's task takes out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Next<E> {
    Bytes(Bytes),
    End(E),
}

struct State<S, E> {
    start: Option<S>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    end: Option<E>,
    ended: bool,
    closed: bool,
    told_full: bool,
    waker: Option<Waker>,
}

/// `S` starts the stream (HTTP status and headers), `E` ends it (gRPC status).
pub(crate) struct Outbound<S, E>(Mutex<State<S, E>>);

impl<S, E> Outbound<S, E> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            start: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            end: None,
            ended: false,
            closed: false,
            told_full: false,
            waker: None,
        }))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State<S, E>) -> T) -> T {
        let (result, waker) = {
            let mut state = self.0.lock();
            (change(&mut state), state.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    pub(crate) fn start(&self, start: S) {
        self.change(|state| {
            if !state.closed && !state.ended {
                state.start = Some(start);
            }
        });
    }

    pub(crate) fn push(&self, bytes: Bytes) -> Pushed {
        self.change(|state| {
            if state.closed || state.ended {
                return Pushed::Closed;
            }
            if state.queued_bytes >= CALL_SEND_BYTES_MAX {
                return Pushed::Overrun;
            }
            state.queued_bytes += bytes.len();
            state.queue.push_back(bytes);
            state.told_full |= state.queued_bytes >= CALL_SEND_BYTES_HIGH;
            if state.queued_bytes >= CALL_SEND_BYTES_HIGH {
                Pushed::Full
            } else {
                Pushed::Room
            }
        })
    }

    /// The end, after what is queued. The first end counts.
    pub(crate) fn end(&self, end: E) {
        self.change(|state| {
            if !state.ended && !state.closed {
                state.ended = true;
                state.end = Some(end);
            }
        });
    }

    /// The stream is gone: forget everything, take nothing more.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue = VecDeque::new();
        state.queued_bytes = 0;
        state.start = None;
        state.end = None;
        state.waker = None;
    }

    pub(crate) fn poll_start(&self, cx: &mut Context<'_>) -> Poll<S> {
        let mut state = self.0.lock();
        match state.start.take() {
            Some(start) => Poll::Ready(start),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next item, and whether a pusher that was told `Full` may go on now.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<(Next<E>, bool)> {
        let mut state = self.0.lock();
        if let Some(bytes) = state.queue.pop_front() {
            state.queued_bytes -= bytes.len();
            let drained = state.told_full && state.queued_bytes <= CALL_SEND_BYTES_LOW;
            state.told_full &= !drained;
            return Poll::Ready((Next::Bytes(bytes), drained));
        }
        match state.end.take() {
            Some(end) => Poll::Ready((Next::End(end), false)),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(queue: &Outbound<(), u8>) -> Poll<(Next<u8>, bool)> {
        queue.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn full_then_drained_once() {
        let queue = Outbound::<(), u8>::new();
        let half = Bytes::from(vec![0; CALL_SEND_BYTES_HIGH / 2]);
        assert_eq!(queue.push(half.clone()), Pushed::Room);
        assert_eq!(queue.push(half.clone()), Pushed::Full);
        queue.end(7);
        assert_eq!(queue.push(half.clone()), Pushed::Closed);
        assert_eq!(
            next(&queue),
            Poll::Ready((Next::Bytes(half.clone()), false))
        );
        assert_eq!(next(&queue), Poll::Ready((Next::Bytes(half), true)));
        assert_eq!(next(&queue), Poll::Ready((Next::End(7), false)));
        assert_eq!(next(&queue), Poll::Pending);
    }

    #[test]
    fn a_pusher_that_ignores_full_is_stopped() {
        let queue = Outbound::<(), u8>::new();
        let piece = Bytes::from(vec![0; CALL_SEND_BYTES_HIGH]);
        for _ in 0..CALL_SEND_BYTES_MAX / CALL_SEND_BYTES_HIGH {
            assert_eq!(queue.push(piece.clone()), Pushed::Full);
        }
        assert_eq!(queue.push(piece.clone()), Pushed::Overrun);
        queue.close();
        assert_eq!(queue.push(piece), Pushed::Closed);
        assert_eq!(next(&queue), Poll::Pending);
    }
}
