//! Scenarios that want a control plane to themselves: they disturb it or the guard, or need one that is not as shipped.

mod control_plane;
mod cut_off;
mod doctor_guarding;
mod doctor_installation;
mod evictions;
mod feature_gates;
mod nodes;
mod own_trouble;
mod strangers;

use super::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        &control_plane::ALONE[..],
        &cut_off::ALONE,
        &evictions::GATED,
        &evictions::ELSEWHERE,
        &feature_gates::GATED,
        &nodes::ALONE,
        &doctor_guarding::ALONE,
        &doctor_guarding::ON_THIS_MACHINE,
        &doctor_installation::ALONE,
        &own_trouble::ALONE,
        &strangers::ALONE,
    ]
    .concat()
}
