//! The payload type of HTTP/2 DATA frames: a message behind its five bytes of gRPC header, without copying it.

use bytes::{Buf, Bytes};

pub(crate) const PREFIX_BYTES: usize = 5;

/// Up to five bytes of header, then the body.
#[derive(Debug, Default)]
pub(crate) struct SendBuf {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are already sent.
    sent: u8,
    body: Bytes,
}

impl SendBuf {
    /// An uncompressed gRPC message. The caller has checked that it is below 2 GiB.
    pub(crate) fn message(body: Bytes) -> Self {
        Self {
            prefix: prefix(body.len() as u32),
            sent: 0,
            body,
        }
    }

    /// Bytes as they are.
    pub(crate) fn raw(body: Bytes) -> Self {
        Self {
            prefix: [0; PREFIX_BYTES],
            sent: PREFIX_BYTES as u8,
            body,
        }
    }

    /// Takes the first `n` bytes off, as a payload of their own.
    pub(crate) fn split_to(&mut self, n: usize) -> Self {
        debug_assert!(n <= self.remaining());
        let of_prefix = n.min(PREFIX_BYTES - usize::from(self.sent));
        let head = Self {
            prefix: self.prefix,
            sent: self.sent,
            body: self.body.split_to(n - of_prefix),
        };
        self.sent += of_prefix as u8;
        if usize::from(self.sent) < PREFIX_BYTES {
            // The cut lies inside the prefix: a payload cannot end there, so the few bytes are copied.
            let from = usize::from(head.sent);
            return Self::raw(Bytes::copy_from_slice(&head.prefix[from..from + of_prefix]));
        }
        head
    }
}

/// The header of an uncompressed message of `bytes`.
pub(crate) fn prefix(bytes: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = bytes.to_be_bytes();
    [0, a, b, c, d]
}

impl Buf for SendBuf {
    fn remaining(&self) -> usize {
        PREFIX_BYTES - usize::from(self.sent) + self.body.len()
    }

    fn chunk(&self) -> &[u8] {
        match &self.prefix[usize::from(self.sent)..] {
            [] => &self.body,
            rest => rest,
        }
    }

    fn advance(&mut self, n: usize) {
        let of_prefix = n.min(PREFIX_BYTES - usize::from(self.sent));
        self.sent += of_prefix as u8;
        self.body.advance(n - of_prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut buf: impl Buf) -> Vec<u8> {
        buf.copy_to_bytes(buf.remaining()).to_vec()
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_is_the_same_bytes(body in proptest::collection::vec(any::<u8>(), 0..40), cuts in proptest::collection::vec(0usize..12, 0..8)) {
            let whole = all(SendBuf::message(body.clone().into()));
            prop_assert_eq!(&whole[5..], &body[..]);
            let mut rest = SendBuf::message(body.into());
            let mut parts = Vec::new();
            for cut in cuts {
                let n = cut.min(rest.remaining());
                let part = rest.split_to(n);
                prop_assert_eq!(part.remaining(), n);
                parts.extend(all(part));
            }
            parts.extend(all(rest));
            prop_assert_eq!(parts, whole);
        }
    }
}
