//! Scenarios that want a control plane to themselves: they disturb it, or need one that is not as shipped.

mod control_plane;
mod feature_gates;
mod nodes;

use super::Scenario;

pub fn all() -> Vec<Scenario> {
    [&control_plane::ALONE[..], &feature_gates::GATED, &nodes::ALONE].concat()
}
