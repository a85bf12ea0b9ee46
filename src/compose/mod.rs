//! `compose`: several containers from one YAML file, as the compose specification describes them.
//!
//! The way of a file: `yaml` reads it into nodes that know their lines, `interpolate` fills in
//! variables, `canonical` checks every key against `schema` and makes short forms long ones, `files`
//! merges several files with what they include and extend, `project` completes and orders the
//! services, `settings` turns a service into the flags of `run`.
//!
//! What exists of a project is known by the labels of its containers (`members`), networks and
//! volumes (`resources`); compose keeps no state of its own. `up` brings a project up, `follow`
//! prints its logs. Words and tables are `cli`'s.

pub mod bases;
mod canonical;
mod dotenv;
pub mod files;
pub mod follow;
pub mod foreground;
pub mod hooks;
mod interpolate;
pub mod members;
mod merge;
pub mod node;
pub mod print;
pub mod project;
pub mod resources;
mod schema;
mod scope;
pub mod settings;
mod shared;
mod short;
pub mod up;
mod yaml;
