//! HTTP requests that are no gRPC calls: handed over whole, answered whole or as a stream by the control plane. Probes
//! that it has answered beforehand it does not see.

mod admit;
mod exchange;
mod head;
pub(crate) mod over_http1;
pub(crate) mod over_http2;
mod probe;

pub use head::header_map;
pub(crate) use head::{Head, HttpOutbound};
