//! Real root file systems: a directory, and Debian with a server.
//!
//! busybox is one static program, so it can't show that programs with libraries work. The tests of
//! ordinary programs use debootstrap's Debian (`support/debian.rs`).

mod support;

use support::{Host, eventually};

fn plain_root(host: &Host) -> std::path::PathBuf {
    let root = host.scratch().join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    root
}

#[test]
fn a_directory_can_be_the_root() {
    let host = Host::new();
    let root = plain_root(&host);
    let dir = root.to_str().unwrap();
    host.mydocker(["run", "--rm", "--rootfs", dir, "/bin/busybox", "touch", "/made"]);
    assert!(root.join("made").exists());
    host.mydocker(["run", "--rm", "--rootfs", dir, "--read-only", "/bin/busybox", "touch", "/x"])
        .exits(1);
    // The path is relative to the directory in which `create` runs, not to that of `start`.
    let mut command =
        host.command(["create", "--name", "c", "--rootfs", "root", "/bin/busybox", "ls"]);
    assert!(command.current_dir(host.scratch()).status().unwrap().success());
    host.mydocker(["start", "-a", "c"]).stdout_has("made\n");
    host.mydocker(["rm", "c"]);
    assert!(root.join("made").exists());
    // The directory belongs to the user, so mydocker makes no .dockerenv in it.
    assert!(!root.join(".dockerenv").exists());
    // The engine's mounts have left no file in the root's /proc.
    assert_eq!(std::fs::read_dir(root.join("proc")).map_or(0, Iterator::count), 0);
}

/// Some scripts look for the file /.dockerenv to find out whether they run in a container.
#[test]
fn a_container_of_an_image_has_an_empty_dockerenv() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "o", "--net", "none", "bb", "chmod", "700", "/etc"]);
    host.mydocker(["commit", "o", "odd"]);
    for image in ["bb", "odd"] {
        let stat = ["stat", "-c", "%F %a %u", "/.dockerenv"];
        host.mydocker(
            [&["run", "--rm", "--net", "none", "--read-only", image], &stat[..]].concat(),
        )
        .stdout("regular empty file 755 0\n");
        // As with Docker, `diff` does not list the file, and `cp` finds the file.
        host.mydocker(["create", "--name", image, image, "true"]);
        host.mydocker(["diff", image]).stdout("");
        host.mydocker(["cp", &format!("{image}:/.dockerenv"), "-"]).exits(0);
        host.mydocker(["rm", image]);
    }
}

#[test]
fn debian_runs() {
    let host = Host::new();
    host.debian("debian", &[]);
    host.mydocker(["run", "--rm", "debian", "cat", "/etc/os-release"]).stdout_has("ID=debian");
    host.mydocker(["run", "--rm", "debian", "bash", "-c", "dpkg --version | head -n 1"])
        .stdout_has("dpkg");
    host.mydocker(["run", "--rm", "-u", "nobody", "debian", "id"]).stdout_has("uid=65534(nobody)");
    let owner = "apt-get --version >/dev/null && su nobody -s /bin/sh -c 'echo I am $(id -un)'";
    host.mydocker(["run", "--rm", "debian", "bash", "-c", owner]).stdout("I am nobody\n");
}

#[test]
fn nginx_serves_a_page() {
    let host = Host::new();
    host.debian("nginx", &["nginx-light"]);
    let index = host.file("index.html", "served from a container\n");
    let volume = format!("{}:/var/www/html/index.html:ro", index.display());
    let flags = "run -d --name web --net none -m 128m --cpus 0.5 --pids-limit 64 -v";
    let command = ["nginx", "nginx", "-g", "daemon off; error_log stderr info;"];
    host.mydocker(flags.split(' ').chain([volume.as_str()]).chain(command));
    let fetch = r#"exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3"#;
    let get = || host.mydocker(["exec", "web", "bash", "-c", fetch]);
    eventually("it answers", || {
        host.mydocker(["exec", "web", "bash", "-c", ": </dev/tcp/127.0.0.1/80"]).status() == 0
    });
    get().stdout_has("200 OK").stdout_has("served from a container\n");
    host.mydocker(["exec", "web", "cat", "/var/log/nginx/access.log"]).stdout_has("GET / HTTP/1.0");
    eventually("its complaints are in the log", || {
        let logs = host.command(["logs", "web"]).output().unwrap();
        String::from_utf8_lossy(&logs.stderr).contains("start worker process")
    });
    host.mydocker(["stop", "-t", "100", "web"]);
    assert_eq!(host.inspect("web", "{{.State.ExitCode}}"), "0");
}
