//! Watch streams of the control plane itself (lock, election, gateway): the same sessions as those of clients, behind a
//! thread of their own, so that neither JavaScript nor apply waits for a read of the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use crossbeam_channel::{Receiver, Sender, unbounded};
use netcd_engine::auth::{Auth, Caller, Table};
use netcd_engine::error::{INVALID_AUTH_TOKEN, PERMISSION_DENIED};
use netcd_engine::pipeline::Pipeline;
use netcd_engine::proto::etcdserverpb::WatchRequest;
use netcd_engine::watch::{SessionConfig, WatchOutput, WatchSession};
use parking_lot::Mutex;

use crate::event::Event;
use crate::limits::{WATCH_BYTES_UNDRAINED_MAX, WATCH_TURN_BYTES};
use crate::queue::EventQueue;

/// What the thread is told. A stream has one wake in the channel at most; the rest is JavaScript's.
enum Turn {
    Open(u64, Caller),
    Request(u64, WatchRequest),
    /// The hub has something for the stream.
    Wake(u64),
    /// JavaScript has taken all messages.
    Drained,
    /// Users, roles or tokens have changed.
    AuthChanged,
    /// The tokens of this user are void (None: all), and with them what he has opened.
    Forget(Option<Bytes>),
    Close(u64),
    Stop,
}

/// The streams of one engine.
pub struct Watches {
    turns: Sender<Turn>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watches {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there are no threads left.
    pub fn start(
        pipeline: Arc<Pipeline>,
        queue: Arc<EventQueue>,
        fragment_bytes: usize,
    ) -> std::io::Result<Self> {
        let (turns, received) = unbounded();
        let changed = turns.clone();
        pipeline.store().auth().on_change(Box::new(move || {
            // Nobody listens only after the end.
            let _ended = changed.send(Turn::AuthChanged);
        }));
        let identity = pipeline.store().identity();
        let mut streams = Streams {
            pipeline,
            queue,
            config: SessionConfig {
                identity,
                fragment_bytes,
            },
            turns: turns.clone(),
            open: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("watch-control".into())
            .spawn(move || streams.run(&received))?;
        Ok(Self {
            turns,
            thread: Mutex::new(Some(thread)),
        })
    }

    fn tell(&self, turn: Turn) {
        // Nobody listens only after `close`, when there is nothing left to be told.
        let _closed = self.turns.send(turn);
    }

    /// Opens a stream of this caller under a number that JavaScript chose.
    pub fn open(&self, stream: u64, caller: Caller) {
        self.tell(Turn::Open(stream, caller));
    }

    /// What a user has opened is void; None: what anybody has.
    pub fn forget(&self, user: Option<Bytes>) {
        self.tell(Turn::Forget(user));
    }

    /// Gives a stream a request.
    pub fn request(&self, stream: u64, request: WatchRequest) {
        self.tell(Turn::Request(stream, request));
    }

    /// Ends a stream.
    pub fn end(&self, stream: u64) {
        self.tell(Turn::Close(stream));
    }

    /// JavaScript has drained its events.
    pub fn drained(&self) {
        self.tell(Turn::Drained);
    }

    /// Ends all streams and the thread.
    pub fn close(&self) {
        self.tell(Turn::Stop);
        if let Some(thread) = self.thread.lock().take() {
            assert!(thread.join().is_ok(), "the watch thread panicked");
        }
    }
}

struct Streams {
    pipeline: Arc<Pipeline>,
    queue: Arc<EventQueue>,
    config: SessionConfig,
    turns: Sender<Turn>,
    open: HashMap<u64, Stream>,
}

struct Stream {
    session: WatchSession,
    caller: Caller,
    /// The token with which the caller was known is void.
    forgotten: bool,
    /// Bytes of messages that JavaScript has not drained.
    undrained: usize,
    /// It has more to say than the limit let it.
    paused: bool,
}

impl Stream {
    fn request(&mut self, auth: &Auth, request: WatchRequest) {
        let Self {
            session,
            caller,
            forgotten,
            ..
        } = self;
        session.request(request, &|key, range_end| {
            auth.admit(|table| match forgotten {
                true => Err(INVALID_AUTH_TOKEN),
                false => table.check_read(caller, key, range_end),
            })
        });
    }

    /// Cancels the watches that are not permitted any more.
    fn recheck(&mut self, table: &Table) {
        // That the table has changed since is no reason.
        if let Caller::User { revision, .. } = &mut self.caller {
            *revision = table.revision;
        }
        let Self {
            session,
            caller,
            forgotten,
            ..
        } = self;
        session.recheck(&|key, range_end| {
            let checked = table.check_read(caller, key, range_end);
            match checked {
                Ok(()) if !(*forgotten && table.enabled) => Ok(()),
                _ => Err(PERMISSION_DENIED),
            }
        });
    }
}

impl Streams {
    fn run(&mut self, received: &Receiver<Turn>) {
        for turn in received {
            match turn {
                Turn::Open(stream, caller) => self.add(stream, caller),
                Turn::Request(stream, request) => {
                    let auth = self.pipeline.store().auth();
                    if let Some(open) = self.open.get_mut(&stream) {
                        open.request(auth, request);
                        self.write(stream);
                    }
                }
                Turn::Wake(stream) => self.write(stream),
                Turn::Drained => self.drained(),
                Turn::AuthChanged => self.recheck(),
                Turn::Forget(user) => self.forget(user.as_deref()),
                Turn::Close(stream) => drop(self.open.remove(&stream)),
                Turn::Stop => return self.open.clear(),
            }
        }
    }

    fn add(&mut self, stream: u64, caller: Caller) {
        let turns = self.turns.clone();
        let wake = move || {
            // Nobody listens only after the end.
            let _ended = turns.send(Turn::Wake(stream));
        };
        let hub = self.pipeline.store().watch_hub().clone();
        let mut session = WatchSession::new(hub, self.config, Box::new(wake));
        session.guard(self.pipeline.store().auth().clone());
        let open = Stream {
            session,
            caller,
            forgotten: false,
            undrained: 0,
            paused: false,
        };
        self.open.insert(stream, open);
    }

    /// Queues what a stream has to say, as far as JavaScript takes it.
    fn write(&mut self, stream: u64) {
        let Some(open) = self.open.get_mut(&stream) else {
            return;
        };
        loop {
            open.paused = open.undrained >= WATCH_BYTES_UNDRAINED_MAX;
            if open.paused {
                return;
            }
            if open.session.is_outdated() {
                open.recheck(&self.pipeline.store().auth().table());
            }
            let mut output = Messages::default();
            let term = self.pipeline.raft_term();
            let more = open.session.write(&mut output, WATCH_TURN_BYTES, term);
            open.undrained += output.written;
            for data in output.messages {
                let data = data.freeze();
                self.queue.push(Event::WatchMessage { stream, data });
            }
            if !more {
                return;
            }
        }
    }

    /// Looks again at what all may watch.
    fn recheck(&mut self) {
        let streams: Vec<u64> = self.open.keys().copied().collect();
        for stream in streams {
            self.write(stream);
        }
    }

    fn forget(&mut self, user: Option<&[u8]>) {
        let table = self.pipeline.store().auth().table();
        let mut forgotten = Vec::new();
        for (stream, open) in &mut self.open {
            let own = open.caller.name();
            if own.is_some_and(|own| user.is_none_or(|user| own == user)) {
                open.forgotten = true;
                open.recheck(&table);
                forgotten.push(*stream);
            }
        }
        for stream in forgotten {
            self.write(stream);
        }
    }

    fn drained(&mut self) {
        let mut paused = Vec::new();
        for (stream, open) in &mut self.open {
            open.undrained = 0;
            if open.paused {
                paused.push(*stream);
            }
        }
        for stream in paused {
            self.write(stream);
        }
    }
}

/// Whole messages, each in a buffer of its own.
#[derive(Default)]
struct Messages {
    messages: Vec<BytesMut>,
    written: usize,
}

impl WatchOutput for Messages {
    fn begin(&mut self, bytes: usize) {
        self.messages.push(BytesMut::with_capacity(bytes));
    }

    fn copy(&mut self, part: &[u8]) {
        self.written += part.len();
        let message = self.messages.last_mut().expect("a message has begun");
        message.extend_from_slice(part);
    }

    fn share(&mut self, part: &Bytes) {
        self.copy(part);
    }

    fn written(&self) -> usize {
        self.written
    }
}
