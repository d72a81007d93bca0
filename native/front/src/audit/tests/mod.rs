//! The log as a whole.

mod disk;
mod lines;
mod secrets;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::json::Lines;
use super::record::Records;
use super::time::Clock;
use super::*;

const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";

fn method(path: &str) -> MethodId {
    MethodId::find(path).unwrap()
}

/// The noted part of a record.
fn noted(user: &[u8], request: &dyn Tells) -> Vec<u8> {
    let mut noted = Vec::new();
    put_text(&mut noted, user);
    request.tell(&mut Telling(&mut noted));
    noted
}

fn record<'a>(path: &str, noted: &'a [u8]) -> Record<'a> {
    Record {
        at: 0,
        method: method(path),
        code: 0,
        revision: 0,
        succeeded: None,
        common_name: None,
        address: b"127.0.0.1:1",
        message: b"",
        noted,
    }
}

/// Its line, 1.5 s after the beginning of 1970.
fn line_of(record: &Record<'_>) -> String {
    let mut lane = Vec::new();
    record.put(&mut lane);
    let mut out = Vec::new();
    let read = Records(&lane).next().unwrap();
    Lines::new(Clock::starting(Duration::from_millis(1500))).request(&mut out, &read);
    String::from_utf8(out).unwrap()
}

fn told(path: &str, message: impl prost::Message) -> Value {
    let message = Bytes::from(message.encode_to_vec());
    let noted = noted(b"alice", &*decoded(method(path), &message));
    let line = line_of(&record(path, &noted));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
