//! Generates the wire types from the repository's proto/ folder with protox, so that no protoc is needed, and the table of
//! errors from its errors.json.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

const PROTO_DIR: &str = "../../proto";
const PROTO_FILES: [&str; 8] = [
    "kv.proto",
    "auth.proto",
    "membership.proto",
    "rpc.proto",
    "lease.proto",
    "v3election.proto",
    "v3lock.proto",
    "health.proto",
];

const ERRORS_FILE: &str = "errors.json";

fn main() -> Result<(), Box<dyn Error>> {
    for file in PROTO_FILES.into_iter().chain([ERRORS_FILE]) {
        println!(
            "cargo::rerun-if-changed={}",
            Path::new(PROTO_DIR).join(file).display()
        );
    }
    let descriptors = protox::compile(PROTO_FILES, [PROTO_DIR])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    let table = std::fs::read_to_string(Path::new(PROTO_DIR).join(ERRORS_FILE))?;
    let path = Path::new(&std::env::var("OUT_DIR")?).join("errors.rs");
    std::fs::write(path, error_constants(&table)?)?;
    Ok(())
}

/// `pub const KEY_NOT_FOUND: EtcdError = …;` for every error of the table.
fn error_constants(table: &str) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    for error in serde_json::from_str::<Vec<Value>>(table)? {
        let field = |name: &str| error[name].as_str().ok_or(format!("{error} has no {name}"));
        let (name, code, text) = (
            constant_name(field("name")?),
            field("code")?,
            field("text")?,
        );
        writeln!(out, "#[doc = {text:?}]")?;
        writeln!(
            out,
            "pub const {name}: EtcdError = EtcdError {{ code: Code::{code}, message: Cow::Borrowed({text:?}) }};"
        )?;
    }
    Ok(out)
}

/// `keyNotFound` is `KEY_NOT_FOUND` in Rust.
fn constant_name(name: &str) -> String {
    let mut constant = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}
