//! A snapshot on its way out: LMDB's compacted copy, made while it is read. It lies nowhere as a whole, so it needs no
//! room on the disk.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::mvcc::Store;
use crate::tree::TreeError;

use super::{SnapshotError, SnapshotInfo, SnapshotStart, io_error};

/// See the file's head. Puts, reads and commits go on meanwhile; pages that they leave are used again when it ends.
/// Dropped, it ends with LMDB's next write, a thread of its own later.
pub struct Outgoing {
    store: Arc<Store>,
    path: PathBuf,
    pipe: BufReader<PipeReader>,
    /// Writes into the pipe. None once it has ended well.
    copying: Option<JoinHandle<Result<(), TreeError>>>,
    start: SnapshotStart,
    bytes: u64,
    checksum: u32,
    began: Instant,
}

impl Outgoing {
    /// Of everything that is applied now. Blocks until it is in the tree, and then commits until LMDB has read its first
    /// megabyte.
    pub fn begin(store: &Arc<Store>) -> Result<Self, SnapshotError> {
        store.flush();
        let began = Instant::now();
        store.between_commits(|tree| {
            let path = tree.path().to_owned();
            let io = |source| io_error(&path, source);
            let marks = tree.snapshot()?.marks()?;
            let bytes_max = tree.size()?.bytes;
            let (reader, writer) = std::io::pipe().map_err(io)?;
            let copied = Arc::clone(tree);
            let copying = thread::Builder::new()
                .name("netcd-copy".into())
                .spawn(move || copied.copy_to(&mut File::from(OwnedFd::from(writer))))
                .map_err(io)?;
            let mut pipe = BufReader::new(reader);
            // LMDB has begun its read transaction before its first byte comes; until then no commit may change the tree.
            if pipe.fill_buf().map_err(io)?.is_empty() {
                join(copying)?;
                unreachable!("a copy has at least LMDB's two meta pages");
            }
            Ok(Self {
                store: Arc::clone(store),
                pipe,
                copying: Some(copying),
                start: SnapshotStart {
                    applied: marks.applied,
                    revision: marks.revision,
                    bytes_max,
                },
                bytes: 0,
                checksum: 0,
                began,
                path,
            })
        })
    }

    /// What is known before the first byte.
    pub fn start(&self) -> SnapshotStart {
        self.start
    }

    /// Fills `buffer` as far as there are bytes; fewer are the end. Blocks. After an error it is of no use.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SnapshotError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = self.pipe.read(&mut buffer[filled..]);
            match read.map_err(|source| io_error(&self.path, source))? {
                0 => {
                    self.ended()?;
                    break;
                }
                more => filled += more,
            }
        }
        self.bytes += filled as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &buffer[..filled]);
        Ok(filled)
    }

    /// The pipe is closed: the copy is whole or has failed.
    fn ended(&mut self) -> Result<(), SnapshotError> {
        if let Some(copying) = self.copying.take() {
            join(copying)?;
            self.store.copied(self.began.elapsed());
        }
        Ok(())
    }

    /// What was read; once all of it was, what the snapshot holds.
    pub fn info(&self) -> SnapshotInfo {
        self.start.whole(self.bytes, self.checksum)
    }
}

fn join(copying: JoinHandle<Result<(), TreeError>>) -> Result<(), TreeError> {
    copying.join().expect("copying does not panic")
}
