//! Networks of containers: a bridge or a parent on the host (macvlan, ipvlan), an interface in each
//! container, host names, and ports that the firewall publishes.
//!
//! Imports go one way: a module imports only modules above it in this list, which a test reads.
//!
//! 1. `naming`: names of networks, directories and firewall chains
//! 2. `subnet`: families and subnets of IP addresses
//! 3. `link`: links, addresses and routes, by rtnetlink
//! 4. `direct`: the kinds macvlan and ipvlan, whose networks have no bridge
//! 5. `interface`: the user's options for a container's interface
//! 6. `guard`: the filter that keeps a container off the host's loopback
//! 7. `ports`: the sockets that hold published ports
//! 8. `pool`: chooses the subnets of a new network
//! 9. `record`: the file that describes a network
//! 10. `alias`: marks the host's links that were made for a network
//! 11. `ipam`: leases a network's addresses
//! 12. `names`: the containers' files hosts, resolv.conf and hostname
//! 13. `firewall`: the rules in the kernel; reads no records of networks and containers
//! 14. `conntrack`: deletes UDP flows to published ports
//! 15. `bridge`: the bridge of a network
//! 16. `parent`: the host's link below a macvlan or ipvlan network
//! 17. `endpoint`: the veth pair of one container on one network
//! 18. `subinterface`: the macvlan or ipvlan link of one container on one network
//! 19. `create`: creates networks, and finds the network that a user names
//! 20. `attachment`: all networks of one running container
//! 21. `lifecycle`: removes networks

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
