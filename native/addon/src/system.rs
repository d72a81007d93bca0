//! What the control plane needs of the system before there is an engine.

use std::path::Path;

use napi::Result;
use napi_derive::napi;
use netcd_engine::disk;
use parking_lot::Mutex;

use crate::check::reason;

/// A directory that nobody else has; see binding.ts.
#[napi]
pub struct DirectoryLock {
    held: Mutex<Option<disk::DirectoryLock>>,
}

#[napi]
impl DirectoryLock {
    /// Lets others have it.
    #[napi]
    pub fn release(&self) {
        drop(self.held.lock().take());
    }
}

/// Locks a directory; null if another handle or process has it.
#[napi]
pub fn lock_directory(path: String) -> Result<Option<DirectoryLock>> {
    let lock = disk::DirectoryLock::acquire(Path::new(&path)).map_err(reason)?;
    Ok(lock.map(|held| DirectoryLock {
        held: Mutex::new(Some(held)),
    }))
}

/// Descriptors that this process may have open; infinite where there is no limit.
#[napi]
pub fn descriptor_limit() -> Result<f64> {
    Ok(netcd_front::descriptor_limit().map_err(reason)? as f64)
}
