//! gRPC messages as data of a stream.

use bytes::Bytes;
use netcd_http2::{PREFIX_BYTES, SendBuf};

/// An uncompressed gRPC message. The caller has checked that it is below 2 GiB.
#[inline]
pub(crate) fn message(body: Bytes) -> SendBuf {
    SendBuf::prefixed(prefix(body.len() as u32), body)
}

/// The header of an uncompressed message of `bytes`.
#[inline]
pub(crate) fn prefix(bytes: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = bytes.to_be_bytes();
    [0, a, b, c, d]
}
