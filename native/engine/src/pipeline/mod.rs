//! The pipeline: takes a request from the transport through batch, log and store to its answer (docs/architecture.md,
//! "A put"). Two threads of its own, one that writes the WAL and one that applies; the batcher runs on its callers'.
//!
//! Every request that `submit` took is answered exactly once through `Completions`: by apply, by an error of the
//! control plane or of the disk, or with `server stopped` at the end.

mod apply;
pub mod batch;
mod batcher;
mod cache;
mod core;
mod follow;
mod gate;
mod grants;
mod intake;
mod lead;
pub mod message;
mod metrics;
mod ports;
mod queue;
mod read_index;
mod reads;
mod replicate;
mod running;
mod state;
mod submit;
mod wal_log;
mod writer;

#[cfg(test)]
mod caller_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod driver_test;
#[cfg(test)]
mod fastpath_test;
#[cfg(test)]
mod grant_test;
#[cfg(test)]
mod install_test;
#[cfg(test)]
mod log_test;
#[cfg(test)]
mod slow_test;
#[cfg(test)]
mod testing;

pub use self::core::{Core, PipelineConfig, StartMarks};
pub use self::follow::Received;
pub use self::gate::Install;
pub use self::intake::{PersistEntry, PersistPayload};
pub use self::lead::{GrantKind, GrantMember, Quorum, Streamed};
pub use self::metrics::{ReadKind, SlowRead};
pub use self::ports::{
    Applied, Apply, ApplyContext, EntryMeta, HardState, Log, LogEntry, LogError, LogLevel, LogRead,
    MetaTable, MetaWrite, PeerLinks, PipelineError, PipelineEvents,
};
pub use self::reads::ReadBarrier;
pub use self::running::{Neighbours, Pipeline};
pub use self::wal_log::{LogPlace, LogRecovered, OpenedLog, PipelineOpenError, WalLog};
