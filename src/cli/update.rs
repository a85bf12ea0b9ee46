//! The command `update`: changes the limits, the restart policy and the published ports of running
//! and stopped containers.
//!
//! `--publish-add` and `--publish-rm` belong to `update` alone. `run` has all other flags too, and
//! the same functions parse their values. A flag that is not given leaves the container's setting
//! unchanged. As in Docker, a limit of 0 also leaves the setting unchanged, except that
//! `--pids-limit 0` removes that limit. In `--cpuset-cpus` and `--cpuset-mems`, 0 is the first CPU
//! or memory node.

use super::flag::{Category, Checker, Command, Flag, Group, MANY, Operand, spec};
use super::value::resources::{
    refuse_kernel_memory, refuse_real_time, set_blkio_weight, set_cpu_period, set_cpu_quota,
    set_cpu_shares, set_cpus, set_cpuset_cpus, set_cpuset_mems, set_memory, set_memory_reservation,
    set_memory_swap, set_pids,
};
use crate::engine::options::{RestartPolicy, UpdateOptions};

/// The type of each flag in this table, so that the closures need no type annotation.
type F = Flag<UpdateOptions>;

static FLAGS: &[F] = &[
    F::value("memory", "SIZE", "Limit memory (512m, 1.5g)", |a, v| set_memory(&mut a.resources, v))
        .short('m'),
    F::value("memory-swap", "SIZE", "Limit memory plus swap; -1 for no limit", |a, v| {
        set_memory_swap(&mut a.resources, v)
    }),
    F::value(
        "memory-reservation",
        "SIZE",
        "Set a soft limit, for when the host runs low",
        |a, v| set_memory_reservation(&mut a.resources, v),
    ),
    F::value("cpus", "NUMBER", "Limit CPU time, in CPUs (1.5)", |a, v| {
        set_cpus(&mut a.resources, v)
    }),
    F::value("cpu-shares", "WEIGHT", "Set the CPU weight, 2 to 262144", |a, v| {
        set_cpu_shares(&mut a.resources, v)
    })
    .short('c'),
    F::value("cpu-quota", "MICROSECONDS", "Limit CPU time per period", |a, v| {
        set_cpu_quota(&mut a.resources, v)
    })
    .checked_by(Checker::DaemonIfNumber),
    F::value("cpu-period", "MICROSECONDS", "Set the length of the period", |a, v| {
        set_cpu_period(&mut a.resources, v)
    })
    .checked_by(Checker::DaemonIfNumber),
    F::setting("cpuset-cpus", "LIST", "Run on these CPUs only (0-3,7)", |a, v| {
        set_cpuset_cpus(&mut a.resources, v)
    })
    .checked_by(Checker::Daemon),
    F::setting("cpuset-mems", "LIST", "Use these memory nodes only", |a, v| {
        set_cpuset_mems(&mut a.resources, v)
    })
    .checked_by(Checker::Daemon),
    F::value("pids-limit", "NUMBER", "Limit PIDs; -1: no limit", |a, v| {
        set_pids(&mut a.resources, v)
    }),
    F::value("blkio-weight", "WEIGHT", "Set the disk weight, 10 to 1000", |a, v| {
        set_blkio_weight(&mut a.resources, v)
    })
    .checked_by(Checker::DaemonIfNumber),
    F::setting(
        "restart",
        "POLICY",
        "Restart on exit: no, always, unless-stopped, on-failure[:N]",
        |a, v| {
            a.restart = Some(RestartPolicy::parse(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    F::value("publish-add", "[[IP:]HOST:]PORT", "Publish a port", |a, v| {
        a.publish_add.push(v.parse()?);
        Ok(())
    })
    .under(Category::Network),
    F::value(
        "publish-rm",
        "[[IP:]HOST:]PORT",
        "Stop publishing a port of the container",
        |a, v| {
            a.publish_remove.push(v.parse()?);
            Ok(())
        },
    )
    .under(Category::Network),
    F::setting("cpu-rt-period", "MICROSECONDS", "Refused: no real-time share", refuse_real_time)
        .under(Category::Docker),
    F::setting("cpu-rt-runtime", "MICROSECONDS", "Refused: no real-time share", refuse_real_time)
        .under(Category::Docker),
    F::setting("kernel-memory", "SIZE", "Refused: Linux 5.16 dropped it", refuse_kernel_memory)
        .under(Category::Docker),
];

/// The command `update`.
pub static UPDATE: Command = Command {
    name: "update",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Change the limits, restart policy and ports of containers",
    examples: &[
        "mydocker update -m 256m --cpus 1.5 web",
        "mydocker update --publish-rm 8080:80 --publish-add 80:80 web",
    ],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (options, names) = call.parse(FLAGS)?;
        if options == UpdateOptions::default() {
            return call.refuse("nothing to change: give one or more flags, such as -m 256m");
        }
        let engine = call.engine()?;
        call.each_printed(&names, |name| engine.update(name, &options))
    },
};
