//! A disk in memory for tests: it forgets what was not synced, tears writes into sectors, flips bits, fills up and
//! fails syncs, all decided by the test (and a seed), never by time. Production code runs on it unchanged.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

mod crash;

pub use crash::CrashLoss;
use crash::{NameChange, Pending, Random, apply_names, apply_pending, pending_bytes, write_into};

#[derive(Default)]
struct State {
    durable: BTreeMap<u64, Vec<u8>>,
    current: BTreeMap<u64, Vec<u8>>,
    durable_names: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    pending: Vec<Pending>,
    pending_names: Vec<NameChange>,
    next_inode: u64,
    syncs: u64,
    fail_sync: Option<u64>,
    fail_write: Option<u64>,
    writes: u64,
    halt_at_sync: Option<u64>,
    halted: bool,
    capacity: Option<u64>,
    no_descriptors: bool,
    open_files: usize,
}

/// A disk in memory; clones are handles to the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// This disk as the trait object that production code takes.
    pub fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Sync points passed so far: calls of `sync_data` and `sync_dir`, failed ones too.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The sync point with this number (the first is 1) fails with EIO and makes nothing durable.
    pub fn fail_sync(&self, number: u64) {
        self.state.lock().fail_sync = Some(number);
    }

    /// The write that comes `after` others from now (0 = the next) fails with EIO, half of it written.
    pub fn fail_write(&self, after: u64) {
        let mut state = self.state.lock();
        state.fail_write = Some(state.writes + after + 1);
    }

    /// The power is cut just before the sync point with this number (the first is 1): every call fails from there on.
    pub fn halt_at_sync(&self, number: u64) {
        self.state.lock().halt_at_sync = Some(number);
    }

    /// Bytes that all files together may have; `None` = without end.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Whether files can be opened and made, or the process is out of descriptors.
    pub fn set_no_descriptors(&self, none: bool) {
        self.state.lock().no_descriptors = none;
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.state.lock().open_files
    }

    /// Bytes that all files have.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Bytes written and not yet synced.
    pub fn unsynced_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.pending.iter().map(pending_bytes).sum()
    }

    /// Flips one bit of a file, on the disk and in its cache.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        let mut state = self.state.lock();
        let inode = state.names[name];
        let State {
            durable, current, ..
        } = &mut *state;
        for content in [durable.get_mut(&inode), current.get_mut(&inode)] {
            if let Some(byte) = content.and_then(|c| c.get_mut(offset as usize)) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// The content of a file as a process sees it.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state.lock();
        state.current[&state.names[name]].clone()
    }

    /// The disk that a restart after a power cut would see; this one stays as it is.
    pub fn crash(&self, loss: CrashLoss) -> SimDisk {
        let state = self.state.lock();
        let mut random = Random::new(loss);
        let mut files = state.durable.clone();
        apply_pending(&mut files, &state.pending, loss, &mut random);
        let mut names = state.durable_names.clone();
        apply_names(&mut names, &state.pending_names, loss, &mut random);
        files.retain(|inode, _| names.values().any(|i| i == inode));
        for inode in names.values() {
            files.entry(*inode).or_default();
        }
        SimDisk {
            state: Arc::new(Mutex::new(State {
                current: files.clone(),
                durable: files,
                names: names.clone(),
                durable_names: names,
                next_inode: state.next_inode,
                capacity: state.capacity,
                ..State::default()
            })),
        }
    }
}

impl State {
    fn used(&self) -> u64 {
        // A file without a name is gone as far as its space goes, though open handles still read it.
        self.names
            .values()
            .map(|i| self.current[i].len() as u64)
            .sum()
    }

    fn check_power(&self) -> io::Result<()> {
        if self.halted {
            return Err(io::Error::other("the simulated power is off"));
        }
        Ok(())
    }

    fn check_room(&self, inode: u64, bytes: u64) -> io::Result<()> {
        let grows = bytes.saturating_sub(self.current[&inode].len() as u64);
        if self
            .capacity
            .is_some_and(|c| grows > 0 && self.used() + grows > c)
        {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    fn check_descriptors(&self) -> io::Result<()> {
        if self.no_descriptors {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        Ok(())
    }

    fn sync_point(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.syncs += 1;
        if self.halt_at_sync == Some(self.syncs) {
            self.halted = true;
        }
        self.check_power()?;
        if self.fail_sync == Some(self.syncs) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn set_length(&mut self, inode: u64, bytes: u64) -> io::Result<()> {
        self.check_power()?;
        self.check_room(inode, bytes)?;
        if let Some(content) = self.current.get_mut(&inode) {
            content.resize(bytes as usize, 0);
        }
        self.pending.push(Pending::Length { inode, bytes });
        Ok(())
    }

    fn write(&mut self, inode: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_power()?;
        self.check_room(inode, at + bytes.len() as u64)?;
        self.writes += 1;
        let fails = self.fail_write == Some(self.writes);
        let bytes = if fails {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        if let Some(content) = self.current.get_mut(&inode) {
            write_into(content, at, bytes);
        }
        let bytes = bytes.to_vec();
        self.pending.push(Pending::Write { inode, at, bytes });
        if fails {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn inode(&self, name: &str) -> io::Result<u64> {
        self.check_power()?;
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let inode = {
            let mut state = self.state.lock();
            state.check_power()?;
            state.check_descriptors()?;
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = state.next_inode;
            state.current.insert(inode, Vec::new());
            if let Err(error) = state.check_room(inode, bytes) {
                state.current.remove(&inode);
                return Err(error);
            }
            state.next_inode += 1;
            state.set_length(inode, bytes)?;
            state.names.insert(name.to_owned(), inode);
            state
                .pending_names
                .push(NameChange::Set(name.to_owned(), inode));
            inode
        };
        Ok(SimFile::open(self, inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = {
            let state = self.state.lock();
            state.check_descriptors()?;
            state.inode(name)?
        };
        Ok(SimFile::open(self, inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.check_power()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state
            .pending_names
            .push(NameChange::Set(to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.inode(name)?;
        state.names.remove(name);
        state.pending_names.push(NameChange::Unset(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.sync_point()?;
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn display(&self, name: &str) -> String {
        format!("sim/{name}")
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimFile {
    fn open(disk: &SimDisk, inode: u64) -> Arc<dyn DiskFile> {
        disk.state.lock().open_files += 1;
        let disk = disk.clone();
        Arc::new(Self { disk, inode })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state.lock().open_files -= 1;
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state.lock();
        state.check_power()?;
        let content = &state.current[&self.inode];
        let from = (offset as usize).min(content.len());
        let read = into.len().min(content.len() - from);
        into[..read].copy_from_slice(&content[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state.lock().write(self.inode, offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.sync_point()?;
        let inode = self.inode;
        let all = std::mem::take(&mut state.pending);
        let (mine, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| p.inode() == inode);
        state.pending = others;
        let all_of_it = CrashLoss::Nothing;
        apply_pending(
            &mut state.durable,
            &mine,
            all_of_it,
            &mut Random::new(all_of_it),
        );
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.state.lock().set_length(self.inode, bytes)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        if self.len()? < bytes {
            self.truncate(bytes)?;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        state.check_power()?;
        Ok(state.current[&self.inode].len() as u64)
    }
}
