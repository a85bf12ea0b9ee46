//! How a container resolves names: the values of `--dns`, `--dns-search` and `--dns-option`. The
//! options of `run` and the record have this struct, and `network::names` writes the values into
//! the container's resolv.conf (resolv.conf(5)). If a list is empty, `network::names` copies the
//! host's lines of this kind, but no name server that the container cannot reach. If the host's
//! file has no other name server, the lines come from the file of the host's local resolver, or the
//! name servers are fallbacks.

use crate::address::Ip;
use crate::store::stored_flat;

stored_flat! {
    /// The lines of resolv.conf that the user sets.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Resolver {
        /// `--dns`: addresses of name servers.
        pub servers: Vec<Ip> as "dns",
        /// `--dns-search`: search domains. A single `.` means none.
        pub search: Vec<String> as "dns_search",
        /// `--dns-option`: options that replace the host's.
        pub options: Vec<String> as "dns_options" => optional,
    }
}
