//! mvccpb.KeyValue, encoded and read without copies.

use bytes::Bytes;
use prost::bytes::BufMut;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

/// A KeyValue whose key and value lie in another buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KvView<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Revision of the put that created the key.
    pub create_revision: i64,
    /// Revision of this put.
    pub mod_revision: i64,
    /// Puts since the creation, from 1.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// Lease id, 0 = none.
    pub lease: i64,
}

impl<'a> KvView<'a> {
    /// Reads an encoded KeyValue; None if it is not one.
    pub fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let mut kv = KvView::default();
        while !bytes.is_empty() {
            match take_varint(&mut bytes)? {
                0x0a => kv.key = take_bytes(&mut bytes)?,
                0x10 => kv.create_revision = take_varint(&mut bytes)? as i64,
                0x18 => kv.mod_revision = take_varint(&mut bytes)? as i64,
                0x20 => kv.version = take_varint(&mut bytes)? as i64,
                0x2a => kv.value = take_bytes(&mut bytes)?,
                0x30 => kv.lease = take_varint(&mut bytes)? as i64,
                _ => return None,
            }
        }
        Some(kv)
    }

    /// Bytes of the encoded form.
    pub fn encoded_len(&self) -> usize {
        bytes_len(self.key)
            + int_len(self.create_revision)
            + int_len(self.mod_revision)
            + int_len(self.version)
            + bytes_len(self.value)
            + int_len(self.lease)
    }

    /// Appends the encoded form: fields in order of their numbers, zeroes left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 0x0a, self.key);
        put_int(out, 0x10, self.create_revision);
        put_int(out, 0x18, self.mod_revision);
        put_int(out, 0x20, self.version);
        put_bytes(out, 0x2a, self.value);
        put_int(out, 0x30, self.lease);
    }

    /// The encoded form in a buffer of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode(&mut out);
        Bytes::from(out)
    }
}

/// The key of an encoded KeyValue, as a slice of the same buffer; empty if there is none.
pub(super) fn key_of(kv: &Bytes) -> Bytes {
    match KvView::parse(kv) {
        Some(view) if !view.key.is_empty() => kv.slice_ref(view.key),
        _ => Bytes::new(),
    }
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    decode_varint(bytes).ok()
}

#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn bytes_len(bytes: &[u8]) -> usize {
    match bytes.len() {
        0 => 0,
        len => 1 + encoded_len_varint(len as u64) + len,
    }
}

fn int_len(value: i64) -> usize {
    match value {
        0 => 0,
        value => 1 + encoded_len_varint(value as u64),
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.put_u8(tag);
        encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

fn put_int(out: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        out.put_u8(tag);
        encode_varint(value as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::mvccpb::KeyValue;

    fn sample(value: &'static [u8], lease: i64) -> KeyValue {
        KeyValue {
            key: Bytes::from_static(b"key"),
            create_revision: 2,
            mod_revision: 300,
            version: 70_000,
            value: Bytes::from_static(value),
            lease,
        }
    }

    #[test]
    fn same_bytes_as_prost_both_ways() {
        for kv in [
            sample(b"v", 0),
            sample(b"", -7),
            sample(&[7; 300], 9),
            KeyValue::default(),
        ] {
            let encoded = kv.encode_to_vec();
            let view = KvView::parse(&encoded).unwrap();
            assert_eq!(view.key, kv.key);
            assert_eq!(view.value, kv.value);
            assert_eq!(
                (view.create_revision, view.mod_revision),
                (kv.create_revision, kv.mod_revision)
            );
            assert_eq!((view.version, view.lease), (kv.version, kv.lease));
            assert_eq!(view.encoded_len(), encoded.len());
            assert_eq!(view.to_bytes(), encoded);
        }
    }

    #[test]
    fn garbage_is_none() {
        assert_eq!(KvView::parse(b"\x0a\x05ab"), None);
        assert_eq!(KvView::parse(b"\xff\x01"), None);
        assert_eq!(KvView::parse(b"\x10\x80"), None);
        assert_eq!(
            KvView::parse(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
            None
        );
    }

    #[test]
    fn the_key_is_a_slice_of_the_value() {
        let kv = Bytes::from(sample(b"v", 1).encode_to_vec());
        assert_eq!(key_of(&kv), "key");
        assert_eq!(key_of(&Bytes::new()), "");
    }
}
