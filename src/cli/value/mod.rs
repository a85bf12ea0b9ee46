//! Parses flag values. Each file has the functions for one family of flags, which turn text into
//! the engine's types, so that later code does not parse text. An error names the value and says
//! how to write it; the parser puts the flag's name before the error.

pub mod env;
pub mod limit;
pub mod mount;
pub mod name;
pub mod process;
pub mod resources;
pub mod security;
