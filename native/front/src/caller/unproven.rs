//! Requests that wait although nobody has shown yet that he may make them: anybody can send those.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits::UNPROVEN_BYTES_MAX;

/// The bytes of all such requests of one worker.
pub(crate) type UnprovenBytes = Rc<Cell<usize>>;

/// The memory of such a request, while it waits.
pub(crate) struct Unproven {
    all: UnprovenBytes,
    bytes: usize,
}

impl Unproven {
    /// None: too much waits already.
    pub(crate) fn hold(all: &UnprovenBytes, bytes: usize) -> Option<Self> {
        let held = all.get() + bytes;
        (held <= UNPROVEN_BYTES_MAX).then(|| {
            all.set(held);
            Self {
                all: all.clone(),
                bytes,
            }
        })
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}
