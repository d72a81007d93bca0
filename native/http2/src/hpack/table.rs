//! The tables that an index points into: the static one of RFC 7541's appendix A, then the dynamic one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Field;

/// What an entry counts besides its name and value (RFC 7541, section 4.1).
const ENTRY_OVERHEAD_BYTES: usize = 32;

pub(super) const STATIC_LEN: usize = 61;

/// Both forms of the static table: the text for the encoder, and fields for the decoder to lend without a copy.
macro_rules! static_table {
    ($(($name:literal, $value:literal),)*) => {
        pub(super) const STATIC_TEXT: [(&[u8], &[u8]); STATIC_LEN] = [$(($name, $value),)*];
        static STATIC_FIELDS: [Field; STATIC_LEN] =
            [$(Field { name: Bytes::from_static($name), value: Bytes::from_static($value) },)*];
    };
}

static_table! {
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
}

/// The index space of one direction of a connection.
#[cfg_attr(test, derive(Clone, Debug, PartialEq, Eq))]
pub(super) struct Table {
    /// The newest entry is the first.
    dynamic: VecDeque<Field>,
    /// What the entries count together; never above `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

impl Table {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            dynamic: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The field of an index; None for 0 and beyond the last entry.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Field> {
        let at = index.checked_sub(1)?;
        if at < STATIC_LEN {
            Some(&STATIC_FIELDS[at])
        } else {
            self.dynamic.get(at - STATIC_LEN)
        }
    }

    /// Adds the newest entry. One larger than the whole table empties it and is not kept: no error.
    pub(super) fn insert(&mut self, field: Field) {
        let bytes = entry_bytes(&field);
        self.evict(self.bytes_max.saturating_sub(bytes));
        if bytes <= self.bytes_max {
            self.bytes += bytes;
            self.dynamic.push_front(field);
        }
        debug_assert!(self.bytes <= self.bytes_max);
    }

    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.evict(bytes_max);
    }

    /// Drops the oldest entries until the others fit into `bytes_max`.
    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let oldest = self.dynamic.pop_back().expect("only entries count bytes");
            self.bytes -= entry_bytes(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> (usize, Vec<super::tests::Plain>) {
        let plain = |field: &Field| (field.name.to_vec(), field.value.to_vec());
        (self.bytes, self.dynamic.iter().map(plain).collect())
    }
}

fn entry_bytes(field: &Field) -> usize {
    field.name.len() + field.value.len() + ENTRY_OVERHEAD_BYTES
}
