//! Takes gRPC messages out of DATA: five bytes of header (compressed flag, length), then the message, cut anywhere.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::GzDecoder;
use netcd_engine::error::{Code, EtcdError};
use netcd_http2::PREFIX_BYTES;

/// Why a stream of messages ends.
pub type DeframeError = EtcdError;

/// How the client said its compressed messages are compressed (grpc-encoding).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// None given, or "identity".
    #[default]
    Identity,
    /// gzip.
    Gzip,
    /// Another: refused with its name.
    Unknown(String),
}

/// The deframer of one stream. It holds at most one message and what the window lets through behind it.
#[derive(Debug)]
pub struct Deframer {
    parts: VecDeque<Bytes>,
    available: usize,
    bytes_max: usize,
    encoding: Encoding,
}

impl Deframer {
    /// Messages above `bytes_max` are refused, before and after decompression.
    pub fn new(bytes_max: usize, encoding: Encoding) -> Self {
        Self {
            parts: VecDeque::new(),
            available: 0,
            bytes_max,
            encoding,
        }
    }

    /// More DATA.
    pub fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.available += data.len();
            self.parts.push_back(data);
        }
    }

    /// True if a message has begun, its header whole, and is not complete. Less than a header counts as nothing, as in
    /// grpc-go.
    pub fn is_inside_message(&self) -> bool {
        self.available >= PREFIX_BYTES
    }

    /// The next message, None until more DATA comes.
    ///
    /// # Errors
    /// gRPC's own: too large, an unknown flag, compressed without or with an unknown encoding, bad gzip.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, DeframeError> {
        let Some((flag, length)) = self.peek_header() else {
            return Ok(None);
        };
        self.check(flag, length)?;
        if self.available < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.take(PREFIX_BYTES);
        let message = self.take(length);
        match flag {
            0 => Ok(Some(message)),
            _ => self.decompress(&message).map(Some),
        }
    }

    fn peek_header(&self) -> Option<(u8, usize)> {
        if self.available < PREFIX_BYTES {
            return None;
        }
        let mut header = [0; PREFIX_BYTES];
        let bytes = self.parts.iter().flat_map(|part| part.iter());
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = *from;
        }
        let [flag, a, b, c, d] = header;
        Some((flag, u32::from_be_bytes([a, b, c, d]) as usize))
    }

    fn check(&self, flag: u8, length: usize) -> Result<(), DeframeError> {
        check_flag(flag, &self.encoding)?;
        if length > self.bytes_max {
            return Err(too_large(length, self.bytes_max));
        }
        Ok(())
    }

    /// The next `n` bytes, of which all are there. Copies only what was cut.
    fn take(&mut self, n: usize) -> Bytes {
        debug_assert!(n <= self.available);
        self.available -= n;
        match self.parts.front_mut() {
            Some(first) if first.len() > n => first.split_to(n),
            Some(first) if first.len() == n => self.parts.pop_front().unwrap_or_default(),
            _ => {
                let mut whole = BytesMut::with_capacity(n);
                while whole.len() < n {
                    let Some(first) = self.parts.front_mut() else {
                        break;
                    };
                    let some = first.len().min(n - whole.len());
                    whole.extend_from_slice(&first[..some]);
                    first.advance(some);
                    if first.is_empty() {
                        self.parts.pop_front();
                    }
                }
                whole.freeze()
            }
        }
    }

    fn decompress(&self, message: &[u8]) -> Result<Bytes, DeframeError> {
        let mut out = Vec::new();
        let limit = self.bytes_max as u64 + 1;
        let unpacked = GzDecoder::new(message).take(limit).read_to_end(&mut out);
        unpacked.map_err(|problem| {
            let why = match problem.kind() {
                ErrorKind::UnexpectedEof => "unexpected EOF",
                _ => "gzip: invalid header",
            };
            EtcdError::new(
                Code::Internal,
                format!("grpc: failed to decompress the message: {why}"),
            )
        })?;
        if out.len() > self.bytes_max {
            return Err(EtcdError::new(
                Code::ResourceExhausted,
                format!(
                    "grpc: received message after decompression larger than max {}",
                    self.bytes_max
                ),
            ));
        }
        Ok(out.into())
    }
}

fn check_flag(flag: u8, encoding: &Encoding) -> Result<(), DeframeError> {
    match (flag, encoding) {
        (0, _) | (1, Encoding::Gzip) => Ok(()),
        (1, Encoding::Identity) => Err(EtcdError::new(
            Code::Internal,
            "grpc: compressed flag set with identity or empty encoding",
        )),
        (1, Encoding::Unknown(name)) => Err(unknown_encoding(name)),
        _ => Err(EtcdError::new(
            Code::Internal,
            format!("grpc: received unexpected payload format {flag}"),
        )),
    }
}

/// grpc-go's refusal of a call whose messages it could not decompress.
pub(crate) fn unknown_encoding(name: &str) -> EtcdError {
    EtcdError::new(
        Code::Unimplemented,
        format!("grpc: Decompressor is not installed for grpc-encoding {name:?}"),
    )
}

pub(crate) fn too_large(length: usize, max: usize) -> EtcdError {
    EtcdError::new(
        Code::ResourceExhausted,
        format!("grpc: received message larger than max ({length} vs. {max})"),
    )
}

/// The usual case: `data` is exactly one uncompressed message, which is returned without copying it.
pub(crate) fn whole_message(mut data: Bytes, bytes_max: usize) -> Result<Bytes, Bytes> {
    let is_whole = match data.as_ref() {
        [0, a, b, c, d, rest @ ..] => {
            u32::from_be_bytes([*a, *b, *c, *d]) as usize == rest.len() && rest.len() <= bytes_max
        }
        _ => false,
    };
    if !is_whole {
        return Err(data);
    }
    data.advance(PREFIX_BYTES);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn frame(flag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![flag];
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        out
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// The slow twin: decodes a whole byte string at once.
    fn reference(mut bytes: &[u8], max: usize) -> (Vec<Vec<u8>>, bool) {
        let mut out = Vec::new();
        loop {
            let Some((head, rest)) = bytes.split_at_checked(5) else {
                return (out, false);
            };
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
            if head[0] != 0 || length > max {
                return (out, true);
            }
            let Some((body, after)) = rest.split_at_checked(length) else {
                return (out, false);
            };
            out.push(body.to_vec());
            bytes = after;
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_any_bytes_equals_the_slow_twin(
            frames in proptest::collection::vec((0u8..3, proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
            garbage in proptest::collection::vec(any::<u8>(), 0..12),
            cuts in proptest::collection::vec(0usize..20, 0..40),
        ) {
            let mut bytes: Vec<u8> = frames.iter().flat_map(|(flag, body)| frame(flag / 2, body)).collect();
            bytes.extend(garbage);
            let expected = reference(&bytes, 25);
            let mut deframer = Deframer::new(25, Encoding::Identity);
            let mut rest = Bytes::from(bytes);
            let mut got = (Vec::new(), false);
            let mut cuts = cuts.into_iter();
            'all: while !rest.is_empty() {
                let n = cuts.next().unwrap_or(usize::MAX).min(rest.len());
                deframer.push(rest.split_to(n));
                loop {
                    match deframer.next_message() {
                        Ok(Some(message)) => got.0.push(message.to_vec()),
                        Ok(None) => break,
                        Err(_) => { got.1 = true; break 'all }
                    }
                }
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn gzip_messages_and_their_limits() {
        let mut deframer = Deframer::new(100, Encoding::Gzip);
        deframer.push(frame(1, &gzip(b"hello")).into());
        assert_eq!(deframer.next_message().unwrap().unwrap(), "hello");
        assert!(!deframer.is_inside_message());
        deframer.push(frame(1, &gzip(&[0; 101])).into());
        let bomb = deframer.next_message().unwrap_err();
        assert_eq!(bomb.code, Code::ResourceExhausted);
        assert_eq!(
            bomb.message,
            "grpc: received message after decompression larger than max 100"
        );
        let mut deframer = Deframer::new(100, Encoding::Gzip);
        deframer.push(frame(1, b"no gzip").into());
        assert_eq!(deframer.next_message().unwrap_err().code, Code::Internal);
    }

    #[test]
    fn refusals_have_grpc_texts() {
        let refuse = |bytes: Vec<u8>, encoding| {
            let mut deframer = Deframer::new(10, encoding);
            deframer.push(bytes.into());
            deframer.next_message().unwrap_err()
        };
        let large = refuse(frame(0, &[0; 11]), Encoding::Identity);
        assert_eq!(
            large.message,
            "grpc: received message larger than max (11 vs. 10)"
        );
        let flag = refuse(frame(2, b""), Encoding::Identity);
        assert_eq!(flag.message, "grpc: received unexpected payload format 2");
        let identity = refuse(frame(1, b""), Encoding::Identity);
        assert_eq!(
            identity.message,
            "grpc: compressed flag set with identity or empty encoding"
        );
        let unknown = refuse(frame(1, b""), Encoding::Unknown("br".into()));
        assert_eq!(unknown.code, Code::Unimplemented);
        assert_eq!(
            unknown.message,
            "grpc: Decompressor is not installed for grpc-encoding \"br\""
        );
    }

    #[test]
    fn a_whole_message_is_taken_without_a_copy() {
        let data = Bytes::from(frame(0, b"abc"));
        let at = data.as_ptr() as usize;
        let message = whole_message(data, 10).unwrap();
        assert_eq!(message, "abc");
        assert_eq!(message.as_ptr() as usize, at + PREFIX_BYTES);
        assert!(whole_message(frame(0, b"abc").into(), 2).is_err());
        assert!(whole_message(frame(1, b"abc").into(), 10).is_err());
        assert!(whole_message(Bytes::from_static(b"\0\0\0"), 10).is_err());
    }
}
