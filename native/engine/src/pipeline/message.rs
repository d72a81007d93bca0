//! The messages of raft that the data plane understands, and sends and answers by itself under a grant: appends,
//! heartbeats and their answers. src/replica/peercodec.ts writes and reads the same bytes, because either side of a link
//! may leave a message to its control plane. Every other message is JSON, which begins with a brace.
//!
//! Little endian: `u8 tag`, `u64 term`, then what the tag says.
//!
//! | tag | message | fields |
//! | --- | --- | --- |
//! | 1 | append | `u64 previous index`, `u64 previous term`, `u64 commit`; the entries travel beside it |
//! | 2 | append response | `u64 index`, `u8 reject`, `u64 hint index`, `u64 hint term` |
//! | 3 | heartbeat | `u64 commit`, `u64 round` |
//! | 4 | heartbeat response | `u64 round` |

use bytes::{Buf, BufMut, Bytes};

use crate::types::LogMark;

/// Rounds of the data plane are numbered above this, those of the control plane below. The number itself asks for no
/// answer: such a heartbeat only tells the commit index.
pub const ROUND_QUIET: u64 = 1 << 48;

const TAG_APPEND: u8 = 1;
const TAG_APPEND_RESPONSE: u8 = 2;
const TAG_HEARTBEAT: u8 = 3;
const TAG_HEARTBEAT_RESPONSE: u8 = 4;

/// See the file's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerMessage {
    /// Entries that follow `prev`.
    Append {
        /// The leader's.
        term: u64,
        /// The entry before the first.
        prev: LogMark,
        /// The leader's commit index.
        commit: u64,
    },
    /// What a follower has on stable storage, or that an append does not fit.
    AppendResponse {
        /// The follower's.
        term: u64,
        /// The last entry that is durable and equal to the leader's; of a refusal, the previous index that was refused.
        index: u64,
        /// The append did not fit.
        reject: bool,
        /// Where the two logs may still agree.
        hint: LogMark,
    },
    /// The leader lives.
    Heartbeat {
        /// The leader's.
        term: u64,
        /// What is committed of what this follower is known to have.
        commit: u64,
        /// The newest round of reads, 0 = none.
        round: u64,
    },
    /// The follower heard a heartbeat in this term.
    HeartbeatResponse {
        /// The follower's.
        term: u64,
        /// That of the heartbeat.
        round: u64,
    },
}

impl PeerMessage {
    /// The header of a frame.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(34);
        match *self {
            Self::Append { term, prev, commit } => {
                out.put_u8(TAG_APPEND);
                put(&mut out, &[term, prev.index, prev.term, commit]);
            }
            Self::AppendResponse {
                term,
                index,
                reject,
                hint,
            } => {
                out.put_u8(TAG_APPEND_RESPONSE);
                put(&mut out, &[term, index]);
                out.put_u8(u8::from(reject));
                put(&mut out, &[hint.index, hint.term]);
            }
            Self::Heartbeat {
                term,
                commit,
                round,
            } => {
                out.put_u8(TAG_HEARTBEAT);
                put(&mut out, &[term, commit, round]);
            }
            Self::HeartbeatResponse { term, round } => {
                out.put_u8(TAG_HEARTBEAT_RESPONSE);
                put(&mut out, &[term, round]);
            }
        }
        out.into()
    }

    /// None: a message of the control plane, or of no known form; the control plane says which.
    pub fn decode(mut header: &[u8]) -> Option<Self> {
        let tag = header.try_get_u8().ok()?;
        let mut field = || header.try_get_u64_le().ok();
        let message = match tag {
            TAG_APPEND => Self::Append {
                term: field()?,
                prev: LogMark {
                    index: field()?,
                    term: field()?,
                },
                commit: field()?,
            },
            TAG_APPEND_RESPONSE => {
                let (term, index) = (field()?, field()?);
                let reject = header.try_get_u8().ok()? != 0;
                let mut field = || header.try_get_u64_le().ok();
                let hint = LogMark {
                    index: field()?,
                    term: field()?,
                };
                Self::AppendResponse {
                    term,
                    index,
                    reject,
                    hint,
                }
            }
            TAG_HEARTBEAT => Self::Heartbeat {
                term: field()?,
                commit: field()?,
                round: field()?,
            },
            TAG_HEARTBEAT_RESPONSE => Self::HeartbeatResponse {
                term: field()?,
                round: field()?,
            },
            _ => return None,
        };
        header.is_empty().then_some(message)
    }
}

fn put(out: &mut Vec<u8>, fields: &[u64]) {
    fields.iter().for_each(|field| out.put_u64_le(*field));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = PeerMessage> {
        let mark =
            || (any::<u64>(), any::<u64>()).prop_map(|(index, term)| LogMark { index, term });
        let numbers = || (any::<u64>(), any::<u64>(), any::<u64>());
        prop_oneof![
            (any::<u64>(), mark(), any::<u64>())
                .prop_map(|(term, prev, commit)| PeerMessage::Append { term, prev, commit }),
            (any::<u64>(), any::<u64>(), any::<bool>(), mark()).prop_map(
                |(term, index, reject, hint)| PeerMessage::AppendResponse {
                    term,
                    index,
                    reject,
                    hint
                }
            ),
            numbers().prop_map(|(term, commit, round)| PeerMessage::Heartbeat {
                term,
                commit,
                round
            }),
            numbers().prop_map(|(term, round, _)| PeerMessage::HeartbeatResponse { term, round }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written_and_never_when_it_is_cut(message in message()) {
            let header = message.encode();
            prop_assert_eq!(PeerMessage::decode(&header), Some(message));
            for length in 0..header.len() {
                prop_assert_eq!(PeerMessage::decode(&header[..length]), None);
            }
        }
    }

    /// The same bytes stand in src/replica/peercodec.test.ts.
    #[test]
    fn the_bytes_are_those_of_the_control_plane() {
        let append = PeerMessage::Append {
            term: 3,
            prev: LogMark {
                index: 258,
                term: 2,
            },
            commit: 257,
        };
        let hex: String = append
            .encode()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "01\
             0300000000000000\
             0201000000000000\
             0200000000000000\
             0101000000000000"
        );
        assert_eq!(PeerMessage::decode(b"{\"v\":1}"), None);
    }
}
