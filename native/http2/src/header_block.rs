//! What an answer's HEADERS frames carry.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::hpack;

/// Encoded headers or trailers. Clones are cheap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderBlock(Bytes);

impl HeaderBlock {
    /// A block that was encoded when the program was written.
    pub const fn from_static(block: &'static [u8]) -> Self {
        Self(Bytes::from_static(block))
    }

    /// Headers of a response.
    pub fn response(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut block = BytesMut::new();
        hpack::encode(&mut block, b":status", status.as_str().as_bytes());
        put(&mut block, headers);
        Self(block.freeze())
    }

    /// Headers of a response that is nothing but its status.
    pub fn status(status: StatusCode) -> Self {
        Self::response(status, &HeaderMap::new())
    }

    /// What follows the data of a response.
    pub fn trailers(trailers: &HeaderMap) -> Self {
        let mut block = BytesMut::new();
        put(&mut block, trailers);
        Self(block.freeze())
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn put(block: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        hpack::encode(block, name.as_str().as_bytes(), value.as_bytes());
    }
}
