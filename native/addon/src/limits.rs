//! The limits of the addon. Events are bounded by their sources (pipeline: engine/src/limits.rs, transport:
//! front/src/limits.rs); here is what has no other bound.

use std::time::Duration;

/// Time for which marks may wait for JavaScript while the data plane commits by itself.
pub const MARKS_DELAY: Duration = Duration::from_millis(20);
/// Log lines that wait for JavaScript; more are counted and reported as one.
pub const LOG_EVENTS_MAX: usize = 10_000;
/// Bytes of a payload from which JavaScript gets the memory itself; below, a copy is cheaper than its finalizer.
pub const EXTERNAL_BUFFER_BYTES_MIN: usize = 16 << 10;
/// Bytes of payloads that one `readEntries` gives back; it may be fewer entries than asked for.
pub const READ_ENTRIES_BYTES_MAX: usize = 8 << 20;
/// Stores of other members that may wait for JavaScript to install or drop them.
pub const SNAPSHOTS_RECEIVED_MAX: usize = 4;
/// A write below this many bytes of headroom to the quota is measured exactly.
pub const QUOTA_HEADROOM_BYTES: u64 = 1 << 20;
/// Bytes of messages of one watch stream of the control plane that may wait to be drained.
pub const WATCH_BYTES_UNDRAINED_MAX: usize = 1 << 20;
/// Bytes of messages that a watch stream of the control plane writes before it looks at that limit.
pub const WATCH_TURN_BYTES: usize = 64 << 10;
