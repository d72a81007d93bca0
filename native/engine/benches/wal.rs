//! What the WAL costs: a batch appended and synced on the real disk, the encoding alone (on a disk that keeps nothing),
//! and a start over a full log.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netcd_engine::disk::{Disk, DiskFile, RealDisk, RealDiskOptions};
use netcd_engine::types::{EntryKind, Identity, LogMark};
use netcd_engine::wal::{Record, Wal, WalOptions};

/// Takes every write and keeps none: what is left is the WAL's own work.
struct Nowhere;

impl Disk for Nowhere {
    fn create(&self, _name: &str, _bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Nowhere))
    }
    fn open(&self, _name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
    fn display(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl DiskFile for Nowhere {
    fn read_at(&self, _into: &mut [u8], _offset: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn write_at(&self, bytes: &[u8], _offset: u64) -> io::Result<()> {
        black_box(bytes);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
}

struct Log {
    wal: Wal,
    next: u64,
    payload: Vec<u8>,
}

impl Log {
    fn new(disk: Arc<dyn Disk>, payload_bytes: usize) -> Self {
        let options = WalOptions::default();
        Self {
            wal: Wal::create(disk, Identity::default(), options).expect("an empty directory"),
            next: 1,
            payload: (0..payload_bytes).map(|b| b as u8).collect(),
        }
    }

    fn append(&mut self) {
        let record = Record::Entry {
            index: self.next,
            term: 1,
            kind: EntryKind::Batch,
            payload: &self.payload,
        };
        self.wal.append(&[record]).expect("room");
        self.next += 1;
    }

    fn sync(&mut self) {
        self.wal.sync().expect("a working disk");
    }

    /// Keeps the directory small: all but the newest entries go.
    fn purge(&mut self) {
        if self.next.is_multiple_of(512) {
            let index = self.next - 2;
            let mark = LogMark { index, term: 1 };
            self.wal.append(&[Record::Compacted(mark)]).expect("room");
            self.sync();
            self.wal.purge().expect("a working disk");
        }
    }
}

fn bench_wal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal");
    group.sample_size(20);
    for (size, bytes) in [("64 KiB", 64 << 10), ("300 B", 300)] {
        group.throughput(Throughput::Bytes(bytes as u64));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let real = RealDisk::open(dir.path(), RealDiskOptions::default());
        let disks: [(&str, Arc<dyn Disk>); 2] = [
            ("append+sync", real.expect("a free directory")),
            ("encode only", Arc::new(Nowhere)),
        ];
        for (work, disk) in disks {
            let mut log = Log::new(disk, bytes);
            group.bench_function(format!("{work} {size}"), |bencher| {
                bencher.iter(|| {
                    log.append();
                    log.sync();
                    log.purge();
                });
            });
        }
    }
    group.finish();
}

fn bench_start(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = || {
        let disk = RealDisk::open(dir.path(), RealDiskOptions { no_fsync: true });
        disk.expect("a free directory")
    };
    let mut log = Log::new(open(), 300);
    for _ in 0..100_000 {
        log.append();
    }
    drop(log);
    let mut group = criterion.benchmark_group("wal");
    group.sample_size(10);
    group.bench_function("open 100k entries of 300 B", |bencher| {
        bencher.iter_batched(
            open,
            |disk| {
                let options = WalOptions::default();
                let opened = Wal::open(disk, Identity::default(), options).expect("a whole log");
                assert_eq!(opened.1.last.index, 100_000);
                black_box(opened)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, bench_wal, bench_start);
criterion_main!(benches);
