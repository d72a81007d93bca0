//! Who asks goes with each request through the log to apply, and counts against what a request may be large.

use bytes::Bytes;

use super::testing::{MemLog, Rig, config};
use crate::auth::Caller;
use crate::error::REQUEST_TOO_LARGE;
use crate::types::{OpKind, Token};

fn user(name: &str) -> Caller {
    Caller::User {
        name: Bytes::copy_from_slice(name.as_bytes()),
        revision: 7,
    }
}

#[test]
fn each_request_is_applied_as_its_callers() {
    let rig = Rig::over(&MemLog::default());
    let driver = rig.drive(1, 0, true);
    let callers = [user("a"), Caller::Nobody, user("b"), Caller::Internal];
    for (token, caller) in (1..).zip(&callers) {
        let taken = rig.pipeline.submit(OpKind::Put, b"r", Token(token), caller);
        assert_eq!(taken, Ok(()));
        rig.clients.wait([token]);
    }
    assert_eq!(*rig.store.callers.lock(), callers);
    assert_eq!(rig.finish(driver), None);
}

#[test]
fn a_request_is_as_large_as_it_is_in_the_log() {
    let rig = Rig::over(&MemLog::default());
    let request = vec![0; config().max_request_bytes - 3];
    let submit = |caller: &Caller| rig.pipeline.submit(OpKind::Put, &request, Token(1), caller);
    assert_eq!(submit(&user("long")), Err(REQUEST_TOO_LARGE));
    assert_eq!(submit(&user("abc")), Ok(()));
}
