//! The scenarios, by what they promise.

mod rolling;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::scene::Scene;

/// Whether a scenario bears company.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Runs beside others.
    Shared,
    /// Takes the guard, a node or the API server away.
    Alone,
}

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    pub play: fn(Arc<Scene>) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Lists scenarios: each is an async function of a scene.
macro_rules! scenarios {
    ($kind:ident: $($name:ident),* $(,)?) => {
        [$($crate::scenarios::Scenario {
            name: concat!(module_path!(), "::", stringify!($name)),
            kind: $crate::scenarios::Kind::$kind,
            play: |scene| Box::pin($name(scene)),
        }),*]
    };
}
pub(crate) use scenarios;

pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend(rolling::ALL);
    all
}
