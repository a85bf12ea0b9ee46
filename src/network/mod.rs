//! Networks of containers: bridges on the host, or a link that the host has (macvlan, ipvlan), an
//! interface in each container, names, and ports that the firewall publishes.
//!
//! Imports go one way: a module knows only those above it in this list, which a test reads.
//!
//! 1. `naming`: names of networks, of their directories and of the firewall's chains
//! 2. `subnet`: families and subnets of IP addresses
//! 3. `link`: links, addresses and routes, by rtnetlink
//! 4. `direct`: the kinds macvlan and ipvlan, whose networks have no bridge
//! 5. `interface`: the options of a container's interface
//! 6. `guard`: the filter between a container and the host's loopback
//! 7. `ports`: the sockets that hold published ports
//! 8. `pool`: the subnets of a new network
//! 9. `record`: a network on disk
//! 10. `alias`: which links of the host were made for a network
//! 11. `ipam`: the leases of its addresses
//! 12. `names`: the hosts files of its containers
//! 13. `firewall`: rules, in the kernel; it knows neither networks nor containers
//! 14. `conntrack`: flows to published ports
//! 15. `bridge`: the bridge of a network
//! 16. `parent`: the host's link below a macvlan or ipvlan network
//! 17. `endpoint`: the pair of links of one container on one network
//! 18. `subinterface`: the same for a macvlan or ipvlan network
//! 19. `create`: new networks, and the default one
//! 20. `attachment`: all of it for one running container
//! 21. `lifecycle`: the end of a network

pub mod alias;
pub mod attachment;
pub mod bridge;
mod conntrack;
pub mod create;
pub mod direct;
pub mod endpoint;
pub mod firewall;
mod guard;
pub mod interface;
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
