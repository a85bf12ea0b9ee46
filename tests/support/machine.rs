//! A machine for tests of networks: a network namespace in which mydocker runs, with its own
//! firewall, routes and `ip_forward`. A second namespace stands for a neighbouring machine, which
//! is the default gateway. A veth pair connects the two namespaces.
//!
//! The addresses can be the same in every test, because no machine can reach the machine of another
//! test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Host, unique};

/// The addresses of the machine and of its neighbour.
pub const MACHINE: &str = "203.0.113.1";
pub const OUTSIDE: &str = "203.0.113.2";
pub const MACHINE_6: &str = "2001:db8::1";
pub const OUTSIDE_6: &str = "2001:db8::2";

/// Two network namespaces. Dropping this removes them.
pub struct Machine {
    name: String,
    /// The programs that were started on either side.
    programs: Mutex<Vec<Child>>,
}

/// One of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The machine on which mydocker runs.
    Here,
    /// The neighbour.
    Outside,
}

impl Machine {
    pub fn new() -> Machine {
        let name = unique("md");
        let machine = Machine { name, programs: Mutex::new(Vec::new()) };
        for side in [Side::Here, Side::Outside] {
            run(&["ip", "netns", "add", &machine.namespace(side)]);
            machine.run(side, &["ip", "link", "set", "lo", "up"]);
        }
        let (here, outside) = (machine.namespace(Side::Here), machine.namespace(Side::Outside));
        run(&[
            "ip", "link", "add", "wire0", "netns", &here, "type", "veth", "peer", "name", "wire0",
            "netns", &outside,
        ]);
        for (side, ipv4, ipv6) in
            [(Side::Here, MACHINE, MACHINE_6), (Side::Outside, OUTSIDE, OUTSIDE_6)]
        {
            machine.run(side, &["ip", "addr", "add", &format!("{ipv4}/24"), "dev", "wire0"]);
            let ipv6 = format!("{ipv6}/64");
            machine.run(side, &["ip", "addr", "add", &ipv6, "dev", "wire0", "nodad"]);
            machine.run(side, &["ip", "link", "set", "wire0", "up"]);
        }
        machine.run(Side::Here, &["ip", "route", "add", "default", "via", OUTSIDE]);
        machine.run(Side::Here, &["ip", "-6", "route", "add", "default", "via", OUTSIDE_6]);
        machine
    }

    fn namespace(&self, side: Side) -> String {
        let side = if side == Side::Here { "h" } else { "o" };
        format!("{}-{side}", self.name)
    }

    /// The path of the namespace's file.
    pub fn path(&self, side: Side) -> String {
        format!("/run/netns/{}", self.namespace(side))
    }

    /// The command `args` in the network namespace of `side`.
    pub fn command(&self, side: Side, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(side))).args(args);
        command
    }

    /// Runs a program, which must succeed. Returns its stdout.
    #[track_caller]
    pub fn run(&self, side: Side, args: &[&str]) -> String {
        let done = self.command(side, args).output().unwrap();
        let (out, err) = (done.stdout, done.stderr);
        let err = String::from_utf8_lossy(&err);
        assert!(done.status.success(), "{args:?} on {side:?}: {}: {err}", done.status);
        String::from_utf8(out).unwrap()
    }

    /// Whether a program succeeds.
    pub fn succeeds(&self, side: Side, args: &[&str]) -> bool {
        self.command(side, args).output().unwrap().status.success()
    }

    /// Starts a program in the background. `stop` kills the program.
    pub fn start(&self, side: Side, args: &[&str]) {
        let child = self.command(side, args).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.programs.lock().unwrap().push(child.unwrap());
    }

    /// Kills the programs that `start` has started.
    pub fn stop(&self) {
        for mut program in self.programs.lock().unwrap().drain(..) {
            let _ = program.kill();
            let _ = program.wait();
        }
    }

    /// Whether a ping from that side is answered.
    pub fn pings(&self, side: Side, address: &str) -> bool {
        self.succeeds(side, &["ping", "-c1", "-W60", address])
    }

    /// Calls `act` in that side's network namespace, in another thread.
    pub fn within<T: Send>(&self, side: Side, act: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(self.path(side)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// The answer of a web server, with its headers. `None` if the connection fails or the answer
    /// can't be read.
    pub fn fetch(&self, side: Side, address: &str) -> Option<String> {
        self.get(side, address, "/")
    }

    /// As `fetch`, for the page at `path`.
    pub fn get(&self, side: Side, address: &str, path: &str) -> Option<String> {
        let address: SocketAddr = address.parse().unwrap();
        self.within(side, || {
            let mut stream = TcpStream::connect_timeout(&address, REACHABLE).ok()?;
            stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
            write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })
    }

    /// The answer of a UDP service to `text`.
    pub fn ask(&self, side: Side, address: &str, text: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        self.within(side, || {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket.connect(address).unwrap();
            let mut answer = String::new();
            super::eventually(&format!("{address} answers"), || {
                // Ignore an error: the service may not listen yet.
                let _ = socket.send(text.as_bytes());
                let mut buffer = [0; 512];
                socket.recv(&mut buffer).is_ok_and(|length| {
                    answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    true
                })
            });
            answer
        })
    }
}

const SLEEP: [&str; 3] = ["bb", "sleep", "100000"];

impl Host {
    /// The lines about mydocker in the list of the machine's firewall rules.
    pub fn rules(&self) -> Vec<String> {
        let list = |program: &[&str]| self.machine().run(Side::Here, program);
        if self.firewall != Some("nftables") {
            let saved = list(&["iptables-save"]) + &list(&["ip6tables-save"]);
            return saved
                .lines()
                .filter(|line| line.contains("MYDOCKER"))
                .map(str::to_owned)
                .collect();
        }
        let mut rules = Vec::new();
        let mut table = "";
        let listed = list(&["nft", "list", "ruleset"]);
        for line in listed.lines() {
            if line.starts_with("table") {
                table = line;
            }
            if table.contains(" mydocker") {
                rules.push(line.trim().to_owned());
            }
        }
        rules
    }

    /// The links and rules of mydocker on the machine.
    pub fn traces(&self) -> Vec<String> {
        let links = self.machine().run(Side::Here, &["ip", "-br", "link"]);
        // A line starts with the name of the link.
        let is_ours = |link: &&str| link.starts_with("mydocker") || link.starts_with("mdv");
        links.lines().filter(is_ours).map(str::to_owned).chain(self.rules()).collect()
    }

    /// The lines of `rules` that contain `what`.
    pub fn rules_with(&self, what: &str) -> Vec<String> {
        self.rules().into_iter().filter(|rule| rule.contains(what)).collect()
    }

    /// Removes the whole ruleset of nftables, or flushes the tables `filter` and `nat` of iptables
    /// (IPv4), as the administrator of a host may do.
    pub fn flush_rules(&self) {
        let flush: &[&[&str]] = match self.firewall {
            Some("nftables") => &[&["nft", "flush", "ruleset"]],
            _ => &[&["iptables", "-F"], &["iptables", "-t", "nat", "-F"]],
        };
        flush.iter().for_each(|command| drop(self.machine().run(Side::Here, command)));
    }

    /// Starts a container whose program sleeps.
    pub fn idle(&self, name: &str, flags: &[&str]) {
        self.mydocker([&["run", "-d", "--name", name], flags, &SLEEP].concat());
    }

    /// Starts a container with a web server that answers `text`.
    pub fn web(&self, name: &str, flags: &[&str], text: &str) {
        let site = self.site(name, text);
        let volume = format!("{site}:/www");
        let run = ["run", "-d", "--name", name, "-v", &volume];
        let server = ["bb", "httpd", "-f", "-p", "80", "-h", "/www"];
        self.mydocker([&run[..], flags, &server].concat());
    }

    /// Starts a web server on one of the machines.
    pub fn serve(&self, side: Side, port: u16, text: &str) {
        let site = self.site(&format!("{side:?}-{port}"), text);
        let port = port.to_string();
        self.machine().start(side, &["busybox", "httpd", "-f", "-p", &port, "-h", &site]);
        let address = if side == Side::Here { MACHINE } else { OUTSIDE };
        let address = format!("{address}:{port}");
        super::eventually("the server answers", || self.machine().fetch(side, &address).is_some());
    }

    /// Makes a directory with a page for a web server. Returns the directory's path.
    pub fn site(&self, name: &str, text: &str) -> String {
        let dir = self.scratch().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("index.html"), text).unwrap();
        dir.to_str().unwrap().to_owned()
    }

    /// Waits until a web server's page ends with `text`.
    #[track_caller]
    pub fn answers(&self, side: Side, address: &str, text: &str) {
        super::eventually(&format!("{address} answers {text:?}"), || {
            let answer = self.machine().fetch(side, address);
            answer.is_some_and(|answer| answer.ends_with(text))
        });
    }

    /// As `answers`, from inside a container.
    #[track_caller]
    pub fn answers_within(&self, container: &str, address: &str, port: u16, text: &str) {
        super::eventually(&format!("{address}:{port} answers {container} {text:?}"), || {
            self.fetch_within(container, address, port).ends_with(text)
        });
    }

    /// The answer of a web server to a container; empty if the server can't be reached or does not
    /// answer.
    pub fn fetch_within(&self, container: &str, address: &str, port: u16) -> String {
        let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc {address} {port}");
        let done = self.command(["exec", container, "sh", "-c", &script]).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    }
}

/// How long to wait for a connection. If a firewall drops the packets, no answer comes.
const REACHABLE: Duration = Duration::from_secs(4);

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        for side in [Side::Here, Side::Outside] {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(side)]).status();
        }
    }
}

#[track_caller]
fn run(args: &[&str]) {
    let done = Command::new(args[0]).args(&args[1..]).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}
