//! `features`: what this runtime supports, in the format of features.md and features-linux.md of
//! the runtime specification. The list depends on the code, not on the host. A test
//! (`tests/oci/features.rs`) makes containers with most of the listed items.

use super::{linux, mounts, properties, scheduling};
use crate::error::Result;
use crate::order;
use crate::runtime::OCI_VERSION;
use crate::runtime::capabilities::names;

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];
const ARCHITECTURES: [&str; 5] =
    ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"];
const FILTER_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The command `features`: prints the JSON document. Returns the exit status.
pub fn features() -> Result<u8> {
    let capabilities: Vec<String> = names::NAMES.iter().map(|name| format!("CAP_{name}")).collect();
    let mut namespaces = linux::NAMESPACES;
    order::sort(&mut namespaces);
    let flags = list(FILTER_FLAGS);
    super::print_text(&format!(
        "{{\"ociVersionMin\":\"1.0.0\",\"ociVersionMax\":\"{OCI_VERSION}\",\"hooks\":{},\
         \"mountOptions\":{},\"linux\":{{\"namespaces\":{},\"capabilities\":{},\
         \"cgroup\":{{\"v1\":true,\"v2\":true,\"systemd\":{SYSTEMD},\"systemdUser\":false,\
         \"rdma\":true}},\"seccomp\":{{\"enabled\":true,\"actions\":{},\"operators\":{},\
         \"archs\":{},\"knownFlags\":{flags},\"supportedFlags\":{flags}}},\
         \"apparmor\":{{\"enabled\":true}},\"selinux\":{{\"enabled\":true}},\
         \"intelRdt\":{{\"enabled\":false}},\"memoryPolicy\":{{\"modes\":{},\"flags\":{}}},\
         \"mountExtensions\":{{\"idmap\":{{\"enabled\":{ID_MAPPED}}}}},\
         \"netDevices\":{{\"enabled\":true}}}},\
         \"potentiallyUnsafeConfigAnnotations\":[\"{}\"]}}\n",
        list(HOOKS),
        list(mounts::known()),
        list(namespaces),
        list(capabilities),
        list(ACTIONS),
        list(OPERATORS),
        list(ARCHITECTURES),
        list(scheduling::MEMORY_MODES),
        list(scheduling::MEMORY_FLAGS),
        properties::PREFIX,
    ))
}

/// Whether `--systemd-cgroup` works.
const SYSTEMD: bool = true;
/// Whether mounts may have ID mappings.
const ID_MAPPED: bool = true;

/// A JSON array of strings that need no escaping.
fn list<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let quoted = words.into_iter().map(|word| format!("\"{}\"", word.as_ref()));
    format!("[{}]", quoted.collect::<Vec<_>>().join(","))
}
