//! Scenarios with real programs, as this machine and a second machine see them, with each firewall.
//!
//! A network namespace plays the second machine. Single rules of the firewall are tested in
//! `tests/network_ports.rs`.

mod support;

use support::Host;
use support::eventually;
use support::machine::{MACHINE, Side};

#[track_caller]
fn fetch(host: &Host, side: Side, address: &str) -> String {
    let mut answer = None;
    eventually("the server answers", || {
        answer = host.machine().fetch(side, address);
        answer.is_some()
    });
    answer.unwrap()
}

by_each_firewall!(nginx_on_its_own_network);

fn nginx_on_its_own_network(host: Host) {
    host.debian("mynginx", &["nginx-light"]);
    let create = ["network", "create", "--driver", "bridge", "--subnet", "192.168.99.0/24"];
    host.mydocker(create.iter().chain(&["--gateway", "192.168.99.1", "mynginxbridge"]));
    host.mydocker(["network", "inspect", "mynginxbridge"])
        .stdout_has("mynginxbridge")
        .stdout_has("192.168.99.0/24");
    let run = ["run", "-d", "--name", "bird", "-net", "mynginxbridge", "-p", "8888:80", "mynginx"];
    host.mydocker(run.iter().chain(&["nginx", "-g", "daemon off;"]));
    assert!(host.machine().pings(Side::Here, "192.168.99.2"));
    for (side, address) in [
        (Side::Here, "192.168.99.2:80".to_owned()),
        (Side::Here, format!("{MACHINE}:8888")),
        (Side::Here, "127.0.0.1:8888".to_owned()),
        (Side::Outside, format!("{MACHINE}:8888")),
    ] {
        let answer = fetch(&host, side, &address);
        assert!(answer.contains("Welcome to nginx!"), "{side:?} {address}: {answer}");
    }
    let pid = host.pid("bird");
    host.mydocker(["stop", "bird"]);
    host.mydocker(["rm", "bird"]);
    host.mydocker(["network", "remove", "mynginxbridge"]);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    eventually("links and rules are gone", || host.traces().is_empty());
    let seen = ["addr", "route"].map(|what| host.machine().run(Side::Here, &["ip", what]));
    assert!(!seen.concat().contains("192.168.99"), "{seen:?}");
}

/// A web server that counts its visits in Redis, which it finds by name and by address.
const APP: &str = "
import os
from flask import Flask
from redis import Redis
app = Flask(__name__)

@app.route('/')
def by_name():
    return 'hits %d' % Redis(host='redis').incr('hits')

@app.route('/address')
def by_address():
    return 'hits %d' % Redis(host=os.environ['REDIS']).incr('hits')

app.run(host='0.0.0.0', port=5000)
";

by_each_firewall!(flask_counts_in_redis);

fn flask_counts_in_redis(host: Host) {
    host.debian("redis", &["redis-server"]);
    host.debian("flask", &["python3-flask", "python3-redis"]);
    host.mydocker(["network", "create", "--subnet", "10.5.0.0/24", "app"]);
    let redis = ["run", "-d", "--name", "redis", "--net", "app", "--ip", "10.5.0.7"];
    let server = ["-v", "hits:/data", "redis", "redis-server", "--bind", "0.0.0.0"];
    let keep = ["--protected-mode", "no", "--dir", "/data", "--appendonly", "yes"];
    host.mydocker(redis.iter().chain(&server).chain(&keep));
    host.file("app.py", APP);
    let volume = format!("{}:/app", host.scratch().display());
    let flask = ["run", "-d", "--name", "web", "--net", "app", "-p", "5000:5000", "-v", &volume];
    let program = ["-e", "REDIS=10.5.0.7", "flask", "python3", "/app/app.py"];
    host.mydocker(flask.iter().chain(&program));

    let address = format!("{MACHINE}:5000");
    fetch(&host, Side::Outside, &address);
    let count = |path: &str| -> u32 {
        let answer = host.machine().get(Side::Outside, &address, path);
        let count = answer.as_ref().and_then(|answer| answer.rsplit(' ').next()?.parse().ok());
        count.unwrap_or_else(|| {
            let logs = host.command(["logs", "web"]).output().unwrap();
            panic!("{path}: {answer:?}: {}", String::from_utf8_lossy(&logs.stderr))
        })
    };
    // Redis may still be starting at the first visit.
    eventually("the counter works", || {
        host.machine()
            .get(Side::Outside, &address, "/")
            .is_some_and(|answer| answer.contains("hits"))
    });
    let before = count("/");
    for visit in 1..=5 {
        let path = if visit % 2 == 0 { "/" } else { "/address" };
        assert_eq!(count(path), before + visit);
    }
    host.mydocker(["stop", "redis"]);
    host.mydocker(["start", "redis"]);
    eventually("redis is back", || {
        let ping = host.command(["exec", "redis", "redis-cli", "-h", "10.5.0.7", "ping"]).output();
        ping.unwrap().stdout == b"PONG\n"
    });
    assert_eq!(count("/"), before + 6);
    assert_eq!(count("/address"), before + 7);
}
