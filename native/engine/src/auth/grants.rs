//! The keys that a role, or a user with several, may read and write, compiled for look-ups.
//!
//! A line of bounds in ascending order: what holds at one holds for all keys up to the next, and nothing holds before
//! the first. So a key costs one binary search, and a range two and a look at the bounds between them. Ranges that
//! overlap or adjoin are joined by that.
//!
//! With many users none of this is in the processor's caches, so little memory is touched, and little taken: what all
//! bounds begin with is kept once, the search goes over the next four bytes of each, which lie together, and a bound that
//! follows from the one before it (the end of a single key, the end of a prefix) has no bytes of its own.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::limits::WAL_PAYLOAD_BYTES_MAX;
use crate::proto::authpb::permission::Type;
use crate::proto::authpb::{Permission, Role};

/// What a permission is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Access {
    /// Seeing keys and values.
    Read = 1,
    /// Changing them.
    Write = 2,
}

/// Some of `Access`, as a set of bits.
type Accesses = u8;

const READ: Accesses = Access::Read as u8;
const WRITE: Accesses = Access::Write as u8;

/// See the file's head. A `rest` is a key without what all bounds begin with.
#[derive(Default)]
pub(super) struct Grants {
    /// How much of `bytes` all bounds begin with.
    common: u32,
    /// What they begin with, and then the rests.
    bytes: Box<[u8]>,
    /// How the rest of each bound begins.
    digests: Box<[u32]>,
    bounds: Box<[Bound]>,
}

/// The first four bytes of a rest, as a number. The order of digests is that of the rests, but for those that begin
/// alike.
fn digest(rest: &[u8]) -> u32 {
    let mut first = [0; 4];
    let known = rest.len().min(first.len());
    first[..known].copy_from_slice(&rest[..known]);
    u32::from_be_bytes(first)
}

/// Where what is permitted changes.
#[derive(Clone, Copy)]
struct Bound {
    /// Where its bytes begin in `Grants::bytes`.
    at: u32,
    /// From the lowest bit: length of the bytes, what holds from here on, how the rest is made of the bytes.
    packed: u32,
}

const LENGTH_BITS: u32 = 28;
const ACCESS_BITS: u32 = 2;

// A role's row, which holds the key, went through the log in one piece.
const _: () = assert!(WAL_PAYLOAD_BYTES_MAX < 1 << LENGTH_BITS);

/// How a bound's rest is made of its bytes.
#[derive(Clone, Copy)]
enum Shape {
    /// It is the bytes.
    Bytes = 0,
    /// The next key there is: a zero after them.
    Successor = 1,
    /// The first key without them as a prefix: their last byte is one more.
    PrefixEnd = 2,
}

impl Bound {
    fn new(at: usize, length: usize, shape: Shape, holds: Accesses) -> Self {
        let number = |of: usize| u32::try_from(of).expect("permissions are far below 4 GiB");
        let shifted = |bits: u8, by: u32| u32::from(bits) << by;
        Self {
            at: number(at),
            packed: number(length)
                | shifted(holds, LENGTH_BITS)
                | shifted(shape as u8, LENGTH_BITS + ACCESS_BITS),
        }
    }

    fn holds(self) -> Accesses {
        (self.packed >> LENGTH_BITS) as u8 & (READ | WRITE)
    }

    /// The bytes as they lie in memory.
    fn bytes(self, all: &[u8]) -> &[u8] {
        let length = self.packed & ((1 << LENGTH_BITS) - 1);
        &all[self.at as usize..][..length as usize]
    }

    /// The rest, as the bytes that it has in common with what lies in memory, and a last byte of its own.
    fn rest(self, all: &[u8]) -> (&[u8], Option<u8>) {
        let bytes = self.bytes(all);
        match self.packed >> (LENGTH_BITS + ACCESS_BITS) {
            0 => (bytes, None),
            1 => (bytes, Some(0)),
            _ => {
                let (last, head) = bytes.split_last().expect("a prefix has bytes");
                (head, Some(last + 1))
            }
        }
    }

    fn compare(self, all: &[u8], rest: &[u8]) -> Ordering {
        let (head, last) = self.rest(all);
        let (start, end) = rest.split_at(head.len().min(rest.len()));
        head.cmp(start).then_with(|| last.as_slice().cmp(end))
    }
}

/// A range of keys and what is permitted there; no end = all keys from the first on.
struct Span<'a> {
    first: Cow<'a, [u8]>,
    end: Option<Cow<'a, [u8]>>,
    holds: Accesses,
}

impl<'a> Span<'a> {
    /// What a permission of a role says; None if that is nothing.
    fn of(permission: &'a Permission) -> Option<Self> {
        let holds = match Type::try_from(permission.perm_type) {
            Ok(Type::Read) => READ,
            Ok(Type::Write) => WRITE,
            Ok(Type::Readwrite) => READ | WRITE,
            Err(_) => return None,
        };
        let first = &permission.key[..];
        let end = match &permission.range_end[..] {
            [] => Some(Cow::Owned([first, b"\0"].concat())),
            [0] => None,
            end => Some(Cow::Borrowed(end)),
        };
        // Old versions of etcd stored both; neither names a key.
        let is_empty = first.is_empty() || end.as_ref().is_some_and(|end| &end[..] <= first);
        (!is_empty).then_some(Self {
            first: Cow::Borrowed(first),
            end,
            holds,
        })
    }
}

impl Grants {
    /// What a role permits.
    pub fn of_role(role: &Role) -> Self {
        Self::compile(role.key_permission.iter().filter_map(Span::of))
    }

    /// What somebody may do who has all of them.
    pub fn merge<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        Self::compile(parts.flat_map(Self::spans))
    }

    fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let common = &self.bytes[..self.common as usize];
        let key = move |bound: Bound| {
            let (head, last) = bound.rest(&self.bytes);
            Cow::Owned([common, head, last.as_slice()].concat())
        };
        let ends = self.bounds.iter().skip(1).map(|bound| Some(*bound));
        let ends = ends.chain([None]);
        let pairs = self.bounds.iter().zip(ends);
        let spans = pairs.map(move |(bound, end)| Span {
            first: key(*bound),
            end: end.map(key),
            holds: bound.holds(),
        });
        spans.filter(|span| span.holds != 0)
    }

    fn compile<'a>(spans: impl Iterator<Item = Span<'a>>) -> Self {
        let mut points = Vec::new();
        for Span { first, end, holds } in spans {
            let of = |access| i32::from(holds & access != 0);
            points.push((first, of(READ), of(WRITE)));
            points.extend(end.map(|end| (end, -of(READ), -of(WRITE))));
        }
        points.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        // In order, so what the first and the last begin with is what all do.
        let mut line = Line::new(match &points[..] {
            [] => &[],
            [(first, ..), .., (last, ..)] => common_of(first, last),
            [(only, ..)] => only,
        });
        let (mut reads, mut writes) = (0, 0);
        for same in points.chunk_by(|(a, ..), (b, ..)| a == b) {
            for (_, read, write) in same {
                reads += read;
                writes += write;
            }
            let read = if reads > 0 { READ } else { 0 };
            let write = if writes > 0 { WRITE } else { 0 };
            line.push(&same[0].0, read | write);
        }
        line.into_grants()
    }

    /// Bytes that this takes.
    pub fn memory_bytes(&self) -> usize {
        let lines = size_of_val(&*self.digests) + size_of_val(&*self.bounds);
        size_of::<Self>() + self.bytes.len() + lines
    }

    /// Bounds that are before `key`, or at it if that counts too.
    fn reached(&self, key: &[u8], at_it: bool) -> usize {
        let common = &self.bytes[..self.common as usize];
        let Some(rest) = key.strip_prefix(common) else {
            return if key < common { 0 } else { self.bounds.len() };
        };
        let digest = digest(rest);
        let from = self.digests.partition_point(|other| *other < digest);
        let alike = self.digests[from..].partition_point(|other| *other == digest);
        let alike = &self.bounds[from..from + alike];
        let before = |bound: &Bound| match bound.compare(&self.bytes, rest) {
            Ordering::Less => true,
            Ordering::Equal => at_it,
            Ordering::Greater => false,
        };
        from + alike.partition_point(before)
    }

    /// Whether this key is permitted.
    pub fn hold(&self, access: Access, key: &[u8]) -> bool {
        let at = self.reached(key, true).checked_sub(1);
        at.is_some_and(|at| self.bounds[at].holds() & access as u8 != 0)
    }

    /// Whether all keys from `first` to before `end` are, where no end is that of all keys. A range that holds nothing
    /// (its end is not after its first key) is permitted to those who may have its first key, as in etcd.
    pub fn cover(&self, access: Access, first: &[u8], end: Option<&[u8]>) -> bool {
        let Some(from) = self.reached(first, true).checked_sub(1) else {
            return false;
        };
        let to = end.map_or(self.bounds.len(), |end| self.reached(end, false));
        self.bounds[from..to.max(from + 1)]
            .iter()
            .all(|bound| bound.holds() & access as u8 != 0)
    }
}

/// What both begin with.
fn common_of<'k>(first: &'k [u8], last: &[u8]) -> &'k [u8] {
    let alike = first.iter().zip(last).take_while(|(a, b)| a == b);
    &first[..alike.count()]
}

/// Bounds as they are made.
struct Line {
    common: usize,
    bytes: Vec<u8>,
    digests: Vec<u32>,
    bounds: Vec<Bound>,
}

impl Line {
    /// Of bounds that all begin with `common`.
    fn new(common: &[u8]) -> Self {
        Self {
            common: common.len(),
            bytes: common.to_vec(),
            digests: Vec::new(),
            bounds: Vec::new(),
        }
    }

    /// From `key` on this holds.
    fn push(&mut self, key: &[u8], holds: Accesses) {
        let last = self.bounds.last();
        if last.map_or(0, |last| last.holds()) == holds {
            return;
        }
        let rest = &key[self.common..];
        let made = last.and_then(|last| {
            let bytes = last.bytes(&self.bytes);
            let shape = shape_of(rest, bytes)?;
            Some(Bound::new(last.at as usize, bytes.len(), shape, holds))
        });
        let bound = made.unwrap_or_else(|| {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(rest);
            Bound::new(at, rest.len(), Shape::Bytes, holds)
        });
        self.digests.push(digest(rest));
        self.bounds.push(bound);
    }

    fn into_grants(self) -> Grants {
        Grants {
            // It is part of a key, whose length has fewer bits.
            common: self.common as u32,
            bytes: self.bytes.into_boxed_slice(),
            digests: self.digests.into_boxed_slice(),
            bounds: self.bounds.into_boxed_slice(),
        }
    }
}

/// How `rest` is made of `bytes`; None: not at all.
fn shape_of(rest: &[u8], bytes: &[u8]) -> Option<Shape> {
    let (last, head) = rest.split_last()?;
    if *last == 0 && head == bytes {
        return Some(Shape::Successor);
    }
    let (before, start) = bytes.split_last()?;
    (head == start && before.checked_add(1) == Some(*last)).then_some(Shape::PrefixEnd)
}
