//! Multi-version concurrency control: the store of revisions and the rules of its requests.
//!
//! One apply thread changes the store, in log order; any number of threads read. Both meet in `State`, under a lock
//! that is held for looks at the index and the tail and never for I/O. A reader takes what the tail has under the lock
//! and opens a snapshot of the tree afterwards: what was not in the tail then is in that snapshot.

mod api;
mod apply;
mod compact;
mod compaction_hashes;
mod compactions;
mod compare;
mod defragment;
mod directory;
mod encode;
mod flush_control;
mod flusher;
mod flushing;
mod hash;
mod history;
mod install;
mod kv;
mod meta;
mod metrics;
mod open;
mod pace;
mod page;
mod pins;
mod plan;
mod range;
mod recover;
mod scan;
mod select;
mod state;
mod store;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod txn;
pub mod validate;
mod watching;
mod write;

pub use api::*;
pub use defragment::DefragmentError;
pub use directory::SNAPSHOT_DIRECTORY;
pub(crate) use install::Coming;
pub use kv::KvView;
pub(crate) use meta::read_meta;
pub use store::Store;
