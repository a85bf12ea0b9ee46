//! One container's life outside its namespaces: what it is (`record`), how it goes (`state`), who
//! watches over it (`monitor`), whether its program works (`health`, `probes`), who talks to it
//! (`protocol`, `client`, `relay`) and what it said (`logs`). Knows nothing of images or networks, and
//! of volumes only which ones go with a container (`volumes`).

pub mod client;
mod clients;
pub mod detach;
pub mod health;
pub mod id_range;
pub mod joined;
pub mod logs;
pub mod monitor;
pub mod names;
mod probe;
mod probes;
pub mod protocol;
pub mod record;
pub mod relay;
pub mod restart;
pub mod state;
pub mod tty;
pub mod volumes;
