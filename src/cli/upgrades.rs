//! How long managed node upgrades wait for a pod that may not leave.

/// A provider of clusters.
pub(super) struct Upgrade {
    /// As nodes name it.
    pub provider: &'static str,
    /// What it does, for people.
    pub says: &'static str,
    /// For so many seconds it waits.
    pub seconds: i64,
}

/// Those that are known.
pub(super) const UPGRADES: [Upgrade; 3] = [
    Upgrade {
        provider: "aws",
        says: "an EKS managed node group gives an upgrade up after 15 minutes",
        seconds: 15 * 60,
    },
    Upgrade {
        provider: "azure",
        says: "AKS gives the drain of a node up after 30 minutes, unless set otherwise",
        seconds: 30 * 60,
    },
    Upgrade { provider: "gce", says: "GKE deletes pods all the same after 60 minutes", seconds: 60 * 60 },
];
