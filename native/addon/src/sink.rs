//! Turns what the engine and the transport tell into events of the queue.

use std::sync::Arc;

use bytes::Bytes;
use netcd_engine::error::EtcdError;
use netcd_engine::mvcc::{self, StoreEvents};
use netcd_engine::pipeline::{self, EntryMeta, PipelineEvents};
use netcd_engine::types::{Completions, EntryKind, LogMark, OpResult, Token};
use netcd_front::{FrontCompletions, FrontEvent, FrontEvents, LogLevel};

use crate::event::Event;
use crate::queue::EventQueue;

/// Everyone's way to JavaScript.
#[derive(Clone)]
pub struct Sink(pub Arc<EventQueue>);

impl PipelineEvents for Sink {
    fn batch(&self, payload: u64, bytes: usize, requests: u32) {
        self.0.push(Event::Batch {
            payload,
            bytes,
            requests,
        });
    }

    fn appended(&self, entries: &[EntryMeta]) {
        self.0.put_appended(entries);
    }

    fn acknowledged(&self, from: u64, mark: LogMark) {
        self.0.put_mark(|waiting| {
            match waiting.acknowledged.iter_mut().find(|(id, _)| *id == from) {
                // Terms of a grant only rise, and so do the indices that count.
                Some((_, newest)) if newest.term == mark.term => *newest = mark.max(*newest),
                Some((_, newest)) => *newest = mark,
                None => waiting.acknowledged.push((from, mark)),
            }
        });
    }

    fn committed(&self, index: u64) {
        self.0
            .put_mark(|waiting| waiting.committed = waiting.committed.max(Some(index)));
    }

    fn stable(&self, mark: LogMark) {
        self.0.put_mark(|waiting| waiting.stable = Some(mark));
    }

    fn persisted(&self, seq: u64) {
        self.0.put(|waiting| waiting.persisted = Some(seq));
    }

    fn applied(&self, index: u64) {
        self.0.applied(index);
    }

    fn control(&self, mark: LogMark, kind: EntryKind, data: Bytes) {
        self.0.push(Event::Control { mark, kind, data });
    }

    fn read_request(&self, ctx: u64) {
        self.0.push(Event::ReadRequest { ctx });
    }

    fn fatal(&self, message: String) {
        self.0.push(Event::Fatal(message));
    }

    fn log(&self, level: pipeline::LogLevel, message: &str, fields: Vec<(String, String)>) {
        let level = match level {
            pipeline::LogLevel::Debug => "debug",
            pipeline::LogLevel::Info => "info",
            pipeline::LogLevel::Warn => "warn",
            pipeline::LogLevel::Error => "error",
        };
        self.0.log(level, message.to_owned(), fields);
    }
}

impl StoreEvents for Sink {
    fn flushed(&self, mark: LogMark) {
        self.0.put_mark(|waiting| waiting.flushed = Some(mark));
    }

    fn fatal(&self, message: String) {
        self.0.push(Event::Fatal(message));
    }

    fn log(&self, level: mvcc::LogLevel, message: &str, fields: Vec<(String, String)>) {
        let level = match level {
            mvcc::LogLevel::Info => "info",
            mvcc::LogLevel::Warn => "warn",
        };
        self.0.log(level, message.to_owned(), fields);
    }
}

impl FrontEvents for Sink {
    fn emit(&self, event: FrontEvent) {
        match event {
            FrontEvent::Log {
                level,
                message,
                fields,
            } => {
                let level = match level {
                    LogLevel::Debug => "debug",
                    LogLevel::Info => "info",
                    LogLevel::Warn => "warn",
                    LogLevel::Error => "error",
                };
                self.0.log(level, message, fields);
            }
            FrontEvent::RequestStats(_) => self.0.push_log(Event::Front(event)),
            event => self.0.push(Event::Front(event)),
        }
    }
}

/// Sends each answer to the caller that waits for it: a transport thread or JavaScript.
pub struct Router {
    /// The transport's callers.
    pub front: Arc<FrontCompletions>,
    /// JavaScript's.
    pub queue: Arc<EventQueue>,
}

fn is_js(token: Token) -> bool {
    token.0 & Token::JS_BIT != 0
}

impl Completions for Router {
    fn ops_done(&self, mut results: Vec<(Token, OpResult)>) {
        if results.iter().any(|(token, _)| is_js(*token)) {
            let (js, front) = results.into_iter().partition(|(token, _)| is_js(*token));
            results = front;
            self.proposed(js);
        }
        self.front.ops_done(results);
    }

    fn slow(&self, mut requests: Vec<(Token, Bytes)>) {
        // JavaScript's requests are its own: nobody waits for them at a connection.
        requests.retain(|(token, _)| !is_js(*token));
        self.front.slow(requests);
    }

    fn reads_ready(&self, tokens: Vec<Token>, outcome: Result<(), EtcdError>) {
        // JavaScript's reads are serializable and wait for nobody.
        self.front.reads_ready(tokens, outcome);
    }
}

impl Router {
    fn proposed(&self, results: Vec<(Token, OpResult)>) {
        self.queue.put(|waiting| {
            let events = results.into_iter().map(|(token, result)| Event::Proposed {
                token: token.0 & !Token::JS_BIT,
                result,
            });
            waiting.events.extend(events);
        });
    }
}
