//! Decoding HPACK's Huffman code (RFC 7541, appendix B).
//!
//! The code is canonical: ordered by length and then by symbol, each code is its predecessor plus one. So the lengths
//! say everything. Codes of up to eight bits, which is all of letters and digits, take one look into a table of 256
//! entries; a longer one is found by comparing with the end of each length. The tables stay below two kilobytes, so
//! that they do not push anything else out of the cache.

use super::Malformed;

/// Bits of each byte's code. The end-of-string symbol is left out: it has the one code that remains, thirty ones.
#[rustfmt::skip]
pub(super) const CODE_BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const CODE_BITS_MIN: usize = 5;
const CODE_BITS_MAX: usize = 30;
const SHORT_BITS: usize = 8;

/// A byte and the bits of its code.
type Symbol = (u8, u8);

struct Codes {
    /// By the next eight bits, where they begin with a whole code; else a length of 0.
    short: [Symbol; 1 << SHORT_BITS],
    /// All bytes, ordered by their codes.
    ordered: [u8; 256],
    /// Where in `ordered` the bytes of each length begin.
    begins: [u16; CODE_BITS_MAX + 1],
    /// The first code of each length and the end of them, moved up to 32 bits.
    first: [u32; CODE_BITS_MAX + 1],
    end: [u32; CODE_BITS_MAX + 1],
}

static CODES: Codes = Codes::new();

impl Codes {
    const fn new() -> Self {
        let none = [0; CODE_BITS_MAX + 1];
        let mut codes = Self {
            short: [(0, 0); 256],
            ordered: [0; 256],
            begins: [0; CODE_BITS_MAX + 1],
            first: none,
            end: none,
        };
        let mut next = 0_u32;
        let mut placed = 0;
        let mut bits = CODE_BITS_MIN;
        while bits <= CODE_BITS_MAX {
            codes.begins[bits] = placed as u16;
            codes.first[bits] = next;
            let mut byte = 0;
            while byte < 256 {
                if CODE_BITS[byte] as usize == bits {
                    codes.ordered[placed] = byte as u8;
                    placed += 1;
                    if bits <= SHORT_BITS {
                        codes.add_short(next >> 24, byte as u8, bits);
                    }
                    next += 1 << (32 - bits);
                }
                byte += 1;
            }
            codes.end[bits] = next;
            bits += 1;
        }
        // What is left is the end-of-string symbol's.
        assert!(placed == 256 && next == u32::MAX << (32 - CODE_BITS_MAX));
        codes
    }

    /// Enters a code at every byte that begins with it.
    const fn add_short(&mut self, begin: u32, byte: u8, bits: usize) {
        let mut at = begin as usize;
        let end = at + (1 << (SHORT_BITS - bits));
        while at < end {
            self.short[at] = (byte, bits as u8);
            at += 1;
        }
    }

    /// The symbol that the next 32 bits begin with; None for the end of string, which must not be sent.
    #[inline]
    fn find(&self, ahead: u32) -> Option<Symbol> {
        let short = self.short[(ahead >> 24) as usize];
        if short.1 != 0 {
            Some(short)
        } else {
            self.find_long(ahead)
        }
    }

    fn find_long(&self, ahead: u32) -> Option<Symbol> {
        let bits = (SHORT_BITS + 1..=CODE_BITS_MAX).find(|&bits| ahead < self.end[bits])?;
        let after_first = (ahead - self.first[bits]) >> (32 - bits);
        let at = usize::from(self.begins[bits]) + after_first as usize;
        Some((self.ordered[at], bits as u8))
    }
}

/// Appends what `coded` stands for: at most 8/5 of its length.
pub(super) fn decode(coded: &[u8], plain: &mut Vec<u8>) -> Result<(), Malformed> {
    plain.reserve(coded.len() * 8 / CODE_BITS_MIN);
    let mut rest = coded.iter();
    // The bits read ahead, from the top; those below them are zero.
    let mut window = 0_u64;
    let mut bits = 0_u32;
    loop {
        if bits < u32::BITS {
            while bits <= u64::BITS - 9 {
                let Some(&byte) = rest.next() else { break };
                window |= u64::from(byte) << (u64::BITS - 8 - bits);
                bits += 8;
            }
        }
        // Ones after the last bit make whole padding all ones, and complete no code but the end of string.
        let padded = window | u64::MAX >> bits;
        if bits < 8 && padded == u64::MAX {
            return Ok(());
        }
        let (byte, code_bits) = CODES.find((padded >> 32) as u32).ok_or(Malformed)?;
        let code_bits = u32::from(code_bits);
        if code_bits > bits {
            return Err(Malformed);
        }
        plain.push(byte);
        window <<= code_bits;
        bits -= code_bits;
    }
}
