//! Bytes of the data plane in JavaScript. All unsafe code of the addon but that for signals is here.

use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, ToNapiValue, TypeName};
use napi::{Env, Result, ValueType, sys};

use crate::limits::EXTERNAL_BUFFER_BYTES_MIN;

/// Becomes a Buffer. A large one is the memory itself, which JavaScript must not write to.
pub struct SharedBytes(pub Bytes);

impl TypeName for SharedBytes {
    fn type_name() -> &'static str {
        "Buffer"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

fn buffer(env: &Env, bytes: Bytes) -> Result<BufferSlice<'_>> {
    if bytes.len() < EXTERNAL_BUFFER_BYTES_MIN {
        return BufferSlice::copy_from(env, &bytes);
    }
    let (data, length) = (bytes.as_ptr().cast_mut(), bytes.len());
    // SAFETY: `bytes` keeps the memory alive and in its place until the finalizer drops it; nobody writes to it, in Rust
    // because it is shared, in JavaScript by the contract of binding.ts.
    unsafe { BufferSlice::from_external(env, data, length, bytes, |_, bytes| drop(bytes)) }
}

impl ToNapiValue for SharedBytes {
    unsafe fn to_napi_value(env: sys::napi_env, val: Self) -> Result<sys::napi_value> {
        let owner = Env::from_raw(env);
        let made = buffer(&owner, val.0)?;
        // SAFETY: `env` is the one of this call, by the contract of this method, and `made` belongs to it.
        unsafe { ToNapiValue::to_napi_value(env, &made) }
    }
}
