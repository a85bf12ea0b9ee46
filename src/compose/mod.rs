//! `compose`: several containers from one YAML file, as the compose specification describes them.
//!
//! The way of a file: `yaml` reads it into nodes that know their lines, `interpolate` fills in
//! variables, `canonical` checks every key against `schema` and makes short forms long ones, `files`
//! merges several files with what they include and extend, `project` completes and orders the
//! services, `settings` turns a service into the flags of `run`. It reads files only
//! and keeps no state; words and tables are `cli`'s.

mod canonical;
mod dotenv;
pub mod files;
mod interpolate;
mod merge;
pub mod node;
pub mod print;
pub mod project;
mod schema;
pub mod settings;
mod short;
mod yaml;
