//! Large answers: chunks, streams, and compactions that come while they are read.

use super::kit::*;
use crate::auth::Caller;
use crate::error;
use crate::limits::{RANGE_CHUNK_BYTES, RANGE_PAGE_KEYS, RANGE_WHOLE_BYTES_MAX};
use crate::mvcc::RangeAnswer;
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::*;

/// A store of `keys` keys with values of `value_bytes`; half of them are in the tree, half in the tail.
fn filled(keys: usize, value_bytes: usize) -> Kit {
    let mut kit = Kit::new();
    for number in 0..keys {
        let value = format!("{number:06}{}", "v".repeat(value_bytes - 6));
        kit.set(&format!("k{number:06}"), &value);
        if number == keys / 2 {
            kit.store.flush();
        }
    }
    kit
}

fn chunked(kit: &Kit, request: &RangeRequest) -> (u64, crate::mvcc::Chunks) {
    match kit.store.range(request, &Caller::Nobody, TERM).unwrap() {
        RangeAnswer::Chunked { bytes, chunks, .. } => (bytes, chunks),
        RangeAnswer::Whole(bytes) => panic!("{} bytes at once", bytes.len()),
    }
}

fn numbers(response: &RangeResponse) -> Vec<usize> {
    let number = |key: &[u8]| String::from_utf8_lossy(&key[1..]).parse().unwrap();
    response.kvs.iter().map(|kv| number(&kv.key)).collect()
}

#[test]
fn large_answers_come_in_chunks_of_bounded_size() {
    let keys = RANGE_PAGE_KEYS * 3 + 7;
    let kit = filled(keys, 1000);
    let (bytes, chunks) = chunked(&kit, &range("k", "l"));
    assert!(bytes > RANGE_WHOLE_BYTES_MAX as u64);
    let mut all = Vec::new();
    for chunk in chunks {
        let chunk = chunk.unwrap();
        assert!(!chunk.is_empty() && chunk.len() < RANGE_CHUNK_BYTES + 2000);
        all.extend_from_slice(&chunk);
    }
    assert_eq!(all.len() as u64, bytes);
    let response: RangeResponse = decode(all.into());
    assert_eq!(numbers(&response), (0..keys).collect::<Vec<_>>());
    assert_eq!((response.count, response.more), (keys as i64, false));
}

#[test]
fn sorted_filtered_and_limited_large_answers() {
    let keys = RANGE_PAGE_KEYS * 2 + 1;
    let kit = filled(keys, 1000);
    let mut request = range("k", "l");
    request.set_sort_order(SortOrder::Descend);
    request.limit = 1500;
    request.min_mod_revision = 100;
    let response = kit.range(&request).unwrap();
    assert_eq!(
        numbers(&response),
        (keys - 1500..keys).rev().collect::<Vec<_>>()
    );
    assert_eq!((response.count, response.more), (keys as i64, true));
    request.set_sort_target(SortTarget::Value);
    assert_eq!(kit.range(&request).unwrap(), response);
    request.keys_only = true;
    let short = kit.range(&request).unwrap();
    assert_eq!(numbers(&short), numbers(&response));
    assert!(short.kvs.iter().all(|kv| kv.value.is_empty()));
}

#[test]
fn a_chunked_answer_stays_at_its_revision() {
    let mut kit = filled(3000, 1000);
    let (bytes, mut chunks) = chunked(&kit, &range("k", "l"));
    let mut all = chunks.next().unwrap().unwrap().to_vec();
    kit.delete("k", "l");
    kit.set("k000000", "new");
    let now = kit.store.revision();
    // The compaction waits for the read.
    kit.compact(now).unwrap();
    kit.store.flush();
    for chunk in chunks {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(all.len() as u64, bytes);
    let response: RangeResponse = decode(all.into());
    assert_eq!(response.kvs.len(), 3000);
    kit.settle(now);
    assert_eq!(kit.all(0).unwrap(), ["k000000=new"]);
}

#[test]
fn a_read_that_a_compaction_does_not_wait_for_ends_with_the_compacted_error() {
    let kit = filled(3000, 1000);
    let (_, mut chunks) = chunked(&kit, &range("k", "l"));
    assert!(chunks.next().unwrap().is_ok());
    kit.store.pins.break_below(i64::MAX);
    assert_eq!(chunks.next(), Some(Err(error::COMPACTED)));
    assert_eq!(chunks.next(), None);
}

fn stream(kit: &Kit, request: &RangeRequest) -> Vec<RangeResponse> {
    let messages = kit
        .store
        .range_stream(request, &Caller::Nobody, TERM)
        .unwrap();
    messages
        .map(|message| {
            let message: RangeStreamResponse = decode(message.unwrap());
            message.range_response.unwrap()
        })
        .collect()
}

#[test]
fn stream_messages_double_and_the_last_one_has_the_rest() {
    let kit = filled(100, 10);
    let messages = stream(&kit, &range("k", "l"));
    let sizes: Vec<_> = messages.iter().map(|message| message.kvs.len()).collect();
    assert_eq!(sizes, [10, 20, 40, 30]);
    let (last, before) = messages.split_last().unwrap();
    assert!(
        before
            .iter()
            .all(|message| message.header.is_none() && message.count == 0)
    );
    assert_eq!((last.count, last.more), (100, false));
    assert_eq!(last.header.as_ref().unwrap().revision, 101);
    let all: Vec<usize> = messages.iter().flat_map(numbers).collect();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[test]
fn stream_limits_counts_and_empty_ranges() {
    let kit = filled(30, 10);
    let mut request = range("k", "l");
    request.limit = 25;
    let messages = stream(&kit, &request);
    let sizes: Vec<_> = messages.iter().map(|message| message.kvs.len()).collect();
    assert_eq!(sizes, [10, 15]);
    assert!(messages[1].more);
    assert_eq!(messages[1].count, 30);
    request.count_only = true;
    let messages = stream(&kit, &request);
    assert_eq!(
        (messages.len(), messages[0].count, messages[0].kvs.len()),
        (1, 30, 0)
    );
    let messages = stream(&kit, &range("x", ""));
    assert_eq!((messages.len(), messages[0].count), (1, 0));
    assert!(messages[0].header.is_some());
    request.revision = 99;
    let refused = kit
        .store
        .range_stream(&request, &Caller::Nobody, TERM)
        .err();
    assert_eq!(refused, Some(error::FUTURE_REVISION));
}

#[test]
fn stream_messages_shrink_when_values_are_large() {
    let kit = filled(24, 400_000);
    let messages = stream(&kit, &range("k", "l"));
    let sizes: Vec<_> = messages.iter().map(|message| message.kvs.len()).collect();
    // 4 MB, above twice the measure of 1 MiB: the next one is half; 2 MB is within.
    assert_eq!(sizes, [10, 5, 5, 4]);
}

#[test]
fn flushed_marks_follow_the_entries() {
    let mut kit = Kit::new();
    kit.set("a", "1");
    kit.set("a", "2");
    kit.store.flush();
    kit.store.close();
    assert_eq!(kit.store.flushed(), kit.mark());
    assert_eq!(kit.told.flushed.lock().last(), Some(&kit.mark()));
    assert_eq!(kit.store.status().tail_bytes, 0);
    assert!(kit.store.status().db_bytes > 0);
}

#[test]
fn a_full_tail_makes_apply_wait_but_loses_nothing() {
    let mut kit = Kit::new();
    let value = "v".repeat(1 << 20);
    for number in 0..80 {
        kit.set(&format!("k{number}"), &value);
        let tail = kit.store.status().tail_bytes as usize;
        assert!(tail <= crate::limits::TAIL_BYTES_MAX, "{tail}");
    }
    let mut count = range("k", "l");
    count.count_only = true;
    assert_eq!(kit.range(&count).unwrap().count, 80);
    let kit = kit.reopen();
    assert_eq!(kit.range(&count).unwrap().count, 80);
}

#[test]
fn defragmentation_gives_pages_back() {
    let mut kit = filled(4000, 1000);
    kit.delete("k", "k003900");
    let now = kit.store.revision();
    kit.compact_wholly(now);
    let before = kit.store.status();
    assert!(before.db_used_bytes < before.db_bytes / 2);
    kit.store.defragment().unwrap();
    let after = kit.store.status();
    assert!(after.db_bytes < before.db_bytes / 2);
    kit.set("new", "1");
    let kit = kit.reopen();
    assert_eq!(kit.all(0).unwrap().len(), 101);
    let names: Vec<_> = std::fs::read_dir(kit.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("defrag"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

/// Who compacts and defragments wants the room of what was compacted, and does not ask in between.
#[test]
fn defragmentation_waits_for_the_compactions_before_it() {
    let mut kit = filled(4000, 1000);
    kit.store.flush();
    let before = kit.store.status();
    kit.delete("k", "k003900");
    let now = kit.store.revision();
    kit.compact(now - 1).unwrap();
    kit.compact(now).unwrap();
    kit.store.defragment().unwrap();
    assert!(kit.store.status().db_bytes < before.db_bytes / 2);
    // Nothing is left to be done, and nothing waits.
    kit.settle(now);
    kit.store.defragment().unwrap();
    kit.store.close();
    let refused = kit.store.defragment().unwrap_err();
    assert_eq!(refused.to_string(), "the store is closed");
}

/// A member stops on a full disk too: what is committed is applied without waiting for room in the tail.
#[test]
fn the_last_that_is_applied_does_not_wait_for_the_flusher() {
    let mut kit = Kit::new();
    let store = std::sync::Arc::clone(&kit.store);
    let commits = store.flush.gate.lock();
    store.end_waits();
    let value = "v".repeat(900_000);
    for number in 0..=crate::limits::TAIL_BYTES_MAX / value.len() {
        kit.set(&format!("k{number}"), &value);
    }
    assert!(store.state.read().tail.bytes() > crate::limits::TAIL_BYTES_MAX);
    drop(commits);
}

/// The next regular commit is a whole interval away; who asks for a compaction does not wait for it.
#[test]
fn a_compaction_begins_at_once() {
    const COMPACTIONS: u32 = 20;
    const INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);
    let mut kit = Kit::new();
    let start = std::time::Instant::now();
    for number in 0..COMPACTIONS {
        let revision = kit.set("a", &number.to_string());
        kit.compact_wholly(revision);
    }
    let took = start.elapsed();
    assert!(took < INTERVAL * COMPACTIONS, "{took:?}");
}

/// While the disk is full no compaction ends; who waits for one must not wait for room.
#[test]
fn nobody_waits_for_a_compaction_that_the_full_disk_holds_up() {
    let mut kit = filled(10, 10);
    kit.store.flush();
    let store = std::sync::Arc::clone(&kit.store);
    let commits = store.flush.gate.lock();
    let now = store.revision();
    kit.compact(now).unwrap();
    let waiting = std::sync::Arc::clone(&store);
    let waiter = std::thread::spawn(move || waiting.await_compactions());
    while !waiter.is_finished() {
        // The end of the last commit may still say otherwise.
        store.flush.report_blocked(true);
        std::thread::yield_now();
    }
    assert!(store.compactions.lock().finished < now);
    drop(commits);
    // The next commit finds room.
    kit.settle(now);
    kit.store.await_compactions();
}
