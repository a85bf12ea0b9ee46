//! Checks of the options of `create`. Examples are memory against swap, `--rm` against `--restart`,
//! and whether devices exist.
//!
//! The command line has checked the syntax of each flag's value. These checks are below the command
//! line, because each caller of the engine needs them. The checks change nothing.

use std::fs;

use rustix::io::Errno;

use crate::container::health::OnFailure;
use crate::container::id_range;
use crate::container_id::ContainerId;
use crate::engine::options::{
    CreateOptions, EndpointOption, EndpointSettings, MountKind, NamespaceMode, NetworkMode,
    Resources, UserNamespaceOption,
    sysctl::{self, Owner},
};
use crate::engine::{cpus, spec};
use crate::error::{Context, EXIT_NOT_FOUND, Error, Result, fail};
use crate::network_name::DEFAULT;
use crate::raw;

/// The least memory limit and reservation in bytes, as in Docker. With a lower limit, a container's
/// first process cannot be set up.
const MIN_MEMORY: i64 = 6 << 20;

/// Fails for example if options contradict each other or name a device that does not exist.
pub(super) fn check(options: &CreateOptions) -> Result<()> {
    check_resources(&options.resources)?;
    check_usage(options).map_err(Error::of_usage)?;
    if options.lifecycle.remove && options.health.on_failure == OnFailure::Restart {
        fail!("--rm and --health-on-failure restart contradict each other");
    }
    let mounts_image = options.mounts.iter().any(|mount| mount.kind == MountKind::Image);
    if mounts_image && options.userns != UserNamespaceOption::Host {
        fail!("--mount type=image can't go with a user namespace; use --userns host");
    }
    if let UserNamespaceOption::Given(ids) = &options.userns {
        id_range::check_given(ids)?;
    }
    for rate in options.resources.device_rates.iter().flatten() {
        spec::device_numbers(&rate.path).map_err(of_missing_file)?;
    }
    for device in &options.devices.given {
        fs::metadata(raw::path(&device.source))
            .context(|| format!("--device {}", device.source))
            .map_err(of_missing_file)?;
    }
    Ok(())
}

/// Gives an error of a flag the exit status 127 if a file is missing, as `docker run` does.
pub(super) fn of_missing_file(error: Error) -> Error {
    match error.errno() {
        Some(Errno::NOENT) => error.exit_with(EXIT_NOT_FOUND),
        _ => error,
    }
}

/// Fails if options contradict each other in a way that Docker's client finds.
fn check_usage(options: &CreateOptions) -> Result<()> {
    if options.lifecycle.remove && !options.lifecycle.restart.is_no() {
        fail!("--rm and --restart contradict each other");
    }
    for EndpointOption { network, settings } in &options.networks {
        if let NetworkMode::Network(name) = network {
            let has_alias = !options.endpoint.aliases.is_empty() || !settings.aliases.is_empty();
            if name == DEFAULT && has_alias {
                fail!(
                    "--network-alias needs a network of your own: on the default one containers do \
                     not find each other by name"
                );
            }
            continue;
        }
        if !options.links.is_empty() {
            fail!("--link needs a network, not --net {network}");
        }
        let given = [&options.endpoint, settings];
        if let Some(flag) = given.iter().find_map(|settings| needs_network(settings, network)) {
            fail!("{flag} needs a network, not --net {network}");
        }
    }
    Ok(())
}

/// Returns a flag that sets one of `settings` and that Docker refuses with the network mode `mode`,
/// which is `none`, `host` or `container:`. `Engine::networks` warns about flags that have no
/// effect.
fn needs_network(settings: &EndpointSettings, mode: &NetworkMode) -> Option<&'static str> {
    let is_container = mode.container().is_some();
    let refused = [
        ("--network-alias", !settings.aliases.is_empty()),
        ("--mac-address", settings.mac.is_some() && mode.is_shared()),
        ("--ip", !settings.addresses.is_empty() && !is_container),
    ];
    refused.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
}

/// Fails if limits contradict each other, exceed what the machine has, or leave too little memory.
pub(in crate::engine) fn check_resources(resources: &Resources) -> Result<()> {
    check_limits(resources)?;
    cpus::check(resources)
}

/// Fails if limits contradict each other or leave too little memory. Does not compare them with
/// this machine.
pub(super) fn check_limits(resources: &Resources) -> Result<()> {
    if let Some(memory) = resources.memory
        && memory < MIN_MEMORY
    {
        fail!("--memory {memory} is too little for any container; the least is 6m");
    }
    if let Some(reservation) = resources.memory_reservation
        && reservation < MIN_MEMORY
    {
        fail!("--memory-reservation {reservation} is too little; the least is 6m");
    }
    match (resources.memory, resources.memory_swap) {
        (None, Some(0..)) => fail!("--memory-swap needs --memory too: it counts both together"),
        (Some(memory), Some(swap)) if swap >= 0 && swap < memory => {
            fail!("--memory-swap {swap} is less than --memory {memory}; it counts both together")
        }
        _ => {}
    }
    if let (Some(memory), Some(reservation)) = (resources.memory, resources.memory_reservation)
        && reservation > memory
    {
        fail!("--memory-reservation {reservation} is more than --memory {memory}");
    }
    if resources.nano_cpus.is_some()
        && (resources.cpu_quota.is_some() || resources.cpu_period.is_some())
    {
        fail!("--cpus can't go with --cpu-quota or --cpu-period: it sets both");
    }
    Ok(())
}

/// Fails if a sysctl of the network would change a network that the container shares with the host
/// or with another container. Also fails for any other sysctl if the container shares the IPC
/// namespace of the host or of another container.
pub(super) fn check_sysctls(
    options: &CreateOptions,
    network: &NetworkMode<ContainerId>,
) -> Result<()> {
    for (key, _) in &options.system.sysctls {
        let owner = sysctl::owner(key);
        if owner == Some(Owner::Network) && *network == NetworkMode::Host {
            fail!("--sysctl {key} would change the host: the container uses its network");
        }
        if owner == Some(Owner::Network) && matches!(network, NetworkMode::Container(_)) {
            fail!("--sysctl {key} would change another container's network; set it there");
        }
        let joins =
            matches!(options.namespaces.ipc, NamespaceMode::Host | NamespaceMode::Container(_));
        if owner != Some(Owner::Network) && joins {
            fail!("--sysctl {key} would change another's IPC namespace; use --ipc private");
        }
    }
    Ok(())
}
