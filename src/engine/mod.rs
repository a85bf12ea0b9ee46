//! What each command means: the place where images, volumes and containers meet.

pub mod options;
pub mod view;
