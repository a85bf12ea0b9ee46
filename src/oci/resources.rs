//! `linux.resources` of config.json and of `update` (config-linux.md, "Control groups") as limits
//! of the runtime's `Cgroup`. Every field of the specification becomes a limit, or an error that
//! names the field. There are three exceptions: `useHierarchy` needs no action, a negative `kernel`
//! means no limit, and `update` reads `checkBeforeUpdate`. `runtime::cgroup` checks whether the
//! host supports a limit. As in runc, 0 means that the field is not set, for the sizes in `memory`,
//! for the shares, the quota, the periods and the realtime runtime in `cpu`, and for weights. For
//! all other fields, 0 is a value.

use super::field::{MAX_ENTRIES, flag, refuse};
use crate::error::Result;
use crate::json::Node;
use crate::runtime::spec::{
    DeviceAccess, DeviceKind, DeviceRate, DeviceRule, DeviceVerdict, DeviceWeight, FurtherLimits,
    HugePageLimit, RateKind, RdmaLimit, Resources,
};

/// The limits in `linux.resources`, without the devices, which `device_access` reads.
#[derive(Default)]
pub struct Limits {
    pub resources: Resources,
    pub further: FurtherLimits,
}

/// Reads all limits. An error names the field.
pub fn limits(resources: &Node<'_>) -> Result<Limits> {
    let mut limits = Limits::default();
    if let Some(memory) = resources.get("memory")? {
        limits.read_memory(&memory)?;
    }
    if let Some(cpu) = resources.get("cpu")? {
        limits.read_cpu(&cpu)?;
    }
    if let Some(pids) = resources.get("pids")?
        && let Some(limit) = signed(&pids, "limit")?
    {
        // For `pids`, 0 is a limit (runtime-spec 1.3). As in runc 1.4, 0 allows the first process.
        limits.resources.pids = Some(if limit == 0 { 1 } else { limit });
    }
    if let Some(io) = resources.get("blockIO")? {
        limits.read_block_io(&io)?;
    }
    limits.read_others(resources)?;
    Ok(limits)
}

impl Limits {
    fn read_memory(&mut self, memory: &Node<'_>) -> Result<()> {
        // Linux 5.4 deprecated this limit, and later kernels refuse it.
        if signed(memory, "kernel")?.is_some_and(|bytes| bytes > 0) {
            refuse(memory, "kernel")?;
        }
        // 0 means that the field is not set, and -1 means no limit.
        let size =
            |key| Ok::<_, crate::error::Error>(signed(memory, key)?.filter(|size| *size != 0));
        self.resources.memory = size("limit")?;
        self.resources.memory_reservation = size("reservation")?;
        self.resources.memory_swap = size("swap")?;
        self.further.kernel_tcp_memory = size("kernelTCP")?;
        if let Some(swappiness) = memory.get("swappiness")? {
            let percent = swappiness.unsigned()?;
            if percent > 100 {
                return Err(swappiness.wrong("from 0 to 100"));
            }
            self.resources.memory_swappiness = Some(percent);
        }
        self.resources.oom_kill_disable =
            Some(flag(memory, "disableOOMKiller")?).filter(|off| *off);
        // `update` reads the value. Only check the type.
        flag(memory, "checkBeforeUpdate")?;
        // Since Linux 5.11, every memory cgroup includes the cgroups below it. Only check the type.
        flag(memory, "useHierarchy").map(drop)
    }

    fn read_cpu(&mut self, cpu: &Node<'_>) -> Result<()> {
        self.resources.cpu_shares = positive(cpu, "shares")?;
        self.resources.cpu_quota = signed(cpu, "quota")?.filter(|quota| *quota != 0);
        self.resources.cpu_period = positive(cpu, "period")?;
        self.further.cpu_burst = cpu.get("burst")?.map(|burst| burst.unsigned()).transpose()?;
        self.further.cpu_realtime_runtime =
            signed(cpu, "realtimeRuntime")?.filter(|runtime| *runtime != 0);
        self.further.cpu_realtime_period = positive(cpu, "realtimePeriod")?;
        self.further.cpu_idle = match cpu.get("idle")? {
            Some(idle) => match idle.signed()? {
                0 => Some(false),
                1 => Some(true),
                _ => return Err(idle.wrong("0 or 1")),
            },
            None => None,
        };
        let text = |key| -> Result<Option<String>> {
            Ok(Some(cpu.text(key)?).filter(|text| !text.is_empty()))
        };
        (self.resources.cpuset_cpus, self.resources.cpuset_mems) = (text("cpus")?, text("mems")?);
        Ok(())
    }

    fn read_block_io(&mut self, io: &Node<'_>) -> Result<()> {
        const RATES: [(&str, RateKind); 4] = [
            ("throttleReadBpsDevice", RateKind::ReadBytes),
            ("throttleWriteBpsDevice", RateKind::WriteBytes),
            ("throttleReadIOPSDevice", RateKind::ReadOperations),
            ("throttleWriteIOPSDevice", RateKind::WriteOperations),
        ];
        self.resources.blkio_weight = weight(io, "weight")?;
        self.further.blkio_leaf_weight = weight(io, "leafWeight")?;
        self.further.device_weights = io.list("weightDevice", MAX_ENTRIES, |device| {
            if device.get("weight")?.is_none() && device.get("leafWeight")?.is_none() {
                return Err(device.wrong("an object with weight or leafWeight"));
            }
            Ok(DeviceWeight {
                major: device.need("major")?.id()?,
                minor: device.need("minor")?.id()?,
                weight: weight(device, "weight")?,
                leaf_weight: weight(device, "leafWeight")?,
            })
        })?;
        let mut all = Vec::new();
        for (key, kind) in RATES {
            all.extend(io.list(key, MAX_ENTRIES, |device| {
                let (major, minor) = (device.need("major")?.id()?, device.need("minor")?.id()?);
                let (rate, numbers) =
                    (device.need("rate")?.unsigned()?, format!("{major}:{minor}"));
                Ok(DeviceRate { path: numbers.clone(), numbers: Some(numbers), kind, rate })
            })?);
        }
        self.resources.device_rates = Some(all).filter(|rates| !rates.is_empty());
        Ok(())
    }

    fn read_others(&mut self, resources: &Node<'_>) -> Result<()> {
        let further = &mut self.further;
        further.huge_pages = resources.list("hugepageLimits", MAX_ENTRIES, |limit| {
            let node = limit.need("pageSize")?;
            let size = node.string()?;
            let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
            let is_number = digits.len() + 2 == size.len() && digits.parse::<u32>().is_ok();
            if !is_number || digits.starts_with(['0', '+']) {
                return Err(node.wrong("a size such as 2MB or 1GB"));
            }
            Ok(HugePageLimit { size, bytes: limit.need("limit")?.unsigned()? })
        })?;
        if let Some(network) = resources.get("network")? {
            further.network_class = network.get("classID")?.map(|class| class.id()).transpose()?;
            further.network_priorities = network.list("priorities", MAX_ENTRIES, |entry| {
                Ok((word(&entry.need("name")?)?, entry.need("priority")?.id()?))
            })?;
        }
        if let Some(devices) = resources.get("rdma")? {
            further.rdma = devices.fields(MAX_ENTRIES, |device, limit| {
                let count = |key| limit.get(key)?.map(|count| count.id()).transpose();
                let (handles, objects) = (count("hcaHandles")?, count("hcaObjects")?);
                if (handles, objects) == (None, None) {
                    return Err(limit.wrong("an object with hcaHandles or hcaObjects"));
                }
                Ok(RdmaLimit { device: device.to_owned(), handles, objects })
            })?;
        }
        if let Some(files) = resources.get("unified")? {
            further.unified = files.fields(MAX_ENTRIES, |file, value| {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                if !file.contains('.') || file.starts_with('.') || !file.chars().all(is_plain) {
                    return Err(value.wrong("named as a file of cgroup v2, such as memory.high"));
                }
                Ok((file.to_owned(), value.string()?))
            })?;
        }
        Ok(())
    }
}

fn signed(node: &Node<'_>, key: &str) -> Result<Option<i64>> {
    node.get(key)?.map(|number| number.signed()).transpose()
}

fn positive(node: &Node<'_>, key: &str) -> Result<Option<u64>> {
    let number = node.get(key)?.map(|number| number.unsigned()).transpose()?;
    Ok(number.filter(|number| *number > 0))
}

fn weight(node: &Node<'_>, key: &str) -> Result<Option<u16>> {
    let Some(found) = node.get(key)? else { return Ok(None) };
    match found.unsigned()? {
        0 => Ok(None),
        weight @ 10..=1000 => Ok(Some(weight as u16)),
        _ => Err(found.wrong("from 10 to 1000")),
    }
}

/// Reads a text that becomes one word in a cgroup file. Fails if the text is empty, or contains
/// white space or a control character.
fn word(node: &Node<'_>) -> Result<String> {
    let text = node.string()?;
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(node.wrong("one word"));
    }
    Ok(text)
}

/// The device access of a container whose configuration has no rules: none.
pub fn none() -> DeviceAccess {
    DeviceAccess::Only(Vec::new())
}

/// The rule for all devices and all kinds of access.
fn every() -> DeviceRule {
    let access = "rwm".to_owned();
    DeviceRule { kind: DeviceKind::Any, major: None, minor: None, access }
}

/// The devices that the rules in `linux.resources` allow. Later rules override earlier ones.
pub fn device_access(resources: &Node<'_>) -> Result<DeviceAccess> {
    let mut access = none();
    resources.list("devices", MAX_ENTRIES, |node| {
        let allow = node.need("allow")?.boolean()?;
        let kind = match node.get("type")? {
            Some(kind) => match kind.string()?.as_str() {
                "" | "a" => DeviceKind::Any,
                "b" => DeviceKind::Block,
                "c" | "u" => DeviceKind::Character,
                _ => return Err(kind.wrong("one of a, b, c")),
            },
            None => DeviceKind::Any,
        };
        // A negative number means every number.
        let number = |key| -> Result<Option<u32>> {
            let number = node.get(key)?.map(|number| number.signed()).transpose()?;
            let number = number.filter(|number| *number >= 0);
            number
                .map(|n| u32::try_from(n).map_err(|_| node.wrong("of 32-bit numbers")))
                .transpose()
        };
        let (major, minor) = (number("major")?, number("minor")?);
        let letters = node.text("access")?;
        let letters = if letters.is_empty() { "rwm".to_owned() } else { letters };
        if letters.chars().any(|letter| !"rwm".contains(letter)) {
            return Err(node.need("access")?.wrong("some of rwm"));
        }
        let rule = DeviceRule { kind, major, minor, access: letters };
        let verdict = if allow { DeviceVerdict::Allow } else { DeviceVerdict::Deny };
        match (verdict, rule.is_all(), &mut access) {
            (DeviceVerdict::Allow, true, _) => access = DeviceAccess::All,
            (DeviceVerdict::Deny, true, _) => access = none(),
            (_, false, DeviceAccess::Only(rules)) => rules.push((verdict, rule)),
            (DeviceVerdict::Allow, false, DeviceAccess::All) => {}
            (DeviceVerdict::Deny, false, DeviceAccess::All) => {
                access = DeviceAccess::Only(vec![(DeviceVerdict::Allow, every()), (verdict, rule)]);
            }
        }
        Ok(())
    })?;
    Ok(access)
}
