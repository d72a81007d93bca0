//! Tests of the compiled table against a slow twin, of the advisories that are a matter of the checks, and of tokens.
