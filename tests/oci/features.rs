//! `features` is correct: containers are made with nearly every listed item, and unsupported
//! settings are refused.
//!
//! Engines may decide by this output which settings they may use (features.md of the runtime
//! specification), so a wrong entry would be an error at the start of a container.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Bundle;

/// A tmpfs that is a shared mount.
pub struct SharedMount(PathBuf);

impl SharedMount {
    pub fn make(on: &Path) -> SharedMount {
        let mount = |args: &[&str]| {
            assert!(Command::new("mount").args(args).arg(on).status().unwrap().success());
        };
        mount(&["-t", "tmpfs", "tmpfs"]);
        mount(&["--make-shared"]);
        SharedMount(on.to_owned())
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The array at a key of the printed JSON.
fn list(text: &str, key: &str) -> Vec<String> {
    let from = text.find(&format!("\"{key}\":[")).unwrap_or_else(|| panic!("{key} in {text}"));
    let array = text[from..].split_once('[').unwrap().1.split_once(']').unwrap().0;
    array.split(',').map(|word| word.trim_matches('"').to_owned()).collect()
}

/// The table "Linux mount options" of config.md.
const MOUNT_OPTIONS: &str = "async atime bind defaults dev diratime dirsync exec iversion lazytime \
    loud mand noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime \
    nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec \
    rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate \
    rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent \
    slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";

#[test]
fn features_lists_only_what_works() {
    let bundle = Bundle::new();
    let text = bundle.call(&["features"]).text();
    let known = list(&text, "mountOptions");
    for option in MOUNT_OPTIONS.split_whitespace() {
        assert!(known.iter().any(|name| name == option), "{option} is not in {known:?}");
    }
    bundle.runs("true");
    let good = bundle.config();
    let try_out = |edits: &[(&str, String)]| {
        bundle.set_config(&good);
        for (part, by) in edits {
            bundle.edit(part, by);
        }
        bundle.run().stdout("")
    };
    for key in ["ociVersionMin", "ociVersionMax"] {
        let version =
            text.split_once(&format!("\"{key}\":\"")).unwrap().1.split_once('"').unwrap().0;
        try_out(&[("\"1.3.0\"", format!("\"{version}\""))]);
    }
    let hook = |kind: &String| format!("\"{kind}\":[{{\"path\":\"/bin/true\"}}]");
    let hooks = list(&text, "hooks").iter().map(hook).collect::<Vec<_>>().join(",");
    // The hook startContainer runs the container's /bin/true, the others the host's.
    try_out(&[("\"hostname\"", format!("\"hooks\":{{{hooks}}},\"hostname\""))]);

    let source = bundle.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    let shared = SharedMount::make(&source);
    let mounts = known.into_iter().filter(|option| option != "newinstance");
    let mounts = mounts.enumerate().map(|(at, option)| {
        // `remount` needs an existing mount, such as the first.
        let at = if option == "remount" { 0 } else { at };
        let is_bind = !matches!(option.as_str(), "sync" | "dirsync" | "lazytime" | "tmpcopyup");
        let (kind, from) = if is_bind {
            ("bind", source.display().to_string())
        } else {
            ("tmpfs", "tmpfs".to_owned())
        };
        let bind = if is_bind { "\"bind\"," } else { "" };
        let map = "[{\"containerID\":0,\"hostID\":9,\"size\":9}]";
        let maps = format!(",\"uidMappings\":{map},\"gidMappings\":{map}");
        let maps = if option.ends_with("idmap") { maps } else { String::new() };
        format!(
            "{{\"destination\":\"/m{at}\",\"type\":\"{kind}\",\"source\":\"{from}\",\
             \"options\":[{bind}\"{option}\"]{maps}}},"
        )
    });
    try_out(&[("\"mounts\": [", format!("\"mounts\": [{}", mounts.collect::<String>()))]);

    drop(shared);

    let bounding = list(&text, "capabilities").join("\",\"");
    let old = "[\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]";
    try_out(&[(old, format!("[\"{bounding}\"]"))]);
    for kind in
        list(&text, "namespaces").iter().filter(|kind| !good.contains(&format!("\"{kind}\" }}")))
    {
        let mut edits =
            vec![("\"namespaces\": [", format!("\"namespaces\": [{{\"type\":\"{kind}\"}},"))];
        if kind == "user" {
            let map = "[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]";
            let maps = format!("\"uidMappings\":{map},\"gidMappings\":{map},\"maskedPaths\"");
            edits.push(("\"maskedPaths\"", maps));
        }
        try_out(&edits);
    }

    let rule =
        |more: &str| format!("{{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_LOG\"{more}}}");
    let seccomp = |rules: &str, more: &str| {
        let text = format!(
            "\"seccomp\":{{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{rules}]{more}}},\"maskedPaths\""
        );
        try_out(&[("\"maskedPaths\"", text)])
    };
    for action in list(&text, "actions").iter().filter(|action| *action != "SCMP_ACT_NOTIFY") {
        seccomp(&rule("").replace("SCMP_ACT_LOG", action), "");
    }
    for operator in list(&text, "operators") {
        seccomp(
            &rule(&format!(",\"args\":[{{\"index\":0,\"value\":1,\"op\":\"{operator}\"}}]")),
            "",
        );
    }
    let quoted = |key| list(&text, key).join("\",\"");
    seccomp(&rule(""), &format!(",\"architectures\":[\"{}\"]", quoted("archs")));
    for flag in list(&text, "supportedFlags").iter().filter(|flag| !flag.ends_with("RECV")) {
        seccomp(&rule(""), &format!(",\"flags\":[\"{flag}\"]"));
    }

    for mode in list(&text, "modes").iter().filter(|mode| !mode.ends_with("_INTERLEAVE")) {
        let nodes = if mode.ends_with("DEFAULT") || mode.ends_with("LOCAL") { "" } else { "0" };
        let policy = format!("\"memoryPolicy\":{{\"mode\":\"{mode}\",\"nodes\":\"{nodes}\"}}");
        try_out(&[("\"maskedPaths\"", format!("{policy},\"maskedPaths\""))]);
    }
}

#[test]
fn unsupported_features_are_refused() {
    let bundle = Bundle::new();
    let text = bundle.call(&["features"]).text();
    let denied = |part: &str| assert!(text.contains(part), "{part} in {text}");
    denied("\"intelRdt\":{\"enabled\":false}");
    // An annotation with this prefix sets a property of systemd's scope.
    denied("\"potentiallyUnsafeConfigAnnotations\":[\"org.systemd.property.\"]");
    let good = bundle.config();
    for (field, value, words) in [
        ("intelRdt", "{\"closID\":\"x\"}", ": this host has no resctrl"),
        ("mountLabel", "\"system_u:object_r:x:s0\"", ": this host has no SELinux"),
    ] {
        let by = format!("\"{field}\":{value},\"maskedPaths\"");
        bundle.set_config_with(&good, "\"maskedPaths\"", &by);
        let words = format!("config.json: linux.{field}{words}");
        bundle.run().exits(1).stdout("").stderr_has(&words);
    }
    for command in ["checkpoint", "restore"] {
        bundle.call(&[command, &bundle.id]).exits(1).stderr_has("not supported");
    }
}
