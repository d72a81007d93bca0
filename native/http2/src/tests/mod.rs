//! Tests of the server: frame by frame against a client that writes and reads bytes, and call by call against the h2
//! crate's client.

mod blocks;
mod calls;
mod ends;
mod errors;
mod fairness;
mod flow;
mod kit;
mod limits;
mod malformed;
mod resets;
mod script;
