//! What the log tells of a request, in a compact form that the writer's thread makes JSON of: keys, names and ids, each of
//! which is named here. What is not named is never told: values, passwords, tokens.

use crate::limits::AUDIT_TEXT_BYTES_MAX;

/// Facts of a request, by their names in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Fact {
    Key,
    RangeEnd,
    Lease,
    WatchId,
    AskedRevision,
    Ttl,
    Member,
    PeerUrl,
    Learner,
    Action,
    Alarm,
    Version,
    TargetUser,
    TargetRole,
    Permission,
    Op,
    OpCount,
}

/// How a fact is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Bytes that are mostly text.
    Text,
    /// One of several under one name.
    Listed,
    Number,
    /// Told only where it holds.
    Flag,
    /// As etcdctl prints it: 16 hexadecimal digits.
    Id,
    /// One operation of a txn.
    Op,
}

const FACTS: [(Fact, &str, Shape); 17] = [
    (Fact::Key, "key", Shape::Text),
    (Fact::RangeEnd, "rangeEnd", Shape::Text),
    (Fact::Lease, "lease", Shape::Id),
    (Fact::WatchId, "watchId", Shape::Number),
    (Fact::AskedRevision, "askedRevision", Shape::Number),
    (Fact::Ttl, "ttlSeconds", Shape::Number),
    (Fact::Member, "member", Shape::Id),
    (Fact::PeerUrl, "peerURLs", Shape::Listed),
    (Fact::Learner, "isLearner", Shape::Flag),
    (Fact::Action, "action", Shape::Text),
    (Fact::Alarm, "alarm", Shape::Text),
    (Fact::Version, "version", Shape::Text),
    (Fact::TargetUser, "targetUser", Shape::Text),
    (Fact::TargetRole, "targetRole", Shape::Text),
    (Fact::Permission, "permission", Shape::Text),
    (Fact::Op, "ops", Shape::Op),
    (Fact::OpCount, "opCount", Shape::Number),
];

impl Fact {
    pub(crate) fn name(self) -> &'static str {
        FACTS[self as usize].1
    }

    pub(crate) fn shape(self) -> Shape {
        FACTS[self as usize].2
    }
}

/// An operation of a txn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum OpName {
    Compare,
    Range,
    Put,
    DeleteRange,
}

impl OpName {
    const ALL: [Self; 4] = [Self::Compare, Self::Range, Self::Put, Self::DeleteRange];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::Range => "range",
            Self::Put => "put",
            Self::DeleteRange => "deleteRange",
        }
    }
}

/// Where an operation of a txn stands, by the outermost txn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Branch {
    Compare,
    Success,
    Failure,
}

impl Branch {
    const ALL: [Self; 3] = [Self::Compare, Self::Success, Self::Failure];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Writes facts down, behind what the vector holds already.
pub(crate) struct Telling<'a>(pub(crate) &'a mut Vec<u8>);

impl Telling<'_> {
    /// Nothing is told of what is empty.
    pub(crate) fn text(&mut self, fact: Fact, text: &[u8]) {
        debug_assert!(matches!(fact.shape(), Shape::Text | Shape::Listed));
        if !text.is_empty() {
            self.0.push(fact as u8);
            put_text(self.0, text);
        }
    }

    /// Nothing is told of 0, which stands for what was not said.
    pub(crate) fn number(&mut self, fact: Fact, number: i64) {
        debug_assert!(matches!(
            fact.shape(),
            Shape::Number | Shape::Flag | Shape::Id
        ));
        if number != 0 {
            self.0.push(fact as u8);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(crate) fn range(&mut self, key: &[u8], range_end: &[u8]) {
        self.text(Fact::Key, key);
        self.text(Fact::RangeEnd, range_end);
    }

    pub(crate) fn op(&mut self, op: OpName, branch: Branch, key: &[u8], range_end: &[u8]) {
        self.0
            .extend_from_slice(&[Fact::Op as u8, op as u8, branch as u8]);
        put_text(self.0, key);
        put_text(self.0, range_end);
    }
}

/// The beginning of a text, and its whole length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut kept = text;
    if text.len() > AUDIT_TEXT_BYTES_MAX {
        kept = &text[..AUDIT_TEXT_BYTES_MAX];
        // Not inside of a character, so that what is left of a text is one.
        const CONTINUES: u8 = 0b1000_0000;
        let mut end = AUDIT_TEXT_BYTES_MAX;
        while end > AUDIT_TEXT_BYTES_MAX - 3 && text[end] & 0b1100_0000 == CONTINUES {
            end -= 1;
            kept = &text[..end];
        }
    }
    let ([a, b, c, d], [e, f]) = (
        (text.len() as u32).to_le_bytes(),
        (kept.len() as u16).to_le_bytes(),
    );
    out.extend_from_slice(&[a, b, c, d, e, f]);
    out.extend_from_slice(kept);
}

/// A text as it was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) bytes: &'a [u8],
    /// Of the whole.
    pub(crate) length: usize,
}

/// One fact as it is read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told<'a> {
    Text(Fact, Kept<'a>),
    Number(Fact, i64),
    Op(OpName, Branch, Kept<'a>, Kept<'a>),
}

/// Reads what was written down in this process a moment ago: it cannot be malformed.
pub(crate) struct Reading<'a>(pub(crate) &'a [u8]);

impl<'a> Reading<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk::<N>().expect(WHOLE);
        self.0 = rest;
        *taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    pub(crate) fn text(&mut self) -> Kept<'a> {
        let length = u32::from_le_bytes(self.array()) as usize;
        let kept = u16::from_le_bytes(self.array());
        let bytes = self.bytes(usize::from(kept));
        Kept { bytes, length }
    }
}

const WHOLE: &str = "a record is whole";

impl<'a> Iterator for Reading<'a> {
    type Item = Told<'a>;

    fn next(&mut self) -> Option<Told<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (fact, _, shape) = FACTS[usize::from(self.byte())];
        Some(match shape {
            Shape::Text | Shape::Listed => Told::Text(fact, self.text()),
            Shape::Number | Shape::Flag | Shape::Id => {
                Told::Number(fact, i64::from_le_bytes(self.array()))
            }
            Shape::Op => {
                let op = OpName::ALL[usize::from(self.byte())];
                let branch = Branch::ALL[usize::from(self.byte())];
                Told::Op(op, branch, self.text(), self.text())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_where_it_is_looked_for() {
        for (at, (fact, _, _)) in FACTS.iter().enumerate() {
            assert_eq!(*fact as usize, at);
        }
        for (at, op) in OpName::ALL.iter().enumerate() {
            assert_eq!(*op as usize, at);
        }
        for (at, branch) in Branch::ALL.iter().enumerate() {
            assert_eq!(*branch as usize, at);
        }
    }

    #[test]
    fn what_is_written_down_is_read_again() {
        let mut out = Vec::new();
        let mut telling = Telling(&mut out);
        telling.range(b"a", b"");
        telling.number(Fact::Lease, -7);
        telling.number(Fact::Ttl, 0);
        telling.op(OpName::Put, Branch::Failure, b"k", b"");
        let kept = |bytes: &'static [u8]| Kept {
            bytes,
            length: bytes.len(),
        };
        assert_eq!(
            Reading(&out).collect::<Vec<_>>(),
            [
                Told::Text(Fact::Key, kept(b"a")),
                Told::Number(Fact::Lease, -7),
                Told::Op(OpName::Put, Branch::Failure, kept(b"k"), kept(b"")),
            ]
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for shift in 0..4 {
            let text = format!(
                "{}{}",
                "x".repeat(shift),
                "\u{1f600}".repeat(AUDIT_TEXT_BYTES_MAX)
            );
            let mut out = Vec::new();
            put_text(&mut out, text.as_bytes());
            let kept = Reading(&out).text();
            assert_eq!(kept.length, text.len());
            assert!(
                kept.bytes.len() <= AUDIT_TEXT_BYTES_MAX
                    && kept.bytes.len() > AUDIT_TEXT_BYTES_MAX - 4
            );
            assert!(text.starts_with(std::str::from_utf8(kept.bytes).unwrap()));
        }
        let mut out = Vec::new();
        put_text(&mut out, &[0xff; 5000]);
        assert_eq!(Reading(&out).text().bytes, [0xff; AUDIT_TEXT_BYTES_MAX]);
    }
}
