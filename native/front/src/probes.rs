//! Probes: HTTP requests to which the control plane has said beforehand what the answer is, so that it is not asked each
//! time. It says so anew whenever one of the answers changes, and leaves out those that are not good.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, request};
use parking_lot::RwLock;

use crate::config::ServingState;

/// What a probe asks about; good answers are counted by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ProbeKind {
    Version,
    Health,
    Livez,
    Readyz,
}

impl ProbeKind {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Readyz as usize + 1;
}

/// A request that is answered without the control plane, with 200 and this answer: a GET of exactly this target.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it asks about.
    pub kind: ProbeKind,
    /// Role of the listeners that answer it.
    pub listener: String,
    /// Path and query.
    pub target: String,
    /// Answered only while a leader is known.
    pub needs_leader: bool,
    /// Answered only by a member that is no learner.
    pub needs_vote: bool,
    /// Answered only after a read of this member's store.
    pub reads_store: bool,
    /// Answered only when a linearizable read might be served.
    pub reads_quorum: bool,
    /// Of the answer.
    pub headers: HeaderMap,
    /// Of the answer.
    pub body: Bytes,
}

/// Good answers that were given without the control plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProbeCounts {
    /// Of `/health`.
    pub health: u64,
    /// Of `/livez`.
    pub livez: u64,
    /// Of `/readyz`.
    pub readyz: u64,
}

/// The probes that are answered now.
#[derive(Debug, Default)]
pub(crate) struct Probes(RwLock<Vec<Arc<Probe>>>);

impl Probes {
    pub(crate) fn set(&self, probes: Vec<Probe>) {
        *self.0.write() = probes.into_iter().map(Arc::new).collect();
    }

    /// The probe that a request is, if it is to be answered by a member in this state.
    pub(crate) fn find(
        &self,
        listener: &str,
        request: &request::Parts,
        serving: ServingState,
    ) -> Option<Arc<Probe>> {
        if request.method != Method::GET {
            return None;
        }
        let target = request.uri.path_and_query()?.as_str();
        let probes = self.0.read();
        let probe = probes
            .iter()
            .find(|probe| probe.target == target && probe.listener == listener)?;
        let refused =
            probe.needs_leader && !serving.has_leader || probe.needs_vote && serving.is_learner;
        (!refused).then(|| probe.clone())
    }
}
