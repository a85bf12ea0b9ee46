//! What each command means: the place where images, volumes and containers meet.

mod api;
pub mod options;
pub mod view;

pub use api::Engine;
