//! How a WAL is made, and what room that leaves in a segment.

use super::format::frame_bytes;
use super::header::HEADER_BYTES;
use crate::limits::{WAL_PAYLOAD_BYTES_MAX, WAL_SEGMENT_BYTES};

/// Bytes of the frames that every segment begins with: hard state and compaction mark, so that a segment needs none
/// before it except for live entries.
pub(super) const FIRST_FRAMES_BYTES: usize = frame_bytes(24) + frame_bytes(16);

/// How a WAL is made.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Bytes of a segment; at most `limits::WAL_SEGMENT_BYTES`, a multiple of 4096 (small ones are for tests).
    pub segment_bytes: u64,
    /// Prepare the next segment on a thread of its own when the current one is half full.
    pub prepare_ahead: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: WAL_SEGMENT_BYTES,
            prepare_ahead: true,
        }
    }
}

impl WalOptions {
    /// Bytes that the payload of one record may have.
    pub fn payload_bytes_max(&self) -> usize {
        // A frame's head, its padding and what an entry has before its payload take less.
        (self.room_bytes() as usize - 64).min(WAL_PAYLOAD_BYTES_MAX)
    }

    /// Bytes that a new segment has for records.
    pub(super) const fn room_bytes(&self) -> u64 {
        self.segment_bytes - (HEADER_BYTES + FIRST_FRAMES_BYTES) as u64
    }

    /// Panics at sizes that no log can have: an error of the program.
    pub(super) fn check(&self) {
        assert!(
            self.segment_bytes.is_multiple_of(4096)
                && (4096..=WAL_SEGMENT_BYTES).contains(&self.segment_bytes),
            "a segment of {} bytes",
            self.segment_bytes
        );
    }
}
