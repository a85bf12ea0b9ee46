//! Networks of containers: bridges on the host, an interface in each container, names, and ports
//! published by the firewall.
//!
//! `config` says what networks there are, `pool` which subnets a new one gets, `ipam` who has which
//! address, `wiring` what one running container has of it all. Below them: `bridge` and `endpoint` by
//! rtnetlink (`link`), `guard` between container and host, `firewall` for the way out and published `ports`, `names` by hosts files.

pub mod bridge;
pub mod config;
mod conntrack;
mod endpoint;
pub mod firewall;
mod guard;
pub mod ipam;
pub mod link;
pub mod names;
pub mod pool;
pub mod ports;
pub mod subnet;
pub mod wiring;
