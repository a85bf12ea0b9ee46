//! `compose`: several containers from one YAML file (compose specification, compose-spec.io).
//!
//! `yaml` parses a file into nodes that know their lines, and `interpolate` replaces variables.
//! `canonical` checks keys against `schema` and makes short forms long. `files` merges several
//! files and resolves `include` and `extends`. `project` completes and sorts the services, and
//! `settings` converts a service to flags of `run`. Compose keeps no state of its own: labels mark
//! the containers (`members`), networks and volumes (`resources`) of a project. `up` makes and
//! starts the containers of a project, and `follow` prints their logs. The subcommands are in
//! `cli`.

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
pub mod short;
pub mod up;
mod yaml;
