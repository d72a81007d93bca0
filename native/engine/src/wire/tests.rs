use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::limits::{GROUP_DEPTH_MAX, MESSAGE_DEPTH_MAX, TXN_DEPTH_MAX};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    MemberAddRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    WatchRequest, watch_request,
};

fn cleaned(path: &str, message: &[u8]) -> Result<Bytes, Malformed> {
    clean(
        request_shape(path).expect("a method"),
        &Bytes::copy_from_slice(message),
    )
}

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const MEMBER_ADD: &str = "/etcdserverpb.Cluster/MemberAdd";

#[test]
fn what_go_skips_is_left_out() {
    for (what, message, left) in [
        (
            "key as a varint",
            &b"\x08\x05\x12\x01b"[..],
            &b"\x12\x01b"[..],
        ),
        ("key as a fixed64", b"\x0912345678\x12\x01b", b"\x12\x01b"),
        ("key as a fixed32", b"\x0d1234\x12\x01b", b"\x12\x01b"),
        ("key as a group", b"\x0b\x08\x01\x0c\x12\x01b", b"\x12\x01b"),
        ("limit as bytes", b"\x0a\x01a\x1a\x01b", b"\x0a\x01a"),
        ("an unknown field", b"\x0a\x01a\xf8\x7f\x01", b"\x0a\x01a"),
        (
            "groups in a group",
            b"\x0a\x01a\xfb\x7f\x0b\x0c\xfc\x7f",
            b"\x0a\x01a",
        ),
        ("nothing", b"\x0a\x01a", b"\x0a\x01a"),
    ] {
        assert_eq!(cleaned(RANGE, message).unwrap(), left, "{what}");
    }
}

#[test]
fn lengths_of_the_messages_around_it_shrink() {
    let nested = TxnRequest {
        success: vec![RequestOp {
            request: Some(Request::RequestRange(RangeRequest {
                key: "k".into(),
                ..Default::default()
            })),
        }],
        ..Default::default()
    };
    let plain = nested.encode_to_vec();
    // The same with 200 bytes in the range that Go skips: lengths of two bytes become lengths of one.
    let mut range = b"\x0a\x01k".to_vec();
    range.extend([0x1a, 0xc8, 0x01]);
    range.extend([7; 200]);
    let framed = |tag: u8, body: &[u8]| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend(body);
        out
    };
    let message = framed(0x12, &framed(0x0a, &range));
    assert_eq!(cleaned(TXN, &message).unwrap(), plain);
}

#[test]
fn what_go_refuses_is_refused() {
    for message in [
        &b"\xff"[..],
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0b",
        b"\x0b\x14",
        b"\x0c",
        b"\x00\x00",
        b"\x07",
        b"\x0e\x00",
        b"\x18",
        b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\xff\x01\x00",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        assert_eq!(cleaned(RANGE, message), Err(Malformed::Wire), "{message:?}");
        assert!(RangeRequest::decode(message).is_err(), "{message:?}");
    }
    let text = cleaned(MEMBER_ADD, b"\x0a\x02\xff\xfe");
    assert_eq!(text, Err(Malformed::Utf8));
    // A packed list of filters that ends inside a number.
    assert_eq!(
        cleaned(WATCH, b"\x0a\x03\x2a\x01\x80"),
        Err(Malformed::Wire)
    );
}

/// `depth` txns in one another.
fn nested_txns(depth: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 1..depth {
        let mut outer = Vec::with_capacity(message.len() + 12);
        let length = message.len() as u64;
        let op = 1 + prost::encoding::encoded_len_varint(length) as u64 + length;
        outer.push(0x12);
        prost::encoding::encode_varint(op, &mut outer);
        outer.push(0x22);
        prost::encoding::encode_varint(length, &mut outer);
        outer.extend(&message);
        message = outer;
    }
    message
}

fn depth_of(txn: &TxnRequest) -> usize {
    match txn.success.first().and_then(|op| op.request.as_ref()) {
        Some(Request::RequestTxn(nested)) => 1 + depth_of(nested),
        _ => 1,
    }
}

#[test]
fn txns_nest_to_their_limit_on_a_threads_stack() {
    for depth in [1, 49, 50, 51, 128, TXN_DEPTH_MAX] {
        let message = Bytes::from(nested_txns(depth));
        assert_eq!(cleaned(TXN, &message).unwrap(), message);
        assert_eq!(depth_of(&decode_txn(message).unwrap()), depth);
    }
    let deeper = decode_txn(nested_txns(TXN_DEPTH_MAX + 1).into());
    assert_eq!(deeper, Err(UndecodedTxn::TooDeep));
}

#[test]
fn depth_without_end_costs_no_stack() {
    // A txn and an operation each.
    let allowed = MESSAGE_DEPTH_MAX / 2;
    assert!(cleaned(TXN, &nested_txns(allowed)).is_ok());
    assert_eq!(
        cleaned(TXN, &nested_txns(allowed + 1)),
        Err(Malformed::Depth)
    );
    let groups = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    assert_eq!(cleaned(RANGE, &groups(GROUP_DEPTH_MAX)).unwrap(), "");
    assert_eq!(
        cleaned(RANGE, &groups(GROUP_DEPTH_MAX + 1)),
        Err(Malformed::Wire)
    );
    assert_eq!(cleaned(RANGE, &vec![0x7b; 1 << 20]), Err(Malformed::Wire));
}

#[test]
fn a_deep_txn_keeps_what_is_beside_the_depth() {
    let mut message = nested_txns(80);
    let put = |key: &'static str| RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.into(),
            ..Default::default()
        })),
    };
    TxnRequest {
        success: vec![put("a")],
        failure: vec![put("b")],
        ..Default::default()
    }
    .encode(&mut message)
    .unwrap();
    let txn = decode_txn(message.into()).unwrap();
    assert_eq!((txn.success.len(), txn.failure.len()), (2, 1));
    assert_eq!((&txn.success[1], &txn.failure[0]), (&put("a"), &put("b")));
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let range = (any::<Vec<u8>>(), any::<i64>(), any::<bool>()).prop_map(|(key, limit, flag)| {
        RangeRequest {
            key: key.into(),
            limit,
            serializable: flag,
            ..Default::default()
        }
    });
    proptest::collection::vec(range, 0..4).prop_map(|ranges| {
        let op = |range| RequestOp {
            request: Some(Request::RequestRange(range)),
        };
        let inner = TxnRequest {
            success: ranges.into_iter().map(op).collect(),
            ..Default::default()
        };
        let outer = RequestOp {
            request: Some(Request::RequestTxn(inner)),
        };
        TxnRequest {
            failure: vec![outer],
            ..Default::default()
        }
        .encode_to_vec()
    })
}

proptest! {
    #[test]
    fn what_prost_takes_means_the_same_when_it_is_cleaned(message in any_request(), junk in any::<Vec<u8>>()) {
        let bytes = [message, junk].concat();
        let strict = TxnRequest::decode(&bytes[..]);
        let clean = cleaned(TXN, &bytes);
        match (strict, clean) {
            (Ok(strict), Ok(clean)) => {
                prop_assert_eq!(&TxnRequest::decode(clean.clone()).unwrap(), &strict);
                prop_assert_eq!(decode_txn(clean).unwrap(), strict);
            }
            (Ok(_), Err(refused)) => prop_assert!(false, "prost takes it: {refused:?}"),
            (Err(_), Ok(clean)) => prop_assert!(TxnRequest::decode(clean).is_ok()),
            (Err(_), Err(_)) => {}
        }
    }
}

#[test]
fn packed_and_single_values_of_a_list_are_known() {
    let request = WatchRequest {
        request_union: Some(watch_request::RequestUnion::CreateRequest(
            WatchCreateRequest {
                key: "k".into(),
                filters: vec![0, 1],
                ..Default::default()
            },
        )),
    };
    let packed = Bytes::from(request.encode_to_vec());
    assert_eq!(cleaned(WATCH, &packed).unwrap(), packed);
    let single = b"\x0a\x07\x0a\x01k\x28\x00\x28\x01";
    assert_eq!(
        WatchRequest::decode(cleaned(WATCH, single).unwrap()).unwrap(),
        request
    );
    let member = MemberAddRequest {
        peer_ur_ls: vec!["http://é".into()],
        is_learner: true,
    };
    let bytes = member.encode_to_vec();
    assert_eq!(cleaned(MEMBER_ADD, &bytes).unwrap(), bytes);
}
