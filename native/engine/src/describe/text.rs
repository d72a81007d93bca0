//! How Go prints messages and durations.

use std::fmt::Write;
use std::time::Duration;

/// Collects `name:value` pairs, leaving out what has its default.
#[derive(Default)]
pub(super) struct Fields {
    pub out: String,
    /// Go's two printers of messages differ: the older one, which etcd uses where it hides values, ends every field with
    /// a blank and writes bytes that are no text in octal.
    older: bool,
}

impl Fields {
    pub fn older() -> Self {
        Self {
            older: true,
            ..Self::default()
        }
    }

    pub fn put(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if !self.older && !self.out.is_empty() {
            self.out.push(' ');
        }
        write!(self.out, "{name}:{value}").expect("a String takes every write");
        if self.older {
            self.out.push(' ');
        }
        self
    }

    pub fn number(self, name: &str, value: i64) -> Self {
        match value {
            0 => self,
            value => self.put(name, value),
        }
    }

    pub fn flag(self, name: &str, value: bool) -> Self {
        match value {
            false => self,
            true => self.put(name, true),
        }
    }

    pub fn bytes(self, name: &str, value: &[u8]) -> Self {
        if value.is_empty() {
            return self;
        }
        let quoted = match self.older {
            true => quote_ascii(value),
            false => quote(value),
        };
        self.put(name, quoted)
    }

    /// A value of an enum by its name, or by its number where it has none. The first is the default.
    pub fn choice(self, name: &str, number: i32, known: Option<&str>) -> Self {
        match (number, known) {
            (0, _) => self,
            (_, Some(known)) => self.put(name, known),
            (number, None) => self.put(name, number),
        }
    }
}

fn escaped(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        _ => return None,
    })
}

/// In quotes, everything that is not printable ASCII in octal.
fn quote_ascii(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for &byte in bytes {
        match escaped(byte) {
            Some(text) => out.push_str(text),
            None if (b' '..0x7f).contains(&byte) => out.push(byte.into()),
            None => write!(out, "\\{byte:03o}").expect("a String takes every write"),
        }
    }
    out.push('"');
    out
}

/// In quotes, text as it is and what is none in hexadecimal.
fn quote(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if escaped(byte).is_some() => out.push_str(escaped(byte).unwrap_or("")),
                Ok(byte) if byte < b' ' || byte == 0x7f => {
                    write!(out, "\\x{byte:02x}").expect("a String takes every write");
                }
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("a String takes every write");
        }
    }
    out.push('"');
    out
}

/// A duration as Go prints it: `0s`, `336.195µs`, `1.5ms`, `1m0.5s`, `2h0m0s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return match duration.is_zero() {
            true => "0s".to_owned(),
            false => format!("{duration:?}"),
        };
    }
    let rest = duration - Duration::from_secs(seconds / 60 * 60);
    let rest = match rest {
        rest if rest.subsec_nanos() == 0 => format!("{}s", rest.as_secs()),
        rest => format!("{}s", rest.as_secs_f64()),
    };
    match (seconds / 3600, seconds / 60 % 60) {
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (336_195, "336.195µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (61_250_000_000, "1m1.25s"),
            (7_200_000_000_000, "2h0m0s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }
}
