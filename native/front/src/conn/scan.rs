//! Finds the frame boundaries in the bytes of an HTTP/2 connection: nine bytes of header, then the payload skipped.

const HEADER_BYTES: usize = 9;

/// Frame types that the connection's own rules look at.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PING: u8 = 6;
pub(crate) const ACK: u8 = 1;

/// The header of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHead {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Bytes of the payload, and where it begins in the scanned bytes, which may end before it does.
    pub(crate) length: usize,
    pub(crate) payload_at: usize,
}

/// Where in the byte stream the scan is.
#[derive(Debug)]
pub(crate) struct FrameScanner {
    /// Bytes of preface or payload before the next header.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Headers seen, as far as 2.
    heads: u8,
}

impl FrameScanner {
    /// A scanner of a stream that has `skip` bytes (the preface) before its first frame.
    pub(crate) fn new(skip: usize) -> Self {
        Self {
            skip,
            header: [0; HEADER_BYTES],
            have: 0,
            heads: 0,
        }
    }

    /// True between two frames.
    pub(crate) fn at_boundary(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// True when the first frame is over. Asked after every scan: a part of the next header hides it.
    pub(crate) fn has_passed_frame(&self) -> bool {
        self.heads > 1 || self.heads == 1 && self.at_boundary()
    }

    /// Calls `each` for every frame whose header ends in `bytes`.
    pub(crate) fn scan(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        let total = bytes.len();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let n = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEADER_BYTES {
                let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
                self.have = 0;
                self.heads = (self.heads + 1).min(2);
                self.skip = u32::from_be_bytes([0, l0, l1, l2]) as usize;
                each(FrameHead {
                    kind,
                    flags,
                    stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
                    length: self.skip,
                    payload_at: total - bytes.len(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sees_every_frame_however_the_bytes_are_cut(
            frames in proptest::collection::vec((any::<u8>(), any::<u8>(), 0u32..1 << 31, 0usize..40), 0..10),
            cuts in proptest::collection::vec(1usize..30, 0..60),
        ) {
            let mut bytes = vec![7; 24];
            for (kind, flags, stream, length) in &frames {
                bytes.extend(&(*length as u32).to_be_bytes()[1..]);
                bytes.extend([*kind, *flags]);
                bytes.extend(stream.to_be_bytes());
                bytes.extend(vec![0xee; *length]);
            }
            let mut scanner = FrameScanner::new(24);
            let mut seen = Vec::new();
            let mut rest = &bytes[..];
            let mut cuts = cuts.into_iter();
            while !rest.is_empty() {
                let n = cuts.next().unwrap_or(rest.len()).min(rest.len());
                scanner.scan(&rest[..n], |head| {
                    let payload = &rest[head.payload_at..n.min(head.payload_at + head.length)];
                    assert!(payload.iter().all(|byte| *byte == 0xee));
                    seen.push((head.kind, head.flags, head.stream));
                });
                rest = &rest[n..];
            }
            let expected: Vec<_> = frames.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(scanner.at_boundary());
        }
    }
}
