//! The StatefulSet that the demo rolls, and the stores that its pods are.

/// Pods of the StatefulSet, each with a store; the lowest keeps its revision.
pub(super) const REPLICAS: u32 = 4;

/// Pods below this ordinal are not rolled.
pub(super) const PARTITION: u32 = 1;

/// Leaders on each store at the beginning.
pub(super) const LEADERS: u64 = 100;

/// Id, address and leaders of each store.
pub(super) fn all() -> Vec<(u64, String, u64)> {
    (0..REPLICAS).map(|ordinal| (u64::from(ordinal) + 1, address(ordinal), LEADERS)).collect()
}

/// A store's address, as TiKV pods announce it.
pub(super) fn address(ordinal: u32) -> String {
    format!("basic-tikv-{ordinal}.basic-tikv-peer.tidb.svc:20160")
}
