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

    proptest! {
        #[test]
        fn taken_in_any_pieces_it_is_the_same_bytes(body in proptest::collection::vec(any::<u8>(), 0..40), cuts in proptest::collection::vec(0usize..12, 0..8)) {
            let mut rest = SendBuf::message(body.clone().into());
            let mut bytes = Vec::new();
            for cut in cuts {
                let before = rest.remaining();
                let n = cut.min(before);
                bytes.extend((&mut rest).take(n).copy_to_bytes(n));
                prop_assert_eq!(rest.remaining(), before - n);
            }
            bytes.extend(rest.copy_to_bytes(rest.remaining()));
            prop_assert_eq!(&bytes[..5], &prefix(body.len() as u32)[..]);
            prop_assert_eq!(&bytes[5..], &body[..]);
        }
    }
}
