//! The syntax of flag values: one file for each family of flags, whose functions turn text into the
//! type that the engine takes. A value that was parsed here is not checked again. An error names
//! the value and says how to write it right; the parser puts the flag's name before it.

pub mod env;
pub mod limit;
pub mod mount;
pub mod name;
pub mod process;
pub mod resources;
pub mod security;
