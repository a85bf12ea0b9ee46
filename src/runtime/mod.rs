//! Turns a `Spec` into a running process, and knows nothing of images, names or Docker.

pub mod spec;
