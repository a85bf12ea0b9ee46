//! The grammars of flag values, each parsed once into the type the engine takes.

pub mod env;
pub mod limit;
pub mod mount;
pub mod name;
pub mod process;
pub mod security;
