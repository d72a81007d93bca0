//! Generates the wire types from the repository's proto/ folder with protox, so that no protoc is needed, and the table of
//! errors from its errors.json.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

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
    let mut shapes = Shapes::default();
    for file in &descriptors.file {
        for message in &file.message_type {
            shapes.collect(file.package(), message.name(), &mut |number| {
                message.field.get(number).map(|field| {
                    let kind = (field.r#type.unwrap_or(0), field.label == Some(REPEATED));
                    (field.number(), kind, field.type_name().to_owned())
                })
            });
        }
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                shapes.requests.push((path, method.input_type().to_owned()));
            }
        }
    }
    std::fs::write(
        PathBuf::from(std::env::var("OUT_DIR")?).join("shapes.rs"),
        shapes.source()?,
    )?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    let table = std::fs::read_to_string(Path::new(PROTO_DIR).join(ERRORS_FILE))?;
    let path = Path::new(&std::env::var("OUT_DIR")?).join("errors.rs");
    std::fs::write(path, error_constants(&table)?)?;
    Ok(())
}

// Numbers of descriptor.proto.
const TEXT: i32 = 9;
const MESSAGE: i32 = 11;
const BYTES: i32 = 12;
const VARINTS: [i32; 5] = [3, 4, 5, 8, 13];
const ENUM: i32 = 14;
const REPEATED: i32 = 3;

/// Number of a field, its type and whether it is repeated, and the name of its type.
type Field = (i32, (i32, bool), String);

/// The fields of every message, for src/wire.
#[derive(Default)]
struct Shapes {
    messages: Vec<(String, Vec<Field>)>,
    requests: Vec<(String, String)>,
}

impl Shapes {
    fn collect(
        &mut self,
        package: &str,
        name: &str,
        field: &mut dyn FnMut(usize) -> Option<Field>,
    ) {
        let fields = (0..).map_while(field).collect();
        self.messages.push((format!(".{package}.{name}"), fields));
    }

    fn source(&self) -> Result<String, Box<dyn Error>> {
        let places: HashMap<&str, usize> = self
            .messages
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (name.as_str(), at))
            .collect();
        let mut out = String::from("static SHAPES: &[Shape] = &[\n");
        for (name, fields) in &self.messages {
            writeln!(out, "Shape {{ name: {:?}, fields: &[", &name[1..])?;
            for (number, (kind, repeated), type_name) in fields {
                let kind = match *kind {
                    TEXT => "Text".to_owned(),
                    BYTES => "Bytes".to_owned(),
                    // A map's entries are no message of their own here: only answers have maps.
                    MESSAGE => match places.get(type_name.as_str()) {
                        Some(at) => format!("Message({at})"),
                        None => continue,
                    },
                    kind if kind == ENUM || VARINTS.contains(&kind) => {
                        if *repeated { "Varints" } else { "Varint" }.to_owned()
                    }
                    kind => return Err(format!("{name}: a field of type {kind} is new").into()),
                };
                writeln!(out, "Field {{ number: {number}, kind: Kind::{kind} }},")?;
            }
            out.push_str("] },\n");
        }
        out.push_str("];\nstatic REQUESTS: &[(&str, usize)] = &[\n");
        for (path, request) in &self.requests {
            writeln!(out, "({path:?}, {}),", places[request.as_str()])?;
        }
        out.push_str("];\n");
        Ok(out)
    }
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
