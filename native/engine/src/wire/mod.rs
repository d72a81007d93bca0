//! Requests as clients send them, read the way etcd reads them. Go's protobuf takes a known field of another wire type
//! for an unknown one and skips it; prost and protobufjs do not, and prost nests to a hundred messages where Go nests to
//! ten thousand. So what they do not take is cleaned of the fields that Go skips (`clean`), and nested txns are taken
//! apart one by one (`decode_txn`).

mod clean;
mod cursor;
mod malformed;
mod txn;

pub use clean::clean;
pub use malformed::Malformed;
pub use txn::{UndecodedTxn, decode_txn};

/// What a field holds, as far as its wire type depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A varint.
    Varint,
    /// A repeated varint: one by one, or many in one field.
    Varints,
    /// Bytes.
    Bytes,
    /// UTF-8.
    Text,
    /// Another message: its place in the table of shapes.
    Message(usize),
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
}

/// The fields of a message.
#[derive(Debug)]
pub struct Shape {
    /// Full name, for whoever reads a debug output.
    pub name: &'static str,
    /// Its fields, by number.
    pub fields: &'static [Field],
}

impl Shape {
    fn kind(&self, number: u64) -> Option<Kind> {
        let field = self
            .fields
            .iter()
            .find(|field| u64::from(field.number) == number)?;
        Some(field.kind)
    }
}

// SHAPES, and REQUESTS: the path of every RPC with the place of its request's shape.
include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// The shape of what a method is sent; None for a path that is no method's.
pub fn request_shape(path: &str) -> Option<&'static Shape> {
    let (_, at) = REQUESTS.iter().find(|(known, _)| *known == path)?;
    Some(&SHAPES[*at])
}

/// The shape of a message that a field holds (`Kind::Message`).
pub fn shape_at(place: usize) -> &'static Shape {
    &SHAPES[place]
}

#[cfg(test)]
mod tests;
