//! A listening socket in the file system, and its file, which lives as long as somebody listens.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A bound socket with its file.
pub(crate) struct UnixSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket; dropped, it is removed, as etcd does when it stops.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: whoever bound the same path since has a file of its own, which is not ours to remove.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Binds; a file that an earlier process left behind is removed, as etcd does.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let identity = identity_of(path)?;
        // The working directory may change.
        let path = std::path::absolute(path)?;
        let file = SocketFile { path, identity };
        Ok(Self { listener, file })
    }

    /// The socket, and what removes its file.
    pub(crate) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity_of(&self.path).is_ok_and(|now| now == self.identity) {
            // Gone already, or not to be removed: the next process that binds the path removes it, or says why not.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_file_lives_as_long_as_somebody_listens() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("localhost:2379");
        let socket = UnixSocket::bind(&path).expect("bound");
        let (listener, file) = socket.into_parts();
        UnixStream::connect(&path).expect("somebody listens");
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_was_left_behind_is_replaced_and_that_of_another_process_stays() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("socket");
        let old = UnixSocket::bind(&path).expect("bound");
        let new = UnixSocket::bind(&path).expect("bound over the file of the first");
        drop(old);
        UnixStream::connect(&path).expect("the second is there");
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_removed_is_an_error() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(UnixSocket::bind(dir.path()).is_err());
    }
}
