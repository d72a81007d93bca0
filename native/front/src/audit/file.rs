//! The log's file: it is opened anew when somebody has moved it away, and rotated when it is large or old. Rotated files
//! lie beside it with the time of their end in their names, the oldest of which are removed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::config::AuditConfig;
use crate::calendar::{seconds, since_1970};
use crate::limits::{AUDIT_FILE_AGE_MAX, AUDIT_REOPEN_CHECK};

/// Nobody but the server's own user has a use for who did what.
const MODE: u32 = 0o600;

/// Where lines go.
pub(crate) trait Output: Send {
    /// Before lines are written that are so long: what they go to is changed if it has to be.
    ///
    /// # Errors
    /// It could not be; lines go where they went before.
    fn prepare(&mut self, bytes: usize) -> io::Result<()>;

    /// Takes from the front of the lines what it has written.
    ///
    /// # Errors
    /// The system's; a part may be written.
    fn write(&mut self, lines: &mut &[u8]) -> io::Result<()>;
}

/// A file that is open.
struct Open {
    file: File,
    bytes: u64,
    began: SystemTime,
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        let found = file.metadata()?;
        Ok(Self {
            file,
            bytes: found.len(),
            // Where the system does not know, it begins now.
            began: found.created().unwrap_or_else(|_| SystemTime::now()),
        })
    }
}

pub(crate) struct LogFile {
    path: PathBuf,
    bytes_max: Option<u64>,
    age_max: Option<Duration>,
    backups_max: Option<usize>,
    open: Open,
    /// The time in the name of the file that was rotated last.
    named: Duration,
    /// When it was looked whether the file is still at its path.
    looked: Instant,
}

impl LogFile {
    /// # Errors
    /// The system's.
    pub(crate) fn open(config: &AuditConfig) -> io::Result<Self> {
        Ok(Self {
            path: config.path.clone(),
            bytes_max: config.bytes_max,
            age_max: config.age_max,
            backups_max: config.backups_max,
            open: Open::at(&config.path)?,
            named: Duration::ZERO,
            looked: Instant::now(),
        })
    }

    /// Opens the path anew if another file is there, or none.
    fn follow(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let same =
            |found: &Metadata, own: &Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
        let own = self.open.file.metadata()?;
        // Somebody may have cut it short, as logrotate's copytruncate does.
        self.open.bytes = own.len();
        match std::fs::metadata(&self.path) {
            Ok(found) if same(&found, &own) => {}
            Ok(_) => self.open = Open::at(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.open = Open::at(&self.path)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_due(&self, bytes: usize, now: SystemTime) -> bool {
        let Open {
            bytes: there,
            began,
            ..
        } = self.open;
        let is_large = self.bytes_max.is_some_and(|max| there + bytes as u64 > max);
        let is_old = self.age_max.is_some()
            && now.duration_since(began).unwrap_or_default() >= AUDIT_FILE_AGE_MAX;
        there > 0 && (is_large || is_old)
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let name = self.free_name(now);
        std::fs::rename(&self.path, name)?;
        self.open = Open::at(&self.path)?;
        self.remove_old(now)
    }

    /// `audit-2006-01-02T15-04-05.000.log` for `audit.log`; later than that of the last one, whatever the time is.
    fn free_name(&mut self, now: SystemTime) -> PathBuf {
        let (stem, extension) = self.names();
        const STEP: Duration = Duration::from_millis(1);
        let mut since = since_1970(now).max(self.named + STEP);
        loop {
            self.named = since;
            let second = seconds(since.as_secs(), *b"--T--");
            let name = format!("{stem}-{second}.{:03}{extension}", since.subsec_millis());
            let path = self.path.with_file_name(name);
            if !path.exists() {
                return path;
            }
            since += STEP;
        }
    }

    /// The file's name before and after the time.
    fn names(&self) -> (String, String) {
        let name =
            |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let stem = name(self.path.file_stem()).unwrap_or_default();
        let extension = name(self.path.extension()).map_or_else(String::new, |it| format!(".{it}"));
        (stem, extension)
    }

    /// Rotated files, the newest first; times in their names are of one length, and so in order.
    fn rotated(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let (stem, extension) = self.names();
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let time = name
                .to_str()
                .and_then(|name| {
                    name.strip_prefix(&stem)?
                        .strip_prefix('-')?
                        .strip_suffix(&extension)
                })
                .filter(|time| is_time(time));
            if let Some(time) = time {
                found.push((time.to_owned(), entry.path()));
            }
        }
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(found)
    }

    fn remove_old(&self, now: SystemTime) -> io::Result<()> {
        if self.backups_max.is_none() && self.age_max.is_none() {
            return Ok(());
        }
        let oldest = self.age_max.map(|age| {
            let since = since_1970(now).saturating_sub(age);
            format!(
                "{}.{:03}",
                seconds(since.as_secs(), *b"--T--"),
                since.subsec_millis()
            )
        });
        for (at, (time, path)) in self.rotated()?.into_iter().enumerate() {
            let too_many = self.backups_max.is_some_and(|max| at >= max);
            let too_old = oldest.as_ref().is_some_and(|oldest| time < *oldest);
            if too_many || too_old {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn prepare_at(&mut self, bytes: usize, now: SystemTime) -> io::Result<()> {
        if self.looked.elapsed() >= AUDIT_REOPEN_CHECK {
            self.follow()?;
        }
        if self.is_due(bytes, now) {
            // Not what somebody has put in the file's place.
            self.follow()?;
            if self.is_due(bytes, now) {
                self.rotate(now)?;
            }
        }
        Ok(())
    }
}

/// Whether a part of a name is a time as `free_name` makes them.
fn is_time(text: &str) -> bool {
    const LIKE: &[u8] = b"0000-00-00T00-00-00.000";
    text.len() == LIKE.len()
        && text.bytes().zip(LIKE).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

impl Output for LogFile {
    fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        self.prepare_at(bytes, SystemTime::now())
    }

    fn write(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            match self.open.file.write(lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.open.bytes += written as u64;
                    *lines = &lines[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
