//! netcd's storage engine: the WAL, the tree index, the revision tree, MVCC, leases and watch, and the pipeline that
//! takes a batch of requests through them. It knows neither network nor napi.

pub mod auth;
mod background;
pub mod describe;
pub mod disk;
pub mod error;
pub mod index;
pub mod lease;
pub mod limits;
pub mod metrics;
pub mod mvcc;
pub mod pipeline;
pub mod proto;
pub mod snapshot;
pub mod tree;
pub mod types;
pub mod wal;
pub mod watch;
pub mod wire;
