//! Messages of a watch session on their way to HTTP/2: small parts are copied together, so that many messages leave in
//! one DATA frame; large events are passed on as the one copy that all watchers share.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use netcd_engine::watch::WatchOutput;
use netcd_http2::SendBuf;

use crate::grpc::buf::prefix;
use crate::grpc::stream::CallStream;
use crate::limits::{WATCH_SHARE_BYTES_MIN, WATCH_WRITE_BYTES};

#[derive(Debug, Default)]
pub(super) struct Frames {
    whole: VecDeque<Bytes>,
    open: BytesMut,
    written: usize,
    messages: Vec<usize>,
}

impl Frames {
    pub(super) fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Counts what was written since the last time.
    pub(super) fn count(&mut self, stream: &CallStream) {
        for bytes in self.messages.drain(..) {
            stream.worker.metrics.message_sent(stream.method, bytes);
        }
    }

    /// The next bytes to send.
    pub(super) fn next(&mut self) -> Option<SendBuf> {
        let bytes = self.whole.pop_front().or_else(|| {
            self.written = 0;
            (!self.open.is_empty()).then(|| self.open.split().freeze())
        })?;
        Some(SendBuf::raw(bytes))
    }
}

impl WatchOutput for Frames {
    fn begin(&mut self, bytes: usize) {
        let length = u32::try_from(bytes).expect("a revision is smaller than 4 GiB");
        if self.open.capacity() - self.open.len() < bytes.min(WATCH_SHARE_BYTES_MIN) {
            self.open.reserve(WATCH_WRITE_BYTES);
        }
        self.messages.push(bytes);
        self.copy(&prefix(length));
    }

    fn copy(&mut self, part: &[u8]) {
        self.written += part.len();
        self.open.put_slice(part);
    }

    fn share(&mut self, part: &Bytes) {
        if part.len() < WATCH_SHARE_BYTES_MIN {
            return self.copy(part);
        }
        self.written += part.len();
        if !self.open.is_empty() {
            self.whole.push_back(self.open.split().freeze());
        }
        self.whole.push_back(part.clone());
    }

    fn written(&self) -> usize {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn small_parts_are_joined_and_large_ones_shared() {
        let large = Bytes::from(vec![7; WATCH_SHARE_BYTES_MIN]);
        let mut frames = Frames::default();
        assert!(frames.is_empty());
        for _ in 0..2 {
            frames.begin(3);
            frames.copy(b"a");
            frames.share(&Bytes::from_static(b"bc"));
        }
        frames.begin(1 + large.len());
        frames.copy(b"d");
        frames.share(&large);
        frames.begin(0);
        assert_eq!(frames.written(), 4 * 5 + 7 + large.len());
        let (mut sent, mut places) = (Vec::new(), Vec::new());
        while let Some(mut frame) = frames.next() {
            places.push(frame.chunk().as_ptr());
            sent.push(frame.copy_to_bytes(frame.remaining()));
        }
        let head = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 3], b"abc"].concat();
        let length = (large.len() as u32 + 1).to_be_bytes();
        let head = [&head[..], &[0], &length, b"d"].concat();
        assert_eq!(sent, [&head[..], &large, &[0; 5]]);
        assert_eq!(places[1], large.as_ptr(), "not a copy");
        assert!(frames.is_empty());
    }
}
