//! Tests of the compiled table against a slow twin, of the advisories that are a matter of the checks, and of tokens.

mod advisories;
mod changes;
mod checks;
pub(crate) mod kit;
mod random;
mod tokens;
mod twin;
