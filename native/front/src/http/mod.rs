//! HTTP requests that are no gRPC calls: handed over whole, answered whole or as a stream by the control plane.

mod admit;
mod exchange;
mod head;
pub(crate) mod over_http1;
pub(crate) mod over_http2;

pub(crate) use head::{Head, HttpOutbound};
