//! Tests of HPACK: the RFC's own examples, fuzzing, and properties against a slow encoder and the decoder of another
//! implementation.

mod fuzz;
mod properties;
mod rfc;
mod slow;

use super::{Decoder, Malformed};

/// Name and value as a test writes them down.
pub(super) type Plain = (Vec<u8>, Vec<u8>);

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Plain>, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, |field| {
        fields.push((field.name.to_vec(), field.value.to_vec()))
    })?;
    Ok(fields)
}
