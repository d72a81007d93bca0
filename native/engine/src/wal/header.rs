//! The first bytes of a segment: whose it is, and what its frames start from. Pure; docs/storage.md draws them.

use super::format::{u32_at, u64_at};
use crate::types::Identity;

/// Format version in every segment header.
pub const VERSION: u32 = 1;
/// Bytes of a segment header; the first frame follows.
pub const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"NETCDWAL";

/// The first 64 bytes of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Link of the last frame of the segment before; of the first segment a random number.
    pub seed: u32,
    /// Counts segments from 0.
    pub sequence: u64,
    /// The index after the last entry when the segment was begun.
    pub first_index: u64,
    /// Whose log it is.
    pub identity: Identity,
}

impl SegmentHeader {
    /// The header's bytes and its key: the checksum that every frame of the segment starts from.
    pub fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.identity.cluster_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.identity.member_id.to_le_bytes());
        let key = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&key.to_le_bytes());
        (bytes, key)
    }

    /// Reads a header; the error says what is wrong and at which byte.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), (u64, String)> {
        if bytes.len() < HEADER_BYTES {
            return Err((bytes.len() as u64, "the segment header is cut off".into()));
        }
        if bytes[0..8] != MAGIC {
            return Err((0, "not a netcd WAL segment".into()));
        }
        let key = u32_at(bytes, 60);
        if crc32c::crc32c(&bytes[..60]) != key {
            return Err((60, "checksum mismatch of the segment header".into()));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err((
                8,
                format!("format version {version}, this program knows {VERSION}"),
            ));
        }
        let header = Self {
            seed: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            first_index: u64_at(bytes, 24),
            identity: Identity {
                cluster_id: u64_at(bytes, 32),
                member_id: u64_at(bytes, 40),
            },
        };
        Ok((header, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_refuses_every_flipped_bit_and_another_version() {
        let header = SegmentHeader {
            seed: 1,
            sequence: 2,
            first_index: 3,
            identity: Identity {
                cluster_id: 4,
                member_id: 5,
            },
        };
        let (mut bytes, key) = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header, key)));
        for bit in 0..HEADER_BYTES * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        let (offset, what) = SegmentHeader::decode(&bytes).unwrap_err();
        assert_eq!((offset, what.contains("version 9")), (8, true));
    }
}
