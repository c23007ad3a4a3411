//! A world in which nothing in particular is to be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use castoff::lifecycle::{Hole, PodSeen, PolicySeen, Room, Settings, Wish, World};
use castoff::plan::Mode;

/// How long an allow is believed in.
pub const CLAIM_PATIENCE: Duration = Duration::from_secs(50);

/// The drain's pod is there and has a controller, its place is held, and nobody wants anything.
pub fn world() -> World {
    World {
        ahead: false,
        now: Duration::ZERO,
        pod: PodSeen::Present { wake_mark: None, controlled: true },
        hole: Hole::Open,
        wish: Wish::None,
        mode: Some(Mode::Restart),
        room: Room::Held,
        listed: true,
        rounds: BTreeMap::new(),
        predecessor: None,
        successor: None,
        namespace_ending: false,
        policy: PolicySeen::AsBegun,
        wrong: None,
        settings: Settings {
            claim_patience: CLAIM_PATIENCE,
            progress_every: Duration::from_mins(1),
            completed_ttl: Duration::from_hours(1),
        },
    }
}
