//! Calls and requests that the control plane serves: what goes out as events, and the way back from its thread.

mod call;
mod registry;

pub(crate) use call::start;
pub(crate) use registry::{Back, Handovers};
