//! Networks of containers: bridges on the host, or a link that the host has (macvlan, ipvlan), an
//! interface in each container, names, and ports that the firewall publishes.
//!
//! Imports go one way: a module knows only those above it in this list, which a test reads.
//!
//! 1. `naming`: names of networks, of their directories and of the firewall's chains
//! 2. `subnet`: families and subnets of IP addresses
//! 3. `link`: links, addresses and routes, by rtnetlink
//! 4. `direct`: the kinds macvlan and ipvlan, whose networks have no bridge
//! 5. `guard`: the filter between a container and the host's loopback
//! 6. `ports`: the sockets that hold published ports
//! 7. `pool`: the subnets of a new network
//! 8. `record`: a network on disk
//! 9. `alias`: which links of the host were made for a network
//! 10. `ipam`: the leases of its addresses
//! 11. `names`: the hosts files of its containers
//! 12. `firewall`: rules, in the kernel; it knows neither networks nor containers
//! 13. `conntrack`: flows to published ports
//! 14. `bridge`: the bridge of a network
//! 15. `parent`: the host's link below a macvlan or ipvlan network
//! 16. `endpoint`: the pair of links of one container on one network
//! 17. `subinterface`: the same for a macvlan or ipvlan network
//! 18. `create`: new networks, and the default one
//! 19. `attachment`: all of it for one running container
//! 20. `lifecycle`: the end of a network

pub mod alias;
pub mod attachment;
pub mod bridge;
mod conntrack;
pub mod create;
pub mod direct;
pub mod endpoint;
pub mod firewall;
mod guard;
pub mod ipam;
pub mod lifecycle;
pub mod link;
pub mod names;
pub mod naming;
pub mod parent;
pub mod pool;
pub mod ports;
pub mod record;
mod subinterface;
pub mod subnet;
