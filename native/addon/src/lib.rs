//! The addon: napi glue between the TypeScript control plane and the Rust data plane. The boundary is
//! src/native/binding.ts; the names here are the same. Every engine is a handle, there is no process-wide state;
//! what concerns the whole process (signals) is a function that only a program calls.

#![deny(missing_docs)]

// Before those who return promises: napi writes into index.d.ts what it has read by then of what they resolve to.
mod tasks;

mod auth;
mod backend;
mod buffer;
mod check;
mod engine;
mod event;
mod events;
mod found;
mod leases;
mod limits;
mod links;
mod log;
mod open;
mod options;
mod peers;
mod queue;
/// Public because nothing of Rust calls its function: JavaScript does.
pub mod selfsigned;
mod shared;
// napi registers functions, other than methods, only outside of tests.
#[cfg(not(test))]
mod signals;
mod sink;
mod snapshots;
mod store;
/// Public because nothing of Rust calls its functions: JavaScript does.
pub mod system;
/// Public for the same reason.
pub mod tls;
mod transport;
mod watches;
