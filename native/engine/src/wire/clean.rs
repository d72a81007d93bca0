//! A message without the fields that Go's protobuf skips: unknown ones, and known ones of another wire type.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::cursor::{BYTES, Cursor, VARINT};
use super::malformed::Malformed;
use super::{Kind, SHAPES, Shape};
use crate::limits::MESSAGE_DEPTH_MAX;

/// A stretch of the message that stays as it is; with a length, it is the tag of a message that begins here.
struct Piece {
    from: usize,
    to: usize,
    length: Option<usize>,
}

/// A message whose fields are being looked at.
struct Open {
    shape: &'static Shape,
    end: usize,
    /// Its piece; the outermost has none.
    piece: Option<usize>,
    /// Bytes that stay of it.
    length: usize,
}

/// The same message without what Go would skip; the same bytes if there is nothing of that kind. It looks at nested
/// messages without recursion: a client chooses how deep they nest.
///
/// # Errors
/// Go's protobuf refuses it.
pub fn clean(shape: &'static Shape, message: &Bytes) -> Result<Bytes, Malformed> {
    let mut cleaning = Cleaning {
        cursor: Cursor::new(message),
        message,
        open: Vec::new(),
        pieces: Vec::new(),
        skipped: false,
    };
    cleaning.begin(shape, message.len(), None);
    let length = cleaning.run()?;
    Ok(if cleaning.skipped {
        cleaning.written(length)
    } else {
        message.clone()
    })
}

struct Cleaning<'a> {
    cursor: Cursor<'a>,
    message: &'a [u8],
    open: Vec<Open>,
    pieces: Vec<Piece>,
    skipped: bool,
}

impl Cleaning<'_> {
    fn begin(&mut self, shape: &'static Shape, end: usize, piece: Option<usize>) {
        self.open.push(Open {
            shape,
            end,
            piece,
            length: 0,
        });
    }

    /// Looks at all fields; returns how many bytes stay.
    fn run(&mut self) -> Result<usize, Malformed> {
        let mut length = 0;
        while let Some(open) = self.open.last() {
            if self.cursor.at < open.end {
                self.field(open.shape, open.end)?;
            } else {
                length = self.end();
            }
        }
        Ok(length)
    }

    /// The innermost message is over; returns its length.
    fn end(&mut self) -> usize {
        let Some(Open { piece, length, .. }) = self.open.pop() else {
            return 0;
        };
        if let Some(piece) = piece.map(|at| &mut self.pieces[at]) {
            piece.length = Some(length);
            let tag = piece.to - piece.from;
            if let Some(parent) = self.open.last_mut() {
                parent.length += tag + encoded_len_varint(length as u64) + length;
            }
        }
        length
    }

    fn field(&mut self, shape: &Shape, end: usize) -> Result<(), Malformed> {
        let from = self.cursor.at;
        let (number, wire) = self.cursor.tag(end)?;
        match (shape.kind(number), wire) {
            (Some(Kind::Message(at)), BYTES) => return self.message(from, &SHAPES[at], end),
            (Some(Kind::Varint | Kind::Varints), VARINT) => drop(self.cursor.varint(end)?),
            (Some(Kind::Varints), BYTES) => self.packed(end)?,
            (Some(Kind::Bytes), BYTES) => drop(self.cursor.bytes(end)?),
            (Some(Kind::Text), BYTES) => {
                std::str::from_utf8(self.cursor.bytes(end)?).map_err(|_| Malformed::Utf8)?;
            }
            _ => {
                self.skipped = true;
                return self.cursor.skip(number, wire, end);
            }
        }
        self.keep(from);
        Ok(())
    }

    /// A field that holds a message: its fields are next.
    fn message(&mut self, from: usize, shape: &'static Shape, end: usize) -> Result<(), Malformed> {
        let to = self.cursor.at;
        let length = self.cursor.varint(end)?;
        if length > (end - self.cursor.at) as u64 {
            return Err(Malformed::Wire);
        }
        if self.open.len() >= MESSAGE_DEPTH_MAX {
            return Err(Malformed::Depth);
        }
        let place = self.pieces.len();
        self.pieces.push(Piece {
            from,
            to,
            length: Some(0),
        });
        self.begin(shape, self.cursor.at + length as usize, Some(place));
        Ok(())
    }

    fn packed(&mut self, end: usize) -> Result<(), Malformed> {
        let values = self.cursor.bytes(end)?;
        let mut inside = Cursor::new(values);
        while inside.at < values.len() {
            inside.varint(values.len())?;
        }
        Ok(())
    }

    /// All since `from` stays.
    fn keep(&mut self, from: usize) {
        let to = self.cursor.at;
        if let Some(open) = self.open.last_mut() {
            open.length += to - from;
        }
        match self.pieces.last_mut() {
            Some(last) if last.length.is_none() && last.to == from => last.to = to,
            _ => self.pieces.push(Piece {
                from,
                to,
                length: None,
            }),
        }
    }

    fn written(&self, length: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(length);
        for piece in &self.pieces {
            out.put_slice(&self.message[piece.from..piece.to]);
            if let Some(length) = piece.length {
                encode_varint(length as u64, &mut out);
            }
        }
        debug_assert_eq!(out.len(), length);
        out.freeze()
    }
}
