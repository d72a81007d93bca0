//! Readers beside the apply thread, the flusher, compactions and a defragmentation: whatever they meet, an answer is
//! the state at one revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kit::*;
use crate::auth::Caller;
use crate::error;
use crate::limits::RANGE_PAGE_KEYS;
use crate::mvcc::{RangeAnswer, Store};
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::*;

const ROUNDS: usize = 120;
const READS_MIN: usize = 10;
/// Enough that an answer takes more than one page and one chunk.
const KEYS: usize = RANGE_PAGE_KEYS + 500;
const VALUE_BYTES: usize = 800;

fn value(round: usize) -> String {
    format!("{round:0VALUE_BYTES$}")
}

fn key(number: usize) -> String {
    format!("k{number:05}")
}

/// Every key is written in every round, in one txn; so all keys of a right answer have one value.
fn write_round(kit: &mut Kit, round: usize) {
    let success = (0..KEYS)
        .map(|number| op_put(&key(number), &value(round)))
        .collect();
    let request = TxnRequest {
        success,
        ..Default::default()
    };
    assert!(kit.txn(&request).unwrap().succeeded);
}

fn check(response: &RangeResponse) {
    assert_eq!(response.kvs.len(), KEYS);
    assert_eq!(response.count, KEYS as i64);
    let first = &response.kvs[0];
    for kv in &response.kvs {
        assert_eq!(
            (&kv.value, kv.mod_revision),
            (&first.value, first.mod_revision)
        );
    }
}

fn read_range(store: &Arc<Store>, revision: i64) -> Result<(), crate::error::EtcdError> {
    let request = RangeRequest {
        revision,
        ..range("k", "l")
    };
    match store.range(&request, &Caller::Nobody, TERM)? {
        RangeAnswer::Whole(bytes) => check(&decode(bytes)),
        RangeAnswer::Chunked { bytes, chunks, .. } => {
            let mut all = Vec::new();
            for chunk in chunks {
                all.extend_from_slice(&chunk?);
            }
            assert_eq!(all.len() as u64, bytes);
            check(&decode(all.into()));
        }
    }
    Ok(())
}

fn read_txn(store: &Arc<Store>) {
    let request = TxnRequest {
        success: vec![
            op_range("k", "l"),
            op_range("k00000", ""),
            op_range("k01499", ""),
        ],
        ..Default::default()
    };
    let response: TxnResponse = decode(store.read_txn(&request, &Caller::Nobody, TERM).unwrap());
    let answers: Vec<RangeResponse> = response
        .responses
        .into_iter()
        .map(|op| match op.response.unwrap() {
            Response::ResponseRange(range) => range,
            other => panic!("{other:?}"),
        })
        .collect();
    check(&answers[0]);
    assert_eq!(answers[1].kvs[0].value, answers[0].kvs[0].value);
    assert_eq!(answers[2].kvs[0].value, answers[0].kvs[0].value);
}

fn read_history(store: &Arc<Store>) {
    let now = store.revision();
    match store.events(now - 1, now, 1 << 20, &|_| true) {
        Ok(chunk) => assert_eq!(chunk.events.len() % KEYS, 0),
        Err(error) => assert_eq!(error, error::COMPACTED),
    }
}

fn reader(store: &Arc<Store>, stop: &AtomicBool) -> usize {
    let mut reads = 0;
    while reads < READS_MIN || !stop.load(Ordering::Relaxed) {
        read_range(store, 0).unwrap();
        let old = store.revision() - 1;
        if let Err(error) = read_range(store, old.max(2)) {
            assert_eq!(error, error::COMPACTED);
        }
        read_txn(store);
        read_history(store);
        reads += 1;
    }
    reads
}

#[test]
fn every_answer_is_one_revision() {
    let mut kit = Kit::new();
    write_round(&mut kit, 0);
    let stop = AtomicBool::new(false);
    let store = Arc::clone(&kit.store);
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| reader(&store, &stop)));
        for round in 1..=ROUNDS {
            write_round(&mut kit, round);
            match round % 10 {
                3 => kit.compact(kit.store.revision()).map(drop).unwrap(),
                6 => kit.store.flush(),
                9 if round % 100 == 99 => kit.store.defragment().unwrap(),
                _ => {}
            }
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() >= READS_MIN);
        }
    });
    drop(store);
    let kit = kit.crash();
    assert!(kit.recovered.applied.index > 0);
    read_range(&kit.store, 0).unwrap();
}
