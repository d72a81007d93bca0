//! How much room the file system of the tree has.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::limits::DISK_EXHAUSTED_BYTES;

/// Whether less is free than one commit may need. False if the file system does not tell.
pub fn is_exhausted(path: &Path) -> bool {
    free_bytes(path).is_some_and(|free| free < DISK_EXHAUSTED_BYTES)
}

/// Bytes that an unprivileged process may still write.
fn free_bytes(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a zero byte, and statvfs writes nothing but the struct it is given.
    let code = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if code != 0 {
        return None;
    }
    // SAFETY: statvfs returned 0, so it has filled the struct.
    let stat = unsafe { stat.assume_init() };
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_told_of_what_exists_only() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(free_bytes(dir.path()).expect("a file system") > 0);
        assert_eq!(free_bytes(&dir.path().join("missing")), None);
        assert!(!is_exhausted(&dir.path().join("missing")));
    }
}
