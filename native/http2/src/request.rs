//! Requests from header blocks: decoding, RFC 9113's rules for a well-formed request, and a memory of blocks, since a
//! client sends the same few again and again.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, request};

use crate::held::{Held, HeldSum};
use crate::hpack::{self, Field};
use crate::limits::{
    BLOCK_REMEMBERED_BYTES_MAX, BLOCKS_REMEMBERED, HEADER_BYTES_PER_CONNECTION_MAX,
    HEADER_LIST_BYTES_MAX,
};
use crate::reason::Reason;

/// Size of the table that the client's encoder may fill: what it is without a setting.
pub(crate) const TABLE_BYTES: usize = 4096;
/// What RFC 9113 counts for a field beside its name and value.
const FIELD_OVERHEAD_BYTES: usize = 32;

/// What a header block says, and a memo of type `T` that is kept with it: a client sends the same block again and again,
/// and whoever serves it has to make out what it means only once.
pub struct RequestHead<T> {
    /// Method, headers, and path with query; the URI has neither scheme nor authority.
    pub parts: request::Parts,
    /// As it was sent: old grpc-go clients put a whole URL here, which no URI takes for an authority.
    pub authority: Option<Bytes>,
    pub(crate) content_length: Option<u64>,
    /// Its place in what the connection holds.
    held: Held,
    memo: OnceCell<T>,
}

impl<T> RequestHead<T> {
    /// A head with these parts and no memo.
    pub fn new(parts: request::Parts, authority: Option<Bytes>) -> Self {
        Self {
            parts,
            authority,
            content_length: None,
            held: HeldSum::default().hold(0),
            memo: OnceCell::new(),
        }
    }

    /// The path, without its query.
    #[inline]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// As HTTP/1.1 would have it: the authority is the `host` header, if there is none.
    pub fn to_parts(&self) -> request::Parts {
        let mut parts = self.parts.clone();
        if let Some(authority) = &self.authority
            && !parts.headers.contains_key(http::header::HOST)
            && let Ok(host) = HeaderValue::from_maybe_shared(authority.clone())
        {
            parts.headers.insert(http::header::HOST, host);
        }
        parts
    }

    /// To be kept with a copy of the headers. Each copy counts: streams whose blocks are the same share one head.
    pub fn held(&self) -> Held {
        self.held.again()
    }

    /// The memo, which `make` makes of the head the first time.
    #[inline]
    pub fn memo(&self, make: impl FnOnce(&request::Parts) -> T) -> &T {
        self.memo.get_or_init(|| make(&self.parts))
    }
}

/// What came of a header block.
pub(crate) enum Block<T> {
    Request(Rc<RequestHead<T>>),
    /// Not a well-formed request: its stream is reset.
    Malformed,
    /// More headers than are accepted: answered with status 431.
    TooLarge,
}

impl<T> Clone for Block<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Request(head) => Self::Request(head.clone()),
            Self::Malformed => Self::Malformed,
            Self::TooLarge => Self::TooLarge,
        }
    }
}

/// Decodes the header blocks of one connection.
pub(crate) struct Blocks<T> {
    decoder: hpack::Decoder,
    /// Blocks that changed no table, and what they say while no other block changes it.
    seen: Vec<(Box<[u8]>, Block<T>)>,
    oldest: usize,
    /// Of requests whose headers somebody keeps.
    held: HeldSum,
}

impl<T> Blocks<T> {
    pub(crate) fn new() -> Self {
        Self {
            decoder: hpack::Decoder::new(TABLE_BYTES),
            seen: Vec::new(),
            oldest: 0,
            held: HeldSum::default(),
        }
    }

    /// The request of a block.
    pub(crate) fn request(&mut self, bytes: &[u8]) -> Result<Block<T>, Reason> {
        if let Some((_, known)) = self.seen.iter().find(|(seen, _)| **seen == *bytes) {
            return Ok(known.clone());
        }
        let keeps_table = hpack::keeps_table(bytes);
        let mut builder = Builder::default();
        self.decode(bytes, keeps_table, |field| builder.add(field))?;
        let block = builder.finish(&self.held);
        if keeps_table && bytes.len() <= BLOCK_REMEMBERED_BYTES_MAX {
            self.remember(bytes, block.clone());
        }
        Ok(block)
    }

    /// Whether the connection's streams hold more headers than they may.
    pub(crate) fn holds_too_much(&self) -> bool {
        self.held.bytes() > HEADER_BYTES_PER_CONNECTION_MAX
    }

    /// Reads the trailers of a request, which nobody needs. False if they are malformed.
    pub(crate) fn trailers(&mut self, bytes: &[u8]) -> Result<bool, Reason> {
        let mut fine = true;
        self.decode(bytes, hpack::keeps_table(bytes), |field| {
            fine &= !field.name.starts_with(b":") && name_of(field).is_some();
        })?;
        Ok(fine)
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        keeps_table: bool,
        each: impl FnMut(&Field),
    ) -> Result<(), Reason> {
        if !keeps_table {
            self.seen.clear();
        }
        self.decoder
            .decode(bytes, each)
            .map_err(|hpack::Malformed| Reason::Compression)
    }

    fn remember(&mut self, bytes: &[u8], block: Block<T>) {
        let entry = (bytes.into(), block);
        if self.seen.len() < BLOCKS_REMEMBERED {
            self.seen.push(entry);
        } else {
            self.oldest = (self.oldest + 1) % BLOCKS_REMEMBERED;
            self.seen[self.oldest] = entry;
        }
    }
}

/// The name of a field as HTTP/2 wants it: lower case, and none that speaks of the connection.
fn name_of(field: &Field) -> Option<HeaderName> {
    let name = HeaderName::from_lowercase(&field.name).ok()?;
    let forbidden = matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    );
    let wrong_te = name == http::header::TE && field.value != "trailers";
    (!forbidden && !wrong_te).then_some(name)
}

#[derive(Default)]
struct Builder {
    method: Option<Method>,
    scheme: Option<Bytes>,
    path: Option<PathAndQuery>,
    authority: Option<Bytes>,
    content_length: Option<u64>,
    headers: HeaderMap,
    bytes: usize,
    malformed: bool,
    too_large: bool,
}

impl Builder {
    fn add(&mut self, field: &Field) {
        self.bytes += field.name.len() + field.value.len() + FIELD_OVERHEAD_BYTES;
        self.too_large |= self.bytes > HEADER_LIST_BYTES_MAX as usize;
        if self.too_large || self.malformed {
            return;
        }
        let added = if field.name.starts_with(b":") {
            self.add_pseudo(field)
        } else {
            self.add_header(field)
        };
        self.malformed |= added.is_none();
    }

    /// A pseudo-header: known, once, and before all headers.
    fn add_pseudo(&mut self, field: &Field) -> Option<()> {
        if !self.headers.is_empty() {
            return None;
        }
        let twice = match &field.name[..] {
            b":method" => {
                let method = Method::from_bytes(&field.value).ok()?;
                self.method.replace(method).is_some()
            }
            b":scheme" => self.scheme.replace(field.value.clone()).is_some(),
            b":path" => {
                let path = PathAndQuery::from_maybe_shared(field.value.clone()).ok()?;
                // An empty path would be read as "/".
                self.path.replace(path).is_some() || field.value.is_empty()
            }
            b":authority" => self.authority.replace(field.value.clone()).is_some(),
            _ => return None,
        };
        (!twice).then_some(())
    }

    fn add_header(&mut self, field: &Field) -> Option<()> {
        let name = name_of(field)?;
        if name == http::header::CONTENT_LENGTH {
            // A sign would be taken for a number too.
            let digits = field.value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(&field.value).ok().filter(|_| digits)?;
            let length = text.parse().ok()?;
            let before = self.content_length.replace(length);
            if before.is_some_and(|before| before != length) {
                return None;
            }
        }
        let value = HeaderValue::from_maybe_shared(field.value.clone()).ok()?;
        self.too_large |= self.headers.try_append(name, value).is_err();
        Some(())
    }

    fn finish<T>(self, held: &HeldSum) -> Block<T> {
        if self.too_large {
            return Block::TooLarge;
        }
        let (Some(method), Some(_), Some(path), false) =
            (self.method, self.scheme, self.path, self.malformed)
        else {
            return Block::Malformed;
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.uri = Uri::from(path);
        parts.version = http::Version::HTTP_2;
        parts.headers = self.headers;
        Block::Request(Rc::new(RequestHead {
            parts,
            authority: self.authority,
            content_length: self.content_length,
            held: held.hold(self.bytes),
            memo: OnceCell::new(),
        }))
    }
}
