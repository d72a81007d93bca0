//! Signals without a name in Node, which therefore cannot be ignored from JavaScript.

use napi_derive::napi;

/// The first real-time signal that programs may use in every C library; those before it are the libraries' own.
#[cfg(target_os = "linux")]
const FIRST_REAL_TIME: i32 = 35;

/// Has the whole process ignore real-time signals, as a Go program does. Their default is to end it.
#[napi]
pub fn ignore_unnamed_signals() {
    #[cfg(target_os = "linux")]
    for signal in FIRST_REAL_TIME..=libc::SIGRTMAX() {
        // SAFETY: SIG_IGN is a valid disposition of every real-time signal, and no handler of ours is replaced by it.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
