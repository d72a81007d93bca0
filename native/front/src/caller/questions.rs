//! Tokens of which the control plane is asked: those that name an index which is not applied yet, and JWTs that it has
//! not checked. All calls with one token wait for the same answer.

use std::collections::HashMap;

use bytes::Bytes;
use netcd_engine::error::{self, EtcdError};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::limits::{IDENTIFY_OPEN_MAX, IDENTIFY_TOKEN_BYTES_MAX};

/// Look again, the token is registered now; or why the calls that wait for it fail.
pub(crate) type Identified = Result<(), EtcdError>;

struct Open {
    id: u64,
    answer: watch::Sender<Option<Identified>>,
}

#[derive(Default)]
struct State {
    last: u64,
    by_token: HashMap<Bytes, Open>,
    tokens: HashMap<u64, Bytes>,
}

/// All that the control plane was asked and has not answered.
#[derive(Default)]
pub(crate) struct Questions(Mutex<State>);

/// One call's part in a question.
pub(crate) struct Asking {
    /// Some: the control plane has yet to be asked, under this number.
    pub(crate) new: Option<u64>,
    answer: watch::Receiver<Option<Identified>>,
}

impl Asking {
    /// The control plane's answer.
    pub(crate) async fn answered(mut self) -> Identified {
        match self.answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Err(error::STOPPED)),
            // Whoever would answer is gone.
            Err(_) => Err(error::STOPPED),
        }
    }
}

impl Questions {
    /// # Errors
    /// Too many are open, or no token is as long as this one.
    pub(crate) fn ask(&self, token: &[u8]) -> Result<Asking, EtcdError> {
        if token.len() > IDENTIFY_TOKEN_BYTES_MAX {
            return Err(error::INVALID_AUTH_TOKEN);
        }
        let mut state = self.0.lock();
        if let Some(open) = state.by_token.get(token) {
            return Ok(Asking {
                new: None,
                answer: open.answer.subscribe(),
            });
        }
        if state.by_token.len() >= IDENTIFY_OPEN_MAX {
            return Err(error::TOO_MANY_REQUESTS);
        }
        state.last += 1;
        let (id, token) = (state.last, Bytes::copy_from_slice(token));
        let (sender, answer) = watch::channel(None);
        state.tokens.insert(id, token.clone());
        let open = Open { id, answer: sender };
        state.by_token.insert(token, open);
        Ok(Asking {
            new: Some(id),
            answer,
        })
    }

    /// The control plane's answer.
    pub(crate) fn answer(&self, id: u64, identified: Identified) {
        let open = {
            let mut state = self.0.lock();
            let token = state.tokens.remove(&id);
            token.and_then(|token| state.by_token.remove(&token))
        };
        if let Some(open) = open {
            debug_assert_eq!(open.id, id);
            // Nobody waits any more: their clients left.
            let _unheard = open.answer.send(Some(identified));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_with_one_token_share_a_question() {
        let questions = Questions::default();
        let (one, two) = (questions.ask(b"a").unwrap(), questions.ask(b"a").unwrap());
        let other = questions.ask(b"b").unwrap();
        assert_eq!((one.new, two.new, other.new), (Some(1), None, Some(2)));
        questions.answer(1, Ok(()));
        assert_eq!(one.answered().await, Ok(()));
        assert_eq!(two.answered().await, Ok(()));
        questions.answer(2, Err(error::INVALID_AUTH_TOKEN));
        assert_eq!(other.answered().await, Err(error::INVALID_AUTH_TOKEN));
        questions.answer(2, Ok(()));
        assert_eq!(questions.ask(b"a").unwrap().new, Some(3), "asked anew");
    }

    #[tokio::test]
    async fn questions_are_bounded_and_end_with_who_would_answer() {
        let questions = Questions::default();
        let long = vec![b'x'; IDENTIFY_TOKEN_BYTES_MAX + 1];
        let refused = questions.ask(&long).map(|asking| asking.new);
        assert_eq!(refused, Err(error::INVALID_AUTH_TOKEN));
        let ask = |n: usize| questions.ask(format!("token {n}").as_bytes());
        let first = ask(0).unwrap();
        for n in 1..IDENTIFY_OPEN_MAX {
            assert!(ask(n).is_ok());
        }
        let refused = ask(IDENTIFY_OPEN_MAX).map(|asking| asking.new);
        assert_eq!(refused, Err(error::TOO_MANY_REQUESTS));
        assert!(ask(1).is_ok(), "it is asked already");
        questions.answer(7, Ok(()));
        assert!(ask(IDENTIFY_OPEN_MAX).is_ok(), "an answer makes room");
        drop(questions);
        assert_eq!(first.answered().await, Err(error::STOPPED));
    }
}
