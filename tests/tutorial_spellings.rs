//! Command lines in the style of the engines from container tutorials work.
//!
//! The style is that of Go's package `flag`, which accepts one dash before a long name. Docker's
//! own spellings are tested with the commands that have them.

mod support;

use support::Host;

#[test]
fn short_flags_can_be_combined_in_any_order() {
    let host = Host::with_busybox();
    for spelling in ["-it", "-ti", "--it", "--ti"] {
        let mut terminal = host.terminal(["run", "--rm", spelling, "bb", "sh"]);
        terminal.type_in("tty; exit 3\n");
        terminal.expect("/dev/pts/0");
        assert_eq!(terminal.wait().0, 3, "{spelling}");
    }
    for spelling in ["-dit", "-itd", "-tdi"] {
        let id = host.mydocker(["run", spelling, "bb", "sh"]).text();
        assert!(host.is_running(&id), "{spelling}");
        host.mydocker(["rm", "-f", &id]);
    }
}

#[test]
fn long_flags_can_have_one_dash() {
    let host = Host::with_busybox();
    host.mydocker([
        "run",
        "-d",
        "-name",
        "old",
        "-net",
        "none",
        "-mem",
        "64m",
        "-cpuset",
        "0",
        "-cpushare",
        "512",
        "bb",
        "sleep",
        "1000",
    ]);
    assert_eq!(host.inspect("old", "{{.HostConfig.Memory}}"), "67108864");
    assert_eq!(host.inspect("old", "{{.HostConfig.CpuShares}}"), "512");
    assert_eq!(host.inspect("old", "{{.HostConfig.CpusetCpus}}"), "0");
    assert_eq!(host.inspect("old", "{{.HostConfig.NetworkMode}}"), "none");
    host.mydocker([
        "run", "--d", "--name", "new", "--mem", "64", "--swap", "32", "--pids", "20", "--cpus",
        "0.5", "--v", "/tmp:/t", "--e", "A=1", "bb", "sleep", "1000",
    ]);
    assert_eq!(host.inspect("new", "{{.HostConfig.Memory}}"), (64 << 20).to_string());
    assert_eq!(host.inspect("new", "{{.HostConfig.MemorySwap}}"), (96 << 20).to_string());
    assert_eq!(host.inspect("new", "{{.HostConfig.PidsLimit}}"), "20");
    host.mydocker(["exec", "new", "sh", "-c", "echo $A; test -d /t"]).stdout("1\n");
    host.mydocker(["run", "--rm", "-cpu", "50", "bb", "true"]);
    for flag in ["-m", "--m", "-mem", "--mem"] {
        let cpu = ["--cpuset", "0", "--cpushare", "512"];
        host.mydocker(
            ["create", "--name", "c", flag, "100m"].iter().chain(&cpu).chain(&["bb", "true"]),
        );
        assert_eq!(host.inspect("c", "{{.HostConfig.Memory}}"), (100 << 20).to_string(), "{flag}");
        assert_eq!(host.inspect("c", "{{.HostConfig.CpuShares}}"), "512");
        assert_eq!(host.inspect("c", "{{.HostConfig.CpusetCpus}}"), "0");
        host.mydocker(["rm", "c"]);
    }
}

#[test]
fn a_tar_in_the_drop_folder_can_be_run() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "bb", "true"]);
    let drop = host.state_root().join("images").join("drop");
    std::fs::create_dir_all(&drop).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["-C", "/", "-cf"])
        .arg(drop.join("dropped.tar"))
        .arg("--transform=s,bin/busybox,bin/sh,")
        .arg("bin/busybox")
        .status();
    assert!(tar.unwrap().success());
    host.mydocker(["run", "--rm", "dropped", "sh", "-c", "echo dropped in"]).stdout("dropped in\n");
}
