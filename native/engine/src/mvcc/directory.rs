//! The member directory: what defragmentation and snapshots put there beside the store, and what a crash left of it.

use std::fs;
use std::path::Path;

/// Where copies of stores wait, inside the member directory: on the file system of the store, so that a rename does.
pub const SNAPSHOT_DIRECTORY: &str = "snap";

/// What the names of defragmentation's copies begin with.
pub(super) const COPY_PREFIX: &str = "store.mdb.defrag";

/// Creates the member directory, or removes what an interrupted defragmentation or snapshot left in it.
pub(super) fn prepare_directory(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    remove_copies(dir)?;
    empty_snapshots(dir)
}

/// Removes the copies (and their lock files) that a crash or an earlier process left.
fn remove_copies(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY_PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the directory for copies in the member directory `dir` and removes what a crash left in it.
fn empty_snapshots(dir: &Path) -> std::io::Result<()> {
    let copies = dir.join(SNAPSHOT_DIRECTORY);
    fs::create_dir_all(&copies)?;
    for entry in fs::read_dir(&copies)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
