//! The payload type of DATA frames: a few bytes of header and the message behind them, without copying it.

use bytes::{Buf, Bytes};

/// Bytes that a prefix has.
pub const PREFIX_BYTES: usize = 5;

/// Data for a stream: up to five bytes of header, which is what gRPC puts before each message, then shared bytes.
#[derive(Debug, Default)]
pub struct SendBuf {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are already sent.
    sent: u8,
    body: Bytes,
}

impl SendBuf {
    /// `body` behind this prefix.
    #[inline]
    pub fn prefixed(prefix: [u8; PREFIX_BYTES], body: Bytes) -> Self {
        Self {
            prefix,
            sent: 0,
            body,
        }
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(body: Bytes) -> Self {
        Self {
            prefix: [0; PREFIX_BYTES],
            sent: PREFIX_BYTES as u8,
            body,
        }
    }
}

impl Buf for SendBuf {
    #[inline]
    fn remaining(&self) -> usize {
        PREFIX_BYTES - usize::from(self.sent) + self.body.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match &self.prefix[usize::from(self.sent)..] {
            [] => &self.body,
            rest => rest,
        }
    }

    #[inline]
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

    proptest! {
        #[test]
        fn taken_in_any_pieces_it_is_the_same_bytes(prefix: [u8; 5], body in proptest::collection::vec(any::<u8>(), 0..40), cuts in proptest::collection::vec(0usize..12, 0..8)) {
            let mut rest = SendBuf::prefixed(prefix, body.clone().into());
            let mut bytes = Vec::new();
            for cut in cuts {
                let before = rest.remaining();
                let n = cut.min(before);
                bytes.extend((&mut rest).take(n).copy_to_bytes(n));
                prop_assert_eq!(rest.remaining(), before - n);
            }
            bytes.extend(rest.copy_to_bytes(rest.remaining()));
            prop_assert_eq!(&bytes[..5], &prefix[..]);
            prop_assert_eq!(&bytes[5..], &body[..]);
        }
    }
}
