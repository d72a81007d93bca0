//! The lines of the log: one object of JSON each.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::record::Read;
use super::time::Clock;
use super::told::{Fact, Kept, Reading, Shape, Told};
use crate::calendar::seconds;
use crate::metrics::CODES;

/// Writes lines; what is the same in the next line is kept.
pub(crate) struct Lines {
    pub(crate) clock: Clock,
    /// The second that `second` is of.
    unix_seconds: u64,
    /// `{"time":"2006-01-02T15:04:05`.
    second: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            unix_seconds: u64::MAX,
            second: Vec::new(),
        }
    }

    /// The line of one request.
    pub(crate) fn request(&mut self, out: &mut Vec<u8>, record: &Read<'_>) {
        self.begin(out, self.clock.at(record.at));
        if record.user.length == 0 {
            out.extend_from_slice(b",\"user\":null");
        } else {
            out.extend_from_slice(b",\"user\":");
            text_or_base64(out, "user", record.user);
        }
        match record.common_name {
            None => out.extend_from_slice(b",\"cn\":null"),
            Some(name) => {
                out.extend_from_slice(b",\"cn\":");
                text_or_base64(out, "cn", name);
            }
        }
        // Addresses are the server's own texts.
        out.extend_from_slice(b",\"address\":");
        any_string(out, record.address);
        out.extend_from_slice(b",\"rpc\":\"");
        out.extend_from_slice(record.method.get().path.as_bytes());
        out.push(b'"');
        facts(out, record.told);
        if let Some(succeeded) = record.succeeded {
            name(out, "succeeded");
            out.extend_from_slice(if succeeded { b"true" } else { b"false" });
        }
        out.extend_from_slice(b",\"revision\":");
        match record.revision {
            0 => out.extend_from_slice(b"null"),
            revision => number(out, revision),
        }
        out.extend_from_slice(b",\"code\":");
        let code = CODES.get(usize::from(record.code)).copied();
        string(out, code.unwrap_or("Unknown"));
        if record.message.length > 0 {
            field(out, "message", record.message);
        }
        out.extend_from_slice(b"}\n");
    }

    /// The line that says how many are missing before it.
    pub(crate) fn dropped(&mut self, out: &mut Vec<u8>, now: Duration, dropped: u64) {
        self.begin(out, now);
        name(out, "dropped");
        number(out, dropped as i64);
        out.extend_from_slice(b"}\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>, since_1970: Duration) {
        if since_1970.as_secs() != self.unix_seconds || self.second.is_empty() {
            self.unix_seconds = since_1970.as_secs();
            let second = seconds(self.unix_seconds, *b"--T::");
            self.second = format!("{{\"time\":\"{second}").into_bytes();
        }
        out.extend_from_slice(&self.second);
        let mut micros = since_1970.subsec_micros();
        let mut digits = *b".000000Z\"";
        for digit in digits[1..7].iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

fn facts(out: &mut Vec<u8>, told: &[u8]) {
    let mut open: Option<Fact> = None;
    for fact in Reading(told) {
        let kind = match fact {
            Told::Text(fact, _) | Told::Number(fact, _) => fact,
            Told::Op(..) => Fact::Op,
        };
        let listed = matches!(kind.shape(), Shape::Listed | Shape::Op);
        if open.is_some() && open != Some(kind) {
            out.push(b']');
            open = None;
        }
        if listed && open.is_none() {
            name(out, kind.name());
            out.push(b'[');
            open = Some(kind);
        } else if listed {
            out.push(b',');
        }
        match fact {
            Told::Text(_, text) if listed => any_string(out, text),
            Told::Text(_, text) => field(out, kind.name(), text),
            Told::Number(_, value) => {
                name(out, kind.name());
                match kind.shape() {
                    Shape::Id => id(out, value),
                    Shape::Flag => out.extend_from_slice(b"true"),
                    _ => number(out, value),
                }
            }
            Told::Op(op, branch, key, range_end) => {
                out.extend_from_slice(b"{\"op\":\"");
                out.extend_from_slice(op.name().as_bytes());
                out.extend_from_slice(b"\",\"in\":\"");
                out.extend_from_slice(branch.name().as_bytes());
                out.push(b'"');
                field(out, "key", key);
                if range_end.length > 0 {
                    field(out, "rangeEnd", range_end);
                }
                out.push(b'}');
            }
        }
    }
    if open.is_some() {
        out.push(b']');
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// `"name":"text"`, or `"nameBase64":"..."` where it is no text; of what was cut also how long it was.
fn field(out: &mut Vec<u8>, field: &str, kept: Kept<'_>) {
    match std::str::from_utf8(kept.bytes) {
        Ok(text) => {
            name(out, field);
            string(out, text);
        }
        Err(_) => {
            base64_field(out, field, kept.bytes);
        }
    }
    length_field(out, field, kept);
}

/// The value of a field that was begun; where it is no text its bytes follow in another.
fn text_or_base64(out: &mut Vec<u8>, field: &str, kept: Kept<'_>) {
    match std::str::from_utf8(kept.bytes) {
        Ok(text) => string(out, text),
        Err(_) => {
            out.extend_from_slice(b"null");
            base64_field(out, field, kept.bytes);
        }
    }
    length_field(out, field, kept);
}

fn base64_field(out: &mut Vec<u8>, field: &str, bytes: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"Base64\":\"");
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

fn length_field(out: &mut Vec<u8>, field: &str, kept: Kept<'_>) {
    if kept.length != kept.bytes.len() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"Bytes\":");
        number(out, kept.length as i64);
    }
}

/// Texts that are text by their type.
fn any_string(out: &mut Vec<u8>, kept: Kept<'_>) {
    string(out, &String::from_utf8_lossy(kept.bytes));
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Most texts have nothing to be escaped, which is seen without a branch for each byte.
    let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'"') & (*byte != b'\\');
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if bytes.iter().fold(true, |all, byte| all & is_plain(byte)) {
        out.extend_from_slice(bytes);
    } else {
        bytes.iter().for_each(|byte| match byte {
            plain if is_plain(plain) => out.push(*plain),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[hex(control >> 4), hex(control & 0xf)]);
            }
        });
    }
    out.push(b'"');
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}

fn id(out: &mut Vec<u8>, id: i64) {
    out.push(b'"');
    out.extend(
        (0..u64::BITS / 4)
            .rev()
            .map(|at| hex((id as u64 >> (4 * at)) as u8 & 0xf)),
    );
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, number: i64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let (mut at, mut rest) = (DIGITS_MAX, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}
