//! Reading a header block: its integers, its strings, and the kinds of representation (RFC 7541, sections 5 and 6).

use super::Malformed;
use crate::limits::HPACK_INTEGER_BYTES_MAX;

/// What the first bits of a representation say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Name and value by an index.
    Indexed,
    /// A literal that the decoder adds to its table.
    Added,
    /// A literal without indexing, or one that must never be indexed: a server treats both alike.
    Passing,
    /// A new size for the dynamic table.
    Resize,
}

impl Kind {
    pub(super) fn of(first: u8) -> Self {
        match first {
            0x80.. => Self::Indexed,
            0x40.. => Self::Added,
            0x20.. => Self::Resize,
            _ => Self::Passing,
        }
    }

    /// Bits of the first byte that belong to the index or size.
    pub(super) fn prefix_bits(self) -> u32 {
        match self {
            Self::Indexed => 7,
            Self::Added => 6,
            Self::Resize => 5,
            Self::Passing => 4,
        }
    }
}

/// A string as it stands in the block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) huffman: bool,
    pub(super) coded: &'a [u8],
}

/// The unread rest of a block.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// The kind of the next representation, which stays unread; None at the end of the block.
    #[inline]
    pub(super) fn kind(&self) -> Option<Kind> {
        self.rest.first().map(|&first| Kind::of(first))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    /// An integer whose first byte has `prefix_bits` of it.
    #[inline]
    pub(super) fn integer(&mut self, prefix_bits: u32) -> Result<usize, Malformed> {
        let mask = 0xff >> (8 - prefix_bits);
        let prefix = self.byte()? & mask;
        if prefix < mask {
            Ok(usize::from(prefix))
        } else {
            self.long_integer(prefix)
        }
    }

    /// The rest of an integer that filled its prefix: seven bits a byte, the lowest first.
    fn long_integer(&mut self, prefix: u8) -> Result<usize, Malformed> {
        let mut value = usize::from(prefix);
        for at in 0..HPACK_INTEGER_BYTES_MAX {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<Text<'a>, Malformed> {
        let huffman = self.rest.first().ok_or(Malformed)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (coded, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Text { huffman, coded })
    }
}
