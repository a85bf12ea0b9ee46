//! One container's life outside its namespaces: what it is (`record`), its present state (`state`),
//! the process that supervises it (`monitor`), its health check (`health`, `probes`), the messages
//! between monitor and clients (`protocol`, `client`, `relay`) and its output (`logs`). Knows
//! nothing of images, networks or volumes: `monitor::Hooks` stand for these.

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
pub mod record;
pub mod relay;
pub mod restart;
pub mod state;
pub mod stop_signal;
pub mod updated;
