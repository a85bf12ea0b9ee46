//! The parts of a container outside its namespaces, such as its configuration (`record`), its
//! present state (`state`), the process that supervises it (`monitor`), its health check (`health`,
//! `probes`), the messages between monitor and clients (`protocol`, `client`) and its output
//! (`logs`).
//!
//! This module imports none of `image`, `network` and `volume`. The monitor reaches networks and
//! volumes through `monitor::Hooks`, which the engine implements.

pub mod client;
mod clients;
pub mod detach;
pub mod events;
pub mod files;
pub mod health;
pub mod held_ports;
pub mod id_range;
pub mod joined;
pub mod logs;
pub mod mode;
pub mod monitor;
pub mod names;
mod probe;
mod probes;
pub mod protocol;
pub mod quota;
pub mod record;
pub mod relay;
pub mod restart;
pub mod state;
pub mod stop_signal;
pub mod updated;
