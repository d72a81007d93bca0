//! Remembering whom to wake.

use std::task::Waker;

/// Keeps `waker` in `slot`; a clone is made only if the one there would wake another task.
pub(crate) fn remember(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}
