//! One line of the log while it waits for the writer: fixed fields, and texts one behind the other.

use super::told::{Kept, Reading, put_text};
use crate::grpc::methods::MethodId;

/// What the log has of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record<'a> {
    /// Nanoseconds since the log was opened.
    pub(crate) at: u64,
    pub(crate) method: MethodId,
    pub(crate) code: u8,
    /// Of the answer; 0: it has none.
    pub(crate) revision: i64,
    /// Which branch of a txn ran.
    pub(crate) succeeded: Option<bool>,
    /// Of the client's certificate; None: it has shown none.
    pub(crate) common_name: Option<&'a [u8]>,
    pub(crate) address: &'a [u8],
    /// gRPC's text of an error.
    pub(crate) message: &'a [u8],
    /// Who asked for what: a name (nobody's is empty) as `put_text` writes it, then facts.
    pub(crate) noted: &'a [u8],
}

/// A record as it is read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) at: u64,
    pub(crate) method: MethodId,
    pub(crate) code: u8,
    pub(crate) revision: i64,
    pub(crate) succeeded: Option<bool>,
    pub(crate) common_name: Option<Kept<'a>>,
    pub(crate) address: Kept<'a>,
    pub(crate) message: Kept<'a>,
    pub(crate) user: Kept<'a>,
    pub(crate) told: &'a [u8],
}

const UNKNOWN: u8 = 2;

impl Record<'_> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // The length, which is known at the end, and the fixed fields in one piece.
        let mut fixed = [0; 24];
        fixed[4..12].copy_from_slice(&self.at.to_le_bytes());
        fixed[12..20].copy_from_slice(&self.revision.to_le_bytes());
        let succeeded = self.succeeded.map_or(UNKNOWN, u8::from);
        let certified = u8::from(self.common_name.is_some());
        fixed[20..].copy_from_slice(&[self.method.0, self.code, succeeded, certified]);
        out.extend_from_slice(&fixed);
        if let Some(name) = self.common_name {
            put_text(out, name);
        }
        put_text(out, self.address);
        put_text(out, self.message);
        out.extend_from_slice(self.noted);
        let length = (out.len() - start - size_of::<u32>()) as u32;
        out[start..start + size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
    }
}

/// The records of one lane, in the order in which they were put there.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(pub(crate) &'a [u8]);

impl<'a> Records<'a> {
    /// When the next one was made.
    pub(crate) fn next_at(&self) -> Option<u64> {
        let (_, rest) = self.0.split_first_chunk::<{ size_of::<u32>() }>()?;
        rest.first_chunk().map(|at| u64::from_le_bytes(*at))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Read<'a>;

    fn next(&mut self) -> Option<Read<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let mut all = Reading(self.0);
        let length = u32::from_le_bytes(all.array()) as usize;
        let mut record = Reading(all.bytes(length));
        self.0 = all.0;
        Some(Read {
            at: u64::from_le_bytes(record.array()),
            revision: i64::from_le_bytes(record.array()),
            method: MethodId(record.byte()),
            code: record.byte(),
            succeeded: match record.byte() {
                UNKNOWN => None,
                yes => Some(yes != 0),
            },
            common_name: (record.byte() != 0).then(|| record.text()),
            address: record.text(),
            message: record.text(),
            user: record.text(),
            told: record.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::AUDIT_TEXT_BYTES_MAX;

    proptest! {
        #[test]
        fn records_are_read_as_they_were_put(
            fields in prop::collection::vec(
                (any::<u64>(), 0..40u8, any::<u8>(), any::<i64>(), any::<Option<bool>>(), prop::collection::vec(any::<u8>(), 0..40)),
                0..5,
            )
        ) {
            let mut lane = Vec::new();
            let noted: Vec<Vec<u8>> = fields
                .iter()
                .map(|(.., text)| {
                    let mut noted = Vec::new();
                    put_text(&mut noted, text);
                    noted.extend_from_slice(&text[text.len() / 3..]);
                    noted
                })
                .collect();
            let records: Vec<Record<'_>> = fields
                .iter()
                .zip(&noted)
                .map(|((at, method, code, revision, succeeded, text), noted)| Record {
                    at: *at,
                    method: MethodId(*method),
                    code: *code,
                    revision: *revision,
                    succeeded: *succeeded,
                    common_name: (at % 2 == 0).then_some(&text[..]),
                    address: &text[..text.len() / 2],
                    message: &[],
                    noted,
                })
                .collect();
            for record in &records {
                record.put(&mut lane);
            }
            let mut reads = Records(&lane);
            for (record, (.., text)) in records.iter().zip(&fields) {
                prop_assert_eq!(reads.next_at(), Some(record.at));
                let read = reads.next().unwrap();
                prop_assert_eq!((read.at, read.method, read.code), (record.at, record.method, record.code));
                prop_assert_eq!((read.revision, read.succeeded), (record.revision, record.succeeded));
                prop_assert_eq!(read.user.bytes, text.as_slice());
                prop_assert_eq!(read.common_name.map(|it| it.bytes), record.common_name);
                prop_assert_eq!(read.address.bytes, record.address);
                prop_assert_eq!(read.message.bytes, record.message);
                prop_assert_eq!(read.told, &text[text.len() / 3..]);
            }
            prop_assert_eq!((reads.next_at(), reads.next()), (None, None));
        }
    }

    #[test]
    fn a_record_is_bounded_whatever_the_texts() {
        let long = vec![b'x'; 1 << 20];
        let mut lane = Vec::new();
        let record = Record {
            at: 0,
            method: MethodId(0),
            code: 0,
            revision: 0,
            succeeded: None,
            common_name: Some(&long),
            address: &long,
            message: &long,
            noted: &[],
        };
        record.put(&mut lane);
        assert!(
            lane.len() < 3 * AUDIT_TEXT_BYTES_MAX + 100,
            "{}",
            lane.len()
        );
    }
}
