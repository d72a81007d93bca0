//! Ids for leases whose client leaves the choice to the server: 16 bits of the member id, 40 bits of unix milliseconds
//! at the start, and a counter in the low bits, without the sign bit. Members and restarts do not meet.

use std::sync::atomic::{AtomicU64, Ordering};

const MEMBER_SHIFT: u32 = 48;
const COUNTER_BITS: u32 = 8;
const TIME_BITS: u32 = 40;

/// The ids of one process.
#[derive(Debug)]
pub(crate) struct LeaseIds {
    prefix: u64,
    last: AtomicU64,
}

impl LeaseIds {
    pub(crate) fn new(member_id: u64, unix_ms: u64) -> Self {
        Self {
            prefix: member_id << MEMBER_SHIFT,
            last: AtomicU64::new((unix_ms & ((1 << TIME_BITS) - 1)) << COUNTER_BITS),
        }
    }

    /// A positive id.
    pub(crate) fn next(&self) -> i64 {
        loop {
            let counted = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let id = self.prefix | (counted & ((1 << MEMBER_SHIFT) - 1));
            let id = (id & i64::MAX as u64) as i64;
            if id != 0 {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_from_the_time_of_the_start() {
        let ids = LeaseIds::new(0x8e9e_05c5_2164_694d, 0x0123_4567_89ab_cdef);
        assert_eq!(ids.next(), 0x694d_6789_abcd_ef01);
        assert_eq!(ids.next(), 0x694d_6789_abcd_ef02);
    }

    #[test]
    fn an_id_is_positive_and_the_counter_wraps() {
        let ids = LeaseIds::new(0x8000, (1 << TIME_BITS) - 1);
        let first = ids.next();
        assert_eq!(first, 0xffff_ffff_ff01);
        for _ in 0..0xfe {
            assert!(ids.next() > first);
        }
        assert_eq!(ids.next(), 1, "0 is no lease");
    }
}
