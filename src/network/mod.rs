//! Networks of containers: bridges on the host, an interface in each container, names, and ports
//! that the firewall publishes.
//!
//! Imports go one way: a module knows only those above it in this list, which a test reads.
//!
//! 1. `naming`: names of networks, of their directories and of the firewall's chains
//! 2. `subnet`: families and subnets of IP addresses
//! 3. `link`: links, addresses and routes, by rtnetlink
//! 4. `guard`: the filter between a container and the host's loopback
//! 5. `ports`: the sockets that hold published ports
//! 6. `pool`: the subnets of a new network
//! 7. `record`: a network on disk
//! 8. `ipam`: the leases of its addresses
//! 9. `names`: the hosts files of its containers
//! 10. `firewall`: rules, in the kernel; it knows neither networks nor containers
//! 11. `conntrack`: flows to published ports
//! 12. `bridge`: the bridge of a network
//! 13. `endpoint`: the pair of links of one container on one network
//! 14. `create`: new networks, and the default one
//! 15. `attachment`: all of it for one running container
//! 16. `lifecycle`: the end of a network

pub mod attachment;
pub mod bridge;
mod conntrack;
pub mod create;
pub mod endpoint;
pub mod firewall;
mod guard;
pub mod ipam;
pub mod lifecycle;
pub mod link;
pub mod names;
pub mod naming;
pub mod pool;
pub mod ports;
pub mod record;
pub mod subnet;
