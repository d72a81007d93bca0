//! Random histories: the store and its slow twin answer alike, whatever is flushed, compacted or lost in a crash.

use proptest::prelude::*;

use super::kit::*;
use super::twin::Twin;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::*;
use crate::types::OpKind;

const KEYS: [&str; 7] = ["a", "aa", "ab", "b", "ba", "c", "d"];
const ENDS: [&str; 6] = ["", "\0", "ab", "b", "c", "z"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8),
    Delete(usize, usize),
    /// Puts and a delete in one revision.
    Txn(Vec<(usize, u8)>, usize),
    /// Compacts at this per mille of the current revision.
    Compact(i64),
    Range(RangeRequest),
    Flush,
    Settle,
    Crash,
    Defragment,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        8 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => (key.clone(), 0..ENDS.len()).prop_map(|(key, end)| Step::Delete(key, end)),
        3 => (prop::collection::vec((key.clone(), any::<u8>()), 0..4), key.clone())
            .prop_map(|(puts, delete)| Step::Txn(puts, delete)),
        2 => (0..1_100i64).prop_map(Step::Compact),
        8 => ranges().prop_map(Step::Range),
        2 => Just(Step::Flush),
        1 => Just(Step::Settle),
        1 => Just(Step::Crash),
        1 => Just(Step::Defragment),
    ]
}

fn ranges() -> impl Strategy<Value = RangeRequest> {
    let bound = || prop_oneof![3 => Just(0), 1 => 0..30i64];
    (
        (
            0..KEYS.len(),
            0..ENDS.len(),
            0..4i64,
            -1..40i64,
            any::<bool>(),
        ),
        (0..3i32, 0..5i32, any::<bool>(), prop::bool::weighted(0.1)),
        (bound(), bound(), bound(), bound()),
    )
        .prop_map(|(what, how, filters)| RangeRequest {
            key: bytes(KEYS[what.0]),
            range_end: bytes(ENDS[what.1]),
            limit: what.2,
            revision: if what.4 { what.3 } else { 0 },
            sort_order: how.0,
            sort_target: how.1,
            keys_only: how.2,
            count_only: how.3,
            min_mod_revision: filters.0,
            max_mod_revision: filters.1,
            min_create_revision: filters.2,
            max_create_revision: filters.3,
            serializable: false,
        })
}

/// Both stores, and the entries that a crash may make the store forget.
struct Pair {
    kit: Kit,
    twin: Twin,
    log: Vec<(OpKind, Vec<u8>)>,
}

impl Pair {
    fn log(
        &mut self,
        kind: OpKind,
        request: &impl prost::Message,
    ) -> Result<bytes::Bytes, crate::error::EtcdError> {
        self.log.push((kind, request.encode_to_vec()));
        self.kit.apply(kind, request)
    }

    fn run(mut self, step: &Step) -> Self {
        match step {
            Step::Put(key, value) => {
                self.twin
                    .put(self.twin.revision + 1, KEYS[*key], &value.to_string());
                let request = put(KEYS[*key], &value.to_string());
                let response: PutResponse = decode(self.log(OpKind::Put, &request).unwrap());
                assert_eq!(response.header.unwrap().revision, self.twin.revision);
            }
            Step::Delete(key, end) => self.delete(KEYS[*key], ENDS[*end]),
            Step::Txn(puts, delete) => self.txn(puts, KEYS[*delete]),
            Step::Compact(per_mille) => {
                let revision = self.twin.revision * per_mille / 1000;
                let request = CompactionRequest {
                    revision,
                    physical: false,
                };
                let answer = self.log(OpKind::Compact, &request).map(|_| ());
                assert_eq!(answer, self.twin.compact(revision));
            }
            Step::Range(request) => self.range(request),
            Step::Flush => self.kit.store.flush(),
            Step::Settle => {
                self.kit.store.flush();
                self.kit.settle(self.twin.compacted);
            }
            Step::Crash => self = self.crash(),
            Step::Defragment => self.kit.store.defragment().unwrap(),
        }
        self
    }

    fn delete(&mut self, key: &str, end: &str) {
        let deleted = self.twin.delete(self.twin.revision + 1, key, end);
        let request = DeleteRangeRequest {
            key: bytes(key),
            range_end: bytes(end),
            prev_kv: false,
        };
        let answer = self.log(OpKind::DeleteRange, &request).unwrap();
        let response: DeleteRangeResponse = decode(answer);
        assert_eq!(response.deleted, deleted as i64);
        assert_eq!(response.header.unwrap().revision, self.twin.revision);
    }

    fn txn(&mut self, puts: &[(usize, u8)], delete: &str) {
        let main = self.twin.revision + 1;
        let mut success = vec![op_delete(delete, "")];
        self.twin.delete(main, delete, "");
        let mut used = vec![delete];
        for (key, value) in puts {
            if !used.contains(&KEYS[*key]) {
                used.push(KEYS[*key]);
                success.push(op_put(KEYS[*key], &value.to_string()));
                self.twin.put(main, KEYS[*key], &value.to_string());
            }
        }
        success.push(op_range("\0", "\0"));
        let request = TxnRequest {
            success,
            ..Default::default()
        };
        let answer = self.log(OpKind::Txn, &request).unwrap();
        let mut response: TxnResponse = decode(answer);
        assert_eq!(response.header.unwrap().revision, self.twin.revision);
        let Some(Response::ResponseRange(seen)) = response.responses.pop().unwrap().response else {
            panic!("the last answer is a range's");
        };
        assert_eq!(seen.kvs, self.twin.live(b"\0", b"\0", main));
    }

    fn range(&self, request: &RangeRequest) {
        let found = self.kit.range(request).map(|response| {
            assert_eq!(response.header.unwrap().revision, self.twin.revision);
            (response.kvs, response.more, response.count)
        });
        assert_eq!(found, self.twin.range(request), "{request:?}");
    }

    /// Applies again what the crash lost, as the log does.
    fn crash(mut self) -> Self {
        self.kit = self.kit.crash();
        let kept = self.kit.recovered.applied.index as usize;
        for (kind, request) in &self.log[kept..] {
            // The answers were checked the first time; errors come again.
            let _ = self.kit.apply(*kind, &Raw(request));
        }
        self.check();
        self
    }

    /// Compares everything that can be seen.
    fn check(&self) {
        let twin = &self.twin;
        assert_eq!(self.kit.store.revision(), twin.revision);
        assert_eq!(self.kit.store.compact_revision(), twin.compacted);
        for at in twin.compacted.max(1)..=twin.revision {
            let request = RangeRequest {
                revision: at,
                ..range("\0", "\0")
            };
            self.range(&request);
        }
        self.check_history();
    }

    fn check_history(&self) {
        let mut from = self.twin.compacted.max(2);
        let expected: Vec<_> = self
            .twin
            .changes
            .iter()
            .filter(|change| change.main > from)
            .map(|change| {
                (
                    change.main,
                    change.sub,
                    change.kv.is_none(),
                    bytes(&change.key),
                )
            })
            .collect();
        from += 1;
        let mut seen = Vec::new();
        while from <= self.twin.revision {
            let chunk = self
                .kit
                .store
                .events(from, self.twin.revision, 40, &|_| true)
                .unwrap();
            assert!(chunk.next > from);
            seen.extend(chunk.events.into_iter().map(|event| {
                let revision = event.revision;
                (revision.main, revision.sub, event.tombstone, event.key)
            }));
            from = chunk.next;
        }
        assert_eq!(seen, expected);
    }
}

/// A request that is encoded already.
#[derive(Debug)]
struct Raw<'a>(&'a [u8]);

impl prost::Message for Raw<'_> {
    fn encode_raw(&self, buffer: &mut impl bytes::BufMut) {
        buffer.put_slice(self.0);
    }

    fn merge_field(
        &mut self,
        _tag: u32,
        _wire_type: prost::encoding::wire_type::WireType,
        _buffer: &mut impl bytes::Buf,
        _context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        unreachable!("only encoded")
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {}
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_the_twin(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair {
            kit: Kit::new(),
            twin: Twin::new(),
            log: Vec::new(),
        };
        for step in &steps {
            pair = pair.run(step);
        }
        pair.check();
        pair.crash();
    }
}
