//! What a power cut makes of writes and names that were not synced.

use std::collections::BTreeMap;

/// What a crash leaves of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashLoss {
    /// All of them reached the disk.
    Nothing,
    /// None of them did.
    Everything,
    /// The first so many bytes of them, in the order they were written (a process killed in the middle of a write).
    AllButFirstBytes(u64),
    /// An arbitrary subset of their pieces, cut at multiples of `sector_bytes`.
    Sectors {
        /// Decides which pieces survive.
        seed: u64,
        /// What the disk writes in one go: 512 or 4096.
        sector_bytes: u64,
    },
}

#[derive(Clone)]
pub(super) enum Pending {
    Write { inode: u64, at: u64, bytes: Vec<u8> },
    Length { inode: u64, bytes: u64 },
}

impl Pending {
    pub(super) fn inode(&self) -> u64 {
        match self {
            Self::Write { inode, .. } | Self::Length { inode, .. } => *inode,
        }
    }
}

#[derive(Clone)]
pub(super) enum NameChange {
    Set(String, u64),
    Unset(String),
}

pub(super) fn pending_bytes(pending: &Pending) -> u64 {
    match pending {
        Pending::Write { bytes, .. } => bytes.len() as u64,
        Pending::Length { .. } => 0,
    }
}

/// splitmix64: enough to choose sectors, and no dependency outside the tests.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(loss: CrashLoss) -> Self {
        Self(match loss {
            CrashLoss::Sectors { seed, .. } => seed,
            _ => 0,
        })
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

pub(super) fn write_into(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let end = at as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at as usize..end].copy_from_slice(bytes);
}

pub(super) fn apply_pending(
    files: &mut BTreeMap<u64, Vec<u8>>,
    pending: &[Pending],
    loss: CrashLoss,
    random: &mut Random,
) {
    // Some crashes lose nearly all, some nearly nothing: the share of pieces kept is drawn once.
    let keep_of_8 = 1 + random.below(7);
    let mut room = match loss {
        CrashLoss::Everything => return,
        CrashLoss::AllButFirstBytes(bytes) => bytes,
        CrashLoss::Nothing | CrashLoss::Sectors { .. } => u64::MAX,
    };
    for change in pending {
        let content = files.entry(change.inode()).or_default();
        match (change, loss) {
            (Pending::Length { bytes, .. }, CrashLoss::Sectors { .. }) => {
                if random.below(8) < keep_of_8 {
                    content.resize(*bytes as usize, 0);
                }
            }
            (Pending::Length { bytes, .. }, _) => content.resize(*bytes as usize, 0),
            (Pending::Write { at, bytes, .. }, CrashLoss::Sectors { sector_bytes, .. }) => {
                let (mut from, end) = (*at, *at + bytes.len() as u64);
                while from < end {
                    let to = ((from / sector_bytes + 1) * sector_bytes).min(end);
                    if random.below(8) < keep_of_8 {
                        let piece = &bytes[(from - at) as usize..(to - at) as usize];
                        write_into(content, from, piece);
                    }
                    from = to;
                }
            }
            (Pending::Write { at, bytes, .. }, _) => {
                let kept = room.min(bytes.len() as u64);
                write_into(content, *at, &bytes[..kept as usize]);
                room -= kept;
                if room == 0 {
                    return;
                }
            }
        }
    }
}

/// The names after a crash: the changes since the last sync of the directory reach the disk in order or not at all.
pub(super) fn apply_names(
    names: &mut BTreeMap<String, u64>,
    pending: &[NameChange],
    loss: CrashLoss,
    random: &mut Random,
) {
    let kept = match loss {
        CrashLoss::Nothing | CrashLoss::AllButFirstBytes(_) => pending.len(),
        CrashLoss::Everything => 0,
        CrashLoss::Sectors { .. } => random.below(pending.len() as u64 + 1) as usize,
    };
    for change in &pending[..kept] {
        match change {
            NameChange::Set(name, inode) => {
                names.retain(|_, i| i != inode);
                names.insert(name.clone(), *inode);
            }
            NameChange::Unset(name) => {
                names.remove(name);
            }
        }
    }
}
