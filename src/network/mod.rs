//! A container's network: for now its names.

pub mod names;
