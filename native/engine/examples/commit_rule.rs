//! Plays transcripts of a leader's life on the pipeline: commands on stdin, after each what came of it on stdout, an
//! empty line between two transcripts. test/commitrule makes the transcripts and compares what comes of them here, in
//! raft and in the simulation's model; its commands.ts has the grammar of both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{BufRead, BufWriter, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::auth::Caller;
use netcd_engine::error::{EtcdError, TIMEOUT};
use netcd_engine::pipeline::message::{PeerMessage, ROUND_QUIET};
use netcd_engine::pipeline::*;
use netcd_engine::types::{Completions, EntryKind, LogMark, OpKind, OpResult, Token};
use parking_lot::{Condvar, Mutex};

/// A thread of the pipeline that has not done by then what it must do never will.
const STEP_MAX: Duration = Duration::from_secs(60);

/// A log whose disk finishes only what it is let.
#[derive(Clone, Default)]
struct LateLog(Arc<(Mutex<LateDisk>, Condvar)>);

#[derive(Default)]
struct LateDisk {
    entries: Vec<LogEntry>,
    open: bool,
}

impl LateLog {
    fn set_open(&self, open: bool) {
        self.0.0.lock().open = open;
        self.0.1.notify_all();
    }
}

impl Log for LateLog {
    fn append(&mut self, entries: &[LogEntry], _: Option<&HardState>) -> Result<(), LogError> {
        let mut disk = self.0.0.lock();
        for entry in entries {
            disk.entries.truncate(entry.mark.index as usize - 1);
            disk.entries.push(entry.clone());
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let mut disk = self.0.0.lock();
        while !disk.open {
            self.0.1.wait(&mut disk);
        }
        Ok(())
    }

    fn compact(&mut self, _: LogMark) -> Result<(), LogError> {
        Ok(())
    }
}

impl LogRead for LateLog {
    fn read(&self, first: u64, last: u64, _: usize) -> Result<Vec<LogEntry>, LogError> {
        Ok(self.0.0.lock().entries[first as usize - 1..last as usize].to_vec())
    }
}

/// A store that holds nothing: the transcripts have no operations.
struct NoStore;

impl Apply for NoStore {
    fn apply_op(&self, _: OpKind, request: Bytes, _: &Caller, _: &ApplyContext) -> Applied {
        Applied::Done(Ok(request))
    }
    fn apply_meta(&self, _: LogMark, _: Vec<MetaWrite>) {}
    fn entry_applied(&self, _: LogMark) {}
    fn on_compacted(&self, _: i64, done: Box<dyn FnOnce() + Send>) {
        done();
    }
}

/// What the pipeline says of itself, as far as the player waits for it.
enum Event {
    Stable(u64),
    Persisted(u64),
    Applied(u64),
    Control(u64),
    ReadRequest(u64),
    Fatal(String),
}

struct Inbox(Sender<Event>);

impl Inbox {
    fn put(&self, event: Event) {
        // The player is gone only when nobody waits any more.
        let _ = self.0.send(event);
    }
}

impl PipelineEvents for Inbox {
    fn batch(&self, _: u64, _: usize, _: u32) {}
    fn appended(&self, _: &[EntryMeta]) {}
    fn acknowledged(&self, _: u64, _: LogMark) {}
    fn committed(&self, _: u64) {}
    fn stable(&self, mark: LogMark) {
        self.put(Event::Stable(mark.index));
    }
    fn persisted(&self, seq: u64) {
        self.put(Event::Persisted(seq));
    }
    fn applied(&self, index: u64) {
        self.put(Event::Applied(index));
    }
    fn control(&self, mark: LogMark, _: EntryKind, _: Bytes) {
        self.put(Event::Control(mark.index));
    }
    fn read_request(&self, ctx: u64) {
        self.put(Event::ReadRequest(ctx));
    }
    fn fatal(&self, message: String) {
        self.put(Event::Fatal(message));
    }
    fn log(&self, _: LogLevel, _: &str, _: Vec<(String, String)>) {}
}

/// What was sent and answered since it was last asked for.
#[derive(Default)]
struct Outbox {
    sent: Mutex<Vec<(u64, PeerMessage, usize)>>,
    reads: Mutex<BTreeSet<String>>,
}

impl PeerLinks for Outbox {
    fn send(&self, to: u64, message: PeerMessage, entries: Vec<LogEntry>) {
        self.sent.lock().push((to, message, entries.len()));
    }
}

impl Completions for Outbox {
    fn ops_done(&self, _: Vec<(Token, OpResult)>) {}

    fn reads_ready(&self, tokens: Vec<Token>, outcome: Result<(), EtcdError>) {
        let failed = if outcome.is_err() { "!" } else { "" };
        let answers = tokens.iter().map(|token| format!("{}{failed}", token.0));
        self.reads.lock().extend(answers);
    }
}

/// A pipeline whose control plane is the transcript.
struct Player {
    pipeline: Arc<Pipeline<NoStore>>,
    log: LateLog,
    outbox: Arc<Outbox>,
    events: Receiver<Event>,
    /// The last entry, and what the disk was told to keep.
    last: u64,
    stamped: u64,
    seq: u64,
    /// What the pipeline said of itself.
    stable: u64,
    persisted: u64,
    applied: u64,
    /// The end of the log when the disk was last let.
    durable: u64,
    /// The read index that raft was asked for.
    asked: Option<u64>,
    /// The numbers of the rounds that were begun, by how they came.
    rounds: Vec<u64>,
}

impl Player {
    fn start() -> Result<Self, Box<dyn Error>> {
        let log = LateLog::default();
        let outbox = Arc::new(Outbox::default());
        let (inbox, events) = channel();
        let config = PipelineConfig {
            max_request_bytes: 0,
            append_grant: true,
            slow_apply: Duration::MAX,
            slow_request: Duration::MAX,
        };
        let neighbours = Neighbours {
            store: Arc::new(NoStore),
            log: Box::new(log.clone()),
            reader: Arc::new(log.clone()),
            wal_metrics: Arc::default(),
            events: Arc::new(Inbox(inbox)),
            completions: Arc::clone(&outbox) as Arc<dyn Completions>,
        };
        let pipeline = Pipeline::start(config, 1, StartMarks::default(), neighbours)?;
        pipeline.set_links(Arc::clone(&outbox) as Arc<dyn PeerLinks>);
        Ok(Self {
            pipeline,
            log,
            outbox,
            events,
            last: 0,
            stamped: 0,
            seq: 0,
            stable: 0,
            persisted: 0,
            applied: 0,
            durable: 0,
            asked: None,
            rounds: Vec::new(),
        })
    }

    /// Does a command and returns what came of it.
    fn play(&mut self, command: &str) -> Result<String, Box<dyn Error>> {
        let mut words = command.split(' ');
        let name = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let taken = match (name, words.as_slice()) {
            ("persist", [seq, term, commit, first, kinds @ ..]) => self.persist(
                number(seq)?,
                number(term)?,
                (number(commit)?, number(first)?),
                kinds,
            )?,
            ("grant", [term, next, "sole"]) => {
                self.pipeline
                    .grant(number(term)?, number(next)?, GrantKind::SoleVoter)?;
                true
            }
            ("grant", [term, next, own_vote, committed, members @ ..]) => {
                let quorum = Quorum {
                    own_vote: *own_vote == "votes",
                    committed: number(committed)?,
                    members: members
                        .iter()
                        .map(|text| member(text))
                        .collect::<Result<_, _>>()?,
                };
                self.pipeline
                    .grant(number(term)?, number(next)?, GrantKind::Quorum(quorum))?;
                true
            }
            ("stream", [last, members @ ..]) => {
                let members = members
                    .iter()
                    .map(|id| number(id))
                    .collect::<Result<Vec<_>, _>>()?;
                self.pipeline.stream(number(last)?, &members)? != Streamed::Refused
            }
            ("stamp", []) => {
                self.pipeline
                    .propose_control(EntryKind::Empty, Bytes::new())?;
                self.last += 1;
                self.stamped = self.last;
                // An entry that stood in this place before may have been reported.
                self.stable = 0;
                true
            }
            ("ack" | "reject", [from, term, index]) => {
                let message = PeerMessage::AppendResponse {
                    term: number(term)?,
                    index: number(index)?,
                    reject: name == "reject",
                    hint: LogMark::default(),
                };
                self.receive(number(from)?, message)
            }
            ("heard", [from, term, back]) => {
                let at = self.rounds.len().checked_sub(1 + number::<usize>(back)?);
                let round = self.rounds[at.ok_or("no such round")?];
                let message = PeerMessage::HeartbeatResponse {
                    term: number(term)?,
                    round,
                };
                self.receive(number(from)?, message)
            }
            ("read", [token]) => {
                let token = Token(number(token)?);
                let now = self.pipeline.read_barrier(token)? == ReadBarrier::Now;
                if now {
                    self.outbox.reads_ready(vec![token], Ok(()));
                }
                now
            }
            ("repeat", []) => {
                self.pipeline.repeat_read();
                true
            }
            ("ready", [index]) => {
                let asked = self.asked.take().ok_or("no read index was asked for")?;
                self.pipeline.read_index_ready(asked, number(index)?);
                true
            }
            ("failed", []) => {
                let asked = self.asked.take().ok_or("no read index was asked for")?;
                self.pipeline.read_index_failed(asked, TIMEOUT);
                true
            }
            ("commit", [index]) => {
                self.pipeline.commit(number(index)?);
                true
            }
            ("disk", []) => {
                self.let_disk();
                true
            }
            ("withdraw", []) => self.pipeline.revoke_grant() == self.last,
            _ => return Err(format!("no command: {command}").into()),
        };
        self.settle();
        Ok(self.outcome(taken))
    }

    fn persist(
        &mut self,
        seq: u64,
        term: u64,
        (commit, first): (u64, u64),
        kinds: &[&str],
    ) -> Result<bool, Box<dyn Error>> {
        let entries = (first..).zip(kinds).map(|(index, kind)| {
            Ok(PersistEntry {
                mark: LogMark { index, term },
                kind: EntryKind::from_u8(number(kind)?).ok_or("no kind of entry")?,
                payload: PersistPayload::Data(Bytes::new()),
            })
        });
        let entries = entries.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        self.last = entries.last().map_or(self.last, |entry| entry.mark.index);
        if !entries.is_empty() {
            self.durable = self.durable.min(first - 1);
        }
        self.seq = seq;
        let hard_state = HardState {
            term,
            vote: 1,
            commit,
        };
        self.pipeline.persist(seq, Some(hard_state), entries)?;
        Ok(true)
    }

    fn receive(&self, from: u64, message: PeerMessage) -> bool {
        matches!(
            self.pipeline.receive(from, message, Vec::new()),
            Received::Taken
        )
    }

    /// Everything written up to now becomes durable.
    fn let_disk(&mut self) {
        self.log.set_open(true);
        self.wait("the disk", |player| {
            player.persisted >= player.seq && player.stable >= player.stamped
        });
        self.log.set_open(false);
        self.durable = self.last;
    }

    /// Waits until everything that may be applied is: what follows finds the pipeline at rest.
    fn settle(&mut self) {
        let target = self.pipeline.committed_index().min(self.durable);
        self.wait("apply", |player| player.applied >= target);
        while let Ok(event) = self.events.try_recv() {
            self.note(event);
        }
    }

    fn wait(&mut self, for_what: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let event = self.events.recv_timeout(STEP_MAX);
            self.note(event.unwrap_or_else(|_| panic!("{for_what} did not come to an end")));
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Stable(index) => self.stable = index,
            Event::Persisted(seq) => self.persisted = seq,
            Event::Applied(index) => self.applied = index,
            Event::Control(index) => self.pipeline.control_applied(index, Vec::new()),
            Event::ReadRequest(ctx) => self.asked = Some(ctx),
            Event::Fatal(message) => panic!("the pipeline failed: {message}"),
        }
    }

    /// `taken committed reads sent`, each without a space and `-` where there is nothing.
    fn outcome(&mut self, taken: bool) -> String {
        let mut sent = Vec::new();
        // How often a commit index is told depends on how the disk grouped what it was given; where it ends does not.
        let mut told = BTreeMap::new();
        for (to, message, entries) in std::mem::take(&mut *self.outbox.sent.lock()) {
            match message {
                PeerMessage::Append { term, prev, commit } => {
                    sent.push(format!(
                        "{to}:append/{term}/{}/{}/{commit}/{entries}",
                        prev.index, prev.term
                    ));
                }
                PeerMessage::Heartbeat {
                    term,
                    commit,
                    round,
                } if round == ROUND_QUIET => {
                    told.insert(to, format!("{to}:commit/{term}/{commit}"));
                }
                PeerMessage::Heartbeat {
                    term,
                    commit,
                    round,
                } => {
                    if self.rounds.last() != Some(&round) {
                        self.rounds.push(round);
                    }
                    sent.push(format!("{to}:round/{term}/{commit}"));
                }
                other => sent.push(format!("{to}:{other:?}")),
            }
        }
        sent.extend(told.into_values());
        let reads: Vec<String> = std::mem::take(&mut *self.outbox.reads.lock())
            .into_iter()
            .collect();
        let committed = self.pipeline.committed_index();
        format!(
            "{} {committed} {} {}",
            u8::from(taken),
            joined(&reads),
            joined(&sent)
        )
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Its threads end only when the disk does not hold them.
        self.log.set_open(true);
        self.pipeline.close();
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, Box<dyn Error>> {
    text.parse()
        .map_err(|_| format!("no number: {text}").into())
}

/// `id:votes:matched` or `id:learns:matched`
fn member(text: &str) -> Result<GrantMember, Box<dyn Error>> {
    let [id, role, matched] = text.split(':').collect::<Vec<_>>()[..] else {
        return Err(format!("no member: {text}").into());
    };
    Ok(GrantMember {
        id: number(id)?,
        votes: role == "votes",
        matched: number(matched)?,
    })
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => "-".into(),
        parts => parts.join(","),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut player: Option<Player> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.is_empty() {
            player = None;
            writeln!(out)?;
            continue;
        }
        let current = match &mut player {
            Some(current) => current,
            none => none.insert(Player::start()?),
        };
        let outcome = current
            .play(&line)
            .map_err(|error| format!("{line}: {error}"))?;
        writeln!(out, "{outcome}")?;
    }
    out.flush()?;
    Ok(())
}
