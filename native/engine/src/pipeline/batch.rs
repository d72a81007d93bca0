//! The payload of a Batch entry: many clients' requests in one raft log entry (drawn in docs/replication.md).
//!
//! `u8 version`, `u64 origin`, `u64 sequence`, `u32 count`, then per request `u8 op kind and caller`, `u64 token`,
//! `u32 length`, the user if the caller is one (`u64 auth revision`, `u32 length`, his name), and the protobuf request
//! as the client sent it; little endian. A request without a caller is what it was before there were any.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::auth::Caller;

use crate::types::{OpKind, Token};

/// Version byte of the payload.
pub const BATCH_VERSION: u8 = 1;
/// Bytes before the first request.
pub const BATCH_HEADER_BYTES: usize = 1 + 8 + 8 + 4;
/// Bytes before each request's protobuf message, but for its user.
pub const REQUEST_HEADER_BYTES: usize = 1 + 8 + 4;
/// Bytes before the name of a user.
const USER_HEADER_BYTES: usize = 8 + 4;
/// In the byte of the kind: a user is named.
const OF_USER: u8 = 0x80;
/// In the byte of the kind: the member itself asks.
const OF_MEMBER: u8 = 0x40;

const COUNT_OFFSET: usize = 1 + 8 + 8;

/// Who took the requests of a batch, so that exactly that process answers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// Random at each process start.
    pub origin: u64,
    /// Counts the batches of that process.
    pub sequence: u64,
    /// Number of requests.
    pub count: u32,
}

/// A payload that is not what this version of netcd writes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BatchError {
    /// The version byte is another.
    #[error("batch has version {0}, this program knows {BATCH_VERSION}")]
    Version(u8),
    /// The payload ends inside a request, or goes on after the last one.
    #[error("batch payload of {0} bytes does not hold what its lengths say")]
    Length(usize),
    /// An operation that this version does not know.
    #[error("batch holds an operation of unknown kind {0}")]
    Kind(u8),
}

/// A batch that still takes requests; they are encoded as they come, so that none is copied twice.
pub struct OpenBatch {
    buffer: BytesMut,
    count: u32,
}

impl OpenBatch {
    /// An empty batch whose buffer starts at `capacity` bytes.
    pub fn new(origin: u64, sequence: u64, capacity: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(capacity.max(BATCH_HEADER_BYTES));
        buffer.put_u8(BATCH_VERSION);
        buffer.put_u64_le(origin);
        buffer.put_u64_le(sequence);
        buffer.put_u32_le(0);
        Self { buffer, count: 0 }
    }

    /// Appends one request.
    pub fn push(&mut self, kind: OpKind, request: &[u8], token: Token, caller: &Caller) {
        let length = |of: &[u8]| u32::try_from(of.len()).expect("requests are far below 4 GiB");
        let user = match caller {
            Caller::User { name, revision } => Some((name, *revision)),
            Caller::Nobody | Caller::Internal => None,
        };
        let user_bytes = user.map_or(0, |(name, _)| USER_HEADER_BYTES + name.len());
        self.buffer
            .reserve(REQUEST_HEADER_BYTES + user_bytes + request.len());
        self.buffer.put_u8(kind as u8 | caller_bits(caller));
        self.buffer.put_u64_le(token.0);
        self.buffer.put_u32_le(length(request));
        if let Some((name, revision)) = user {
            self.buffer.put_u64_le(revision);
            self.buffer.put_u32_le(length(name));
            self.buffer.put_slice(name);
        }
        self.buffer.put_slice(request);
        self.count += 1;
    }

    /// Number of requests so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A copy of the payload as it is so far.
    pub fn so_far(&self) -> Bytes {
        let copy = Self {
            buffer: self.buffer.clone(),
            count: self.count,
        };
        copy.finish()
    }

    /// Size of the payload so far, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The finished payload.
    pub fn finish(mut self) -> Bytes {
        self.buffer[COUNT_OFFSET..BATCH_HEADER_BYTES].copy_from_slice(&self.count.to_le_bytes());
        self.buffer.freeze()
    }
}

fn caller_bits(caller: &Caller) -> u8 {
    match caller {
        Caller::Nobody => 0,
        Caller::User { .. } => OF_USER,
        Caller::Internal => OF_MEMBER,
    }
}

/// Reads the header of a payload.
pub fn header(payload: &[u8]) -> Result<BatchHeader, BatchError> {
    if payload.len() < BATCH_HEADER_BYTES {
        return Err(BatchError::Length(payload.len()));
    }
    let mut rest = payload;
    let version = rest.get_u8();
    if version != BATCH_VERSION {
        return Err(BatchError::Version(version));
    }
    Ok(BatchHeader {
        origin: rest.get_u64_le(),
        sequence: rest.get_u64_le(),
        count: rest.get_u32_le(),
    })
}

/// The requests of a payload, each a slice of it (nothing is copied).
pub fn requests(payload: &Bytes) -> Result<Requests, BatchError> {
    let header = header(payload)?;
    Ok(Requests {
        rest: payload.slice(BATCH_HEADER_BYTES..),
        left: header.count,
        total: payload.len(),
    })
}

/// The requests of a payload that this process encoded itself.
pub fn own_requests(payload: &Bytes) -> impl Iterator<Item = BatchRequest> {
    requests(payload)
        .expect("own batch has a header")
        .map(|request| request.expect("own batch is whole"))
}

/// One request of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchRequest {
    /// What it does.
    pub kind: OpKind,
    /// Who waits for the answer, if the batch is this process's.
    pub token: Token,
    /// The encoded request message.
    pub request: Bytes,
    /// Who asks.
    pub caller: Caller,
}

/// Iterator of [`requests`]; after an error it ends.
pub struct Requests {
    rest: Bytes,
    left: u32,
    total: usize,
}

impl Requests {
    /// Who asks, after the header of a request; None: the payload ends before.
    fn caller(&mut self, byte: u8) -> Option<Caller> {
        if byte & OF_USER == 0 {
            let of_member = byte & OF_MEMBER != 0;
            return Some(if of_member {
                Caller::Internal
            } else {
                Caller::Nobody
            });
        }
        if self.rest.len() < USER_HEADER_BYTES {
            return None;
        }
        let revision = self.rest.get_u64_le();
        let length = self.rest.get_u32_le() as usize;
        let named = self.rest.len() >= length;
        named.then(|| Caller::User {
            name: self.rest.split_to(length),
            revision,
        })
    }

    fn fail(&mut self, error: BatchError) -> Option<Result<BatchRequest, BatchError>> {
        self.left = 0;
        self.rest.clear();
        Some(Err(error))
    }
}

impl Iterator for Requests {
    type Item = Result<BatchRequest, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            return self.fail(BatchError::Length(self.total));
        }
        if self.rest.len() < REQUEST_HEADER_BYTES {
            return self.fail(BatchError::Length(self.total));
        }
        let byte = self.rest.get_u8();
        let token = Token(self.rest.get_u64_le());
        let length = self.rest.get_u32_le() as usize;
        let kind = OpKind::from_u8(byte & !(OF_USER | OF_MEMBER));
        let (Some(kind), true) = (kind, byte & OF_USER == 0 || byte & OF_MEMBER == 0) else {
            return self.fail(BatchError::Kind(byte));
        };
        let Some(caller) = self.caller(byte) else {
            return self.fail(BatchError::Length(self.total));
        };
        if self.rest.len() < length {
            return self.fail(BatchError::Length(self.total));
        }
        let request = self.rest.split_to(length);
        self.left -= 1;
        Some(Ok(BatchRequest {
            kind,
            token,
            request,
            caller,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Caller {
        Caller::User {
            name: Bytes::from_static("n\u{e9}".as_bytes()),
            revision: 1 << 40,
        }
    }

    fn sample() -> Bytes {
        let mut batch = OpenBatch::new(7, 3, 0);
        batch.push(OpKind::Put, b"abc", Token(1), &Caller::Nobody);
        batch.push(OpKind::DeleteRange, b"de", Token(5), &user());
        batch.push(OpKind::Txn, b"", Token(u64::MAX), &Caller::Internal);
        batch.finish()
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        let payload = sample();
        assert_eq!(
            header(&payload).unwrap(),
            BatchHeader {
                origin: 7,
                sequence: 3,
                count: 3
            }
        );
        let read: Vec<_> = requests(&payload).unwrap().map(Result::unwrap).collect();
        assert_eq!(read[0].kind, OpKind::Put);
        assert_eq!(read[0].request.as_ref(), b"abc");
        assert_eq!(read[2].kind, OpKind::Txn);
        let tokens: Vec<_> = own_requests(&payload).map(|it| it.token).collect();
        assert_eq!(tokens, vec![Token(1), Token(5), Token(u64::MAX)]);
        let callers: Vec<_> = read.iter().map(|it| it.caller.clone()).collect();
        assert_eq!(callers, [Caller::Nobody, user(), Caller::Internal]);
        assert_eq!(read[1].request.as_ref(), b"de");
    }

    #[test]
    fn a_payload_from_before_there_were_callers_is_read_and_still_written() {
        let payload = b"\x01\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\
            \x01\x09\0\0\0\0\0\0\0\x02\0\0\0ab";
        let payload = Bytes::from_static(payload);
        let read: Vec<_> = own_requests(&payload).collect();
        let request = BatchRequest {
            kind: OpKind::Put,
            token: Token(9),
            request: Bytes::from_static(b"ab"),
            caller: Caller::Nobody,
        };
        assert_eq!(read, [request]);
        let mut batch = OpenBatch::new(7, 3, 0);
        batch.push(OpKind::Put, b"ab", Token(9), &Caller::Nobody);
        assert_eq!(batch.finish(), payload);
    }

    #[test]
    fn a_name_of_any_length_is_carried() {
        for length in [0, 1, 70_000] {
            let caller = Caller::User {
                name: vec![b'n'; length].into(),
                revision: 2,
            };
            let mut batch = OpenBatch::new(7, 3, 0);
            batch.push(OpKind::Put, b"ab", Token(9), &caller);
            let read: Vec<_> = own_requests(&batch.finish()).collect();
            assert_eq!(
                (&read[0].caller, &read[0].request[..]),
                (&caller, &b"ab"[..])
            );
        }
    }

    #[test]
    fn an_open_batch_can_be_looked_at() {
        let mut batch = OpenBatch::new(7, 3, 0);
        batch.push(OpKind::Put, b"abc", Token(1), &Caller::Nobody);
        let seen: Vec<_> = own_requests(&batch.so_far()).collect();
        assert_eq!((seen.len(), seen[0].token), (1, Token(1)));
        batch.push(OpKind::Txn, b"", Token(2), &Caller::Nobody);
        assert_eq!(own_requests(&batch.finish()).count(), 2);
    }

    #[test]
    fn every_truncation_is_an_error_and_none_panics() {
        let payload = sample();
        for length in 0..payload.len() {
            let cut = payload.slice(..length);
            let whole = requests(&cut).and_then(|all| all.collect::<Result<Vec<_>, _>>());
            assert!(whole.is_err(), "cut at {length}");
        }
        let mut longer = BytesMut::from(&payload[..]);
        longer.put_u8(0);
        let whole = requests(&longer.freeze())
            .unwrap()
            .collect::<Result<Vec<_>, _>>();
        assert!(whole.is_err());
    }

    #[test]
    fn unknown_version_and_kind_are_named() {
        let mut bytes = BytesMut::from(&sample()[..]);
        bytes[0] = 9;
        assert_eq!(header(&bytes), Err(BatchError::Version(9)));
        bytes[0] = BATCH_VERSION;
        // Also the caller is no other than a user or the member.
        for byte in [0, 200, OF_USER, OF_USER | OF_MEMBER | 1] {
            bytes[BATCH_HEADER_BYTES] = byte;
            let first = requests(&bytes.clone().freeze()).unwrap().next().unwrap();
            assert_eq!(first, Err(BatchError::Kind(byte)));
        }
    }
}
