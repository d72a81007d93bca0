//! Flow control windows.

use crate::frame::LOW_31_BITS;
use crate::reason::Reason;

/// What a window is before any settings say otherwise.
pub(crate) const INITIAL_WINDOW_BYTES: u32 = 65_535;

/// What the client may still send. Closed by what comes, opened again by what was read, in steps of half of what it has.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    bytes: u32,
    available: u32,
    read: u32,
}

impl ReceiveWindow {
    #[inline]
    pub(crate) fn new(bytes: u32) -> Self {
        Self {
            bytes,
            available: bytes,
            read: 0,
        }
    }

    /// Takes in `bytes`; an error if the client was not allowed to send so many.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Reason> {
        self.available = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.available.checked_sub(bytes))
            .ok_or(Reason::FlowControl)?;
        Ok(())
    }

    /// `bytes` of what was taken in are read. Says by how much to open the client's window, if it is time.
    #[inline]
    pub(crate) fn release(&mut self, bytes: usize) -> Option<u32> {
        let taken = self.bytes - self.available;
        self.read = (self.read + bytes as u32).min(taken);
        // Half of what the client still has, not of the window: unread data elsewhere must not keep the rest closed.
        if self.read == 0 || self.read < self.available / 2 {
            return None;
        }
        self.available += self.read;
        Some(std::mem::take(&mut self.read))
    }
}

/// What the server may still send; negative after the client made its windows smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWindow(i64);

impl SendWindow {
    #[inline]
    pub(crate) fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    #[inline]
    pub(crate) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.room(), "sent into a closed window");
        self.0 -= bytes as i64;
    }

    /// The client opened the window, or changed what all windows begin with. An error above 31 bits.
    #[inline]
    pub(crate) fn change(&mut self, by: i64) -> Result<(), Reason> {
        self.0 += by;
        if self.0 > i64::from(LOW_31_BITS) {
            return Err(Reason::FlowControl);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it is read, the client is told of all that was read but less than half a window, and never may
        /// send more than a window.
        #[test]
        fn what_is_read_is_given_back(steps in proptest::collection::vec((0usize..700, 0usize..700), 0..200)) {
            let mut window = ReceiveWindow::new(1000);
            let (mut may, mut unread) = (1000usize, 0usize);
            for (send, read) in steps {
                let send = send.min(may);
                prop_assert_eq!(window.take(send), Ok(()));
                may -= send;
                unread += send;
                let read = read.min(unread);
                unread -= read;
                may += window.release(read).unwrap_or(0) as usize;
                prop_assert!(may + unread <= 1000);
                prop_assert!(may + unread > 500);
            }
            prop_assert_eq!(window.take(may + 1), Err(Reason::FlowControl));
        }
    }

    #[test]
    fn send_windows_may_be_negative_but_not_too_large() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.change(-5).expect("smaller");
        assert_eq!(window.room(), 0);
        window.change(6).expect("larger");
        assert_eq!(window.room(), 1);
        assert_eq!(
            window.change(i64::from(LOW_31_BITS)),
            Err(Reason::FlowControl)
        );
    }
}
