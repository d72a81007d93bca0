//! The handshakes of one worker that are not finished: when there are too many the oldest ends, which is the one that has
//! taken longest. Who stalls in one holds up nobody.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::limits::TLS_HANDSHAKES_MAX;

#[derive(Default)]
struct Open {
    next: u64,
    all: BTreeMap<u64, oneshot::Sender<()>>,
}

/// See the file's head.
#[derive(Clone, Default)]
pub(crate) struct Handshakes(Rc<RefCell<Open>>);

/// One of them, until it is dropped.
pub(crate) struct Handshake {
    of: Handshakes,
    number: u64,
    ended: oneshot::Receiver<()>,
}

impl Handshakes {
    /// One more; the oldest goes if they are too many.
    pub(crate) fn begin(&self) -> Handshake {
        let mut open = self.0.borrow_mut();
        if open.all.len() >= TLS_HANDSHAKES_MAX
            && let Some((_, oldest)) = open.all.pop_first()
        {
            // Its end is that it hears of this.
            drop(oldest);
        }
        let number = open.next;
        open.next += 1;
        let (end, ended) = oneshot::channel();
        open.all.insert(number, end);
        Handshake {
            of: self.clone(),
            number,
            ended,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.borrow().all.len()
    }
}

impl Handshake {
    /// When it has to give way.
    pub(crate) async fn ended(&mut self) {
        // Nothing is ever sent: the other end goes.
        let _gone = (&mut self.ended).await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.of.0.borrow_mut().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_gives_way() {
        let handshakes = Handshakes::default();
        let mut open: Vec<_> = (0..TLS_HANDSHAKES_MAX)
            .map(|_| handshakes.begin())
            .collect();
        drop(open.remove(1));
        assert_eq!(handshakes.len(), TLS_HANDSHAKES_MAX - 1);
        let _last = (handshakes.begin(), handshakes.begin());
        assert_eq!(handshakes.len(), TLS_HANDSHAKES_MAX);
        open[0].ended().await;
        assert!(
            open[1]
                .ended
                .try_recv()
                .is_err_and(|it| it == oneshot::error::TryRecvError::Empty)
        );
        drop(open);
        assert_eq!(handshakes.len(), 2);
    }
}
