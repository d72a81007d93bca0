//! Txns in txns, as deep as they may be.

use prost::Message;

use super::kit::*;
use crate::auth::Caller;
use crate::limits::TXN_DEPTH_MAX;
use crate::mvcc::Applied;
use crate::proto::etcdserverpb::TxnRequest;
use crate::proto::etcdserverpb::request_op::Request;
use crate::types::OpKind;

/// A put below so many txns in one another, among them the one that holds it.
fn put_below(depth: usize) -> TxnRequest {
    let mut txn = TxnRequest {
        success: vec![op_put("deep", "v")],
        ..Default::default()
    };
    for _ in 1..depth {
        txn = TxnRequest {
            success: vec![op(Request::RequestTxn(txn))],
            ..Default::default()
        };
    }
    txn
}

#[test]
fn txns_in_txns_are_applied_down_to_their_limit() {
    let mut kit = Kit::new();
    for depth in [50, 128, TXN_DEPTH_MAX] {
        let revision = kit.store.revision();
        let encoded = put_below(depth).encode_to_vec();
        // A thread's stack, as apply has it.
        let context = kit.next_context();
        let store = kit.store.clone();
        let answer = std::thread::spawn(move || {
            let applied = store.apply_op(OpKind::Txn, encoded.into(), &Caller::Nobody, &context);
            store.entry_applied(context.mark);
            applied
        });
        let Applied::Done(Ok(answer)) = answer.join().unwrap() else {
            panic!("a txn of {depth} is refused");
        };
        // Every txn has an answer in that of the txn around it.
        assert!(answer.len() > 6 * depth, "{} bytes", answer.len());
        assert_eq!(kit.store.revision(), revision + 1);
    }
}
