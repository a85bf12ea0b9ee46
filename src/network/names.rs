//! The files by which a container resolves names: hosts(5), resolv.conf(5), hostname(5). They lie
//! in the container's directory, are written anew at each start and mounted over the image's.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// The three files, below a container's directory.
pub struct NameFiles {
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
    pub hostname: PathBuf,
}

impl NameFiles {
    pub fn below(directory: &Path) -> NameFiles {
        NameFiles {
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
            hostname: directory.join("hostname"),
        }
    }
}

/// What goes into them.
pub struct Names<'a> {
    pub hostname: &'a str,
    /// The container's own addresses.
    pub addresses: &'a [String],
    /// `--add-host`: name, address.
    pub add_hosts: &'a [(String, String)],
    pub dns: &'a [String],
    pub dns_search: &'a [String],
    /// The container uses the host's network: the host's files serve as they are.
    pub host_network: bool,
}

/// Writes the three files in place: a running container's mounts go on showing the same files.
pub fn write(directory: &Path, names: &Names<'_>) -> Result<()> {
    let files = NameFiles::below(directory);
    let put = |path: &Path, text: &str| {
        fs::write(path, text).context(|| format!("write {}", path.display()))
    };
    put(&files.hostname, &format!("{}\n", names.hostname))?;
    put(&files.hosts, &hosts(names))?;
    put(&files.resolv_conf, &resolv_conf(names))
}

fn hosts(names: &Names<'_>) -> String {
    let mut text = match names.host_network {
        true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
        false => String::new(),
    };
    if text.is_empty() {
        text.push_str(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n",
        );
    } else if !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in names.add_hosts {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in names.addresses {
        let _ = writeln!(text, "{address}\t{}", names.hostname);
    }
    text
}

/// Where systemd-resolved, which puts itself on loopback, writes whom it asks in turn.
const RESOLVED_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";

fn resolv_conf(names: &Names<'_>) -> String {
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if names.host_network && names.dns.is_empty() && names.dns_search.is_empty() {
        return host;
    }
    let upstreams = fs::read_to_string(RESOLVED_UPSTREAMS).ok();
    let source = match upstreams {
        // Only where the host's own file has none that a container could reach.
        Some(upstreams) if !host.lines().any(is_reachable_nameserver) => upstreams,
        _ => host,
    };
    let mut text = String::new();
    for line in source.lines() {
        let keyword = line.split_whitespace().next().unwrap_or("");
        let keep = match keyword {
            "nameserver" => {
                names.dns.is_empty() && (names.host_network || is_reachable_nameserver(line))
            }
            "search" | "domain" => names.dns_search.is_empty(),
            "options" => true,
            _ => false,
        };
        if keep {
            text.push_str(line.trim());
            text.push('\n');
        }
    }
    if !names.dns_search.is_empty() {
        let _ = writeln!(text, "search {}", names.dns_search.join(" "));
    }
    for server in names.dns {
        let _ = writeln!(text, "nameserver {server}");
    }
    text
}

/// A name server on the host's loopback is another address inside the container.
fn is_reachable_nameserver(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("nameserver")
        && words.next().is_some_and(|address| match address.parse::<std::net::IpAddr>() {
            Ok(address) => !address.is_loopback(),
            // An IPv6 address with a zone.
            Err(_) => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_nameservers_are_the_hosts_own() {
        assert!(is_reachable_nameserver("nameserver 10.0.0.1"));
        assert!(!is_reachable_nameserver("nameserver 127.0.0.53"));
        assert!(!is_reachable_nameserver("nameserver ::1"));
        assert!(!is_reachable_nameserver("search example.org"));
    }

    #[test]
    fn own_name_and_added_hosts_are_listed() {
        let text = hosts(&Names {
            hostname: "box",
            addresses: &["10.1.2.3".to_owned()],
            add_hosts: &[("db".to_owned(), "10.9.9.9".to_owned())],
            dns: &[],
            dns_search: &[],
            host_network: false,
        });
        assert!(text.contains("10.9.9.9\tdb\n") && text.contains("10.1.2.3\tbox\n"), "{text}");
    }
}
