//! HPACK (RFC 7541), the compression of HTTP/2's header fields, as a server needs it: a full decoder, and an encoder
//! that keeps no table.

mod decode;
mod encode;
mod huffman;
mod input;
mod table;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(crate) use decode::{Decoder, keeps_table};
pub(crate) use encode::{TABLE_SIZE_ZERO, encode};

/// One header field. Clones are cheap (Bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Bytes,
    pub(crate) value: Bytes,
}

/// The block breaks RFC 7541: a COMPRESSION_ERROR of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
