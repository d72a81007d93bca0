//! Reads the parts of an encoded message, as strictly as Go's protowire.

use super::Malformed;
use crate::limits::GROUP_DEPTH_MAX;

pub(super) const VARINT: u64 = 0;
const FIXED64: u64 = 1;
pub(super) const BYTES: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// Largest number of a field.
const NUMBER_MAX: u64 = (1 << 29) - 1;

/// A place in a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn varint(&mut self, end: usize) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes[..end].get(self.at).ok_or(Malformed::Wire)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Wire)
    }

    /// Number and wire type of the next field.
    pub(super) fn tag(&mut self, end: usize) -> Result<(u64, u64), Malformed> {
        let tag = self.varint(end)?;
        match tag >> 3 {
            number @ 1..=NUMBER_MAX => Ok((number, tag & 7)),
            _ => Err(Malformed::Wire),
        }
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self, end: usize) -> Result<&'a [u8], Malformed> {
        let length = self.varint(end)?;
        let start = self.at;
        self.skip_bytes(length, end)?;
        Ok(&self.bytes[start..self.at])
    }

    fn skip_bytes(&mut self, count: u64, end: usize) -> Result<(), Malformed> {
        if count > (end - self.at) as u64 {
            return Err(Malformed::Wire);
        }
        self.at += count as usize;
        Ok(())
    }

    /// Skips the value of a field.
    pub(super) fn skip(&mut self, number: u64, wire: u64, end: usize) -> Result<(), Malformed> {
        match wire {
            GROUP => self.skip_group(number, end),
            _ => self.skip_simple(wire, end),
        }
    }

    fn skip_simple(&mut self, wire: u64, end: usize) -> Result<(), Malformed> {
        match wire {
            VARINT => self.varint(end).map(drop),
            FIXED64 => self.skip_bytes(8, end),
            BYTES => self.bytes(end).map(drop),
            FIXED32 => self.skip_bytes(4, end),
            _ => Err(Malformed::Wire),
        }
    }

    /// Skips a group and those in it, without recursion: a client chooses how deep they nest.
    fn skip_group(&mut self, number: u64, end: usize) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            let (number, wire) = self.tag(end)?;
            match wire {
                GROUP_END if number == *innermost => {
                    open.pop();
                }
                GROUP if open.len() < GROUP_DEPTH_MAX => open.push(number),
                GROUP | GROUP_END => return Err(Malformed::Wire),
                _ => self.skip_simple(wire, end)?,
            }
        }
        Ok(())
    }
}
