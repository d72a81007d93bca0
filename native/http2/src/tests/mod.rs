//! Tests of the server: frame by frame against a client that writes and reads bytes, whether they make sense or not
//! (fuzz), and call by call against the h2 crate's client.

mod blocks;
mod calls;
mod ends;
mod errors;
mod fairness;
mod flow;
mod fuzz;
mod kit;
mod limits;
mod malformed;
mod resets;
mod script;
