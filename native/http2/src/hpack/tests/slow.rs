//! An encoder as simple as RFC 7541 allows, which leaves every choice to the test. It shares the two tables of
//! constants with the code under test, and nothing else; another implementation checks those.

use super::super::huffman::CODE_BITS;
use super::super::table::STATIC_TEXT;
use super::Plain;

/// How a field is written. Where a choice is impossible, as an index for a field that no table has, it is passed over.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) indexed: bool,
    pub(super) name_indexed: bool,
    pub(super) literal: Literal,
    pub(super) huffman_name: bool,
    pub(super) huffman_value: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Added,
    Without,
    Never,
}

/// The encoding side: its model of the decoder's table, the newest entry first.
pub(super) struct SlowEncoder {
    dynamic: Vec<Plain>,
    bytes_max: usize,
}

impl SlowEncoder {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            dynamic: Vec::new(),
            bytes_max,
        }
    }

    pub(super) fn resize(&mut self, out: &mut Vec<u8>, bytes_max: usize) {
        integer(out, 0x20, 5, bytes_max);
        self.bytes_max = bytes_max;
        self.evict();
    }

    pub(super) fn field(&mut self, out: &mut Vec<u8>, field: &Plain, choice: &Choice) {
        if let (true, Some(index)) = (
            choice.indexed,
            self.index(|name, value| *name == field.0 && *value == field.1),
        ) {
            return integer(out, 0x80, 7, index);
        }
        let (pattern, prefix_bits) = match choice.literal {
            Literal::Added => (0x40, 6),
            Literal::Without => (0x00, 4),
            Literal::Never => (0x10, 4),
        };
        let index = self
            .index(|name, _| *name == field.0)
            .filter(|_| choice.name_indexed)
            .unwrap_or(0);
        integer(out, pattern, prefix_bits, index);
        if index == 0 {
            text(out, &field.0, choice.huffman_name);
        }
        text(out, &field.1, choice.huffman_value);
        if choice.literal == Literal::Added {
            self.dynamic.insert(0, field.clone());
            self.evict();
        }
    }

    /// What the decoder's table must hold.
    pub(super) fn entries(&self) -> (usize, Vec<Plain>) {
        (self.bytes(), self.dynamic.clone())
    }

    /// The last matching index: dynamic entries, where there are any, are preferred and old ones most of all.
    fn index(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        let dynamic = self
            .dynamic
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        let all: Vec<(&[u8], &[u8])> = STATIC_TEXT.into_iter().chain(dynamic).collect();
        all.iter()
            .rposition(|(name, value)| wanted(name, value))
            .map(|at| at + 1)
    }

    fn bytes(&self) -> usize {
        self.dynamic
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum()
    }

    fn evict(&mut self) {
        while self.bytes() > self.bytes_max {
            self.dynamic.pop();
        }
    }
}

pub(super) fn integer(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let full = 2_usize.pow(prefix_bits) - 1;
    if value < full {
        return out.push(pattern + value as u8);
    }
    out.push(pattern + full as u8);
    let mut rest = value - full;
    while rest >= 128 {
        out.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

pub(super) fn text(out: &mut Vec<u8>, plain: &[u8], with_huffman: bool) {
    let coded = if with_huffman {
        huffman(plain)
    } else {
        plain.to_vec()
    };
    integer(out, if with_huffman { 0x80 } else { 0 }, 7, coded.len());
    out.extend(coded);
}

pub(super) fn huffman(plain: &[u8]) -> Vec<u8> {
    let codes = codes();
    let bits: String = plain
        .iter()
        .map(|&byte| codes[usize::from(byte)].as_str())
        .collect();
    packed(&bits)
}

/// Bits written as text, filled up with ones to whole bytes.
pub(super) fn packed(bits: &str) -> Vec<u8> {
    let bytes = bits.as_bytes().chunks(8);
    bytes
        .map(|chunk| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(chunk.get(at) != Some(&b'0'))
            })
        })
        .collect()
}

/// The code of every byte as text.
pub(super) fn codes() -> Vec<String> {
    let mut ordered: Vec<usize> = (0..256).collect();
    ordered.sort_by_key(|&byte| (CODE_BITS[byte], byte));
    let mut codes = vec![String::new(); 256];
    let (mut next, mut last_bits) = (0_u32, 0);
    for byte in ordered {
        let bits = CODE_BITS[byte];
        next <<= bits - last_bits;
        codes[byte] = format!("{next:0width$b}", width = usize::from(bits));
        (next, last_bits) = (next + 1, bits);
    }
    codes
}
