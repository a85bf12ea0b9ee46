//! How a container resolves names: the values of `--dns`, `--dns-search` and `--dns-option`. The
//! options of `run` and the record hold the same struct, and `network::names` writes it into the
//! container's resolv.conf (resolv.conf(5)). What is empty there comes from the host's file.

use crate::address::Ip;
use crate::store::stored_flat;

stored_flat! {
    /// The user's lines of a resolv.conf.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Resolver {
        /// `--dns`
        pub servers: Vec<Ip> as "dns",
        /// `--dns-search`; a lone dot is an empty list.
        pub search: Vec<String> as "dns_search",
        /// `--dns-option`, in place of the host's.
        pub options: Vec<String> as "dns_options" => optional,
    }
}
