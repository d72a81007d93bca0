//! Generates the wire types from the repository's proto/ folder with protox, so that no protoc is needed.

use std::path::Path;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in PROTO_FILES {
        println!(
            "cargo::rerun-if-changed={}",
            Path::new(PROTO_DIR).join(file).display()
        );
    }
    let descriptors = protox::compile(PROTO_FILES, [PROTO_DIR])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
