//! LeaseGrant before it goes into the log: the id is chosen and the TTL raised, so that every member applies the same.

use netcd_engine::proto::etcdserverpb::LeaseGrantRequest;

use crate::shared::Shared;

/// The request as it goes into the log.
pub(crate) fn grant(shared: &Shared, mut request: LeaseGrantRequest) -> LeaseGrantRequest {
    if request.id == 0 {
        request.id = shared.lease_ids.next();
    }
    request.ttl = request.ttl.max(shared.config.lease_ttl_seconds_min);
    request
}
