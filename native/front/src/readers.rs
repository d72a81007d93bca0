//! Reader threads for what may take long: large ranges, and the next chunk of a streamed answer. An iterator comes here
//! for each chunk and goes back with it, so that a slow client holds no thread.

use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Sender, TrySendError, bounded};
use netcd_engine::error::{self, EtcdError};
use tokio::sync::oneshot;

use crate::limits::{READER_QUEUE_MAX, READER_THREADS};

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Readers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = bounded::<Job>(READER_QUEUE_MAX);
        let mut threads = Vec::with_capacity(READER_THREADS);
        for i in 0..READER_THREADS {
            let queue = queue.clone();
            threads.push(
                Builder::new()
                    .name(format!("front-read-{i}"))
                    .spawn(move || {
                        for job in queue {
                            job();
                        }
                    })?,
            );
        }
        Ok(Self {
            jobs: Some(jobs),
            threads,
        })
    }

    /// Runs `work` on a reader thread. `too many requests` when the queue is full, `stopped` at the end.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, EtcdError> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A caller that is gone has dropped its end; its answer is of no use.
            let _gone = done.send(work());
        });
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(answer),
            Some(Err(TrySendError::Full(_))) => Err(error::TOO_MANY_REQUESTS),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(error::STOPPED),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok(), "a reader thread panicked");
        }
    }
}
