//! gRPC over HTTP/2: message framing, metadata, status, the table of methods, and streams of messages.

pub(crate) mod bearer;
pub(crate) mod buf;
pub(crate) mod decode;
pub(crate) mod deframe;
pub(crate) mod end;
#[cfg(test)]
mod fuzz_test;
pub(crate) mod head;
pub(crate) mod methods;
pub(crate) mod percent;
pub(crate) mod status;
pub(crate) mod stream;
