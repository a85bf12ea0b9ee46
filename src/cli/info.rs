//! The command `info`: prints facts about this host and the engine's state, in the lines and fields
//! of `docker info`, which scripts grep. mydocker has no server, so the fields about Docker's
//! server (id, descriptors, goroutines, listeners) are empty or 0. Facts that Docker lacks come
//! last. As with Docker, warnings go to stderr. `engine::info` collects the facts.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::inspect::parse_format;
use super::output::{print, print_error, print_line};
use super::version::docker_version;
use super::{Invocation, Outcome};
use crate::engine::view::InfoView;
use crate::template::{Template, Value};
use crate::time::Instant;
use crate::units::push_binary_size;

#[derive(Default)]
struct InfoArgs {
    format: Option<Template>,
}

static INFO_FLAGS: &[Flag<InfoArgs>] = &[Flag::<InfoArgs>::setting(
    "format",
    "FORMAT",
    "Print as json, or by a template such as '{{.DockerRootDir}}'",
    |a, v| {
        a.format = Some(parse_format(v)?);
        Ok(())
    },
)
.checked_by(Checker::Template)
.short('f')];

/// The command `info`.
pub static INFO: Command = Command {
    name: "info",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Print facts about the host and the paths of the state",
    examples: &["mydocker info -f '{{.DockerRootDir}}'"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(INFO_FLAGS, at),
    run: info,
};

fn info(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(INFO_FLAGS)?;
    let facts = call.engine()?.info()?;
    match args.format {
        Some(format) => {
            print_line(&format.render_facts(&document(&facts))?)?;
        }
        None => {
            print(&lines(&facts))?;
            for warning in &facts.warnings {
                print_error(&format!("WARNING: {warning}\n"));
            }
        }
    }
    Ok(0)
}

const STORAGE_DRIVER: &str = "overlay2";
const LOGGING_DRIVER: &str = "json-file";
const LOG_DRIVERS: [&str; 4] = ["journald", "json-file", "local", "syslog"];
const NETWORK_DRIVERS: [&str; 5] = ["bridge", "host", "ipvlan", "macvlan", "null"];
const INIT: &str = "docker-init";
/// The registry of names without a host, as `docker info` prints it.
const INDEX: &str = "https://index.docker.io/v1/";

/// The lines about the storage driver.
fn driver_status(facts: &InfoView) -> [(&'static str, &'static str); 4] {
    [
        ("Backing Filesystem", facts.file_system),
        ("Supports d_type", "true"),
        ("Native Overlay Diff", "true"),
        ("userxattr", "false"),
    ]
}

fn lines(facts: &InfoView) -> String {
    let mut out = String::from("Client:\n Context:    default\n Debug Mode: false\n\nServer:\n");
    let mut line = |label: &str, value: &str| out.extend([" ", label, ": ", value, "\n"]);
    line("Containers", &facts.containers.to_string());
    line(" Running", &facts.running.to_string());
    line(" Paused", &facts.paused.to_string());
    line(" Stopped", &facts.stopped.to_string());
    line("Images", &facts.images.to_string());
    line("Server Version", &docker_version());
    line("Storage Driver", STORAGE_DRIVER);
    for (label, value) in driver_status(facts) {
        line(&format!(" {label}"), value);
    }
    line("Logging Driver", LOGGING_DRIVER);
    line("Cgroup Driver", "cgroupfs");
    line("Cgroup Version", facts.cgroup_version);
    line("Plugins", "");
    line(" Volume", "local");
    line(" Network", &NETWORK_DRIVERS.join(" "));
    line(" Log", &LOG_DRIVERS.join(" "));
    line("Swarm", "inactive");
    line("Runtimes", "runc");
    line("Default Runtime", "runc");
    line("Init Binary", INIT);
    line("Security Options", "");
    for name in &facts.confinements {
        out.extend(["  ", name, "\n"]);
        if *name == "seccomp" {
            out.push_str("   Profile: default\n");
        }
    }
    let mut line = |label: &str, value: &str| out.extend([" ", label, ": ", value, "\n"]);
    line("Kernel Version", &facts.kernel);
    line("Operating System", &facts.operating_system);
    line("OSType", "linux");
    line("Architecture", &facts.architecture);
    line("CPUs", &facts.cpus.to_string());
    let mut memory = String::new();
    push_binary_size(&mut memory, facts.memory);
    line("Total Memory", &memory);
    line("Name", &facts.name);
    line("Docker Root Dir", &facts.state_directory);
    line("Debug Mode", "false");
    line("Registry", INDEX);
    line("Labels", "");
    line("Experimental", "false");
    line("Insecure Registries", "");
    for registry in insecure(facts) {
        out.extend(["  ", registry, "\n"]);
    }
    if !facts.mirrors.is_empty() {
        out.push_str(" Registry Mirrors:\n");
    }
    for mirror in &facts.mirrors {
        out.extend(["  ", mirror, "\n"]);
    }
    let mut line = |label: &str, value: &str| out.extend([" ", label, ": ", value, "\n"]);
    line("Live Restore Enabled", "true");
    line("Run Directory", &facts.run_directory);
    line("Cgroup Controllers", &facts.cgroup_controllers.join(" "));
    match &facts.user_namespaces {
        Ok(()) => line("User Namespaces", "supported (--userns auto)"),
        Err(reason) => line("User Namespaces", &format!("not supported: {reason}")),
    }
    // Docker writes no space after the colon of a heading.
    out.replace(": \n", ":\n")
}

/// The registries without verified TLS: those of the settings and, as with Docker, 127.0.0.0/8.
fn insecure(facts: &InfoView) -> impl Iterator<Item = &str> {
    facts.insecure_registries.iter().map(String::as_str).chain(["127.0.0.0/8"])
}

/// The value for `--format`: Docker's fields in Docker's order.
fn document(facts: &InfoView) -> Value {
    let text = Value::text;
    let empty = || text("");
    let texts = |values: &[&str]| Value::list(values.iter().map(|value| text(value)));
    let int = |value: usize| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
    let zero = || Value::Int(0);
    let truth = Value::Bool;
    let commit = || Value::object(vec![("ID", empty()), ("Expected", empty())]);
    let status = driver_status(facts);
    let status = status.iter().map(|(label, value)| texts(&[label, value]));
    let plugins = Value::of_kind(
        "types.PluginsInfo",
        vec![
            ("Volume", texts(&["local"])),
            ("Network", texts(&NETWORK_DRIVERS)),
            ("Authorization", Value::NilList),
            ("Log", texts(&LOG_DRIVERS)),
        ],
    );
    let confinements = facts.confinements.iter().map(|name| match *name {
        "seccomp" => text("name=seccomp,profile=default"),
        name => text(&format!("name={name}")),
    });
    let swarm = Value::of_kind(
        "swarm.Info",
        vec![
            ("NodeID", empty()),
            ("NodeAddr", empty()),
            ("LocalNodeState", text("inactive")),
            ("ControlAvailable", truth(false)),
            ("Error", empty()),
            ("RemoteManagers", Value::NilList),
        ],
    );
    let client = Value::object(vec![
        ("Debug", truth(false)),
        ("Context", text("default")),
        ("Plugins", texts(&[])),
        ("Warnings", Value::NilList),
    ]);
    let warnings = facts.warnings.iter().map(|warning| text(&format!("WARNING: {warning}")));
    let warnings: Vec<Value> = warnings.collect();
    let path = || text("runc");
    let runtime = Value::object(vec![("path", path()), ("Path", Value::Omitted(path().into()))]);
    let mut fields = vec![
        ("ID", empty()),
        ("Containers", int(facts.containers)),
        ("ContainersRunning", int(facts.running)),
        ("ContainersPaused", int(facts.paused)),
        ("ContainersStopped", int(facts.stopped)),
        ("Images", int(facts.images)),
        ("Driver", text(STORAGE_DRIVER)),
        ("DriverStatus", Value::list(status)),
        ("Plugins", plugins),
        ("MemoryLimit", truth(facts.has_memory)),
        ("SwapLimit", truth(facts.has_memory)),
        ("KernelMemory", truth(false)),
        ("KernelMemoryTCP", Value::Omitted(truth(false).into())),
        // Go and JSON have different names for some fields, and a template of mydocker may use
        // both.
        ("CPUCfsPeriod", Value::Omitted(truth(facts.has_cpu).into())),
        ("CpuCfsPeriod", truth(facts.has_cpu)),
        ("CPUCfsQuota", Value::Omitted(truth(facts.has_cpu).into())),
        ("CpuCfsQuota", truth(facts.has_cpu)),
        ("CPUShares", truth(facts.has_cpu)),
        ("CPUSet", truth(facts.has_cpuset)),
        ("PidsLimit", truth(facts.has_pids)),
        ("IPv4Forwarding", truth(facts.forwards_ipv4)),
        ("BridgeNfIptables", truth(facts.bridge_iptables)),
        ("BridgeNfIP6tables", Value::Omitted(truth(facts.bridge_ip6tables).into())),
        ("BridgeNfIp6tables", truth(facts.bridge_ip6tables)),
        ("Debug", truth(false)),
        ("NFd", zero()),
        ("OomKillDisable", truth(facts.has_oom_control)),
        ("NGoroutines", zero()),
        ("SystemTime", text(&Instant::now().to_rfc3339())),
        ("LoggingDriver", text(LOGGING_DRIVER)),
        ("CgroupDriver", text("cgroupfs")),
        ("CgroupVersion", text(facts.cgroup_version)),
        ("NEventsListener", zero()),
        ("KernelVersion", text(&facts.kernel)),
        ("OperatingSystem", text(&facts.operating_system)),
        ("OSVersion", text(&facts.os_version)),
        ("OSType", text("linux")),
        ("Architecture", text(&facts.architecture)),
        ("IndexServerAddress", text(INDEX)),
        ("RegistryConfig", registries(facts)),
        ("NCPU", int(facts.cpus)),
        ("MemTotal", Value::Int(i64::try_from(facts.memory).unwrap_or(i64::MAX))),
        ("GenericResources", Value::NilList),
        ("DockerRootDir", text(&facts.state_directory)),
    ];
    for (go, json, proxy) in [
        ("HTTPProxy", "HttpProxy", &facts.http_proxy),
        ("HTTPSProxy", "HttpsProxy", &facts.https_proxy),
        ("NoProxy", "NoProxy", &facts.no_proxy),
    ] {
        let value = text(&without_password(proxy));
        if go != json {
            fields.push((go, Value::Omitted(value.clone().into())));
        }
        fields.push((json, value));
    }
    fields.extend([
        ("Name", text(&facts.name)),
        ("Labels", texts(&[])),
        ("ExperimentalBuild", truth(false)),
        ("ServerVersion", text(&docker_version())),
        ("Runtimes", Value::map([("runc", runtime)])),
        ("DefaultRuntime", text("runc")),
        ("Swarm", swarm),
        // A container keeps running when the command that started it is killed.
        ("LiveRestoreEnabled", truth(true)),
        ("Isolation", empty()),
        ("InitBinary", text(INIT)),
        ("ContainerdCommit", commit()),
        ("RuncCommit", commit()),
        ("InitCommit", commit()),
        ("SecurityOptions", Value::list(confinements)),
        ("Warnings", if warnings.is_empty() { Value::NilList } else { Value::list(warnings) }),
        ("ProductLicense", Value::Omitted(empty().into())),
        ("DefaultAddressPools", Value::Omitted(Value::NilList.into())),
        ("ServerErrors", Value::Omitted(Value::NilList.into())),
        ("ClientErrors", Value::Omitted(Value::NilList.into())),
        ("ClientInfo", client),
    ]);
    Value::of_kind("system.info", fields)
}

fn registries(facts: &InfoView) -> Value {
    let text = Value::text;
    let none = || Value::list([]);
    let mirrors = || Value::list(facts.mirrors.iter().map(|mirror| text(mirror)));
    let index = |name: &str, mirrors, is_hub| {
        let fields = vec![
            ("Name", text(name)),
            ("Mirrors", mirrors),
            ("Secure", Value::Bool(is_hub)),
            ("Official", Value::Bool(is_hub)),
        ];
        (name.to_owned(), Value::object(fields))
    };
    let others = facts.insecure_registries.iter().map(|name| index(name, none(), false));
    Value::object(vec![
        ("AllowNondistributableArtifactsCIDRs", none()),
        ("AllowNondistributableArtifactsHostnames", none()),
        ("InsecureRegistryCIDRs", Value::list([text("127.0.0.0/8")])),
        ("IndexConfigs", Value::map(others.chain([index("docker.io", mirrors(), true)]))),
        ("Mirrors", mirrors()),
    ])
}

/// Returns a proxy's URL with the user and the password masked.
fn without_password(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        (None, Some((_, host))) => format!("xxxxx:xxxxx@{host}"),
        _ => proxy.to_owned(),
    }
}
