//! What Castoff makes and keeps itself so that the API server can ask it, and nobody else can: certificates, and the
//! path that reviews come on. Here is what is in the Secret, and what is to become of it.
//!
//! The leader decides and writes ([`keep()`]); every replica serves what the Secret holds ([`follow()`]).
//!
//! A new authority is trusted for [`Lives::overlap`] before anything that it signed is served, and the former one as
//! long after that; a new path is answered as long before it is registered, and the former one after that. All of this
//! is read off dates in the Secret, so that any leader goes on where the last one was.

mod clock;
mod follow;
mod keep;
mod lives;
mod path;
mod renew;
mod secret;

pub use follow::{Access, Served, follow};
pub use keep::keep;
pub use lives::Lives;
pub(crate) use path::nobody_guesses;
pub use secret::Place;

use path::Paths;
use renew::{Change, Content, renew};
