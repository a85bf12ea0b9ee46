//! `system check`, `boot` and `halt`: the commands that concern the whole host. `check` prints each
//! finding and exits with 1 if one remains. The init system calls `boot` and `halt` (contrib/ has
//! files for several init systems). `engine::check` and `engine::boot` do the work.

use super::flag::{Command, Flag, Group, Operand, spec};
use super::lifecycle::{NO_FLAGS, parse_timeout};
use super::output::{print, print_line};
use super::{Invocation, Outcome};
use crate::error::Result;

#[derive(Default)]
struct CheckArgs {
    repair: bool,
}

static CHECK_FLAGS: &[Flag<CheckArgs>] =
    &[Flag::<CheckArgs>::switch("repair", "Repair the faults found", |a, on| a.repair = on)];

/// The command `system check`.
pub static CHECK: Command = Command {
    name: "system check",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Check the state on disk for leftovers of crashes",
    examples: &["mydocker system check --repair"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(CHECK_FLAGS, at),
    run: check,
};

fn check(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(CHECK_FLAGS)?;
    let mut text = String::new();
    let mut status = 0;
    for finding in call.engine()?.check(args.repair)? {
        text.push_str(&finding.what);
        match finding.mended {
            Some(Ok(())) => text.push_str(": repaired"),
            Some(Err(error)) => {
                status = 1;
                text.push_str(&format!(": not repaired: {error}"));
            }
            None => status = 1,
        }
        text.push('\n');
    }
    print(&text)?;
    Ok(status)
}

/// The command `boot`.
pub static BOOT: Command = Command {
    name: "boot",
    group: Group::Engine,
    usage: "",
    summary: "Start containers by their restart policy after a boot of the host",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: boot,
};

fn boot(call: &Invocation) -> Outcome {
    call.parse(NO_FLAGS)?;
    let mut status = 0;
    for (name, started) in call.engine()?.boot()? {
        match started {
            Ok(()) => print_line(&name)?,
            Err(error) => {
                status = 1;
                call.complain(&error);
            }
        }
    }
    Ok(status)
}

#[derive(Default)]
struct HaltArgs {
    timeout: Option<i64>,
}

/// The default of `halt -t`: the seconds from the stop signals until the containers are killed.
const HALT_TIMEOUT: i64 = 10;

static HALT_FLAGS: &[Flag<HaltArgs>] = &[Flag::<HaltArgs>::value(
    "timeout",
    "SECONDS",
    "Kill after SECONDS (default 10)",
    |a, v| -> Result<()> {
        a.timeout = Some(parse_timeout(v)?);
        Ok(())
    },
)
.short('t')];

/// The command `halt`.
pub static HALT: Command = Command {
    name: "halt",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Stop all containers before the host shuts down",
    examples: &["mydocker halt -t 5"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(HALT_FLAGS, at),
    run: halt,
};

fn halt(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(HALT_FLAGS)?;
    // -1 means no limit. Use u32::MAX seconds for no limit, because no shutdown lasts so long.
    let timeout = u64::try_from(args.timeout.unwrap_or(HALT_TIMEOUT)).unwrap_or(u32::MAX.into());
    call.engine()?.halt(timeout)?;
    Ok(0)
}
