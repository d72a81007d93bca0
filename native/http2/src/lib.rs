//! The server's side of HTTP/2 (RFC 9113), made for many small calls: frames are read where they lie in the receive
//! buffer and written straight into the send buffer, a header block that came before is known by its bytes, and the
//! answers of a turn leave in one write. One thread owns a connection and all that belongs to it.
//!
//! `Connection` reads, writes and gives out requests; `Body` and `Responder` are the two halves of a stream. What one
//! stream does wrong resets that stream, what breaks the connection's state ends it with a GOAWAY.
//!
//! The crate knows nothing of gRPC or of netcd. Whoever serves with it may keep a value of its own with each header
//! block (`RequestHead::memo`), put a prefix before shared bytes (`SendBuf`), and say how often a client may ping
//! (`PingPolicy`); that is all that another HTTP/2 would have to offer in its place.

mod body;
mod connection;
mod control;
mod data;
mod frame;
mod header_block;
mod held;
mod hpack;
mod limits;
mod pings;
mod reason;
mod receive;
mod request;
mod responder;
mod send_buf;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod transmit;
mod waker;
mod window;

pub use body::Body;
pub use connection::{Connection, PREFACE, Request};
pub use header_block::HeaderBlock;
pub use held::Held;
pub use pings::PingPolicy;
pub use reason::{Gone, Reason};
pub use request::RequestHead;
pub use responder::Responder;
pub use send_buf::{PREFIX_BYTES, SendBuf};
pub use state::Config;
