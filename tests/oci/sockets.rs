//! A caller that is a systemd service: the runtime passes the service's sockets to the container
//! (sd_listen_fds(3)), and the container's readiness to systemd (sd_notify(3)).
//!
//! The container must get exactly these descriptors, and it must not reach the service's notify
//! socket directly. The tests need no systemd.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use super::Bundle;
use super::support::{PATIENCE, eventually, run_command};

#[test]
fn descriptors_are_passed_on_and_no_others() {
    let bundle = Bundle::new();
    bundle.runs("cat <&3; cat <&4 2>/dev/null || echo no more; env | grep LISTEN_ | sort");
    std::fs::write(bundle.dir().join("word"), "three\n").unwrap();
    // The shell has descriptors 3 and 4 open.
    let call = |flags: &str, environment: &str| {
        let mut command = std::process::Command::new("sh");
        let (root, word) = (bundle.root(), bundle.dir().join("word"));
        command.arg("-c").arg(format!(
            "exec 3<{word} 4<{word}; {environment} exec {} oci --root {} run {flags} --bundle {} {}",
            super::MYDOCKER,
            root.display(),
            bundle.path(),
            bundle.id,
            word = word.display(),
        ));
        run_command(command)
    };
    call("--preserve-fds 1", "").stdout("three\nno more\n");
    call("--preserve-fds 2", "").stdout("three\nthree\n");
    call("", "LISTEN_FDS=1").stdout("three\nno more\nLISTEN_FDS=1\nLISTEN_PID=1\n");
    call("--preserve-fds 1", "LISTEN_FDS=1").stdout_has("three\nthree\nLISTEN_FDS=1");
    // A descriptor that is not open in the caller is not open in the container either. No file of
    // mydocker takes the number of this descriptor.
    bundle.edit(
        "cat <&3; cat <&4 2>/dev/null || echo no more;",
        "readlink /proc/$$/fd/5 || echo none;",
    );
    call("", "LISTEN_FDS=3").stdout("none\nLISTEN_FDS=3\nLISTEN_PID=1\n");
    call("--preserve-fds 100", "").stdout("none\n");
    call("--preserve-fds 100000", "").exits(1).stderr_has("is more than 65536");
    // LISTEN_PID is the program's own PID, also in the host's PID namespace.
    bundle.edit("{ \"type\": \"pid\" }, ", "");
    bundle.edit("readlink /proc/$$/fd/5 || echo none;", "[ $LISTEN_PID = $$ ] && echo own;");
    let text = call("", "LISTEN_FDS=1").text();
    assert!(text.starts_with("own\n") && !text.contains("LISTEN_PID=1\n"), "{text}");
    call("", "LISTEN_FDS=x").exits(1).stderr_has("LISTEN_FDS should be a number");
}

#[test]
fn a_containers_readiness_reaches_the_callers_socket() {
    let bundle = Bundle::new();
    bundle.runs("echo $NOTIFY_SOCKET; exec sleep 1000");
    let path = bundle.dir().join("notify");
    let service = UnixDatagram::bind(&path).unwrap();
    service.set_read_timeout(Some(PATIENCE)).unwrap();
    let begin = |args: &[&str]| {
        let mut command = bundle.command(args);
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null());
        let output = File::options().create(true).append(true).open(bundle.dir().join("output"));
        let output = output.unwrap();
        command.stdout(output.try_clone().unwrap()).stderr(output);
        command.spawn().unwrap()
    };
    let end = |mut child: Child| assert!(child.wait().unwrap().success(), "{}", bundle.output());
    end(begin(&["create", "--bundle", &bundle.path(), &bundle.id]));
    let mut start = begin(&["start", &bundle.id]);
    eventually("it runs", || bundle.output() == "/run/notify/notify.sock\n");
    let pid = bundle.pid();
    let inside = format!("/proc/{pid}/root/run/notify/notify.sock");
    let speaker = UnixDatagram::unbound().unwrap();
    speaker.send_to(b"STATUS=READY=1 soon", &inside).unwrap();
    assert!(start.try_wait().unwrap().is_none());
    speaker.send_to(b"STATUS=done\nREADY=1\n", &inside).unwrap();
    end(start);
    let mut words = [0; 100];
    let length = service.recv(&mut words).unwrap();
    assert_eq!(words[..length], *format!("MAINPID={pid}\nREADY=1\n").as_bytes());
    // No other message is passed on.
    service.set_nonblocking(true).unwrap();
    assert!(service.recv(&mut words).is_err());
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    // If the container ends without a message, `run` returns.
    bundle.edit("exec sleep 1000", "exit 0");
    end(begin(&["run", "--detach", "--bundle", &bundle.path(), &bundle.id]));
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    end(begin(&["run", "--bundle", &bundle.path(), &bundle.id]));
    assert!(service.recv(&mut words).is_err());
}
