//! Parses flag values. Each file has the functions for one family of flags, which turn text into
//! the engine's types. Most errors name the value and say how to write it. The parser puts the
//! flag's name before the error.

pub mod env;
pub mod limit;
pub mod mount;
pub mod name;
pub mod process;
pub mod resources;
pub mod security;
