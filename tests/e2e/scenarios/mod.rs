//! The scenarios, by what they promise.

mod agents;
mod apart;
mod bypass;
mod callers;
mod crashes;
mod deletion;
mod drainers;
mod ended;
mod endings;
mod freeze;
mod leaving;
mod limits;
mod looking;
mod mended;
mod objects;
mod ordered;
mod own_pods;
mod owners;
mod peers;
mod people;
mod policies;
mod races;
mod real_etcd;
mod remade;
mod replacements;
mod rolling;
mod scaling;
mod selection;
mod trouble;
mod unasked;
mod upkeep;
mod versions;
mod writes;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::ground::Need;
use crate::scene::Scene;

/// Whether a scenario bears company.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Runs beside others.
    Shared,
    /// Takes the guard, a node or the API server away.
    Alone,
}

/// A scenario on its way.
type Play = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    /// What not every cluster has.
    pub needs: Option<Need>,
    pub play: fn(Arc<Scene>) -> Play,
}

/// Lists scenarios, with how they are played, and with what they need that not every cluster has: each is an async
/// function of a scene.
macro_rules! scenarios {
    ($kind:ident: $($name:ident),* $(,)?) => {
        $crate::scenarios::scenarios!(@ $kind, None, $($name),*)
    };
    ($kind:ident, $need:expr => $($name:ident),* $(,)?) => {
        $crate::scenarios::scenarios!(@ $kind, Some($need), $($name),*)
    };
    (@ $kind:ident, $needs:expr, $($name:ident),*) => {
        [$($crate::scenarios::Scenario {
            name: concat!(module_path!(), "::", stringify!($name)),
            kind: $crate::scenarios::Kind::$kind,
            needs: $needs,
            play: |scene| Box::pin($name(scene)),
        }),*]
    };
}
pub(crate) use scenarios;

pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend(bypass::SHARED);
    all.extend(bypass::ALONE);
    all.extend(deletion::ALL);
    all.extend(drainers::ALL);
    all.extend(drainers::ALONE);
    all.extend(endings::ALL);
    all.extend(endings::MIRRORS);
    all.extend(freeze::ALL);
    all.extend(policies::ALL);
    all.extend(real_etcd::ALL);
    all.extend(replacements::ALL);
    all.extend(rolling::ALL);
    all.extend(rolling::IPV6);
    all.extend(scaling::ALL);
    all.extend(selection::ALL);
    all.extend(selection::ON_TWO_NODES);
    all.extend(selection::ON_THREE_NODES);
    all.extend(people::SHARED);
    all.extend(people::ALONE);
    all.extend(limits::ALL);
    all.extend(trouble::ALL);
    all.extend(callers::SHARED);
    all.extend(callers::ALONE);
    all.extend(races::ALL);
    all.extend(leaving::SHARED);
    all.extend(leaving::KILLING);
    all.extend(upkeep::SHARED);
    all.extend(upkeep::ALONE);
    all.extend(crashes::KILLING);
    all.extend(crashes::ALONE);
    all.extend(own_pods::ALONE);
    all.extend(writes::ALONE);
    all.extend(peers::ALL);
    all.extend(remade::ALL);
    all.extend(owners::ALL);
    all.extend(agents::ALL);
    all.extend(agents::ON_NODES);
    all.extend(agents::ON_SIMULATED_NODES);
    all.extend(ended::ALL);
    all.extend(objects::ALL);
    all.extend(ordered::ALL);
    all.extend(unasked::ALL);
    all.extend(unasked::ALONE);
    all.extend(unasked::ON_OWN_CONTROL_PLANE);
    all.extend(looking::ALL);
    all.extend(mended::ALL);
    all.extend(versions::ALL);
    all.extend(apart::all());
    all
}
