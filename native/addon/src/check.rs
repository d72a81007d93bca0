//! What JavaScript gives is checked here, and a refusal names the field, as binding.ts has it; the words of both sides.

use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::BigInt;
use napi::{Error, Result};
use netcd_engine::mvcc::MetaTable;
use netcd_engine::types::{EntryKind, OpKind};
use netcd_front::tls::{TlsSide, TlsVersion};
use netcd_front::{ProbeKind, TokenKind};

/// An error for JavaScript.
pub fn reason(error: impl std::fmt::Display) -> Error {
    Error::from_reason(error.to_string())
}

/// A 64-bit id.
pub fn id(name: &str, value: &BigInt) -> Result<u64> {
    match value.get_u64() {
        (false, id, true) => Ok(id),
        _ => Err(refused(name, "is an unsigned 64-bit integer")),
    }
}

/// A lease id.
pub fn lease_id(name: &str, value: &BigInt) -> Result<i64> {
    match value.get_i64() {
        (id, true) => Ok(id),
        _ => Err(refused(name, "is a signed 64-bit integer")),
    }
}

/// An index, term or size that JavaScript has as a number.
pub fn number(name: &str, value: f64) -> Result<u64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    if value.fract() == 0.0 && (0.0..=SAFE).contains(&value) {
        return Ok(value as u64);
    }
    let form = format!("is a whole number from 0 to 2^53 - 1, not {value}");
    Err(refused(name, &form))
}

/// A number of things. napi's own conversion to `u32` would take the remainder of what is larger.
pub fn count(name: &str, value: f64) -> Result<u32> {
    let form = || refused(name, &format!("is at most {}, not {value}", u32::MAX));
    u32::try_from(number(name, value)?).map_err(|_| form())
}

/// Milliseconds with any fraction of one.
pub fn duration(name: &str, milliseconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(|_| {
        let form = format!("is a duration of 0 or more milliseconds, not {milliseconds}");
        refused(name, &form)
    })
}

/// An error that says which field is not what it has to be.
pub fn refused(name: &str, form: &str) -> Error {
    reason(format!("{name} {form}"))
}

/// An entry kind by its number.
pub fn entry_kind(number: u8) -> Result<EntryKind> {
    EntryKind::from_u8(number).ok_or_else(|| reason(format!("{number} is no kind of entry")))
}

/// An operation by its number.
pub fn op_kind(number: u8) -> Result<OpKind> {
    OpKind::from_u8(number).ok_or_else(|| reason(format!("{number} is no kind of operation")))
}

/// The bytes of an array of JavaScript, copied: it may change its memory at any time.
pub fn copy(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}

/// A number of things; None = no limit is given.
pub fn size(name: &str, value: Option<f64>) -> Result<Option<usize>> {
    let size = value.map(|value| number(name, value)).transpose()?;
    Ok(size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)))
}

/// A kind of probe by its name.
pub fn probe_kind(name: &str) -> Result<ProbeKind> {
    match name {
        "version" => Ok(ProbeKind::Version),
        "health" => Ok(ProbeKind::Health),
        "livez" => Ok(ProbeKind::Livez),
        "readyz" => Ok(ProbeKind::Readyz),
        other => Err(reason(format!("there is no probe {other}"))),
    }
}

/// A side of TLS by its name.
pub fn tls_side(name: &str) -> Result<TlsSide> {
    match name {
        "client" => Ok(TlsSide::Client),
        "peer" => Ok(TlsSide::Peer),
        other => Err(reason(format!("there is no side {other}"))),
    }
}

/// A version of TLS by its name.
pub fn tls_version(name: &str) -> Result<TlsVersion> {
    match name {
        "TLS1.2" => Ok(TlsVersion::V1_2),
        "TLS1.3" => Ok(TlsVersion::V1_3),
        other => Err(reason(format!("there is no TLS version {other}"))),
    }
}

/// What tokens look like, by its name.
pub fn token_kind(name: &str) -> Result<TokenKind> {
    match name {
        "simple" => Ok(TokenKind::Simple),
        "jwt" => Ok(TokenKind::Jwt),
        "none" => Ok(TokenKind::None),
        other => Err(reason(format!("there are no tokens of the kind {other}"))),
    }
}

/// The name by which JavaScript knows a table.
pub fn table_name(table: MetaTable) -> &'static str {
    match table {
        MetaTable::Meta => "meta",
        MetaTable::Members => "members",
        MetaTable::Auth => "auth",
        MetaTable::Alarms => "alarms",
    }
}

/// The table that JavaScript knows by a name.
pub fn table(name: &str) -> Result<MetaTable> {
    match name {
        "meta" => Ok(MetaTable::Meta),
        "members" => Ok(MetaTable::Members),
        "auth" => Ok(MetaTable::Auth),
        "alarms" => Ok(MetaTable::Alarms),
        other => Err(reason(format!("there is no table {other}"))),
    }
}
