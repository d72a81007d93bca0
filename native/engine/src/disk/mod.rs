//! What the WAL asks of a disk, as a trait: the real directory behind one implementation, and behind the other a disk
//! for tests that forgets, tears, flips, fills up and fails. All names are plain file names in one directory.

use std::io;
use std::sync::Arc;

mod lock;
mod real;
pub mod sim;

pub use lock::DirectoryLock;
pub use real::{RealDisk, RealDiskOptions};
pub use sim::{CrashLoss, SimDisk};

/// A directory of files that one process uses. Handles are shared as `Arc<dyn Disk>`.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file of `bytes` zeroes whose space is reserved: writes inside it cannot meet a full disk. Fails if the
    /// name is taken; leaves nothing behind when there is no room (`io::ErrorKind::StorageFull`).
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Names of all files, in order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, replacing a file of that name. Durable after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name; open handles go on working. Durable after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// The name as an operator should read it in a message.
    fn display(&self, name: &str) -> String;
}

/// An open file. Offsets and lengths are in bytes; calls may come from several threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `into.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes, growing the file if needed. Durable after `sync_data`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far durable. After an error nothing is known about what is on the disk.
    fn sync_data(&self) -> io::Result<()>;
    /// Shortens (or lengthens, sparsely) the file.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Reserves space so that the file is at least `bytes` long; what is added reads as zeroes.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `into` or fails with `UnexpectedEof`.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_at(into, offset)?;
        if read < into.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Whether an error says that the system is out of something that it may have again: room on the disk (or in the quota on
/// it), descriptors, memory.
pub fn is_shortage(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
