//! How many bytes of request headers a connection's streams hold.

use std::cell::Cell;
use std::rc::Rc;

/// The sum of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldSum(Rc<Cell<usize>>);

impl HeldSum {
    pub(crate) fn bytes(&self) -> usize {
        self.0.get()
    }

    /// Counts these bytes until what is given back is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.0.set(self.0.get() + bytes);
        Held {
            sum: self.clone(),
            bytes,
        }
    }
}

/// The headers of one request, or a copy of them, for as long as somebody keeps it.
#[derive(Debug)]
pub struct Held {
    sum: HeldSum,
    bytes: usize,
}

impl Held {
    /// Counts another copy of the same headers.
    pub(crate) fn again(&self) -> Self {
        self.sum.hold(self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.0.set(self.sum.0.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_does_not_count() {
        let sum = HeldSum::default();
        let (one, two) = (sum.hold(3), sum.hold(4));
        assert_eq!(sum.bytes(), 7);
        drop(one);
        assert_eq!(sum.bytes(), 4);
        let copies = [two.again(), two.again()];
        assert_eq!(sum.bytes(), 12);
        drop(two);
        assert_eq!(sum.bytes(), 8);
        drop(copies);
        assert_eq!(sum.bytes(), 0);
    }
}
