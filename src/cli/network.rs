//! The commands `network create`, `ls`, `inspect`, `connect`, `disconnect`, `reload`, `rm` and
//! `prune`, and the command `port`. This file parses subnets, addresses and options into the types
//! of `crate::network`, which checks their meaning. If the host has no usable packet filter, a
//! warning is printed once per boot.

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
#[cfg(feature = "compose")]
use super::flag::{Placed, set_all};
use super::format::{Field, Format, Row, Show, push_id, push_labels, push_list};
use super::inspect::{inspect, parse_format};
use super::lifecycle::{NO_FLAGS, NoArgs};
use super::output::{print, print_error, print_line, removal_confirmed};
use super::prune_filter::{self, PruneFilter};
use super::value::name::{check_hostname, parse_ip, parse_label, parse_option, split_filter};
use super::value::process::{add_interface_option, parse_link};
use crate::engine::Engine;
use crate::engine::options::{
    DirectOptions, ENABLE_ICC, ENABLE_MASQUERADE, EndpointSettings, INHIBIT_IPV4, INTERFACE_PREFIX,
    InspectKind, Ip, Kind, NetworkOptions, Subnet, check_prefix, parse_link_local, truth,
};
use crate::engine::view::{NetworkView, PublishedPort, has_label, pass};
use crate::error::{Error, Result, fail};
use crate::regex::Regex;
use crate::template::Template;
use crate::time::Instant;

/// The flags of `network create`. `resolve` interprets the options, because their meaning depends
/// on the driver.
#[derive(Default)]
struct CreateArgs {
    /// `None` means `bridge`.
    driver: Option<String>,
    options: NetworkOptions,
    ingress: bool,
}

static CREATE_FLAGS: &[Flag<CreateArgs>] = &[
    Flag::<CreateArgs>::setting(
        "driver",
        "DRIVER",
        "Set the driver: bridge, macvlan or ipvlan",
        |a, v| {
            a.driver = Some(v.to_owned()).filter(|driver| !driver.is_empty());
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .short('d')
    .also(&["-driver"]),
    Flag::<CreateArgs>::setting(
        "subnet",
        "CIDR",
        "Set the subnet (default: a free one)",
        |a, v| {
            a.options.pools.subnets.push(Subnet::parse(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .also(&["-subnet"]),
    Flag::<CreateArgs>::setting("gateway", "IP", "Set the host's address in the subnet", |a, v| {
        a.options.pools.gateways.push(parse_ip(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .also(&["-gateway"]),
    Flag::<CreateArgs>::setting(
        "ip-range",
        "CIDR",
        "Give containers addresses from this range",
        |a, v| {
            a.options.pools.ranges.push(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<CreateArgs>::value(
        "aux-address",
        "NAME=IP",
        "Reserve an address: no container gets it",
        |a, v| match v.split_once('=') {
            Some((name, address)) if !name.is_empty() => {
                a.options.auxiliary.push((name.to_owned(), parse_ip(address)?));
                Ok(())
            }
            _ => fail!("bad --aux-address '{v}': write NAME=IP, as in router=10.0.0.5"),
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<CreateArgs>::setting(
        "ipam-driver",
        "DRIVER",
        "Set the driver of addresses: default, or null for no addresses",
        |a, v| {
            a.options.without_addresses = match v {
                "default" => false,
                "null" => true,
                _ => fail!("unknown driver of addresses '{v}'; known: default null"),
            };
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<CreateArgs>::value("ipam-opt", "KEY=VALUE", "Record an option of addresses", |a, v| {
        a.options.ipam_options.push(parse_option(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    Flag::<CreateArgs>::switch("attachable", "Accepted; every network is attachable", |a, on| {
        a.options.attachable = on;
    }),
    Flag::<CreateArgs>::setting("scope", "SCOPE", "Set the scope (only local)", |_, v| match v {
        "local" => Ok(()),
        _ => fail!("scope '{v}' is a cluster's: networks here are local"),
    })
    .checked_by(Checker::Daemon),
    Flag::<CreateArgs>::switch(
        "config-only",
        "Refused: set the options on each network",
        |a, on| {
            a.options.config_only = on;
        },
    ),
    Flag::<CreateArgs>::setting(
        "config-from",
        "NETWORK",
        "Refused: set the options on each network",
        |_, _| fail!("--config-from is for a cluster's nodes; create the network with its options"),
    ),
    Flag::<CreateArgs>::switch("ingress", "Refused: there is no cluster", |a, on| {
        a.ingress = on;
    }),
    Flag::<CreateArgs>::switch("internal", "Isolate the network from all others", |a, on| {
        a.options.internal = on
    }),
    Flag::<CreateArgs>::switch("ipv6", "Enable IPv6 too", |a, on| a.options.pools.ipv6 = on),
    Flag::<CreateArgs>::value("label", "KEY=VALUE", "Add a label", |a, v| {
        a.options.labels.push(parse_label(v)?);
        Ok(())
    }),
    Flag::<CreateArgs>::value(
        "opt",
        "KEY=VALUE",
        "Set an option of the driver, such as mtu=1450 or parent=eth0",
        |a, v| {
            // As in Docker, a key alone has an empty value.
            let (key, value) =
                if v.contains('=') { parse_option(v)? } else { parse_option(&format!("{v}="))? };
            // If a key is given twice, the last value counts.
            a.options.options.retain(|(known, _)| *known != key);
            a.options.options.push((key, value));
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .short('o'),
];

/// The command `network create`.
pub static CREATE: Command = Command {
    name: "network create",
    group: Group::Networks,
    usage: "[FLAGS] NETWORK",
    summary: "Create a network",
    examples: &["mydocker network create --subnet 192.168.99.0/24 web"],
    operand: Operand::Nothing,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(CREATE_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(CREATE_FLAGS)?;
        let (mut options, ignored) = match resolve(args) {
            Ok(resolved) => resolved,
            Err(error) => return call.refuse(error.to_string()),
        };
        options.name.clone_from(&names[0]);
        if options.config_only {
            let why = "--config-only is for a cluster's nodes; create the network with its options";
            return call.refuse(why.to_owned());
        }
        let engine = call.engine()?;
        let id = engine.network_create(&options)?;
        for key in ignored {
            let driver = if options.direct.is_some() { "this driver" } else { "a bridge" };
            print_error(&format!("mydocker: -o {key} has no effect on {driver}\n"));
        }
        print_line(&id)?;
        warn(&engine);
        Ok(0)
    },
};

/// Parses flags of `network create` that a compose file gives. Fails on a bad value.
#[cfg(feature = "compose")]
pub fn options_of(settings: &mut dyn Iterator<Item = Placed<'_>>) -> Result<NetworkOptions> {
    let mut args = CreateArgs::default();
    set_all(CREATE_FLAGS, &mut args, settings)?;
    Ok(resolve(args)?.0)
}

/// Prints a warning if the host has no usable packet filter, once per boot.
pub fn warn(engine: &Engine) {
    if let Some(warning) = engine.network_warning() {
        print_error(&format!("mydocker: {warning}\n"));
    }
}

/// Reports the hosts files that could not be written. The change to the network itself succeeded.
fn warn_unwritten(errors: &[Error]) {
    for error in errors {
        print_error(&format!("mydocker: names are missing in a hosts file: {error}\n"));
    }
}

/// The prefix of Docker's own option keys.
const DOCKERS: &str = "com.docker.network.";
const GATEWAY_MODE_IPV4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const GATEWAY_MODE_IPV6: &str = "com.docker.network.bridge.gateway_mode_ipv6";

/// Interprets the options of `network create` for the driver. Docker's long keys work as well as
/// the short keys. Fails on `--ingress`, on an unknown driver, on a bad value, and on an option of
/// Docker's that has no meaning for the driver. Also returns the keys of the options that the
/// driver does not know. As in Docker, these options are kept, and `inspect` shows them.
fn resolve(args: CreateArgs) -> Result<(NetworkOptions, Vec<String>)> {
    let CreateArgs { driver, mut options, ingress } = args;
    if ingress {
        fail!("--ingress makes a cluster's network; create an ordinary one without this flag");
    }
    // As in Docker, the exit status for an unknown driver is 1.
    let driver = driver.as_deref().unwrap_or("bridge");
    if !matches!(driver, "bridge" | "macvlan" | "ipvlan") {
        fail!("unknown network driver '{driver}'; known: bridge macvlan ipvlan");
    }
    let is_direct = matches!(driver, "macvlan" | "ipvlan");
    let (mut parent, mut mode) = (None, None);
    let mut ignored = Vec::new();
    let own_mode = format!("{driver}_mode");
    for (key, value) in &options.options {
        match key.as_str() {
            "mtu" | "com.docker.network.driver.mtu" => match value.parse() {
                Ok(mtu @ 1280..=65535) => options.mtu = Some(mtu),
                _ => fail!("bad MTU '{value}': write a number from 1280 to 65535"),
            },
            "parent" if is_direct => parent = Some(value.clone()),
            key if is_direct && key == own_mode => {
                mode = Some(value.as_str()).filter(|mode| !mode.is_empty())
            }
            INTERFACE_PREFIX => check_prefix(value)?,
            key if is_direct && key.starts_with(DOCKERS) => {
                fail!("-o {key} is an option of bridges, and this network has no bridge")
            }
            _ if is_direct => ignored.push(key.clone()),
            "publish-ip" | "com.docker.network.bridge.host_binding_ipv4" => {
                options.publish_address = Some(parse_ip(value)?);
            }
            "com.docker.network.bridge.name" => options.bridge = Some(value.clone()),
            ENABLE_ICC | ENABLE_MASQUERADE | INHIBIT_IPV4 => {
                if truth(value).is_none() {
                    fail!("bad option '{key}={value}': {key} is true or false");
                }
            }
            GATEWAY_MODE_IPV4 | GATEWAY_MODE_IPV6 if value == "nat" => {}
            GATEWAY_MODE_IPV4 | GATEWAY_MODE_IPV6 => fail!(
                "-o {key}={value}: only the mode nat is known; --internal isolates a network, and -o \
                 {ENABLE_MASQUERADE}=false keeps the containers' addresses"
            ),
            key if key.starts_with(DOCKERS) => {
                fail!("-o {key} has no meaning here; leave it out")
            }
            _ => ignored.push(key.clone()),
        }
    }
    if is_direct {
        options.direct = Some(DirectOptions { kind: Kind::new(driver, mode)?, parent });
    }
    Ok((options, ignored))
}

#[derive(Default)]
struct LsArgs {
    quiet: bool,
    no_trunc: bool,
    /// The filters as typed, each with its key and its value.
    filters: Vec<(String, String)>,
    format: String,
}

enum NetworkFilter {
    Id(Regex),
    Name(Regex),
    Driver(String),
    Scope(String),
    /// Whether the network always exists: `bridge`, `host` and `none`.
    Builtin(bool),
    /// Whether the network is custom and no container uses the network.
    Dangling(bool),
    /// `key` or `key=value`.
    Label(String),
}

/// The keys of `network ls --filter`, for errors.
pub const FILTERS: &str = "id name driver scope type dangling label";

/// Parses one `--filter` of `network ls`. Fails on an unknown key or a bad value.
fn parse_filter(key: &str, value: &str) -> Result<NetworkFilter> {
    let owned = value.to_owned();
    Ok(match (key, value) {
        ("id", _) => NetworkFilter::Id(Regex::parse(value)?),
        ("name", _) => NetworkFilter::Name(Regex::parse(value)?),
        ("driver", _) => NetworkFilter::Driver(owned),
        ("scope", _) => NetworkFilter::Scope(owned),
        ("type", "builtin" | "custom") => NetworkFilter::Builtin(value == "builtin"),
        ("type", _) => fail!("bad filter 'type={value}': type is builtin or custom"),
        ("dangling", "true" | "1") => NetworkFilter::Dangling(true),
        ("dangling", "false" | "0") => NetworkFilter::Dangling(false),
        ("dangling", _) => fail!("bad filter 'dangling={value}': dangling is true or false"),
        ("label", _) => NetworkFilter::Label(owned),
        _ => fail!("unknown filter '{key}'; known: {FILTERS}"),
    })
}

static LS_FLAGS: &[Flag<LsArgs>] = &[
    Flag::<LsArgs>::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    Flag::<LsArgs>::switch("no-trunc", "Do not shorten ids and other values", |a, on| {
        a.no_trunc = on
    }),
    Flag::<LsArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Filter by id, name, driver, scope, type, dangling or label",
        |a, v| {
            a.filters.extend(split_filter(v, "name=web")?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .short('f'),
    Flag::<LsArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Name}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `network ls`.
pub static LS: Command = Command {
    name: "network ls",
    group: Group::Networks,
    usage: "[FLAGS]",
    summary: "List networks",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(LS_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(LS_FLAGS)?;
        let format = match Format::parse_quiet(args.quiet, &args.format, FIELDS, COLUMNS) {
            Ok(format) => format,
            Err(error) => return call.refuse(format!("--format: {error}")),
        };
        let filters: Result<Vec<_>> =
            args.filters.iter().map(|(key, value)| parse_filter(key, value)).collect();
        let filters = match filters {
            Ok(filters) => filters,
            Err(error) => return call.refuse(format!("--filter: {error}")),
        };
        let mut networks = call.engine()?.network_list()?;
        networks.retain(|network| passes(network, &filters));
        let show = Show { no_trunc: args.no_trunc, now: Instant(0) };
        print(&format.render(&networks, FIELDS, &show)?)?;
        Ok(0)
    },
};

/// Whether a network passes the filters. All label filters must match. For every other key that is
/// given, at least one of the key's filters must match.
fn passes(network: &NetworkView, filters: &[NetworkFilter]) -> bool {
    let is_label = |filter: &NetworkFilter| matches!(filter, NetworkFilter::Label(_));
    pass(filters, is_label, |filter| match filter {
        NetworkFilter::Id(regex) => regex.is_match(&network.id),
        NetworkFilter::Name(regex) => regex.is_match(&network.name),
        NetworkFilter::Driver(name) => network.driver == name,
        NetworkFilter::Scope(name) => name == "local",
        NetworkFilter::Builtin(wanted) => network.is_builtin == *wanted,
        // As in Docker, a network that always exists is never dangling.
        NetworkFilter::Dangling(wanted) => {
            *wanted == (network.containers == 0 && !network.is_builtin)
        }
        NetworkFilter::Label(wanted) => has_label(&network.labels, wanted),
    })
}

impl Row for NetworkView {
    const KIND: &'static str = "*network.networkContext";
    const OURS: &'static [&'static str] = &["Containers", "Gateway", "Subnet"];
    const RAW: &'static str =
        "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";

    fn labels(&self) -> Option<&[(String, String)]> {
        Some(&self.labels)
    }
}

static COLUMNS: &[&str] = &["ID", "Name", "Driver", "Scope"];

static FIELDS: &[Field<NetworkView>] = &[
    Field {
        name: "Containers",
        header: "CONTAINERS",
        write: |network, _, out| out.push_str(&network.containers.to_string()),
    },
    Field {
        name: "CreatedAt",
        header: "CREATED AT",
        write: |network, _, out| {
            out.push_str(&network.created.map(Instant::to_go).unwrap_or_default());
        },
    },
    Field {
        name: "Driver",
        header: "DRIVER",
        write: |network, _, out| out.push_str(network.driver),
    },
    Field {
        name: "Gateway",
        header: "GATEWAY",
        write: |network, _, out| push_list(out, &network.gateways, ", "),
    },
    Field {
        name: "ID",
        header: "NETWORK ID",
        write: |network, show, out| push_id(out, &network.id, show),
    },
    Field {
        name: "IPv6",
        header: "IPV6",
        write: |network, _, out| out.push_str(if network.ipv6 { "true" } else { "false" }),
    },
    Field {
        name: "Internal",
        header: "INTERNAL",
        write: |network, _, out| out.push_str(if network.internal { "true" } else { "false" }),
    },
    Field {
        name: "Labels",
        header: "LABELS",
        write: |network, _, out| push_labels(out, &network.labels),
    },
    Field { name: "Name", header: "NAME", write: |network, _, out| out.push_str(&network.name) },
    Field { name: "Scope", header: "SCOPE", write: |_, _, out| out.push_str("local") },
    Field {
        name: "Subnet",
        header: "SUBNET",
        write: |network, _, out| push_list(out, &network.subnets, ", "),
    },
];

#[derive(Default)]
struct InspectArgs {
    format: Option<Template>,
}

static INSPECT_FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Driver}}'",
        |a, v| {
            a.format = Some(parse_format(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Template)
    .short('f'),
    Flag::<InspectArgs>::switch("verbose", "Accepted; only a cluster has more to show", |_, _| {})
        .short('v'),
];

/// The command `network inspect`.
pub static INSPECT: Command = Command {
    name: "network inspect",
    group: Group::Networks,
    usage: "[FLAGS] NETWORK [NETWORK…]",
    summary: "Print the details of networks",
    examples: &[],
    operand: Operand::Network,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(INSPECT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(INSPECT_FLAGS)?;
        inspect(call, &names, Some(InspectKind::Network), args.format.as_ref(), false)
    },
};

static CONNECT_FLAGS: &[Flag<EndpointSettings>] = &[
    Flag::<EndpointSettings>::setting("ip", "IP", "Set the container's address", |a, v| {
        a.addresses.push(Ip(parse_ip(v)?));
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .also(&["--ip6"]),
    Flag::<EndpointSettings>::value(
        "driver-opt",
        "KEY=VALUE",
        "Set the name or sysctls of the interface",
        |a, v| add_interface_option(&mut a.driver_options, v),
    )
    .checked_by(Checker::Daemon),
    Flag::<EndpointSettings>::value(
        "link",
        "CONTAINER[:ALIAS]",
        "Add a name for CONTAINER that only this one can use",
        |a, v| {
            a.links.push(parse_link(v)?);
            Ok(())
        },
    ),
    Flag::<EndpointSettings>::value("link-local-ip", "IP", "Add a link-local address", |a, v| {
        a.link_local.push(Ip(parse_link_local(v)?));
        Ok(())
    })
    .checked_by(Checker::Daemon),
    Flag::<EndpointSettings>::value(
        "alias",
        "NAME",
        "Add a name that other containers can use",
        |a, v| {
            check_hostname(v)?;
            a.aliases.push(v.to_owned());
            Ok(())
        },
    ),
];

/// The command `network connect`.
pub static CONNECT: Command = Command {
    name: "network connect",
    group: Group::Networks,
    usage: "[FLAGS] NETWORK CONTAINER",
    summary: "Connect a container to a network",
    examples: &[],
    operand: Operand::Network,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(CONNECT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(CONNECT_FLAGS)?;
        let engine = call.engine()?;
        warn_unwritten(&engine.network_connect(&names[0], &names[1], &args)?);
        Ok(0)
    },
};

#[derive(Default)]
struct DisconnectArgs;

static DISCONNECT_FLAGS: &[Flag<DisconnectArgs>] =
    &[Flag::<DisconnectArgs>::switch("force", "Accepted; changes nothing", |_, _| {}).short('f')];

/// The command `network disconnect`.
pub static DISCONNECT: Command = Command {
    name: "network disconnect",
    group: Group::Networks,
    usage: "NETWORK CONTAINER",
    summary: "Disconnect a container from a network",
    examples: &[],
    operand: Operand::Network,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(DISCONNECT_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(DISCONNECT_FLAGS)?;
        warn_unwritten(&call.engine()?.network_disconnect(&names[0], &names[1])?);
        Ok(0)
    },
};

/// The command `network reload`.
pub static RELOAD: Command = Command {
    name: "network reload",
    group: Group::Networks,
    usage: "",
    summary: "Restore missing bridges and firewall rules",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, _) = call.parse(NO_FLAGS)?;
        call.engine()?.network_reload()?;
        Ok(0)
    },
};

/// The command `port`.
pub static PORT: Command = Command {
    name: "port",
    group: Group::Watch,
    usage: "CONTAINER [PORT[/udp]]",
    summary: "List the published ports of a container",
    examples: &[],
    operand: Operand::Container,
    operands: (1, 2),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, operands) = call.parse(NO_FLAGS)?;
        let port = operands.get(1).map(String::as_str);
        let mut text = String::new();
        for PublishedPort { container_port, protocol, host } in
            call.engine()?.ports(&operands[0], port)?
        {
            // If the user names a port, print only the host's address and port, as Docker does.
            if port.is_none() {
                text.push_str(&format!("{container_port}/{protocol} -> "));
            }
            text.push_str(&format!("{host}\n"));
        }
        print(&text)?;
        Ok(0)
    },
};

#[derive(Default)]
struct RmArgs {
    force: bool,
}

static RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("force", "Succeed if a network does not exist", |a, on| a.force = on)
        .short('f')];

/// The command `network rm`.
pub static RM: Command = Command {
    name: "network rm",
    group: Group::Networks,
    usage: "[FLAGS] NETWORK [NETWORK…]",
    summary: "Remove networks",
    examples: &[],
    operand: Operand::Network,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(RM_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(RM_FLAGS)?;
        let engine = call.engine()?;
        call.each(&names, |name| {
            let removed = engine.network_remove(name).and_then(|()| print_line(name));
            call.ignore_absent(args.force, removed)
        })
    },
};

#[derive(Default)]
struct PruneArgs {
    filter: PruneFilter,
    force: bool,
}

static PRUNE_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::value("filter", "KEY=VALUE", prune_filter::DOC, |a, v| {
        a.filter.add(v, prune_filter::KNOWN)
    })
    .checked_by(Checker::DaemonIfPair),
    Flag::<PruneArgs>::switch("force", "Do not ask for confirmation", |a, on| a.force = on)
        .short('f'),
];

/// The command `network prune`.
pub static PRUNE: Command = Command {
    name: "network prune",
    group: Group::Networks,
    usage: "[FLAGS]",
    summary: "Remove networks that no container uses",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(PRUNE_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(PRUNE_FLAGS)?;
        let what = "all custom networks not used by at least one container";
        if !args.force && !removal_confirmed(&[what])? {
            return Ok(0);
        }
        let removed = call.engine()?.network_prune(&|candidate| args.filter.matches(candidate))?;
        if !removed.is_empty() {
            print_line(&format!("Deleted Networks:\n{}\n", removed.join("\n")))?;
        }
        Ok(0)
    },
};
