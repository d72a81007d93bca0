//! Messages of clients, decoded as grpc-go decodes them, and refused with its texts.

use bytes::Bytes;
use netcd_engine::error::{self, Code, EtcdError};
use netcd_engine::proto::etcdserverpb::TxnRequest;
use netcd_engine::wire::{self, UndecodedTxn};
use prost::Message;

use super::methods::{MethodId, MethodKind};

/// The message, and the bytes that say it to everybody: those that came, or less where Go would skip a part.
///
/// # Errors
/// Go refuses it too.
pub(crate) fn decode<T: Message + Default>(
    method: MethodId,
    message: &Bytes,
) -> Result<(T, Bytes), EtcdError> {
    if let Ok(decoded) = T::decode(message.clone()) {
        return Ok((decoded, message.clone()));
    }
    let cleaned = clean(method, message)?;
    match T::decode(cleaned.clone()) {
        Ok(decoded) => Ok((decoded, cleaned)),
        Err(problem) => Err(refusal(method, &problem)),
    }
}

/// The same of a txn, which may hold many of its kind.
pub(crate) fn decode_txn(
    method: MethodId,
    message: &Bytes,
) -> Result<(TxnRequest, Bytes), EtcdError> {
    if let Ok(txn) = wire::decode_txn(message.clone()) {
        return Ok((txn, message.clone()));
    }
    let cleaned = clean(method, message)?;
    match wire::decode_txn(cleaned.clone()) {
        Ok(txn) => Ok((txn, cleaned)),
        // Each of them is an operation at least.
        Err(UndecodedTxn::TooDeep) => Err(error::TOO_MANY_OPS),
        Err(UndecodedTxn::Malformed(problem)) => Err(refusal(method, &problem)),
    }
}

/// The message without what Go would skip, for a decoder that is less patient.
///
/// # Errors
/// Go refuses it.
pub(crate) fn clean(method: MethodId, message: &Bytes) -> Result<Bytes, EtcdError> {
    match wire::request_shape(method.get().path) {
        Some(shape) => wire::clean(shape, message).map_err(|malformed| refusal(method, &malformed)),
        None => Ok(message.clone()),
    }
}

fn refusal(method: MethodId, why: &dyn std::fmt::Display) -> EtcdError {
    let what = match method.get().kind {
        MethodKind::Unary => "grpc: error unmarshalling request",
        MethodKind::ServerStream | MethodKind::Bidi => {
            "grpc: failed to unmarshal the received message"
        }
    };
    EtcdError::new(Code::Internal, format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::methods::METHODS;

    #[test]
    fn the_request_of_every_method_has_a_shape() {
        for method in METHODS {
            assert!(wire::request_shape(method.path).is_some(), "{method:?}");
        }
    }
}
