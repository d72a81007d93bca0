//! Reads on reader threads for calls: a large answer, or its chunks, one of them ahead of the one that is being sent.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::{self, EtcdError};
use tokio::sync::oneshot;

use crate::backend::Chunks;
use crate::call::Call;
use crate::worker::{Worker, spawn};

/// Reads on a reader thread, then goes on here.
pub(crate) fn on_reader<T: Send + 'static>(
    worker: &Rc<Worker>,
    call: Call,
    read: impl FnOnce() -> Result<T, EtcdError> + Send + 'static,
    then: impl FnOnce(&Rc<Worker>, Call, Result<T, EtcdError>) + 'static,
) {
    match worker.shared.readers.run(read) {
        Err(error) => then(worker, call, Err(error)),
        Ok(answer) => {
            let worker = worker.clone();
            spawn(async move {
                let answer = before(call.timeout, answer).await.flatten();
                worker.tick();
                then(&worker, call, answer);
            });
        }
    }
}

async fn before<T>(timeout: Option<Instant>, answer: oneshot::Receiver<T>) -> Result<T, EtcdError> {
    let answer = async { answer.await.map_err(|_| error::STOPPED) };
    match timeout {
        None => answer.await,
        Some(at) => tokio::time::timeout_at(at.into(), answer)
            .await
            .unwrap_or(Err(error::DEADLINE)),
    }
}

/// The next chunk, and the iterator back.
type Pulled = (Chunks, Option<Result<Bytes, EtcdError>>);

fn pull(worker: &Worker, mut chunks: Chunks) -> Result<oneshot::Receiver<Pulled>, EtcdError> {
    worker.shared.readers.run(move || {
        let chunk = chunks.next();
        (chunks, chunk)
    })
}

/// Reads one chunk ahead: while one is on its way to the client the next is read.
pub(crate) struct Ahead(Option<oneshot::Receiver<Pulled>>);

impl Ahead {
    pub(crate) fn new(worker: &Worker, chunks: Chunks) -> Result<Self, EtcdError> {
        pull(worker, chunks).map(|pulling| Self(Some(pulling)))
    }

    /// The next chunk, unless `timeout` passes before it is there; None after the last.
    pub(crate) async fn next(
        &mut self,
        worker: &Worker,
        timeout: Option<Instant>,
    ) -> Result<Option<Bytes>, EtcdError> {
        let Some(pulling) = self.0.take() else {
            return Ok(None);
        };
        // A chunk that is there already does not make up for a time that is over.
        if timeout.is_some_and(|at| at <= Instant::now()) {
            return Err(error::DEADLINE);
        }
        let (chunks, chunk) = before(timeout, pulling).await?;
        let Some(chunk) = chunk.transpose()? else {
            return Ok(None);
        };
        self.0 = Some(pull(worker, chunks)?);
        Ok(Some(chunk))
    }
}
