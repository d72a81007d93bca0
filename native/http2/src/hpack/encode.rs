//! Encoding without a dynamic table: what a server sends is short and mostly in the static table, and without a table
//! the same fields are always the same bytes.

use bytes::{BufMut, BytesMut};

use super::table::{STATIC_LEN, STATIC_TEXT};

/// A dynamic table size update to 0, for the first block after the client's SETTINGS shrank the table.
pub(crate) const TABLE_SIZE_ZERO: u8 = 0x20;

const INDEXED: u8 = 0x80;
const LITERAL_PASSING: u8 = 0x00;
const STRING_PLAIN: u8 = 0x00;
/// First byte and continuation bytes of the longest integer that a `usize` makes.
const INTEGER_BYTES_MAX: usize = 11;

/// Server side encoding without a dynamic table: an indexed field where the static table has name and value (`:status`
/// 200 etc.), else a literal without indexing (name index from the static table where it has the name), strings plain
/// (no Huffman).
pub(crate) fn encode(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(3 * INTEGER_BYTES_MAX + name.len() + value.len());
    let Some(first) = NAMES.find(name) else {
        out.put_u8(LITERAL_PASSING);
        text(out, name);
        text(out, value);
        return;
    };
    match with_value(first, name, value) {
        Some(at) => integer(out, INDEXED, 7, at + 1),
        None => {
            integer(out, LITERAL_PASSING, 4, first + 1);
            text(out, value);
        }
    }
}

/// Where the static table has this name with this value; `first` is the first place of the name, and fields of one
/// name stand together.
fn with_value(first: usize, name: &[u8], value: &[u8]) -> Option<usize> {
    let same_name = STATIC_TEXT[first..]
        .iter()
        .take_while(|(other, _)| *other == name);
    same_name
        .zip(first..)
        .find(|((_, other), _)| *other == value)
        .map(|(_, at)| at)
}

fn text(out: &mut BytesMut, plain: &[u8]) {
    integer(out, STRING_PLAIN, 7, plain.len());
    out.extend_from_slice(plain);
}

fn integer(out: &mut BytesMut, pattern: u8, prefix_bits: u32, value: usize) {
    let mask = (1 << prefix_bits) - 1;
    if value < mask {
        out.put_u8(pattern | value as u8);
        return;
    }
    out.put_u8(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(0x80 | rest as u8);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// The static table's names by their length: no length has more than a few.
struct Names {
    /// Places in the static table, ordered by the length of the name; of equal names only the first.
    places: [u8; STATIC_LEN],
    /// Where in `places` the names of a length begin.
    begins: [u8; NAME_BYTES_MAX + 2],
}

/// The longest name: access-control-allow-origin.
const NAME_BYTES_MAX: usize = 27;

static NAMES: Names = Names::new();

impl Names {
    const fn new() -> Self {
        let mut names = Self {
            places: [0; STATIC_LEN],
            begins: [0; NAME_BYTES_MAX + 2],
        };
        let mut placed = 0;
        let mut length = 0;
        while length <= NAME_BYTES_MAX {
            names.begins[length] = placed as u8;
            let mut at = 0;
            while at < STATIC_LEN {
                let name = STATIC_TEXT[at].0;
                assert!(name.len() <= NAME_BYTES_MAX);
                if name.len() == length && (at == 0 || !equal(name, STATIC_TEXT[at - 1].0)) {
                    names.places[placed] = at as u8;
                    placed += 1;
                }
                at += 1;
            }
            length += 1;
        }
        names.begins[length] = placed as u8;
        names
    }

    /// The first place of a name in the static table.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let (begin, end) = (
            *self.begins.get(name.len())?,
            *self.begins.get(name.len() + 1)?,
        );
        let candidates = &self.places[usize::from(begin)..usize::from(end)];
        candidates
            .iter()
            .map(|&at| usize::from(at))
            .find(|&at| STATIC_TEXT[at].0 == name)
    }
}

/// `==` of slices is no const function.
const fn equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
