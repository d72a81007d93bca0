//! The disk of production: one locked directory, positioned reads and writes, fdatasync.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirectoryLock, Disk, DiskFile};

/// How a `RealDisk` behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDiskOptions {
    /// Do not wait for the disk: a power cut may lose or damage the log (`--unsafe-no-fsync`).
    pub no_fsync: bool,
}

/// A directory on the file system, locked for this handle as long as it lives.
pub struct RealDisk {
    path: PathBuf,
    directory: DirectoryLock,
    options: RealDiskOptions,
}

impl RealDisk {
    /// Makes the directory if it is missing and locks it.
    ///
    /// # Errors
    /// `WouldBlock` if another handle (of this or another process) has the directory.
    pub fn open(path: &Path, options: RealDiskOptions) -> io::Result<Arc<Self>> {
        make_directory(path, options)?;
        let directory = DirectoryLock::acquire(path)?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            directory: directory.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("{} is in use by another process", path.display()),
                )
            })?,
            options,
        }))
    }

    fn file(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(RealFile {
            file,
            no_fsync: self.options.no_fsync,
        })
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        if let Err(error) = preallocate(&file, bytes) {
            drop(file);
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(self.file(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        if self.options.no_fsync {
            return Ok(());
        }
        self.directory.sync()
    }

    fn display(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

struct RealFile {
    file: File,
    no_fsync: bool,
}

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.no_fsync {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        preallocate(&self.file, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Makes the directory and those above it; their new names must survive a power cut as well as what will be in them.
fn make_directory(path: &Path, options: RealDiskOptions) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    if options.no_fsync {
        return Ok(());
    }
    for new in missing {
        let parent = new.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes_signed =
        libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    loop {
        // SAFETY: the descriptor is open for the whole call; fallocate touches no memory of ours.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes_signed) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // A file system without preallocation: writing zeroes reserves the space as well as it can be.
            Some(libc::EOPNOTSUPP) => return write_zeroes(file, bytes),
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    write_zeroes(file, bytes)
}

fn write_zeroes(file: &File, bytes: u64) -> io::Result<()> {
    static CHUNK: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = file.metadata()?.len();
    while at < bytes {
        let step = (bytes - at).min(CHUNK.len() as u64);
        file.write_all_at(&CHUNK[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_handle_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("member/wal");
        let first = RealDisk::open(&path, RealDiskOptions::default()).unwrap();
        let refused = RealDisk::open(&path, RealDiskOptions::default())
            .err()
            .unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(refused.to_string().contains("is in use"), "{refused}");
        drop(first);
        RealDisk::open(&path, RealDiskOptions::default()).unwrap();
    }

    #[test]
    fn without_fsync_nothing_is_asked_of_the_disk() {
        let sync = |no_fsync| {
            // Of a pipe nothing can be made durable, so whoever asks for it hears of it.
            let (_reader, writer) = io::pipe().unwrap();
            let file = File::from(std::os::fd::OwnedFd::from(writer));
            RealFile { file, no_fsync }.sync_data()
        };
        assert!(sync(false).is_err());
        assert!(sync(true).is_ok());
    }

    #[test]
    fn files_are_preallocated_read_written_renamed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path(), RealDiskOptions::default()).unwrap();
        let file = disk.create("a", 10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        assert_eq!(
            disk.create("a", 1).err().unwrap().kind(),
            io::ErrorKind::AlreadyExists
        );
        file.write_at(b"hello", 4_094).unwrap();
        file.sync_data().unwrap();
        disk.rename("a", "b").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
        let mut read = [9; 7];
        disk.open("b")
            .unwrap()
            .read_exact_at(&mut read, 4_093)
            .unwrap();
        assert_eq!(&read, b"\0hello\0");
        file.truncate(4_096).unwrap();
        assert_eq!(file.read_at(&mut read, 4_093).unwrap(), 3);
        file.preallocate(8_192).unwrap();
        file.read_exact_at(&mut read, 4_094).unwrap();
        assert_eq!(&read, b"he\0\0\0\0\0");
        disk.remove("b").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }
}
