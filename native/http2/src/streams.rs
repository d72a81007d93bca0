//! The open streams of a connection.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use slab::Slab;

use crate::header_block::HeaderBlock;
use crate::send_buf::SendBuf;
use crate::window::{ReceiveWindow, SendWindow};

/// A queue that seldom has more than one item, and then allocates nothing.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    /// Puts back what was just popped.
    pub(crate) fn unpop(&mut self, item: T) {
        if let Some(second) = self.first.replace(item) {
            self.rest.push_front(second);
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let next = self.rest.pop_front();
        std::mem::replace(&mut self.first, next)
    }
}

/// What waits for the client's window.
#[derive(Debug)]
pub(crate) enum Queued {
    Data { data: SendBuf, end: bool },
    Trailers(HeaderBlock),
}

/// One stream, from its HEADERS until both sides have ended it or one has reset it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) send_window: SendWindow,
    pub(crate) receive_window: ReceiveWindow,
    /// Came and was not read yet.
    pub(crate) received: Queue<Bytes>,
    /// Waits to be sent.
    pub(crate) queued: Queue<Queued>,
    /// Bytes of data in `queued`.
    pub(crate) unsent: usize,
    /// The client has sent its END_STREAM.
    pub(crate) remote_ended: bool,
    /// The server has sent its headers.
    pub(crate) responded: bool,
    /// Somebody may still read the body.
    pub(crate) body_held: bool,
    /// What content-length says is still to come.
    pub(crate) length_left: Option<u64>,
    /// Stands in the connection's queue for room.
    pub(crate) in_line: bool,
    /// Has data but its own window is closed: it stands in line when that opens.
    pub(crate) starved: bool,
    pub(crate) body_waker: Option<Waker>,
    /// Wants to know of data that was sent, or of a reset.
    pub(crate) send_waker: Option<Waker>,
}

/// Streams by slot; their ids, which only grow, in order.
#[derive(Default)]
pub(crate) struct Streams {
    slots: Slab<Stream>,
    ids: VecDeque<(u32, usize)>,
}

impl Streams {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds a stream whose id is above all that were added before.
    pub(crate) fn open(&mut self, stream: Stream) -> usize {
        let id = stream.id;
        debug_assert!(self.ids.back().is_none_or(|(last, _)| *last < id));
        let slot = self.slots.insert(stream);
        self.ids.push_back((id, slot));
        slot
    }

    #[inline]
    pub(crate) fn slot_of(&self, id: u32) -> Option<usize> {
        // Mostly a frame is for the stream that was opened last.
        match self.ids.back() {
            Some((last, slot)) if *last == id => return Some(*slot),
            _ => {}
        }
        let at = self.ids.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.ids[at].1)
    }

    /// The stream of this slot if it is still the one with this id.
    #[inline]
    pub(crate) fn get(&mut self, slot: usize, id: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot).filter(|stream| stream.id == id)
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Stream {
        let stream = self.slots.remove(slot);
        if let Ok(at) = self.ids.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.ids.remove(at);
        }
        stream
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        self.slots.iter_mut()
    }

    /// Takes all streams out.
    pub(crate) fn take_all(&mut self) -> Slab<Stream> {
        self.ids.clear();
        std::mem::take(&mut self.slots)
    }
}

impl std::ops::Index<usize> for Streams {
    type Output = Stream;

    #[inline]
    fn index(&self, slot: usize) -> &Stream {
        &self.slots[slot]
    }
}

impl std::ops::IndexMut<usize> for Streams {
    #[inline]
    fn index_mut(&mut self, slot: usize) -> &mut Stream {
        &mut self.slots[slot]
    }
}
