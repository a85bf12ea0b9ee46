//! `update` and `events`: the limits of a container and its resource use.
//!
//! The tests read the values back from the files of the cgroup. A failed update must change
//! neither the limits nor the container's `resources.json`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::Bundle;
use super::support::{eventually, run_command};

#[test]
fn update_takes_flags_and_json_and_keeps_other_limits() {
    let bundle = Bundle::new();
    bundle.edit("\"resources\": {", "\"resources\": { \"memory\":{\"limit\":67108864},");
    bundle.create();
    let id = bundle.id.as_str();
    bundle.call(&["update", "--memory-swap", "134217728", "--cpu-share", "512", id]).stdout("");
    assert_eq!(bundle.limit("memory/memory.memsw.limit_in_bytes"), "134217728");
    assert_eq!(bundle.limit("cpu/cpu.shares"), "512");
    bundle.call(&["update", "--memory", "32m", "--pids-limit", "0", "--cpuset-cpus", "0", id]);
    assert_eq!(bundle.limit("memory/memory.limit_in_bytes"), "33554432");
    assert_eq!(bundle.limit("memory/memory.memsw.limit_in_bytes"), "134217728");
    assert_eq!(bundle.limit("pids/pids.max"), "1");
    assert_eq!(bundle.limit("cpuset/cpuset.cpus"), "0");
    let mut child =
        bundle.command(&["update", "--resources", "-", id]).stdin(Stdio::piped()).spawn().unwrap();
    // containerd also sends the container's unchanged device rules.
    let json = r#"{"pids":{"limit":99},"blockIO":{"weight":0},
        "devices":[{"allow":false,"access":"rwm"}]}"#;
    child.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(bundle.limit("pids/pids.max"), "99");
    assert_eq!(bundle.limit("cpu/cpu.shares"), "512");
    // An idle cgroup takes no shares, so new shares end the idle state.
    bundle.call(&["update", "--cpu-idle", "1", id]).stdout("");
    bundle.call(&["update", "--pids-limit", "98", id]).stdout("");
    assert_eq!(bundle.limit("cpu/cpu.idle"), "1");
    bundle.call(&["update", "--cpu-share", "300", id]).stdout("");
    assert_eq!([bundle.limit("cpu/cpu.idle"), bundle.limit("cpu/cpu.shares")], ["0", "300"]);
    bundle.call(&["update", "--memory", "-1", id]).stdout("");
    for file in ["memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes"] {
        assert_eq!(bundle.limit(file), "9223372036854771712");
    }
    bundle.call(&["update", id]).stdout("");
    let script = format!("echo '{json}' | \"$0\" \"$@\" --resources /dev/fd/3 {id} 3<&0");
    let mut update = Command::new("sh");
    let runtime = bundle.command(&["update"]);
    update.args(["-c", &script]).arg(runtime.get_program()).args(runtime.get_args());
    run_command(update).stdout("");
    assert_eq!(bundle.limit("pids/pids.max"), "99");
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let bundle = Bundle::new();
    bundle.create();
    let id = bundle.id.as_str();
    bundle.call(&["update", "--pids-limit", "50", id]).stdout("");
    let kept = std::fs::read(bundle.root().join(id).join("resources.json")).unwrap();
    let fails = |args: &[&str], words: &str| {
        let all = [&["update"], args, &[id]].concat();
        let done = bundle.call(&all).exits(1).stdout("").stderr_has(words);
        assert_eq!(done.stderr_text().lines().count(), 1);
        assert_eq!(bundle.limit("pids/pids.max"), "50");
        assert_eq!(std::fs::read(bundle.root().join(id).join("resources.json")).unwrap(), kept);
    };
    fails(&["--pids-limit", "x"], "--pids-limit should be a whole number, not 'x'");
    fails(&["--pids-limit", "60", "--cpuset-cpus", "999"], "linux.resources.cpu.cpus");
    fails(&["--pids-limit", "60", "--l3-cache-schema", "x"], "no resctrl");
    fails(&["--pids-limit", "60", "--kernel-memory", "1m"], "memory.kernel is not supported");
    let rules = bundle.dir().join("rules");
    let rules = rules.to_str().unwrap();
    std::fs::write(rules, r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).unwrap();
    fails(&["--resources", rules], "devices can't be updated");
    std::fs::write(rules, r#"{"pids":{"limit":7},"memory":{"limit":"x"}}"#).unwrap();
    fails(&["--resources", rules], "memory.limit should be a whole number");
    bundle.call(&["kill", id, "KILL"]).stdout("");
    eventually("it has stopped", || bundle.has_status("stopped"));
    let done = bundle.call(&["update", "--pids-limit", "9", id]);
    done.exits(1).stderr_has("not running");
}

#[test]
fn events_are_printed_until_the_container_ends() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    bundle.create();
    let id = bundle.id.as_str();
    bundle.call(&["start", id]).stdout("");
    let once = bundle.call(&["events", "--stats", id]).text();
    assert!(once.starts_with("{\"type\":\"stats\",\"id\":") && once.contains("\"pids\""), "{once}");
    for account in ["\"percpu\":[", "\"kernelTCP\":{", "\"hugetlb\":{\"", "\"raw\":{\"cache\""] {
        assert!(once.contains(account), "{account}: {once}");
    }
    bundle.call(&["events", "--interval", "soon", id]).exits(1).stderr_has("--interval");
    let mut events = bundle.command(&["events", "--interval", "20ms", id]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        assert!(lines.next().unwrap().unwrap().contains("\"cpu\""));
    }
    // Each kill by the OOM killer is an event.
    bundle.call(&["update", "--memory", "32M", "--memory-swap", "32M", id]).stdout("");
    let oom = format!("{{\"type\":\"oom\",\"id\":\"{id}\"}}");
    for _ in 0..2 {
        bundle
            .call(&["exec", id, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
            .exits(137);
        assert!(lines.any(|line| line.unwrap() == oom));
    }
    bundle.call(&["kill", id, "KILL"]).stdout("");
    lines.for_each(drop);
    assert!(events.wait().unwrap().success());
    bundle.call(&["events", id]).exits(1).stderr_has("not running");
}
