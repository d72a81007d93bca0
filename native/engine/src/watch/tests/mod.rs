//! Tests of the hub and of sessions on it, by subject, over one fake store.

mod clients;
mod cohorts;
mod crowds;
mod hub;
mod progress;
mod random;
mod session;
mod store;
mod stream;
mod turns;
mod walks;

use std::time::Duration;

/// Past this a wake was lost: the tests wait for events, never for time.
const STUCK: Duration = Duration::from_secs(60);
