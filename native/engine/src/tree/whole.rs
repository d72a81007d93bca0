//! Whether a file of LMDB has all pages that its tree uses. LMDB maps the file without looking: a page behind its end is a
//! bus error for whoever reads it, which ends the process without a word. So the file is looked at before it is opened,
//! by reads that cannot fail that way.
//!
//! The file may be shorter than its newest commit says: pages that were allocated and given back within one commit are
//! never written, and LMDB lists them as free. So a short file is cut only if it lacks a page that is not listed.
//!
//! What is read here of LMDB's format (version 1, little endian, offsets in a page):
//!
//! | page | fields |
//! | --- | --- |
//! | any | flags u16 at 10 (branch 1, leaf 2, overflow 4, meta 8), end of the node table u16 at 12, node table from 16 |
//! | meta (0 and 1) | magic u32 at 16, version u32 at 20, page size u32 at 40, root of the free list u64 at 80, last page u64 at 136, commit u64 at 144 |
//! | node of a branch | page in six bytes: u16, u16, u16 |
//! | node of a leaf | size of the value u32, flags u16 (1: the value is on overflow pages), size of the key u16, key, value or first page u64 |
//! | value in the free list | count u64, pages u64 |

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const META_BYTES: usize = 152;
const META_MAGIC: u32 = 0xBEEF_C0DE;
const META_VERSION: u32 = 1;
const PAGE_HEADER_BYTES: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const ON_OVERFLOW_PAGES: u16 = 1;
const NO_PAGE: u64 = u64::MAX;
/// A tree of LMDB cannot be deeper.
const DEPTH_MAX: usize = 32;

/// A file that lacks pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Bytes that it has.
    pub bytes: u64,
    /// Bytes that its newest commit needs.
    pub needed: u64,
}

/// Looks at the file. What is empty or not LMDB's is left to LMDB, which refuses it by its first page.
pub fn find_cut(file: &File) -> io::Result<Option<Cut>> {
    let bytes = file.metadata()?.len();
    let Some(meta) = Meta::newest(file)? else {
        return Ok(None);
    };
    let needed = (meta.last_page + 1).saturating_mul(meta.page_bytes);
    if bytes >= needed {
        return Ok(None);
    }
    let first_missing = bytes / meta.page_bytes;
    let pages = Pages {
        file,
        page_bytes: meta.page_bytes as usize,
        first_missing,
    };
    let mut free = BTreeSet::new();
    let whole = pages.free_from(meta.free_root, DEPTH_MAX, &mut free)
        && free.range(..=meta.last_page).count() as u64 == meta.last_page + 1 - first_missing;
    Ok((!whole).then_some(Cut { bytes, needed }))
}

struct Meta {
    page_bytes: u64,
    free_root: u64,
    last_page: u64,
    commit: u64,
}

impl Meta {
    /// That of the newest commit.
    fn newest(file: &File) -> io::Result<Option<Self>> {
        let Some(first) = Self::read(file, 0)? else {
            return Ok(None);
        };
        let second = Self::read(file, first.page_bytes)?;
        Ok(second
            .into_iter()
            .chain([first])
            .max_by_key(|meta| meta.commit))
    }

    fn read(file: &File, at: u64) -> io::Result<Option<Self>> {
        let mut page = [0; META_BYTES];
        match file.read_exact_at(&mut page, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let meta = Self {
            page_bytes: u64::from(u32_at(&page, 40)),
            free_root: u64_at(&page, 80),
            last_page: u64_at(&page, 136),
            commit: u64_at(&page, 144),
        };
        let known = u32_at(&page, 16) == META_MAGIC && u32_at(&page, 20) == META_VERSION;
        let sensible =
            meta.page_bytes.is_power_of_two() && (512..=65_536).contains(&meta.page_bytes);
        Ok((known && sensible && meta.last_page < NO_PAGE).then_some(meta))
    }
}

/// The pages of a file that lacks some at its end.
struct Pages<'f> {
    file: &'f File,
    page_bytes: usize,
    first_missing: u64,
}

impl Pages<'_> {
    /// Collects the missing pages that the free list below `root` names. False: a part of the list itself is missing or
    /// makes no sense.
    fn free_from(&self, root: u64, depth: usize, free: &mut BTreeSet<u64>) -> bool {
        if root == NO_PAGE {
            return true;
        }
        let mut page = vec![0; self.page_bytes];
        if depth == 0 || !self.read(root, 0, &mut page) {
            return false;
        }
        let flags = u16_at(&page, 10);
        let Some(nodes) = nodes(&page) else {
            return false;
        };
        for node in nodes {
            let whole = match flags {
                BRANCH => self.free_from(branch_page(node), depth - 1, free),
                LEAF => self.listed(node, free),
                _ => false,
            };
            if !whole {
                return false;
            }
        }
        true
    }

    /// Takes in one record of the list.
    fn listed(&self, node: &[u8], free: &mut BTreeSet<u64>) -> bool {
        let (size, flags) = (u32_at(node, 0) as usize, u16_at(node, 4));
        let value = 8 + usize::from(u16_at(node, 6));
        let pages = if flags & ON_OVERFLOW_PAGES == 0 {
            node.get(value..value + size).map(<[u8]>::to_vec)
        } else {
            let first = node.get(value..value + 8).map(|bytes| u64_at(bytes, 0));
            first.and_then(|first| self.overflow(first, size))
        };
        let Some(pages) = pages else {
            return false;
        };
        let (pages, _rest) = pages.as_chunks::<8>();
        let Some((count, pages)) = pages.split_first() else {
            return false;
        };
        let count = u64::from_le_bytes(*count);
        let listed = pages.iter().map(|page| u64::from_le_bytes(*page));
        free.extend(listed.filter(|page| *page >= self.first_missing));
        count <= pages.len() as u64
    }

    fn overflow(&self, first: u64, size: usize) -> Option<Vec<u8>> {
        // A file that is this short cannot hold a longer list: the size is damaged.
        if size as u64 > self.first_missing.saturating_mul(self.page_bytes as u64) {
            return None;
        }
        let mut value = vec![0; size];
        self.read(first, PAGE_HEADER_BYTES, &mut value)
            .then_some(value)
    }

    /// False: the file does not have all of it.
    fn read(&self, page: u64, offset: usize, into: &mut [u8]) -> bool {
        let at = page.checked_mul(self.page_bytes as u64);
        at.and_then(|at| at.checked_add(offset as u64))
            .is_some_and(|at| self.file.read_exact_at(into, at).is_ok())
    }
}

/// The nodes of a page, each from its first byte to the end of the page; `None` if the page makes no sense.
fn nodes(page: &[u8]) -> Option<Vec<&[u8]>> {
    let table = page.get(PAGE_HEADER_BYTES..usize::from(u16_at(page, 12)))?;
    let (offsets, _rest) = table.as_chunks::<2>();
    let nodes = offsets.iter().map(|offset| {
        let node = page.get(usize::from(u16::from_le_bytes(*offset))..)?;
        (node.len() >= 8).then_some(node)
    });
    nodes.collect()
}

fn branch_page(node: &[u8]) -> u64 {
    let word = |at| u64::from(u16_at(node, at));
    word(0) | word(2) << 16 | word(4) << 32
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::tree::{Tree, TreeError};
    use crate::types::Revision;

    type Rows = Vec<(i64, Vec<u8>)>;

    fn rows(tree: &Tree) -> Rows {
        let snapshot = tree.snapshot().unwrap();
        let changes = snapshot.changes(Revision { main: 0, sub: 0 }).unwrap();
        changes
            .map(|change| {
                let (key, value) = change.unwrap();
                (key.revision.main, value.to_vec())
            })
            .collect()
    }

    /// A file with a history of puts of all sizes and of removals, so that its end has pages in use and free ones.
    fn history(dir: &Path, seed: u64) -> (PathBuf, Rows) {
        let path = dir.join(format!("{seed}.mdb"));
        let tree = Tree::open(&path, true).unwrap();
        let mut random = StdRng::seed_from_u64(seed);
        let (mut next, mut first) = (1, 1);
        for _ in 0..random.random_range(3..20) {
            let mut batch = tree.batch().unwrap();
            for _ in 0..random.random_range(0..40) {
                let bytes = [30, 900, 20_000][random.random_range(0..3_usize)];
                let value = vec![next as u8; random.random_range(1..bytes)];
                let revision = Revision { main: next, sub: 0 };
                batch.append(revision, false, &value).unwrap();
                next += 1;
            }
            let upto = random.random_range(first..=next);
            let gone: Vec<_> = (first..upto)
                .map(|main| Revision { main, sub: 0 })
                .collect();
            batch.remove(&gone).unwrap();
            first = upto;
            batch.commit().unwrap();
        }
        let rows = rows(&tree);
        (path, rows)
    }

    fn pages_of(path: &Path) -> u64 {
        let tree = Tree::open(path, true).unwrap();
        tree.size().unwrap().bytes / 4096
    }

    #[test]
    fn a_file_that_lacks_a_page_in_use_is_refused_and_one_that_lacks_free_pages_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (mut refused, mut shorter) = (0, 0);
        for seed in 0..60 {
            let (path, expected) = history(dir.path(), seed);
            let pages = pages_of(&path);
            let file = File::options().write(true).open(&path).unwrap();
            // The shortest that is whole: all before it is refused, and this one has every row.
            for left in (0..=pages).rev() {
                file.set_len(left * 4096).unwrap();
                let opened = Tree::open(&path, true);
                match opened {
                    Ok(_) if left == 0 => panic!("page {left} of {pages} is needed"),
                    Ok(tree) => {
                        assert_eq!(rows(&tree), expected, "seed {seed}, {left} of {pages}");
                        shorter += u32::from(left < pages);
                    }
                    Err(TreeError::Cut { path: named, cut }) => {
                        assert_eq!(named, path);
                        assert_eq!((cut.bytes, cut.needed), (left * 4096, pages * 4096));
                        refused += 1;
                        break;
                    }
                    Err(other) => panic!("seed {seed}, {left} of {pages}: {other}"),
                }
            }
        }
        assert_eq!(
            refused, 60,
            "the last page that is in use is missed in each"
        );
        assert!(shorter > 0, "some end in free pages");
    }

    #[test]
    fn the_end_of_the_last_page_counts_and_what_is_not_lmdbs_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.mdb");
        let tree = Tree::open(&path, true).unwrap();
        let mut batch = tree.batch().unwrap();
        let revision = Revision { main: 2, sub: 0 };
        batch.append(revision, false, &vec![7; 50_000]).unwrap();
        batch.commit().unwrap();
        drop(tree);
        let whole = std::fs::read(&path).unwrap();
        let opened = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Tree::open(&path, true).err().map(|error| error.to_string())
        };
        let name = path.display().to_string();
        for bytes in [whole.len() - 1, whole.len() - 4096, 2 * 4096] {
            let error = opened(&whole[..bytes]).unwrap();
            let text = format!(
                "{name}: the file is cut short: it has {bytes} bytes, {} are in use",
                whole.len()
            );
            assert_eq!(error, text);
        }
        // Without the second meta page the first one's commit counts, which may be older.
        for bytes in [4096 + 151, 4096, 152] {
            let error = opened(&whole[..bytes]).unwrap();
            let text = format!("{name}: the file is cut short: it has {bytes} bytes, ");
            assert!(error.starts_with(&text), "{error}");
        }
        for garbage in [&whole[..151], &[9; 9000], &[1]] {
            let error = opened(garbage).unwrap();
            assert!(
                error.starts_with(&name) && error.contains("MDB_INVALID"),
                "{error}"
            );
        }
        assert_eq!(opened(&whole), None);
        // A new store: the log says whether there should be more.
        assert_eq!(opened(&[]), None);
    }
}
