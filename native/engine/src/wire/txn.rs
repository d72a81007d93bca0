//! Txns in txns, deeper than prost nests messages.

use bytes::Bytes;
use prost::Message;

use super::cursor::{BYTES, Cursor};
use crate::limits::TXN_DEPTH_MAX;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{RequestOp, TxnRequest};

/// Why there is no txn.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UndecodedTxn {
    /// It is not a txn.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// It nests deeper than `TXN_DEPTH_MAX`.
    #[error("txns nest deeper than {TXN_DEPTH_MAX}")]
    TooDeep,
}

/// Decodes a txn, with those in it down to `TXN_DEPTH_MAX`.
///
/// # Errors
/// Not a txn, or too deep.
pub fn decode_txn(message: Bytes) -> Result<TxnRequest, UndecodedTxn> {
    // Nearly always prost can: what it refuses is looked at again.
    if let Ok(txn) = TxnRequest::decode(message.clone()) {
        return Ok(txn);
    }
    let mut txn = TxnRequest::default();
    merge_txn(&mut txn, &message, TXN_DEPTH_MAX)?;
    Ok(txn)
}

const SUCCESS: u64 = 2;
const FAILURE: u64 = 3;
const REQUEST_TXN: u64 = 4;

/// `depth` counts this txn and those that may be in it.
fn merge_txn(txn: &mut TxnRequest, message: &Bytes, depth: usize) -> Result<(), UndecodedTxn> {
    if depth == 0 {
        return Err(UndecodedTxn::TooDeep);
    }
    each_field(message, |number, field, body| {
        match (number, body) {
            (SUCCESS, Some(body)) => txn.success.push(decode_op(&body, depth)?),
            (FAILURE, Some(body)) => txn.failure.push(decode_op(&body, depth)?),
            _ => txn.merge(field)?,
        }
        Ok(())
    })
}

fn decode_op(message: &Bytes, depth: usize) -> Result<RequestOp, UndecodedTxn> {
    let mut op = RequestOp::default();
    each_field(message, |number, field, body| {
        match (number, body) {
            (REQUEST_TXN, Some(body)) => {
                // One that comes twice is merged; another operation before it is replaced.
                let mut nested = match op.request.take() {
                    Some(Request::RequestTxn(nested)) => nested,
                    _ => TxnRequest::default(),
                };
                merge_txn(&mut nested, &body, depth - 1)?;
                op.request = Some(Request::RequestTxn(nested));
            }
            _ => op.merge(field)?,
        }
        Ok(())
    })?;
    Ok(op)
}

/// Gives the number of each field, the whole field, and what is in it if it has a length. What cannot be told apart is
/// given as one last field: prost refuses it.
fn each_field(
    message: &Bytes,
    mut each: impl FnMut(u64, Bytes, Option<Bytes>) -> Result<(), UndecodedTxn>,
) -> Result<(), UndecodedTxn> {
    let end = message.len();
    let mut cursor = Cursor::new(message);
    while cursor.at < end {
        let start = cursor.at;
        let told_apart = cursor.tag(end).and_then(|(number, wire)| {
            if wire == BYTES {
                let body = cursor.bytes(end)?;
                return Ok((number, Some(message.slice_ref(body))));
            }
            cursor.skip(number, wire, end)?;
            Ok((number, None))
        });
        match told_apart {
            Ok((number, body)) => each(number, message.slice(start..cursor.at), body)?,
            Err(_) => {
                each(0, message.slice(start..), None)?;
                return Ok(());
            }
        }
    }
    Ok(())
}
