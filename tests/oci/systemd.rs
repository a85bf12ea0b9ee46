//! `--systemd-cgroup` with the test's own bus, which answers like systemd: the bus starts the
//! scope, moves the process, and reports the end of the job.
//!
//! This machine may run without systemd, and a test must not start units on the host. The bus
//! speaks as much of D-Bus as the runtime uses.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Bundle;
use super::support::{Done, eventually, run_command};

/// A method call: its name and its values as received.
type Call = (String, Vec<u8>);

/// The hierarchy that systemd uses on a host with cgroup v1.
const HIERARCHY: &str = "/sys/fs/cgroup/systemd";

struct Bus {
    path: PathBuf,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Bus {
    /// Serves the bus in a thread, which ends with the test's process.
    fn start(directory: &Path) -> Bus {
        let path = directory.join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &seen);
            }
        });
        Bus { path, calls }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn has(&self, method: &str, part: &[u8]) -> bool {
        let calls = self.calls.lock().unwrap();
        let mut bodies = calls.iter().filter(|(name, _)| name == method).map(|(_, body)| body);
        bodies.any(|body| body.windows(part.len()).any(|window| window == part))
    }
}

/// Serves one connection until it closes.
fn serve(mut stream: UnixStream, calls: &Mutex<Vec<Call>>) {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    // 30 is the hexadecimal code of the digit 0, so the UID is 0.
    assert_eq!(line, b"\0AUTH EXTERNAL 30\r\n");
    stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").unwrap();
    let mut begin = [0; 7];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"BEGIN\r\n");
    let mut start = [0; 16];
    // Like a real bus, send the signal JobRemoved only if the connection has a rule for this
    // signal.
    let mut listens = false;
    while stream.read_exact(&mut start).is_ok() {
        let number = |at: usize| u32::from_le_bytes(start[at..at + 4].try_into().unwrap());
        let mut header = vec![0; (number(12) as usize).next_multiple_of(8)];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; number(4) as usize];
        stream.read_exact(&mut body).unwrap();
        let known = ["Hello", "Subscribe", "StartTransientUnit", "SetUnitProperties", "StopUnit"];
        let known = known.iter().chain(&["ResetFailedUnit", "AddMatch"]);
        let is_named = |name: &&&str| {
            let field = [name.as_bytes(), b"\0"].concat();
            header.windows(field.len()).any(|window| window == field)
        };
        let name = (*known.clone().find(is_named).unwrap()).to_owned();
        listens |= name == "AddMatch" && String::from_utf8_lossy(&body).contains("JobRemoved");
        let is_first = !calls.lock().unwrap().iter().any(|(known, _)| *known == name);
        calls.lock().unwrap().push((name.clone(), body.clone()));
        let serial = number(8);
        match name.as_str() {
            // Fail the first time, as if an earlier scope with this name had failed.
            "StartTransientUnit" if is_first => {
                let body = string("Unit has a fragment already");
                send(&mut stream, 3, &[(5, b"\x01u\0", &serial.to_le_bytes())], b"s", &body);
            }
            "StartTransientUnit" | "StopUnit" => {
                if name == "StartTransientUnit" {
                    move_process(&body);
                }
                let job = string("/org/freedesktop/systemd1/job/7");
                let ended = |job: &str| {
                    let mut body = 7u32.to_le_bytes().to_vec();
                    for text in [job, "x.scope", "done"] {
                        body.resize(body.len().next_multiple_of(4), 0);
                        body.extend(string(text));
                    }
                    body
                };
                // Send the end of another job, the end of this job, and then the reply to the call.
                let jobs = ["/org/freedesktop/systemd1/job/6", "/org/freedesktop/systemd1/job/7"];
                for path in jobs.into_iter().filter(|_| listens) {
                    let member = string("JobRemoved");
                    send(&mut stream, 4, &[(3, b"\x01s\0", &member)], b"uoss", &ended(path));
                }
                send(&mut stream, 2, &[(5, b"\x01u\0", &serial.to_le_bytes())], b"o", &job);
            }
            _ => send(&mut stream, 2, &[(5, b"\x01u\0", &serial.to_le_bytes())], b"", &[]),
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes(), b"\0"].concat()
}

/// Sends a message of this kind with these header fields and values.
fn send(stream: &mut UnixStream, kind: u8, fields: &[(u8, &[u8], &[u8])], of: &[u8], body: &[u8]) {
    let mut header = Vec::new();
    let signature = [&[of.len() as u8], of, b"\0"].concat();
    for (code, of, value) in fields.iter().copied().chain([(8, &b"\x01g\0"[..], &signature[..])]) {
        header.resize(header.len().next_multiple_of(8), 0);
        header.push(code);
        header.extend(of);
        header.extend(value);
    }
    let mut message = vec![b'l', kind, 0, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(1u32.to_le_bytes());
    message.extend((header.len() as u32).to_le_bytes());
    message.extend(header);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    stream.write_all(&message).unwrap();
}

/// Moves the process of the property `PIDs` into the scope's cgroup, in systemd's hierarchy.
fn move_process(body: &[u8]) {
    let name = String::from_utf8_lossy(&body[4..]).split('\0').next().unwrap().to_owned();
    let at = body.windows(5).position(|window| window == b"PIDs\0").unwrap() + 5;
    let array = body[at..].windows(4).position(|window| window == b"\x02au\0").unwrap() + at + 4;
    let array = array.next_multiple_of(4) + 4;
    let pid = u32::from_le_bytes(body[array..array + 4].try_into().unwrap());
    let scope = Path::new(HIERARCHY).join("system.slice").join(name);
    std::fs::create_dir_all(&scope).unwrap();
    std::fs::write(scope.join("cgroup.procs"), pid.to_string()).unwrap();
}

/// Whether a call has a property with this number, with any padding before the number.
fn has_number(bus: &Bus, method: &str, name: &str, number: u64) -> bool {
    let start = [&(name.len() as u32).to_le_bytes(), name.as_bytes(), b"\0\x01t\0"].concat();
    (0..8).any(|padding| {
        let part = [&start[..], &vec![0; padding], &number.to_le_bytes()].concat();
        bus.has(method, &part)
    })
}

#[test]
fn a_scope_of_systemds_holds_the_container() {
    let bundle = Bundle::new();
    let bus = Bus::start(&bundle.dir());
    let scope = format!("mydocker-test-{}.scope", bundle.id);
    let command = |args: &[&str]| {
        let mut command = bundle.command(&[&["--systemd-cgroup"], args].concat());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.path.display()));
        command
    };
    let call = |args: &[&str]| run_command(command(args));
    bundle.runs("exec sleep 1000");
    bundle.edit(
        "\"resources\": {",
        &format!(
            "\"cgroupsPath\":\"system.slice:mydocker-test:{}\",\
             \"resources\": {{ \"memory\":{{\"limit\":67108864}},\"pids\":{{\"limit\":77}},",
            bundle.id
        ),
    );
    let path = bundle.path();
    bundle.create_by(command(&["create", "--bundle", &path, &bundle.id]));
    call(&["start", &bundle.id]).stdout("");
    let started = [
        "Hello",
        "AddMatch",
        "Subscribe",
        "StartTransientUnit",
        "ResetFailedUnit",
        "StartTransientUnit",
    ];
    assert_eq!(bus.calls(), started);
    for part in [scope.as_str(), "replace", "system.slice", "Delegate", "DefaultDependencies"] {
        assert!(bus.has("StartTransientUnit", part.as_bytes()), "{part}");
    }
    assert!(has_number(&bus, "StartTransientUnit", "MemoryLimit", 67_108_864));
    assert!(has_number(&bus, "StartTransientUnit", "TasksMax", 77));
    // Only the container's process is in the scope, and the memory limit is in its file.
    let pid = bundle.call(&["ps", "--format", "json", &bundle.id]).text();
    let members = |hierarchy: &str| {
        let path = format!("{hierarchy}/system.slice/{scope}/cgroup.procs");
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let memory = "/sys/fs/cgroup/memory";
    assert_eq!(
        [members(HIERARCHY), members(memory)].map(|pids| format!("[{}]", pids.join(","))),
        [pid.clone(), pid]
    );
    let limit =
        std::fs::read_to_string(format!("{memory}/system.slice/{scope}/memory.limit_in_bytes"));
    assert_eq!(limit.unwrap(), "67108864\n");
    call(&["update", "--pids-limit", "50", &bundle.id]).stdout("");
    assert!(bus.has("SetUnitProperties", scope.as_bytes()));
    assert!(has_number(&bus, "SetUnitProperties", "TasksMax", 50));
    call(&["kill", &bundle.id, "KILL"]).stdout("");
    eventually("it has stopped", || bundle.has_status("stopped"));
    call(&["delete", &bundle.id]).stdout("");
    assert!(bus.has("StopUnit", scope.as_bytes()));
    for hierarchy in [HIERARCHY, memory] {
        let path = Path::new(hierarchy).join("system.slice");
        assert!(!path.join(&scope).exists());
        // Ignore an error: another test may use this directory.
        let _ = std::fs::remove_dir(path);
    }
}

#[test]
fn without_systemd_the_error_says_so_and_nothing_is_left() {
    let bundle = Bundle::new();
    let call = |address: &str| -> Done {
        let path = bundle.path();
        let args = ["--systemd-cgroup", "run", "--bundle", &path, &bundle.id];
        let mut command = bundle.command(&args);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
        run_command(command)
    };
    let done = call("unix:path=/nowhere/bus").exits(1);
    done.stderr_has("no systemd answers on the bus /nowhere/bus: connect: No such file");
    call("tcp:host=x").exits(1).stderr_has("has no unix:path=");
    // This bus closes the connection.
    let listener = UnixListener::bind(bundle.dir().join("bus")).unwrap();
    std::thread::spawn(move || listener.accept().map(drop));
    let address = format!("unix:path={}", bundle.dir().join("bus").display());
    call(&address).exits(1).stderr_has("no systemd answers");
    assert!(!bundle.root().join(&bundle.id).exists());
    bundle.edit("\"namespaces\"", "\"cgroupsPath\":\"/a/b\",\"namespaces\"");
    call(&address).exits(1).stderr_has("linux.cgroupsPath should be SLICE:PREFIX:NAME");
}
