//! Every limit of a run, in one place.

/// Seconds that a target runs in every test run.
pub(crate) const QUICK_SECONDS: u64 = 1;
/// Seconds that a target runs at full depth.
pub(crate) const FULL_SECONDS: u64 = 20;
/// Inputs that are changed further.
pub(crate) const POOL_INPUTS_MAX: usize = 4096;
/// Bytes of an input.
pub(crate) const INPUT_BYTES_MAX: usize = 4096;
/// Changes that make one input from another.
pub(crate) const CHANGES_MAX: usize = 4;
/// Bytes that one change moves, removes or repeats.
pub(crate) const PIECE_BYTES_MAX: usize = 64;
