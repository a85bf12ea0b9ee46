//! The object `process` of config.json and the process.json of `exec` (config.md, "Process") as the
//! runtime's `Process`. `linux` reads the seccomp filter. The set `effective` is only checked,
//! because the kernel computes the effective capabilities at execve(2).

use super::field::{MAX_ENTRIES, absolute, flag, refuse};
use super::scheduling;
use crate::error::{Context, Error, Result, fail};
use crate::json::Node;
use crate::runtime::capabilities::{self, names};
use crate::runtime::label::{self, Label};
use crate::runtime::seccomp::Seccomp;
use crate::runtime::spec::{Capabilities, Identity, Process, ProcessLimits, Rlimit, Scheduling};

/// The largest user or group ID: to the kernel, -1 means "unchanged".
const MAX_ID: u32 = u32::MAX - 1;
/// The user and the umask of a process whose configuration does not set them.
const ROOT: Identity = Identity::Numbers { uid: 0, gid: 0, groups: Vec::new() };
const UMASK: u32 = 0o022;

/// Parses a process, without a seccomp filter. An error names the field.
pub fn parse(node: &Node<'_>) -> Result<Process> {
    let args = node.need("args")?;
    let arguments = args.each(MAX_ENTRIES, |node| match node.string()? {
        text if text.contains('\0') => Err(node.wrong("a string without a zero byte")),
        text => Ok(text),
    })?;
    if arguments.is_empty() {
        return Err(args.wrong("a list with at least the program"));
    }
    let cwd = absolute(&node.need("cwd")?)?;
    refuse(node, "commandLine")?;
    // Only `exec` uses `execCPUAffinity`, but `create` must report mistakes in it.
    scheduling::affinity(node, &mut Scheduling::default())?;
    let terminal = flag(node, "terminal")?;
    let window = match node.get("consoleSize")? {
        Some(size) if terminal => {
            let of = |key| -> Result<u16> {
                let side = size.need(key)?;
                u16::try_from(side.unsigned()?).map_err(|_| side.wrong("at most 65535"))
            };
            Some((of("height")?, of("width")?)).filter(|size| *size != (0, 0))
        }
        _ => None,
    };
    let (user, umask) = user(node)?;
    let score = match node.get("oomScoreAdj")? {
        Some(score) => match i32::try_from(score.signed()?) {
            Ok(number @ -1000..=1000) => Some(number),
            _ => return Err(score.wrong("from -1000 to 1000")),
        },
        None => None,
    };
    Ok(Process {
        args: arguments,
        env: env(node)?,
        cwd,
        user,
        completes_env: false,
        terminal,
        window,
        capabilities: capability_sets(node)?,
        seccomp: Seccomp::Unconfined,
        no_new_privileges: flag(node, "noNewPrivileges")?,
        label: label(node)?,
        limits: ProcessLimits { rlimits: rlimits(node)?, oom_score_adj: score },
        scheduling: scheduling::of_process(node)?,
        umask: umask.unwrap_or(UMASK),
        new_keyring: true,
        preserved: 0,
    })
}

/// The process of a config.json without the object `process`. There is no program, so `start`
/// fails.
pub fn none() -> Process {
    Process {
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: ROOT,
        completes_env: false,
        terminal: false,
        window: None,
        capabilities: Capabilities::default(),
        seccomp: Seccomp::Unconfined,
        no_new_privileges: false,
        label: None,
        limits: ProcessLimits::default(),
        scheduling: Scheduling::default(),
        umask: UMASK,
        new_keyring: true,
        preserved: 0,
    }
}

fn env(node: &Node<'_>) -> Result<Vec<String>> {
    node.list("env", MAX_ENTRIES, |pair| {
        let text = pair.string()?;
        match text.split_once('=') {
            Some((name, _)) if !name.is_empty() && !text.contains('\0') => Ok(text),
            _ => Err(pair.wrong("NAME=value")),
        }
    })
}

fn user(process: &Node<'_>) -> Result<(Identity, Option<u32>)> {
    let Some(user) = process.get("user")? else {
        return Ok((ROOT, None));
    };
    let id = |node: &Node<'_>| match node.id()? {
        id @ ..=MAX_ID => Ok(id),
        _ => Err(node.wrong("at most 4294967294")),
    };
    let of = |key| user.get(key)?.map_or(Ok(0), |node| id(&node));
    let umask = user.get("umask")?.map(|umask| match umask.id()? {
        mask @ ..=0o777 => Ok(mask),
        _ => Err(umask.wrong("at most 511 (0777)")),
    });
    let groups = user.list("additionalGids", MAX_ENTRIES, id)?;
    let numbers = Identity::Numbers { uid: of("uid")?, gid: of("gid")?, groups };
    Ok((numbers, umask.transpose()?))
}

fn capability_sets(process: &Node<'_>) -> Result<Capabilities> {
    let Some(sets) = process.get("capabilities")? else { return Ok(Capabilities::default()) };
    let known = capabilities::all();
    let set = |key| -> Result<u64> {
        let bits = sets.list(key, MAX_ENTRIES, |node| {
            let name = node.string()?;
            let bit = names::bit(&name).unwrap_or_default() & known;
            if bit == 0 {
                super::warn(&format!("{}: this kernel has no '{name}'; left out", node.path()));
            }
            Ok(bit)
        })?;
        Ok(bits.into_iter().fold(0, |all, bit| all | bit))
    };
    let (effective, permitted) = (set("effective")?, set("permitted")?);
    let (inheritable, ambient) = (set("inheritable")?, set("ambient")?);
    // A capability can be ambient only if it is both permitted and inheritable (capabilities(7)).
    // If a configuration requests other ambient capabilities, the container must still run.
    let granted = ambient & permitted & inheritable;
    for (key, beyond) in [("effective", effective & !permitted), ("ambient", ambient & !granted)] {
        if beyond != 0 {
            let names = capabilities::list_names(beyond);
            super::warn(&format!("{}: {names} can't be granted", sets.need(key)?.path()));
        }
    }
    let bounding = set("bounding")?;
    Ok(Capabilities { bounding, not_permitted: !permitted, inheritable, ambient: granted })
}

fn label(process: &Node<'_>) -> Result<Option<Label>> {
    let text = |key| -> Result<Option<String>> {
        let text = process.text(key)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    };
    let (apparmor, selinux) = (text("apparmorProfile")?, text("selinuxLabel")?);
    let path = |key| Ok::<_, Error>(process.need(key)?.path());
    match (apparmor, selinux) {
        (Some(profile), None) if profile == label::UNCONFINED => Ok(None),
        (Some(profile), None) => {
            let field = path("apparmorProfile")?;
            label::check_apparmor(&profile).context(|| field)?;
            Ok(Some(Label::AppArmor(profile)))
        }
        (None, Some(context)) => {
            let field = path("selinuxLabel")?;
            label::check_selinux(&context).context(|| field)?;
            Ok(Some(Label::Selinux(context)))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => fail!("{} has an AppArmor and a SELinux label", process.path()),
    }
}

fn rlimits(process: &Node<'_>) -> Result<Vec<Rlimit>> {
    let mut seen = Vec::new();
    process.list("rlimits", MAX_ENTRIES, |limit| {
        let kind = limit.need("type")?;
        let text = kind.string()?;
        let name = text.strip_prefix("RLIMIT_").map(str::to_ascii_lowercase);
        let Some(name) = name.filter(|name| crate::runtime::rlimits().contains(&name.as_str()))
        else {
            return Err(kind.wrong("the name of a limit, such as RLIMIT_NOFILE"));
        };
        if seen.contains(&name) {
            return Err(kind.wrong("in the list once"));
        }
        seen.push(name.clone());
        let (soft, hard) = (limit.need("soft")?.unsigned()?, limit.need("hard")?.unsigned()?);
        if soft > hard {
            return Err(limit.need("soft")?.wrong("at most the hard limit"));
        }
        Ok(Rlimit { name, soft, hard })
    })
}
