//! The store's own rows in `meta`: format version, consistent index, compaction marks. Integers are little endian.

use crate::types::LogMark;

use super::{Batch, Snapshot, Table, Tree, TreeError};

/// Version of the file's format.
const FORMAT: u32 = 1;
const FORMAT_ROW: &[u8] = b"format";
const APPLIED_ROW: &[u8] = b"applied";
const SCHEDULED_ROW: &[u8] = b"compact-scheduled";
const FINISHED_ROW: &[u8] = b"compact-finished";
const INSTALLED_ROW: &[u8] = b"installed";

/// Where the committed state stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marks {
    /// The last entry whose changes are all here; none of a later one's are.
    pub applied: LogMark,
    /// Store revision after that entry.
    pub revision: i64,
    /// Revision of the last accepted compaction, -1 = none.
    pub compact_scheduled: i64,
    /// Revision of the last compaction whose removals are done, -1 = none.
    pub compact_finished: i64,
}

impl Tree {
    /// Writes the format version into a new file and checks that of an old one.
    pub(super) fn check_format(&self) -> Result<(), TreeError> {
        let found = self
            .snapshot()?
            .row(Table::Meta, FORMAT_ROW)?
            .map(|row| {
                row.try_into()
                    .map(u32::from_le_bytes)
                    .map_err(|_| self.damaged("format row"))
            })
            .transpose()?;
        match found {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(TreeError::Format {
                path: self.path.clone(),
                found,
                known: FORMAT,
            }),
            None => {
                let mut batch = self.batch()?;
                batch.put_row(Table::Meta, FORMAT_ROW, &FORMAT.to_le_bytes())?;
                batch.commit()
            }
        }
    }
}

impl Snapshot<'_> {
    /// The marks; a new store stands before all entries, at revision 1.
    pub fn marks(&self) -> Result<Marks, TreeError> {
        let damaged = || self.tree().damaged("applied row");
        let mut marks = Marks {
            applied: LogMark::default(),
            revision: 1,
            compact_scheduled: self.revision_row(SCHEDULED_ROW)?,
            compact_finished: self.revision_row(FINISHED_ROW)?,
        };
        if let Some(row) = self.row(Table::Meta, APPLIED_ROW)? {
            let row: &[u8; 24] = row.try_into().map_err(|_| damaged())?;
            let word = |at: usize| -> [u8; 8] {
                row[at..at + 8].try_into().expect("a slice of eight bytes")
            };
            marks.applied.index = u64::from_le_bytes(word(0));
            marks.applied.term = u64::from_le_bytes(word(8));
            marks.revision = i64::from_le_bytes(word(16));
        }
        Ok(marks)
    }

    /// The entry at which this store was received whole from another member; the default if it never was.
    pub fn installed(&self) -> Result<LogMark, TreeError> {
        let Some(row) = self.row(Table::Meta, INSTALLED_ROW)? else {
            return Ok(LogMark::default());
        };
        let damaged = || self.tree().damaged("installed row");
        let (index, term) = row.split_at_checked(8).ok_or_else(damaged)?;
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
        Ok(LogMark {
            index: word(index).map_err(|_| damaged())?,
            term: word(term).map_err(|_| damaged())?,
        })
    }

    fn revision_row(&self, name: &[u8]) -> Result<i64, TreeError> {
        match self.row(Table::Meta, name)? {
            None => Ok(-1),
            Some(row) => row
                .try_into()
                .map(i64::from_le_bytes)
                .map_err(|_| self.tree().damaged("compaction row")),
        }
    }
}

impl Batch<'_> {
    /// Records the entry up to which this batch completes the store, and the store's revision after it.
    pub fn set_applied(&mut self, mark: LogMark, revision: i64) -> Result<(), TreeError> {
        let mut row = [0; 24];
        row[..8].copy_from_slice(&mark.index.to_le_bytes());
        row[8..16].copy_from_slice(&mark.term.to_le_bytes());
        row[16..].copy_from_slice(&revision.to_le_bytes());
        self.put_row(Table::Meta, APPLIED_ROW, &row)
    }

    /// Records that the store was received from another member and stands at this entry, which its log may not have.
    pub fn set_installed(&mut self, mark: LogMark) -> Result<(), TreeError> {
        let row = [mark.index.to_le_bytes(), mark.term.to_le_bytes()].concat();
        self.put_row(Table::Meta, INSTALLED_ROW, &row)
    }

    /// Records an accepted compaction, so that a crash resumes it.
    pub fn set_compact_scheduled(&mut self, revision: i64) -> Result<(), TreeError> {
        self.put_row(Table::Meta, SCHEDULED_ROW, &revision.to_le_bytes())
    }

    /// Records that a compaction's removals are done.
    pub fn set_compact_finished(&mut self, revision: i64) -> Result<(), TreeError> {
        self.put_row(Table::Meta, FINISHED_ROW, &revision.to_le_bytes())
    }
}
