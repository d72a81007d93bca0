//! What becomes of the log's file: rotation, removal, and others that move it away.

use std::fs::{self, read_to_string};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Rig {
    file: LogFile,
    dir: tempfile::TempDir,
}

fn rig(change: impl FnOnce(&mut AuditConfig)) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let mut config = AuditConfig {
        path: dir.path().join("audit.log"),
        bytes_max: None,
        age_max: None,
        backups_max: None,
        blocks: false,
        rules: Vec::new(),
    };
    change(&mut config);
    let file = LogFile::open(&config).unwrap();
    Rig { file, dir }
}

impl Rig {
    fn write_at(&mut self, text: &str, now: SystemTime) {
        self.file.prepare_at(text.len(), now).unwrap();
        let mut left = text.as_bytes();
        self.file.write(&mut left).unwrap();
        assert!(left.is_empty());
    }

    fn write(&mut self, text: &str) {
        self.write_at(text, SystemTime::now());
    }

    /// As if the time to look for another file had come.
    fn look(&mut self) {
        self.file.looked = Instant::now()
            .checked_sub(AUDIT_REOPEN_CHECK)
            .expect("the machine runs for longer than a second");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self) -> String {
        read_to_string(self.path("audit.log")).unwrap()
    }

    /// Texts of the rotated files, the newest first.
    fn rotated(&self) -> Vec<String> {
        let files = self.file.rotated().unwrap();
        files
            .iter()
            .map(|(_, path)| read_to_string(path).unwrap())
            .collect()
    }
}

#[test]
fn is_for_its_owner_and_goes_on_where_it_ended() {
    let mut rig = rig(|_| {});
    rig.write("one\n");
    let mode = fs::metadata(rig.path("audit.log")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    rig.file.open = Open::at(&rig.path("audit.log")).unwrap();
    assert_eq!(rig.file.open.bytes, 4);
    rig.write("two\n");
    assert_eq!(rig.text(), "one\ntwo\n");
}

#[test]
fn is_rotated_when_it_is_large() {
    let mut rig = rig(|config| {
        config.bytes_max = Some(10);
        config.backups_max = Some(2);
    });
    for line in [
        "1234\n",
        "5678\n",
        "a\n",
        "a line of more than that\n",
        "b\n",
        "cdefghijk\n",
    ] {
        rig.write(line);
    }
    assert_eq!(rig.text(), "cdefghijk\n");
    // Of four the two newest; a line that is too long for any file has one of its own.
    assert_eq!(rig.rotated(), ["b\n", "a line of more than that\n"]);
    let (names, _): (Vec<String>, Vec<PathBuf>) = rig.file.rotated().unwrap().into_iter().unzip();
    assert!(names[0] > names[1], "each at a time of its own: {names:?}");
}

#[test]
fn is_rotated_daily_where_old_files_are_removed_by_age() {
    let mut rig = rig(|config| config.age_max = Some(3 * DAY));
    let start = SystemTime::now();
    for day in 0..6 {
        rig.write_at(
            &format!("{day}\n"),
            start + day * DAY + Duration::from_secs(day.into()),
        );
        // The system's own time does not move with ours.
        rig.file.open.began = start + day * DAY;
    }
    assert_eq!(rig.text(), "5\n");
    assert_eq!(rig.rotated(), ["4\n", "3\n", "2\n"]);
    let mut kept = self::rig(|_| {});
    kept.write_at("0\n", start);
    kept.write_at("1\n", start + 9 * DAY);
    assert_eq!(kept.text(), "0\n1\n", "without an age it is not");
}

#[test]
fn other_files_are_left_alone() {
    let mut rig = rig(|config| {
        config.bytes_max = Some(1);
        config.backups_max = Some(1);
    });
    let others = [
        "audit-old.log",
        "audit-2006-01-02T15-04-05.000.txt",
        "audit.log.1",
        "other-2006-01-02T15-04-05.000.log",
    ];
    for other in others {
        fs::write(rig.path(other), "other").unwrap();
    }
    fs::write(rig.path("audit-2006-01-02T15-04-05.000.log"), "own").unwrap();
    rig.write("1\n");
    rig.write("2\n");
    assert_eq!(rig.rotated(), ["1\n"]);
    for other in others {
        assert!(rig.path(other).exists(), "{other}");
    }
}

#[test]
fn is_opened_anew_when_it_was_moved_away() {
    let mut rig = rig(|_| {});
    rig.write("one\n");
    fs::rename(rig.path("audit.log"), rig.path("audit.log.1")).unwrap();
    rig.write("two\n");
    rig.look();
    rig.write("three\n");
    assert_eq!(
        read_to_string(rig.path("audit.log.1")).unwrap(),
        "one\ntwo\n"
    );
    assert_eq!(rig.text(), "three\n");
    fs::remove_file(rig.path("audit.log")).unwrap();
    fs::write(rig.path("audit.log"), "another\n").unwrap();
    rig.look();
    rig.write("four\n");
    assert_eq!(rig.text(), "another\nfour\n");
}

#[test]
fn what_was_cut_short_counts_no_longer() {
    let mut rig = rig(|config| config.bytes_max = Some(10));
    rig.write("12345678\n");
    fs::write(rig.path("audit.log"), "").unwrap();
    rig.write("abcdefgh\n");
    assert_eq!(rig.text(), "abcdefgh\n");
    assert_eq!(rig.rotated(), Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_rotated_is_written_to() {
    let mut rig = rig(|config| config.bytes_max = Some(1));
    rig.write("1\n");
    fs::remove_file(rig.path("audit.log")).unwrap();
    fs::create_dir(rig.path("audit.log")).unwrap();
    let now = SystemTime::now();
    assert!(rig.file.prepare_at(2, now).is_err());
    rig.file.write(&mut &b"2\n"[..]).unwrap();
    fs::remove_dir(rig.path("audit.log")).unwrap();
    rig.write("3\n");
    assert_eq!(rig.text(), "3\n");
}
