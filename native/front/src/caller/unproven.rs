//! Requests that wait although nobody has shown yet that he may make them: anybody can send those.

use std::rc::Rc;

use crate::limits::UNPROVEN_BYTES_MAX;
use crate::worker::Worker;

/// The memory of such a request, while it waits.
pub(crate) struct Unproven {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Unproven {
    /// None: too much waits already.
    pub(crate) fn hold(worker: &Rc<Worker>, bytes: usize) -> Option<Self> {
        let held = worker.unproven_bytes.get() + bytes;
        (held <= UNPROVEN_BYTES_MAX).then(|| {
            worker.unproven_bytes.set(held);
            Self {
                worker: worker.clone(),
                bytes,
            }
        })
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        let held = self.worker.unproven_bytes.get();
        self.worker.unproven_bytes.set(held - self.bytes);
    }
}
