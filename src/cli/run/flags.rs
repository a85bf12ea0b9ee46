//! The flags of `run` and `create`, in one table. The help lists the flags of each category in the
//! table's order. Only `run` has the first `RUN_ONLY` flags. Each flag has its spelling, its help
//! text and the code that parses its value into the final type and stores it. `resolve` in the
//! parent module checks combinations of flags. Docker's flags that have no effect in mydocker are
//! accepted, or refused with the reason.

use super::{Pull, RunArgs};
use crate::cli::flag::{Category, Checker, Flag};
use crate::cli::lifecycle::parse_timeout;
use crate::cli::value::env::{parse_env, read_env_file, read_label_file};
use crate::cli::value::limit::{
    LOG_DRIVERS, parse_cgroup_parent, parse_device, parse_device_rate, parse_device_rule,
    parse_number, parse_storage, parse_sysctl, parse_ulimit, set_log_option,
};
use crate::cli::value::mount::{
    parse_host_path, parse_mount, parse_tmpfs, parse_volume, parse_volumes_from,
};
use crate::cli::value::name::{
    check_domain, check_hostname, parse_container_name, parse_host, parse_ip, parse_label,
};
use crate::cli::value::process::{
    parse_detach_keys, parse_endpoint, parse_ipc, parse_link, parse_namespace, parse_network,
    parse_stop_signal, parse_userns, parse_workdir,
};
use crate::cli::value::resources::{
    limit_unless_zero, refuse_kernel_memory, refuse_real_time, set_blkio_weight, set_cpu_period,
    set_cpu_quota, set_cpu_shares, set_cpus, set_cpuset_cpus, set_cpuset_mems, set_memory,
    set_memory_reservation, set_memory_swap, set_pids, unless_zero,
};
use crate::cli::value::security::{parse_capability, set_security_option};
use crate::engine::options::{
    EndpointOption, Ip, OnFailure, Publish, RateKind, RestartPolicy, parse_link_local,
};
use crate::error::{Result, fail};
use crate::healthcheck::{parse_retries, parse_span};
use crate::raw;
use crate::units::ByteSize;

/// The number of flags at the start of the table that only `run` has.
pub const RUN_ONLY: usize = 4;

/// The type of each flag in this table, so that the closures need no type annotation.
type F = Flag<RunArgs>;

/// All flags of `run`. `create` has all of these except the first `RUN_ONLY`.
pub static FLAGS: &[F] = &[
    // Only `run` has these flags. `RUN_ONLY` is their number.
    F::switch("detach", "Run in the background and print the id", |a, on| {
        a.detach = on;
    })
    .short('d')
    .also(&["--d"])
    .under(Category::Process),
    F::switch("debug", "Log each step of the start and of the end on stderr", |a, on| {
        a.debug = on;
    })
    .short('D')
    .under(Category::Process),
    F::switch("sig-proxy", "Forward signals to the process (default true)", |a, on| {
        a.no_sig_proxy = !on;
    })
    .under(Category::Process),
    F::setting(
        "detach-keys",
        "KEYS",
        "Set the keys that detach (default ctrl-p,ctrl-q)",
        |a, v| {
            a.detach_keys = Some(parse_detach_keys(v)?);
            Ok(())
        },
    )
    .under(Category::Process),
    // `create` has all flags from here on.
    F::value("attach", "STREAM", "Attach only STDIN, STDOUT or STDERR", |a, v| {
        match v.to_ascii_lowercase().as_str() {
            "stdin" => a.options.streams.attached.stdin = true,
            "stdout" => a.options.streams.attached.stdout = true,
            "stderr" => a.options.streams.attached.stderr = true,
            _ => fail!("bad stream '{v}': write STDIN, STDOUT or STDERR"),
        }
        Ok(())
    })
    .short('a')
    .under(Category::Process),
    // General.
    F::setting("name", "NAME", "Name the container", |a, v| {
        a.options.name = Some(parse_container_name(v)?.to_owned());
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .also(&["-name"]),
    F::switch("rm", "Remove the container when it exits", |a, on| {
        a.options.lifecycle.remove = on;
    }),
    F::setting(
        "restart",
        "POLICY",
        "Restart on exit: no, always, unless-stopped, on-failure[:N]",
        |a, v| {
            a.options.lifecycle.restart = RestartPolicy::parse(v)?;
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    F::setting("cidfile", "FILE", "Write the container's id to FILE", |a, v| {
        a.options.cidfile = Some(raw::path(v).into());
        Ok(())
    }),
    F::value("label", "KEY=VALUE", "Add a label", |a, v| {
        a.options.labels.push(parse_label(v)?);
        Ok(())
    })
    .short('l'),
    F::value("label-file", "FILE", "Add the labels of FILE, one KEY=VALUE per line", |a, v| {
        a.options.labels.extend(read_label_file(v)?);
        Ok(())
    }),
    F::value("annotation", "KEY=VALUE", "Add an annotation, shown by `inspect`", |a, v| {
        a.options.annotations.push(parse_label(v)?);
        Ok(())
    }),
    F::switch("quiet", "Do not print the progress of a pull", |a, on| {
        a.quiet = on;
    })
    .short('q'),
    F::setting("pull", "WHEN", "Pull the image: always, missing (default) or never", |a, v| {
        a.pull = match v {
            "always" => Pull::Always,
            "missing" => Pull::Missing,
            "never" => Pull::Never,
            _ => fail!("should be always, missing or never, not '{v}'"),
        };
        Ok(())
    }),
    F::setting("platform", "OS/ARCH[/VARIANT]", "Pull the image for this platform", |a, v| {
        a.options.platform = Some(v.parse()?);
        Ok(())
    }),
    // The process.
    F::switch("interactive", "Keep stdin open", |a, on| {
        a.options.streams.interactive = on;
    })
    .short('i')
    .under(Category::Process),
    F::switch("tty", "Allocate a terminal", |a, on| a.options.streams.tty = on)
        .short('t')
        .under(Category::Process),
    F::value("env", "NAME[=VALUE]", "Set a variable, or copy the caller's", |a, v| {
        a.env.push(parse_env(v)?);
        Ok(())
    })
    .short('e')
    .also(&["--e"])
    .under(Category::Process),
    F::value("env-file", "FILE", "Set the variables of FILE, one NAME=VALUE per line", |a, v| {
        a.options.env.extend(read_env_file(v)?);
        Ok(())
    })
    .under(Category::Process),
    F::setting("workdir", "DIR", "Set the working directory in the container", |a, v| {
        a.options.workdir = Some(parse_workdir(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('w')
    .under(Category::Process),
    F::setting("user", "USER[:GROUP]", "Run as USER, by name or number", |a, v| {
        a.options.user.name = Some(v.to_owned()).into();
        Ok(())
    })
    .short('u')
    .under(Category::Process),
    F::value("group-add", "GROUP", "Join a further group, by name or number", |a, v| {
        if v.is_empty() {
            fail!("the group's name is empty; write a name or a number");
        }
        a.options.user.groups.push(v.to_owned());
        Ok(())
    })
    .under(Category::Process),
    F::value("entrypoint", "PROGRAM", "Replace the image's entrypoint", |a, v| {
        a.options.entrypoint = Some(v.to_owned());
        Ok(())
    })
    .under(Category::Process),
    F::switch("init", "Run an init that reaps zombies and forwards signals", |a, on| {
        a.options.system.init = on;
    })
    .under(Category::Process),
    F::setting(
        "stop-signal",
        "SIGNAL",
        "Set the signal that `stop` sends (default TERM)",
        |a, v| {
            a.options.stop_signal = Some(parse_stop_signal(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .under(Category::Process),
    F::value("stop-timeout", "SECONDS", "Set how long `stop` waits before SIGKILL", |a, v| {
        a.options.lifecycle.stop_timeout = Some(parse_timeout(v)?);
        Ok(())
    })
    .under(Category::Process),
    // Health check.
    F::setting("health-cmd", "COMMAND", "Check health by running COMMAND in /bin/sh", |a, v| {
        a.options.health.check.test = vec!["CMD-SHELL".to_owned(), v.to_owned()];
        Ok(())
    })
    .under(Category::Health),
    F::value("health-interval", "TIME", "Set the time between checks (default 30s)", |a, v| {
        a.options.health.check.interval = parse_span(v)?;
        Ok(())
    })
    .checked_by(Checker::DaemonIfTime)
    .under(Category::Health),
    F::value("health-timeout", "TIME", "Limit the time of one check (default 30s)", |a, v| {
        a.options.health.check.timeout = parse_span(v)?;
        Ok(())
    })
    .checked_by(Checker::DaemonIfTime)
    .under(Category::Health),
    F::value(
        "health-retries",
        "NUMBER",
        "Report unhealthy after NUMBER failures in a row (default 3)",
        |a, v| {
            a.options.health.check.retries = parse_retries(v)?;
            Ok(())
        },
    )
    .under(Category::Health),
    F::value("health-start-period", "TIME", "Ignore failures for TIME after the start", |a, v| {
        a.options.health.check.start_period = parse_span(v)?;
        Ok(())
    })
    .checked_by(Checker::DaemonIfTime)
    .under(Category::Health),
    F::setting(
        "health-start-interval",
        "TIME",
        "Set the time between checks in the start period (default 5s)",
        |a, v| {
            a.options.health.check.start_interval = parse_span(v)?;
            Ok(())
        },
    )
    .under(Category::Health),
    F::setting(
        "health-on-failure",
        "ACTION",
        "Act when unhealthy: none (default), kill, restart or stop",
        |a, v| {
            a.options.health.on_failure = OnFailure::parse(v)?;
            Ok(())
        },
    )
    .under(Category::Health),
    F::switch("no-healthcheck", "Disable the image's health check", |a, on| {
        a.options.health.disabled = on;
    })
    .under(Category::Health),
    F::value(
        "depends-on",
        "CONTAINER[:healthy]",
        "Wait for CONTAINER to run or to be healthy",
        |a, v| {
            let name = v.strip_prefix('/').unwrap_or(v);
            parse_container_name(name.strip_suffix(":healthy").unwrap_or(name))?;
            a.options.lifecycle.depends_on.push(name.to_owned());
            Ok(())
        },
    )
    .under(Category::Health),
    // Files and volumes.
    F::setting("volume", "[SRC:]DST[:ro]", "Mount a host path or a volume", |a, v| {
        a.options.mounts.push(parse_volume(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('v')
    .also(&["--v"])
    .under(Category::Files),
    F::value(
        "mount",
        "KEY=VALUE,…",
        "Mount by keys: type=, src=, dst=, readonly and more",
        |a, v| {
            a.options.mounts.push(parse_mount(v)?);
            Ok(())
        },
    )
    .under(Category::Files),
    F::value("volumes-from", "CONTAINER[:ro]", "Mount the volumes of CONTAINER", |a, v| {
        a.options.volumes_from.push(parse_volumes_from(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .under(Category::Files),
    F::value("tmpfs", "DST[:OPTIONS]", "Mount a tmpfs", |a, v| {
        a.options.mounts.push(parse_tmpfs(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .under(Category::Files),
    F::switch("read-only", "Mount the root file system read-only", |a, on| {
        a.options.system.read_only = on;
    })
    .under(Category::Files),
    F::value("rootfs", "DIR", "Use DIR as the root file system instead of an image", |a, v| {
        if v.is_empty() {
            fail!("the directory's name is empty; write the path of a root file system");
        }
        // Store an absolute path, because the container can be started again from another
        // directory.
        a.options.rootfs = Some(raw::path(&parse_host_path(v)?).into());
        Ok(())
    })
    .under(Category::Files),
    F::value("device", "SRC[:DST[:rwm]]", "Add a device of the host", |a, v| {
        a.options.devices.given.push(parse_device(v)?);
        Ok(())
    })
    .under(Category::Files),
    F::value("device-cgroup-rule", "RULE", "Allow devices by number ('c 42:* rmw')", |a, v| {
        a.options.devices.rules.push(parse_device_rule(v)?);
        Ok(())
    })
    .under(Category::Files),
    F::value("shm-size", "SIZE", "Set the size of /dev/shm (default 64m)", |a, v| {
        a.options.shm_size = unless_zero(ByteSize::parse(v)?.0);
        Ok(())
    })
    .under(Category::Files),
    // Network and names.
    F::value(
        "net",
        "NETWORK[,…]",
        "Join networks (name=N,ip=IP), none, host, container:N",
        |a, v| {
            if v.contains('=') {
                a.options.networks.push(parse_endpoint(v)?);
                return Ok(());
            }
            for network in v.split(',') {
                a.options.networks.push(EndpointOption::new(parse_network(network)?));
            }
            Ok(())
        },
    )
    .also(&["--network", "-net"])
    .under(Category::Network),
    F::value("link", "CONTAINER[:ALIAS]", "Add a running container to /etc/hosts", |a, v| {
        a.options.links.push(parse_link(v)?);
        Ok(())
    })
    .under(Category::Network),
    F::setting("ip", "IP", "Set the address on the first network", |a, v| {
        a.options.endpoint.addresses.push(Ip(parse_ip(v)?));
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .also(&["--ip6"])
    .under(Category::Network),
    F::value("link-local-ip", "IP", "Add a link-local address on the first network", |a, v| {
        a.options.endpoint.link_local.push(Ip(parse_link_local(v)?));
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .under(Category::Network),
    F::setting("mac-address", "MAC", "Set the MAC address on the first network", |a, v| {
        a.options.endpoint.mac = Some(v.parse()?);
        Ok(())
    })
    .under(Category::Network),
    F::value("network-alias", "NAME", "Add a name that other containers can use", |a, v| {
        check_hostname(v)?;
        a.options.endpoint.aliases.push(v.to_owned());
        Ok(())
    })
    .also(&["--net-alias"])
    .under(Category::Network),
    F::value("publish", "[[IP:]HOST:]PORT", "Publish a port (8080:80, 53:53/udp)", |a, v| {
        a.options.publish.push(v.parse()?);
        Ok(())
    })
    .short('p')
    .also(&["--p"])
    .under(Category::Network),
    F::switch("publish-all", "Publish all exposed ports on free host ports", |a, on| {
        a.options.publish_all = on;
    })
    .short('P')
    .under(Category::Network),
    F::setting(
        "publish-default-ip",
        "IP",
        "Set the host address for each -p without one",
        |a, v| {
            a.options.publish_address = Some(parse_ip(v)?);
            Ok(())
        },
    )
    .under(Category::Network),
    F::value("expose", "PORT[/udp]", "Expose a port, for -P to publish", |a, v| {
        let port = Publish::exposed(v)?;
        a.options.expose.push(port.to_string());
        Ok(())
    })
    .under(Category::Network),
    F::setting("hostname", "NAME", "Set the host name (default: the short id)", |a, v| {
        check_hostname(v)?;
        a.options.hostname = Some(v.to_owned());
        Ok(())
    })
    .short('h')
    .under(Category::Network),
    F::setting(
        "domainname",
        "NAME",
        "Set the domain of the host name, in /etc/hosts too",
        |a, v| {
            check_hostname(v)?;
            a.options.system.domainname = Some(v.to_owned());
            Ok(())
        },
    )
    .under(Category::Network),
    F::value("add-host", "NAME:IP", "Add a line to /etc/hosts", |a, v| {
        a.options.add_hosts.push(parse_host(v)?);
        Ok(())
    })
    .under(Category::Network),
    F::value("dns", "IP", "Set a DNS server", |a, v| {
        a.options.resolver.servers.push(v.parse()?);
        Ok(())
    })
    .under(Category::Network),
    F::value("dns-search", "DOMAIN", "Add a DNS search domain", |a, v| {
        // As in Docker, a dot alone means no search domains.
        if v != "." {
            check_domain(v)?;
        }
        a.options.resolver.search.push(v.to_owned());
        Ok(())
    })
    .under(Category::Network),
    F::setting("dns-option", "OPTION", "Add a resolv.conf option (ndots:2)", |a, v| {
        let plain = |byte: u8| byte.is_ascii_graphic();
        if !v.bytes().all(plain) {
            fail!("bad option '{v}': write it as in resolv.conf, such as ndots:2");
        }
        a.options.resolver.options.push(v.to_owned());
        Ok(())
    })
    .also(&["--dns-opt"])
    .under(Category::Network),
    // Limits.
    F::value("memory", "SIZE", "Limit memory (512m, 1.5g)", |a, v| {
        set_memory(&mut a.options.resources, v)
    })
    .short('m')
    .also(&["--m"])
    .under(Category::Limits),
    F::value("memory-swap", "SIZE", "Limit memory plus swap; -1 for no limit", |a, v| {
        set_memory_swap(&mut a.options.resources, v)
    })
    .under(Category::Limits),
    F::value(
        "memory-reservation",
        "SIZE",
        "Set a soft limit, for when the host runs low",
        |a, v| set_memory_reservation(&mut a.options.resources, v),
    )
    .under(Category::Limits),
    F::value("memory-swappiness", "NUMBER", "Tune swappiness, 0 to 100 (default -1)", |a, v| {
        a.options.resources.memory_swappiness = match v {
            "-1" => None,
            _ => Some(parse_number(v, 0, 100)?),
        };
        Ok(())
    })
    .under(Category::Limits),
    F::switch("oom-kill-disable", "Disable the OOM killer (cgroup v1)", |a, on| {
        a.options.resources.oom_kill_disable = on.then_some(true);
    })
    .under(Category::Limits),
    F::value("cpus", "NUMBER", "Limit CPU time, in CPUs (1.5)", |a, v| {
        set_cpus(&mut a.options.resources, v)
    })
    .under(Category::Limits),
    F::value("cpu-shares", "WEIGHT", "Set the CPU weight, 2 to 262144 (default 1024)", |a, v| {
        set_cpu_shares(&mut a.options.resources, v)
    })
    .short('c')
    .also(&["-cpushare", "--cpushare"])
    .under(Category::Limits),
    F::value("cpu-quota", "MICROSECONDS", "Limit CPU time per period", |a, v| {
        set_cpu_quota(&mut a.options.resources, v)
    })
    .checked_by(Checker::DaemonIfNumber)
    .under(Category::Limits),
    F::value(
        "cpu-period",
        "MICROSECONDS",
        "Set the length of the period (default 100000)",
        |a, v| set_cpu_period(&mut a.options.resources, v),
    )
    .checked_by(Checker::DaemonIfNumber)
    .under(Category::Limits),
    F::setting("cpuset-cpus", "LIST", "Run on these CPUs only (0-3,7)", |a, v| {
        set_cpuset_cpus(&mut a.options.resources, v)
    })
    .checked_by(Checker::Daemon)
    .also(&["-cpuset", "--cpuset"])
    .under(Category::Limits),
    F::setting("cpuset-mems", "LIST", "Use these memory nodes only", |a, v| {
        set_cpuset_mems(&mut a.options.resources, v)
    })
    .checked_by(Checker::Daemon)
    .under(Category::Limits),
    F::value("pids-limit", "NUMBER", "Limit PIDs (default 2048; -1: no limit)", |a, v| {
        set_pids(&mut a.options.resources, v)
    })
    .also(&["--pids", "-pids"])
    .under(Category::Limits),
    F::value("blkio-weight", "WEIGHT", "Set the disk weight, 10 to 1000", |a, v| {
        set_blkio_weight(&mut a.options.resources, v)
    })
    .checked_by(Checker::DaemonIfNumber)
    .under(Category::Limits),
    F::value(
        "device-read-bps",
        "DEV:RATE",
        "Limit reads from a device, in bytes per second",
        |a, v| add_rate(a, v, RateKind::ReadBytes),
    )
    .under(Category::Limits),
    F::value(
        "device-write-bps",
        "DEV:RATE",
        "Limit writes to a device, in bytes per second",
        |a, v| add_rate(a, v, RateKind::WriteBytes),
    )
    .under(Category::Limits),
    F::value(
        "device-read-iops",
        "DEV:RATE",
        "Limit reads from a device, in operations per second",
        |a, v| add_rate(a, v, RateKind::ReadOperations),
    )
    .under(Category::Limits),
    F::value(
        "device-write-iops",
        "DEV:RATE",
        "Limit writes to a device, in operations per second",
        |a, v| add_rate(a, v, RateKind::WriteOperations),
    )
    .under(Category::Limits),
    F::value(
        "oom-score-adj",
        "NUMBER",
        "Set the OOM killer's preference, -1000 to 1000",
        |a, v| {
            a.options.limits.oom_score_adj = Some(parse_number(v, -1000, 1000)?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfNumber)
    .under(Category::Limits),
    F::value("ulimit", "NAME=SOFT[:HARD]", "Set a limit of setrlimit(2) (nofile=1024)", |a, v| {
        let limit = parse_ulimit(v)?;
        a.options.limits.rlimits.retain(|other| other.name != limit.name);
        a.options.limits.rlimits.push(limit);
        Ok(())
    })
    .under(Category::Limits),
    F::setting("cgroup-parent", "PATH", "Create the cgroup below PATH", |a, v| {
        a.options.cgroup_parent = Some(parse_cgroup_parent(v)?);
        Ok(())
    })
    .under(Category::Limits),
    // Isolation.
    F::setting("pid", "NAMESPACE", "Use the PID namespace of host or container:NAME", |a, v| {
        a.options.namespaces.pid = parse_namespace(v)?;
        Ok(())
    })
    .under(Category::Isolation),
    F::setting(
        "ipc",
        "NAMESPACE",
        "Use an IPC namespace: none, shareable, private, host, container:NAME",
        |a, v| {
            a.options.namespaces.ipc = parse_ipc(v)?;
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .under(Category::Isolation),
    F::setting(
        "cgroupns",
        "NAMESPACE",
        "Use a cgroup namespace: private (default) or host",
        |a, v| {
            a.options.namespaces.host_cgroups = match v {
                "private" => false,
                "host" => true,
                _ => fail!("bad cgroup namespace '{v}': write private or host"),
            };
            Ok(())
        },
    )
    .under(Category::Isolation),
    F::setting("uts", "NAMESPACE", "Use the UTS namespace of host or container:NAME", |a, v| {
        a.options.namespaces.uts = parse_namespace(v)?;
        Ok(())
    })
    .under(Category::Isolation),
    F::setting("userns", "MODE", "Map users to host ids: auto, host or UID:GID:SIZE", |a, v| {
        a.options.userns = parse_userns(v)?;
        Ok(())
    })
    .under(Category::Isolation),
    F::switch("privileged", "Give all capabilities and devices (not isolated)", |a, on| {
        a.options.privileged = on;
    })
    .under(Category::Isolation),
    F::value("cap-add", "CAPABILITY", "Add a capability, or ALL", |a, v| {
        a.options.confinement.cap_add.push(parse_capability(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .under(Category::Isolation),
    F::value("cap-drop", "CAPABILITY", "Drop a capability, or ALL", |a, v| {
        a.options.confinement.cap_drop.push(parse_capability(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .under(Category::Isolation),
    F::value("security-opt", "OPTION", "Set no-new-privileges, seccomp=FILE and more", |a, v| {
        set_security_option(&mut a.options.confinement, v)
    })
    .checked_by(Checker::DaemonIfOption)
    .under(Category::Isolation),
    F::value("sysctl", "KEY=VALUE", "Set a namespaced kernel parameter", |a, v| {
        let (key, value) = parse_sysctl(v)?;
        a.options.system.sysctls.retain(|(other, _)| *other != key);
        a.options.system.sysctls.push((key, value));
        Ok(())
    })
    .under(Category::Isolation),
    // Logs.
    F::setting(
        "log-driver",
        "DRIVER",
        "Set the driver: json-file, local (the same), syslog, journald or none",
        |a, v| {
            if !LOG_DRIVERS.contains(&v) {
                fail!("unknown log driver '{v}'; known: {}", LOG_DRIVERS.join(" "));
            }
            a.options.log.disabled = v == "none";
            a.options.log.driver = Some(v.to_owned());
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .under(Category::Logging),
    F::value("log-opt", "KEY=VALUE", "Set a log option (max-size=10m, max-file=3)", |a, v| {
        set_log_option(&mut a.options.log, v)
    })
    .checked_by(Checker::Daemon)
    .under(Category::Logging),
    // Docker's flags that have no effect here or are refused, and `--storage-opt`.
    F::content_trust(),
    F::setting("runtime", "NAME", "Accept mydocker or runc (the same runtime)", |_, v| match v {
        "mydocker" | "runc" | "io.containerd.runc.v2" => Ok(()),
        _ => fail!(
            "mydocker is the only runtime here and cannot use '{v}'; write mydocker or leave the \
             flag out"
        ),
    })
    .checked_by(Checker::Daemon)
    .under(Category::Docker),
    F::setting("isolation", "NAME", "Accept default, the only one on Linux", |_, v| match v {
        "default" => Ok(()),
        _ => fail!("isolation '{v}' exists only on Windows; write default"),
    })
    .checked_by(Checker::Daemon)
    .under(Category::Docker),
    F::setting("volume-driver", "NAME", "Accept local, the only driver", |_, v| match v {
        "local" => Ok(()),
        _ => fail!("there is no volume driver '{v}': mydocker has no plugins; write local"),
    })
    .checked_by(Checker::Daemon)
    .under(Category::Docker),
    F::value("gpus", "GPUS", "Refused: use --device", |_, _| {
        fail!(
            "GPUs need a vendor's runtime hook, which mydocker does not run; add the devices with \
             --device and the libraries with -v"
        )
    })
    .under(Category::Docker),
    F::value("kernel-memory", "SIZE", "Refused: Linux 5.16 dropped it", refuse_kernel_memory)
        .under(Category::Docker),
    F::value(
        "storage-opt",
        "size=SIZE",
        "Limit the data written to the root (needs a quota)",
        |a, v| {
            a.options.storage_size = Some(parse_storage(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .under(Category::Limits),
    F::setting("cpu-rt-period", "MICROSECONDS", "Refused: no real-time share", refuse_real_time)
        .under(Category::Docker),
    F::setting("cpu-rt-runtime", "MICROSECONDS", "Refused: no real-time share", refuse_real_time)
        .under(Category::Docker),
    F::setting("blkio-weight-device", "DEVICE:WEIGHT", "Refused: one weight for all", |_, _| {
        fail!(
            "the weight is one for all disks: give --blkio-weight, or limit the device with \
             --device-read-bps and --device-write-bps"
        )
    })
    .under(Category::Docker),
    F::switch("use-api-socket", "Refused: there is no daemon socket", |a, on| {
        a.wants_api_socket = on;
    })
    .under(Category::Docker),
    // Flags that Docker does not have, but the small engines that container tutorials build.
    F::value("mem", "MEGABYTES", "Same as --memory, in megabytes", |a, v| {
        a.options.resources.memory = limit_unless_zero(ByteSize::parse_megabytes(v)?);
        Ok(())
    })
    .also(&["-mem"])
    .under(Category::Tutorial),
    F::value("swap", "MEGABYTES", "Limit swap, in addition to memory", |a, v| {
        a.swap = Some(ByteSize::parse_megabytes(v)?.0);
        Ok(())
    })
    .also(&["-swap"])
    .under(Category::Tutorial),
    F::value("cpu", "PERCENT", "Limit CPU time, in percent of one CPU", |a, v| {
        let percent: u64 = parse_number(v.strip_suffix('%').unwrap_or(v), 0, 819_200)?;
        a.options.resources.nano_cpus = unless_zero(percent * 10_000_000);
        Ok(())
    })
    .also(&["-cpu"])
    .under(Category::Tutorial),
    F::switch("it", "Same as -i -t", |a, on| {
        a.options.streams.interactive = on;
        a.options.streams.tty = on;
    })
    .also(&["--ti"])
    .under(Category::Tutorial),
];

fn add_rate(args: &mut RunArgs, text: &str, kind: RateKind) -> Result<()> {
    let rate = parse_device_rate(text, kind)?;
    let rates = args.options.resources.device_rates.get_or_insert_default();
    rates.retain(|other| (&other.path, other.kind) != (&rate.path, rate.kind));
    if rate.rate > 0 {
        rates.push(rate);
    }
    Ok(())
}
