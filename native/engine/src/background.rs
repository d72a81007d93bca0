//! Threads whose work can wait while requests want the processor.

#[cfg(target_os = "linux")]
use crate::limits::BACKGROUND_NICE;

/// Lets the calling thread have the processor after those that serve requests. It still gets its share of a busy
/// machine, only a smaller one.
#[cfg(target_os = "linux")]
pub(crate) fn yield_to_requests() {
    // SAFETY: the calls take numbers and touch no memory; Linux gives every thread a niceness of its own.
    let refused = unsafe {
        let thread = libc::gettid().unsigned_abs();
        let niceness = libc::getpriority(libc::PRIO_PROCESS, thread).max(BACKGROUND_NICE);
        libc::setpriority(libc::PRIO_PROCESS, thread, niceness) != 0
    };
    // Everybody may lower a priority; where a sandbox forbids it the thread works as before.
    debug_assert!(!refused, "the niceness can be raised");
}

/// Elsewhere niceness is the process's, so the thread works as any other.
#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_to_requests() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_is_nice() {
        let niceness = || {
            // SAFETY: as above.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, libc::gettid().unsigned_abs()) }
        };
        let before = niceness();
        let thread = std::thread::spawn(move || {
            yield_to_requests();
            niceness()
        });
        assert_eq!(thread.join().expect("it ends"), BACKGROUND_NICE.max(before));
        assert_eq!(niceness(), before);
    }
}
