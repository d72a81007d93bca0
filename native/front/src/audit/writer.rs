//! The thread that makes lines of records and writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::file::Output;
use super::json::Lines;
use super::lanes::{Lanes, Taken};
use super::record::Records;
use super::time::Clock;
use crate::admission::Warned;
use crate::calendar::since_1970;
use crate::events::{FrontEvent, FrontEvents, LogLevel};
use crate::limits::{AUDIT_RETRY, AUDIT_WRITE_BYTES};

/// What was written, and what could not be.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) lines: AtomicU64,
    pub(crate) errors: AtomicU64,
}

pub(crate) struct Writer<O> {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) output: O,
    pub(crate) written: Arc<Written>,
    pub(crate) events: Arc<dyn FrontEvents>,
    pub(crate) path: String,
    pub(crate) opened: Instant,
    warned: Warned,
    /// Lines that are made and not written.
    out: Vec<u8>,
    out_lines: u64,
    /// Lines that are missing in the log, and of which it does not say so yet.
    missing: u64,
    /// How many of them the last of the lines that are made says.
    saying: u64,
    /// A part of a line was written and the rest is lost.
    is_torn: bool,
}

impl<O: Output> Writer<O> {
    pub(crate) fn new(
        lanes: Arc<Lanes>,
        output: O,
        written: Arc<Written>,
        events: Arc<dyn FrontEvents>,
        path: String,
        opened: Instant,
    ) -> Self {
        Self {
            lanes,
            output,
            written,
            events,
            path,
            opened,
            warned: Warned::default(),
            out: Vec::new(),
            out_lines: 0,
            missing: 0,
            saying: 0,
            is_torn: false,
        }
    }

    /// Writes until it is told to end.
    pub(crate) fn run(mut self) {
        let mut lines = Lines::new(Clock::now(self.opened));
        let mut taken = Vec::new();
        loop {
            let is_last = self.lanes.wait();
            self.lanes.take(&mut taken);
            // The time of day may have been set meanwhile.
            lines.clock = Clock::now(self.opened);
            self.write_all(&taken, &mut lines);
            if is_last {
                return;
            }
        }
    }

    /// What all threads have left, in the order of its time.
    fn write_all(&mut self, taken: &[Taken], lines: &mut Lines) {
        let mut lanes: Vec<Records<'_>> = taken.iter().map(|lane| Records(&lane.records)).collect();
        loop {
            let ahead = lanes
                .iter()
                .enumerate()
                .filter_map(|(lane, records)| Some((records.next_at()?, lane)));
            let Some((_, next)) = ahead.min() else {
                break;
            };
            let record = lanes[next].next().expect("it is there");
            lines.request(&mut self.out, &record);
            self.out_lines += 1;
            if self.out.len() >= AUDIT_WRITE_BYTES {
                self.flush();
            }
        }
        self.missing += taken.iter().map(|lane| lane.dropped).sum::<u64>();
        if self.missing > 0 {
            let now = since_1970(SystemTime::now());
            lines.dropped(&mut self.out, now, self.missing);
            self.saying = self.missing;
        }
        self.flush();
    }

    /// Writes what is made; what cannot be written is tried again or given up, as the policy says.
    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if let Err(error) = self.output.prepare(self.out.len()) {
            self.problem("cannot change the file of the audit log", &error);
        }
        let was_torn = std::mem::take(&mut self.is_torn);
        if was_torn {
            self.out.insert(0, b'\n');
        }
        let out = std::mem::take(&mut self.out);
        let mut left = out.as_slice();
        while let Err(error) = self.output.write(&mut left) {
            self.problem("cannot write the audit log", &error);
            if !self.lanes.blocks() || self.lanes.is_closing() {
                break;
            }
            std::thread::sleep(AUDIT_RETRY);
            // The file may be another by now.
            if let Err(error) = self.output.prepare(left.len()) {
                self.problem("cannot change the file of the audit log", &error);
            }
        }
        self.account(&out, left, was_torn);
        self.out = out;
        self.out.clear();
        self.out_lines = 0;
    }

    /// Counts what was written, and what is lost.
    fn account(&mut self, out: &[u8], left: &[u8], was_torn: bool) {
        let saying = std::mem::take(&mut self.saying);
        if left.is_empty() {
            self.written
                .lines
                .fetch_add(self.out_lines, Ordering::Relaxed);
            self.missing -= saying;
            return;
        }
        let written = &out[..out.len() - left.len()];
        // What is torn ends with the next line break, be it its own.
        self.is_torn = written.last().map_or(was_torn, |last| *last != b'\n');
        let left = left.strip_prefix(b"\n").unwrap_or(left);
        let ends = left.iter().filter(|byte| **byte == b'\n').count() as u64;
        // The line that says how many are missing comes last, and is none of theirs.
        let lost = ends.saturating_sub(u64::from(saying > 0));
        self.written
            .lines
            .fetch_add(self.out_lines - lost, Ordering::Relaxed);
        self.lanes.count_dropped(lost);
        self.missing += lost;
    }

    fn problem(&self, message: &str, error: &std::io::Error) {
        self.written.errors.fetch_add(1, Ordering::Relaxed);
        if self.warned.is_due() {
            self.events.emit(FrontEvent::Log {
                level: LogLevel::Error,
                message: message.to_owned(),
                fields: vec![
                    ("path".to_owned(), self.path.clone().into()),
                    ("error".to_owned(), error.to_string().into()),
                ],
            });
        }
    }
}
