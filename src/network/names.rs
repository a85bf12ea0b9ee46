//! The files by which a container resolves names: hosts(5), resolv.conf(5), hostname(5). They are
//! in the container's directory and are written at each start. The container gets copies of them
//! over the image's files (`runtime::copies`), so its own changes reach no disk.
//!
//! There is no name server. Instead, a hosts file has a section for each network of its container:
//! a comment with the section's number of lines, then the containers on the network. The file's own
//! container is last: as in Docker, scripts find the container's address in the last line. When a
//! container joins or leaves a network or is renamed, the section is rewritten in the running
//! containers' copies, under a lock. On the default network, the section lists only the file's own
//! container. Other lines stay, also lines that a user added (`cut` has one exception).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::ipam::Lease;
use super::naming::{DEFAULT, DEFAULT_BRIDGE};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result, fail};
use crate::hex::short;
use crate::order;
use crate::resolver::Resolver;
use crate::store::{Lock, LockMode, Roots};
use crate::sys::beneath;

const HOSTS: &str = "hosts";

/// The paths of the three files of a container.
pub struct NameFiles {
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
    pub hostname: PathBuf,
}

impl NameFiles {
    /// Returns the paths of the files in `directory`, a container's directory.
    pub fn below(directory: &Path) -> NameFiles {
        NameFiles {
            hosts: directory.join(HOSTS),
            resolv_conf: directory.join("resolv.conf"),
            hostname: directory.join("hostname"),
        }
    }
}

/// The data that the three files are written from.
pub struct Names<'a> {
    pub hostname: &'a str,
    /// Pairs of a name and an address, from `--add-host` and `--link`.
    pub add_hosts: &'a [(String, IpAddr)],
    pub resolver: &'a Resolver,
    /// Whether the container uses the host's network. If so, hosts starts with the lines of the
    /// host's file, and resolv.conf keeps the host's name servers on the loopback.
    pub host_network: bool,
    /// Returns name servers to use if the user names none, and the host's files name none that the
    /// container can reach.
    pub fallback: &'a dyn Fn() -> Result<Vec<IpAddr>>,
}

/// Google's public name servers, which Docker uses too if it finds no other name server.
pub const PUBLIC_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// The paths of the three files below `directory`, and their texts.
pub fn texts(directory: &Path, names: &Names<'_>) -> Result<Vec<(PathBuf, String)>> {
    let files = NameFiles::below(directory);
    Ok(vec![
        (files.hostname, format!("{}\n", names.hostname)),
        (files.hosts, hosts(names)),
        (files.resolv_conf, resolv_conf(names)?),
    ])
}

fn hosts(names: &Names<'_>) -> String {
    let mut text = if names.host_network {
        fs::read_to_string("/etc/hosts").unwrap_or_default()
    } else {
        String::new()
    };
    if text.is_empty() {
        text.push_str(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             ff00::0\tip6-mcastprefix\n\
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
    text
}

/// Writes `leases` into the hosts files of all their containers, as section `network`. Returns the
/// errors of files that could not be written; the containers of these files keep the former
/// section. The caller holds the network's lock.
pub fn write_sections(roots: &Roots, network: &str, leases: &[Lease]) -> Vec<Error> {
    let mut owners: Vec<&ContainerId> = leases.iter().map(|lease| &lease.owner).collect();
    order::sort(&mut owners);
    owners.dedup();
    let taken: HashSet<&String> = leases.iter().flat_map(|lease| &lease.names).collect();
    let put = |owner: &&ContainerId| {
        write_section(roots, owner, network, &section(leases, owner, &taken)).err()
    };
    owners.iter().filter_map(put).collect()
}

/// The lines of a network's section for the container `owner`. The other containers come first,
/// also with the aliases that the owner's `--link` gives them. The owner's addresses come last,
/// IPv6 before IPv4, with its host name, its names and its short id. If several containers have the
/// same name, the name leads to the owner if the name is the owner's host name or its first label.
/// Otherwise the name leads to a container whose lease has the name. If no lease has the name, the
/// name leads to a container with this host name or short id. `taken` has the names of all leases.
fn section(leases: &[Lease], owner: &ContainerId, taken: &HashSet<&String>) -> String {
    let mut lines = String::new();
    let (own, others): (Vec<&Lease>, Vec<&Lease>) =
        leases.iter().partition(|lease| lease.owner == *owner);
    let links = || own.iter().flat_map(|lease| &lease.links);
    let is_own = |name: &str| own.iter().any(|lease| own_names(&lease.hostname).contains(&name));
    for lease in others {
        let mut further = further(&lease.owner, &lease.hostname, &lease.names);
        further.retain(|name| !taken.contains(name));
        let names = lease.names.iter().chain(&further);
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        for (_, alias) in links().filter(|(name, _)| lease.names.contains(name)) {
            if !names.contains(&alias.as_str()) {
                names.push(alias);
            }
        }
        names.retain(|name| !is_own(name));
        if !names.is_empty()
            && let Some(address) = lease.address
        {
            let _ = writeln!(lines, "{address}\t{}", names.join(" "));
        }
    }
    // Reverse the leases, which are sorted by address, IPv4 before IPv6.
    for lease in own.iter().rev() {
        let mut names = own_names(&lease.hostname);
        for name in &lease.names {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if !names.contains(&short(owner)) {
            names.push(short(owner));
        }
        if let Some(address) = lease.address {
            let _ = writeln!(lines, "{address}\t{}", names.join(" "));
        }
    }
    lines
}

/// The further names of a container, as in Docker: its short id and its host name, without those in
/// `names`.
pub fn further(id: &ContainerId, hostname: &str, names: &[String]) -> Vec<String> {
    let mut further = vec![short(id).to_owned()];
    if !hostname.is_empty() && hostname != further[0] {
        further.push(hostname.to_owned());
    }
    further.retain(|name| !names.contains(name));
    further
}

/// A host name, and its first label if it has a domain: `web.example.org` and `web`.
fn own_names(hostname: &str) -> Vec<&str> {
    match hostname.split_once('.') {
        _ if hostname.is_empty() => Vec::new(),
        Some((short, _)) if !short.is_empty() => vec![hostname, short],
        _ => vec![hostname],
    }
}

/// Writes a section with only the container itself into the container's hosts file. `addresses` are
/// in the order of the endpoint, IPv4 before IPv6.
pub fn write_own_section(
    roots: &Roots,
    id: &ContainerId,
    network: &str,
    addresses: &[IpAddr],
    hostname: &str,
) -> Result<()> {
    let mut lines = String::new();
    for address in addresses.iter().rev() {
        let _ = writeln!(lines, "{address}\t{}", own_names(hostname).join(" "));
    }
    write_section(roots, id, network, &lines)
}

/// The largest hosts file that is changed, in bytes: enough for thousands of names.
const MAX_HOSTS: u64 = 4 << 20;

/// Replaces the section `network` of a running container's hosts file. Empty `lines` remove the
/// section. Does nothing if the container does not run. The new text is written over the old text,
/// then the file is shortened, so no reader finds the file empty. rename(2) can't replace the file,
/// because its inode is mounted in the container. Fails if the file is larger than `MAX_HOSTS`, or
/// if a file operation fails.
///
/// The container can also open the file, lock it, take a lease on it (fcntl(2), F_SETLEASE) or fill
/// it up. None of this may block the engine. So the lock is on the run directory, which the
/// container can't reach. The file is opened with O_NONBLOCK: if there is a lease, the open fails
/// instead of waiting.
pub fn write_section(roots: &Roots, id: &ContainerId, network: &str, lines: &str) -> Result<()> {
    let update = || -> Result<()> {
        // A container that does not run has no run directory. Its next start writes the file.
        let run = Lock::wait_existing(&roots.run_dir(id), LockMode::Exclusive)?;
        let Some(_one_writer) = run else { return Ok(()) };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match open_directory(roots, id) {
            Ok(directory) => openat(&directory, HOSTS, flags, Mode::empty()),
            Err(error) => Err(error),
        };
        let file = match opened {
            Ok(file) => File::from(file),
            // The container has ended, or uses the hosts file of another container.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(beneath::open_error(error)),
        };
        let mut before = Vec::new();
        (&file).take(MAX_HOSTS + 1).read_to_end(&mut before)?;
        if before.len() as u64 > MAX_HOSTS {
            fail!("it has more than {MAX_HOSTS} bytes, and stays as it is");
        }
        let text = String::from_utf8_lossy(&before);
        let after = splice(&text, network, lines);
        if after == text {
            return Ok(());
        }
        let written = file.write_all_at(after.as_bytes(), 0);
        if written.is_err() {
            // Restore the old text, so that no half section stays; there was space for the old
            // text.
            let _ = file.write_all_at(&before, 0);
        }
        file.set_len(if written.is_ok() { after.len() } else { before.len() } as u64)?;
        match written {
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                fail!("the container has filled it, and the files beside it, up to their limit")
            }
            written => Ok(written?),
        }
    };
    update().context(|| format!("write {}", roots.hosts_files(id).join(HOSTS).display()))
}

/// The directory with the name files of a running container. Fails with `ENOENT` if there is none.
fn open_directory(roots: &Roots, id: &ContainerId) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let link = roots.hosts_files(id);
    match openat(CWD, &link, flags, Mode::empty()) {
        // The link leads through the PID of the monitor, which another process may have later. The
        // monitor holds its lock while it lives, so check the lock after opening the directory. If
        // there is no lock file, or the check fails, accept the directory.
        Ok(directory) if Lock::find_holder(&roots.monitor_lock(id)).ok() != Some(Some(false)) => {
            Ok(directory)
        }
        // A container of an earlier version has the files themselves mounted, not copies.
        Err(Errno::NOENT) if link.symlink_metadata().is_err() => {
            openat(CWD, roots.containers().join(id), flags, Mode::empty())
        }
        Ok(_) | Err(Errno::NOTDIR) => Err(Errno::NOENT),
        Err(error) => Err(error),
    }
}

/// Replaces the lines of a network's section in `text` by `lines`. A new section comes last. Empty
/// `lines` remove the section.
fn splice(text: &str, network: &str, lines: &str) -> String {
    let former = if network == DEFAULT { DEFAULT_BRIDGE } else { network };
    let (before, after) = cut(text, network).or_else(|| cut(text, former)).unwrap_or((text, ""));
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    match lines.lines().count() {
        0 => format!("{before}{after}"),
        count => format!("{before}{gap}# network {network}, lines: {count}\n{lines}{after}"),
    }
}

/// The text before and after a network's section; `None` without a section. Earlier versions wrote
/// the default network's former name, and a comment at the section's end instead of the number of
/// lines.
fn cut<'a>(text: &'a str, network: &str) -> Option<(&'a str, &'a str)> {
    let is_start = |at: usize| at == 0 || text[..at].ends_with('\n');
    let mark = format!("# network {network}");
    for (at, _) in text.match_indices(&mark).filter(|(at, _)| is_start(*at)) {
        let (before, rest) = (&text[..at], &text[at + mark.len()..]);
        if let Some(rest) = rest.strip_prefix('\n') {
            let end = format!("# end of network {network}\n");
            // If the comment at the end is missing, keep all text.
            return Some((before, rest.split_once(&end).map_or(rest, |(_, after)| after)));
        }
        let count = rest.strip_prefix(", lines: ").and_then(|rest| rest.split_once('\n'));
        let Some((count, mut after)) = count else { continue };
        let Ok(count) = count.parse::<usize>() else { continue };
        for _ in 0..count {
            // A user may have removed lines of the section, so stop at the first line that is no
            // entry. A user's own entry right after such a shortened section is lost.
            match after.split_once('\n') {
                Some((line, rest)) if is_entry(line) => after = rest,
                _ => break,
            }
        }
        return Some((before, after));
    }
    None
}

/// Whether a line starts with an address and a tab, as each line of a section does.
fn is_entry(line: &str) -> bool {
    line.split_once('\t').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok())
}

/// Where systemd-resolved, NetworkManager's dnsmasq and OpenWrt list their upstream name servers.
/// These resolvers listen on the host's loopback, which containers can't reach.
const UPSTREAMS: [&str; 3] = [
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/tmp/resolv.conf.d/resolv.conf.auto",
];

fn resolv_conf(names: &Names<'_>) -> Result<String> {
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let resolver = names.resolver;
    if names.host_network && *resolver == Resolver::default() {
        return Ok(host);
    }
    let is_of_use = |file: &String| file.lines().any(is_reachable_nameserver);
    let mut servers: Vec<IpAddr> = resolver.servers.iter().map(|server| server.0).collect();
    let source = if is_of_use(&host) || names.host_network {
        host
    } else {
        let mut upstreams = UPSTREAMS.iter().filter_map(|path| fs::read_to_string(path).ok());
        match upstreams.find(is_of_use) {
            Some(upstream) => upstream,
            None => {
                if servers.is_empty() {
                    servers = (names.fallback)()?;
                }
                host
            }
        }
    };
    let mut text = String::new();
    for line in source.lines() {
        let keyword = line.split_whitespace().next().unwrap_or("");
        let keep = match keyword {
            "nameserver" => {
                resolver.servers.is_empty() && (names.host_network || is_reachable_nameserver(line))
            }
            "search" | "domain" => resolver.search.is_empty(),
            "options" => resolver.options.is_empty(),
            _ => false,
        };
        if keep {
            text.push_str(line.trim());
            text.push('\n');
        }
    }
    // As in Docker, a dot as the only search domain means no `search` line.
    if !resolver.search.is_empty() && resolver.search != ["."] {
        let _ = writeln!(text, "search {}", resolver.search.join(" "));
    }
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !resolver.options.is_empty() {
        let _ = writeln!(text, "options {}", resolver.options.join(" "));
    }
    Ok(text)
}

/// Whether a UDP name server of the host listens on `address` or on all addresses
/// (proc_pid_net(5)).
pub fn is_served_at(address: IpAddr) -> bool {
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    has_server(&table("udp"), address) || has_server(&table("udp6"), address)
}

/// Looks for a socket on `address` (or all addresses) and port 53 in the second column of `table`,
/// where addresses are words in the host's byte order.
fn has_server(table: &str, address: IpAddr) -> bool {
    let words = |octets: &[u8]| -> String {
        let words = octets.chunks(4).filter_map(|word| word.try_into().ok());
        words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect()
    };
    let wanted = match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    };
    table.lines().skip(1).any(|line| {
        let local = line.split_whitespace().nth(1).and_then(|local| local.strip_suffix(":0035"));
        local.is_some_and(|local| local == wanted || local.bytes().all(|digit| digit == b'0'))
    })
}

/// Whether the line names a name server that a container can reach. In a container, a loopback
/// address is the container's own.
fn is_reachable_nameserver(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("nameserver")
        && words.next().is_some_and(|address| match address.parse::<IpAddr>() {
            Ok(address) => !address.is_loopback(),
            // An IPv6 address with a zone, such as fe80::1%eth0, does not parse.
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
    fn a_name_server_is_found_by_its_socket() {
        let table = "  sl  local_address rem_address   st\n  1: 0101010A:0035 00000000:0000 07\n";
        // The bytes of each address are reversed on a little-endian machine.
        let listed = IpAddr::from(0x0a01_0101u32.to_be_bytes());
        if cfg!(target_endian = "little") {
            assert!(has_server(table, listed));
        }
        assert!(!has_server(table, "10.9.9.9".parse().unwrap()));
        assert!(!has_server(&table.replace(":0035", ":0036"), listed));
        assert!(has_server(&table.replace("0101010A", "00000000"), listed));
        // systemd-resolved listens on loopback.
        assert!(!has_server(&table.replace("0101010A", "3500007F"), listed));
    }

    #[test]
    fn sections_are_replaced_and_nothing_else() {
        let one = splice("127.0.0.1\tlocalhost\n", "web", "10.0.0.2\ta\n");
        assert_eq!(one, "127.0.0.1\tlocalhost\n# network web, lines: 1\n10.0.0.2\ta\n");
        let two = splice(&(one.clone() + "9.9.9.9\tmine\n"), "db", "10.1.0.2\ta\n");
        let three = splice(&two, "web", "10.0.0.3\tb\n10.0.0.2\ta\n");
        assert!(
            three.contains("# network web, lines: 2\n10.0.0.3\tb\n10.0.0.2\ta\n9.9.9.9\tmine\n")
        );
        assert!(three.ends_with("# network db, lines: 1\n10.1.0.2\ta\n"), "{three}");
        assert_eq!(
            splice(&splice(&three, "db", ""), "web", ""),
            "127.0.0.1\tlocalhost\n9.9.9.9\tmine\n"
        );
        assert_eq!(splice("x", "web", "y\tz\n"), "x\n# network web, lines: 1\ny\tz\n");
        // The name of one network begins with the name of another. Then a user removes a line of a
        // section.
        let long = splice(&one, "web-2", "10.2.0.2\ta\n");
        assert_eq!(splice(&long, "web-2", ""), one);
        let cut = three.replace("10.0.0.3\tb\n", "").replace("9.9.9.9\tmine", "# mine");
        assert!(splice(&cut, "web", "").starts_with("127.0.0.1\tlocalhost\n# mine\n"), "{cut}");
    }

    #[test]
    fn sections_of_earlier_versions_are_replaced() {
        let section =
            |name: &str| format!("# network {name}\n10.0.0.2\ta\n# end of network {name}\n");
        let after = "# network web, lines: 1\n10.0.0.3\tb\n9.9.9.9\tmine\n";
        let own = "9.9.9.9\tmine\n";
        assert_eq!(splice(&(section("web") + own), "web", "10.0.0.3\tb\n"), after);
        for name in [DEFAULT, DEFAULT_BRIDGE] {
            assert_eq!(splice(&(section(name) + own), DEFAULT, ""), own);
        }
        assert_eq!(splice("# network web\n10.0.0.2\ta\n", "web", ""), "10.0.0.2\ta\n");
    }

    #[test]
    fn added_hosts_are_listed() {
        let text = hosts(&Names {
            hostname: "box",
            add_hosts: &[("db".to_owned(), "10.9.9.9".parse().unwrap())],
            resolver: &Resolver::default(),
            host_network: false,
            fallback: &|| Ok(Vec::new()),
        });
        assert!(text.contains("10.9.9.9\tdb\n"), "{text}");
    }
}
