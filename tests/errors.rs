//! Wrong command lines: one line on stderr that names the mistake, and Docker's exit status.
//!
//! Statuses follow Docker: 125 for most mistakes in the call of `run`, 126 and 127 mostly for the
//! program. Errors of one subject, such as networks, are tested with that subject.

mod support;

use std::ffi::OsStr;
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;

use support::Host;

#[test]
fn wrong_command_lines_of_run() {
    let host = Host::with_busybox();
    for (line, part) in [
        ("run --pull never nosuchimage true", "no such image: 'nosuchimage'"),
        ("run --nosuch bb true", "--nosuch"),
        ("run --memroy 1g bb true", "--memory"),
        ("run -Z bb true", "-Z"),
        ("run -m bb", "-m"),
        ("run -m lots bb true", "'lots'"),
        ("run -m -1 bb true", "-m"),
        ("run --memory=1z bb true", "'1z'"),
        ("run --cpus two bb true", "'two'"),
        ("run --cpus -1 bb true", "'-1'"),
        ("run --pids-limit x bb true", "'x'"),
        ("run --cpuset-cpus 0-4294967295 bb true", "--cpuset-cpus"),
        ("run --cpu-shares 1 bb true", "--cpu-shares"),
        ("run -v relative/path:/x:ro:z:q bb true", "relative/path:/x:ro:z:q"),
        ("run -v /a:relative bb true", "'relative'"),
        ("run -v : bb true", "':'"),
        ("run --mount nonsense bb true", "nonsense"),
        ("run --tmpfs relative bb true", "'relative'"),
        ("run --net nosuchnet bb true", "nosuchnet"),
        ("run --net container:nobody bb true", "nobody"),
        ("run --name a/b bb true", "'a/b'"),
        ("run -e =x bb true", "=x"),
        ("run --env-file /no/such/file bb true", "/no/such/file"),
        ("run --ulimit nofile bb true", "nofile"),
        ("run --sysctl novalue bb true", "novalue"),
        ("run --add-host nocolon bb true", "nocolon"),
        ("run --dns notanaddress bb true", "notanaddress"),
        ("run --memory-reservation 5m bb true", "6m"),
        ("run --health-interval= bb true", "--health-interval"),
        ("run --log-driver none --log-opt max-size=1m bb true", "--log-opt"),
        ("run --blkio-weight 5 bb true", "5"),
        ("run --oom-score-adj 5000 bb true", "5000"),
        ("run --stop-timeout soon bb true", "'soon'"),
        ("run --rootfs /no/such/dir true", "/no/such/dir"),
        ("run --rootfs /etc/passwd true", "/etc/passwd"),
        ("run -h bad_host! bb true", "bad_host!"),
        ("run --detach=maybe bb true", "maybe"),
        ("run --detach-keys nokey bb true", "nokey"),
        ("create --bogus bb", "--bogus"),
        ("run UPPER/Case true", "UPPER/Case"),
        ("run bb:no:tag true", "bb:no:tag"),
    ] {
        host.mydocker(line.split(' ')).refused(part);
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    assert_eq!(std::fs::read_dir(host.state_root().join("containers")).unwrap().count(), 1);
}

#[test]
fn the_nearest_word_is_suggested() {
    let host = Host::new();
    host.mydocker(["rnu", "x"]).refused("'run'");
    host.mydocker(["imagse"]).refused("'images'");
    host.mydocker(["run", "--memroy", "1g", "x"]).refused("--memory");
    host.mydocker(["ps", "--fliter", "x"]).refused("--filter");
    host.mydocker(["frobnicate"]).refused("mydocker help");
    host.mydocker(["--rot", "/x", "ps"]).refused("--root");
}

#[test]
fn wrong_command_lines_of_other_commands() {
    let host = Host::with_busybox();
    for (line, status, part) in [
        ("start", 1, "CONTAINER"),
        ("run", 1, "IMAGE"),
        ("create", 1, "IMAGE"),
        ("run --nosuch", 125, "--nosuch"),
        ("run -a stdout -d bb", 1, "contradict"),
        ("run --memory-swap 1g bb", 125, "--memory"),
        ("create --memory-swap 1g bb", 1, "--memory"),
        ("create --memory-reservation 1m bb true", 1, "6m"),
        ("create --cpus 1 --cpu-period 100000 bb", 1, "--cpus"),
        ("create --health-interval -1s bb", 125, "-1s"),
        ("create --health-interval 1us bb", 1, "1us"),
        ("create --rm --restart always bb true", 125, "contradict"),
        ("create --security-opt seccomp=/nosuch bb true", 125, "/nosuch"),
        ("create --security-opt seccomp=/etc/passwd bb true", 125, "JSON"),
        ("create --security-opt a=b bb true", 1, "a=b"),
        ("create --security-opt nosuch bb true", 125, "nosuch"),
        ("create --volumes-from x:bad bb true", 1, "bad"),
        ("create --net host --link x bb true", 125, "--link"),
        ("create --link x bb true", 1, "x"),
        ("create --link :x bb true", 1, "''"),
        ("create --link= bb true", 125, "empty"),
        ("create --net container: bb true", 1, "container:"),
        ("create --net= bb true", 125, "''"),
        ("create --net bridge --network-alias a bb true", 125, "--network-alias"),
        ("run --net bridge --network-alias a bb true", 125, "--network-alias"),
        ("create --dns-search a_b bb true", 125, "a_b"),
        ("create --volumes-from= bb true", 1, "''"),
        ("create --volume-driver nosuch bb true", 1, "nosuch"),
        ("create --memory 99999999999g bb true", 1, "too large"),
        ("create --shm-size 99999999999g bb true", 1, "too large"),
        ("create --device-read-bps /dev/x:99999999999g bb true", 125, "too large"),
        ("create --log-opt max-buffer-size=1m bb true", 1, "non-blocking"),
        ("create --mount type=nosuch,dst=/x bb true", 1, "nosuch"),
        ("create --mount type=bind,src=/tmp,dst=x bb true", 1, "'x'"),
        ("create --mount type=bind,src=/tmp,dst=/ bb true", 1, "/ itself"),
        ("create --mount type=bind,src=/tmp,dst= bb true", 125, "target=PATH"),
        ("create --mount type=bind,src=tmp,dst=/x bb true", 1, "'tmp'"),
        ("create --mount type=bind,dst=/x bb true", 1, "source=PATH"),
        ("create --mount type=bind,src=/tmp,dst=/x,bind-propagation=x bb true", 1, "'x'"),
        ("create --mount type=bind,src=/tmp,dst=/x,ro=maybe bb true", 125, "maybe"),
        ("create --mount type=tmpfs,src=/tmp,dst=/x bb true", 1, "no source"),
        ("create --mount src=a/b,dst=/x bb true", 1, "a/b"),
        ("create --mount dst=/x,volume-driver=nosuch bb true", 1, "nosuch"),
        ("create --mount dst=/x,volume-opt=a bb true", 1, "volume-opt=a"),
        ("create --mount src=v1,dst=/x --mount src=v2,dst=/x bb true", 1, "two mounts"),
        ("run --mount type=nosuch,dst=/x bb true", 125, "nosuch"),
        ("run --mount src=v1,dst=/x --mount src=v2,dst=/x bb true", 125, "two mounts"),
        ("run --device /nosuch bb true", 127, "/nosuch"),
        ("create --device /nosuch bb true", 1, "/nosuch"),
        ("run --device-read-bps /dev/nosuch:1m bb true", 127, "/dev/nosuch"),
        ("run --cidfile /nosuch/file bb true", 127, "/nosuch/file"),
        ("create --cidfile /nosuch/file bb true", 1, "/nosuch/file"),
        ("create --net none --network-alias a bb true", 125, "--network-alias"),
        ("info -f {{.Nope}}", 1, "template: :1:2: executing \"\" at <.Nope>: can't evaluate field"),
        ("version -f {{.Server.Nope}}", 1, "template: version:1:9: executing \"version\""),
        ("version -f {{", 64, "template: version:1: unclosed action"),
        ("run --pull never nosuch", 125, "nosuch"),
        ("create --pull never nosuch", 1, "nosuch"),
        ("exec --nosuch c true", 125, "--nosuch"),
        ("exec nobody true", 1, "nobody"),
        ("start nobody", 1, "nobody"),
        ("start -a nobody", 1, "nobody"),
        ("stop nobody", 1, "nobody"),
        ("kill nobody", 1, "nobody"),
        ("rm nobody", 1, "nobody"),
        ("wait nobody", 1, "nobody"),
        ("logs nobody", 1, "nobody"),
        ("logs a b", 1, "b"),
        ("attach nobody", 1, "nobody"),
        ("cp nobody:/x .", 1, "nobody"),
        ("cp . nobody:/x", 1, "nobody"),
        ("port nobody", 1, "nobody"),
        ("top nobody", 1, "nobody"),
        ("diff nobody", 1, "nobody"),
        ("export nobody", 1, "nobody"),
        ("commit nobody x", 1, "nobody"),
        ("pause nobody", 1, "nobody"),
        ("rename nobody other", 1, "nobody"),
        ("exec c", 1, "COMMAND"),
        ("rename one", 1, "NEW_NAME"),
        ("stop -t x nobody", 125, "'x'"),
        ("ps extra", 1, "extra"),
        ("ps -n x", 125, "x"),
        ("ps --filter nonsense", 125, "nonsense"),
        ("ps --filter status=asleep", 1, "asleep"),
        ("logs --tail few nobody", 1, "few"),
        ("kill -s NOSUCH nobody", 1, "NOSUCH"),
        ("events --since 1s --until 1h", 1, "after --until"),
        ("run --log-driver nosuch bb", 125, "nosuch"),
        ("run --restart sometimes bb", 125, "sometimes"),
        ("create --restart sometimes bb", 1, "sometimes"),
        ("create --log-driver nosuch bb", 1, "nosuch"),
        ("create --cap-add NOSUCH bb", 1, "NOSUCH"),
        ("create --cpu-period 5 bb", 1, "5"),
        ("create --cpu-period x bb", 125, "x"),
        ("create --name a/b bb", 1, "a/b"),
        ("create --memory x bb", 125, "x"),
        ("update --restart sometimes nobody", 1, "sometimes"),
        ("update --cpuset-cpus x nobody", 1, "x"),
        ("update --cpu-period 5 nobody", 1, "5"),
        ("update --memory x nobody", 125, "x"),
        ("network create --subnet x n", 1, "x"),
        ("network create --gateway x n", 1, "x"),
        ("network connect --ip x bridge nobody", 1, "x"),
        ("volume create -o x v", 1, "x"),
        ("inspect -f {{ nobody", 64, "unclosed action"),
        ("volume inspect -f {{ nobody", 64, "unclosed action"),
        ("info -f {{", 64, "unclosed action"),
        ("events --format {{", 64, "unclosed action"),
        ("exec -w relative nobody true", 126, "relative"),
        ("ps --format {{.Nonsense}}", 1, "Nonsense"),
        ("inspect", 1, "inspect"),
        ("rmi nosuch", 1, "nosuch"),
        ("history nosuch", 1, "nosuch"),
        ("save nosuch -o /dev/null", 1, "nosuch"),
        ("tag nosuch other", 1, "nosuch"),
        ("import /no/such/file x", 1, "/no/such/file"),
        ("load -i /no/such/file", 1, "/no/such/file"),
        ("help nosuch", 1, "nosuch"),
        ("nosuch", 1, "nosuch"),
        ("volume nosuch", 1, "nosuch"),
        ("--nosuch ps", 125, "--nosuch"),
        ("--log-level nosuch ps", 1, "nosuch"),
        ("run --platform nosuch bb true", 125, "neither linux nor"),
        ("run --rm --network none -w /etc/passwd bb true", 125, "/etc/passwd"),
        ("volume create -d", 125, "-d"),
        ("volume rm nosuch", 1, "nosuch"),
        ("network rm nosuch", 1, "nosuch"),
        ("network connect nosuch nobody", 1, "nosuch"),
    ] {
        host.mydocker(line.split(' ')).exits(status).complains(part);
    }
}

#[test]
fn a_forced_removal_of_a_missing_object_succeeds() {
    let host = Host::with_busybox();
    for line in ["rm -f nobody", "rmi -f nosuch", "network rm -f nosuch"] {
        let name = line.rsplit(' ').next().unwrap();
        host.mydocker(line.split(' ')).exits(0).stdout("").complains(name);
    }
    host.mydocker(["volume", "rm", "-f", "nosuch"]).exits(0).stdout("nosuch\n");
    // `rm -f` still removes the existing container, and other errors still set the exit status.
    host.mydocker(["create", "--name", "c", "bb", "true"]).exits(0);
    host.mydocker(["rm", "-f", "nobody", "c"]).exits(0).stdout("c\n");
    host.mydocker(["network", "rm", "-f", "host"]).exits(1).complains("host");
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn a_group_alone_prints_its_help() {
    let host = Host::new();
    for group in ["container", "image", "network", "system", "volume"] {
        host.mydocker([group]).exits(0).stdout_has(&format!("Usage: mydocker {group} COMMAND"));
    }
}

#[test]
fn a_user_other_than_root_gets_an_error() {
    let host = Host::with_busybox();
    // Copy the binary to a directory that other users can read.
    let reachable = host.scratch().join("mydocker");
    std::fs::copy(support::MYDOCKER, &reachable).unwrap();
    let mut dir = Some(reachable.as_path());
    while let Some(path) = dir {
        if path == std::env::temp_dir() {
            break;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
        dir = path.parent();
    }
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups"]).arg(&reachable).arg("ps");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("root") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn debug_prints_the_chain_of_an_error() {
    let host = Host::with_busybox();
    let printed = host.mydocker(["--debug", "run", "--rm", "bb", "/no/such"]).exits(127);
    printed.stderr_has("/no/such").stderr_has("\n");
}

#[test]
fn a_broken_record_hides_no_other_container() {
    let host = Host::with_busybox();
    let good = host.mydocker(["create", "--name", "good", "bb", "true"]).text();
    for (name, content) in [("empty", ""), ("torn", "{\"version\":1,"), ("foreign", "[1,2]")] {
        let id = host.mydocker(["create", "--name", name, "bb", "true"]).text();
        let config = host.state_root().join("containers").join(&id).join("config.json");
        std::fs::write(&config, content).unwrap();
        host.mydocker(["ps", "-aq", "--no-trunc"]).stdout_has(&good).stdout_has(&id);
        host.mydocker(["start", &id]).exits(1).complains("config.json");
        host.mydocker(["rm", "-f", &id]);
    }
    host.mydocker(["ps", "-aq", "--no-trunc"]).stdout(&format!("{good}\n"));
    host.mydocker(["create", "--name", "torn", "bb", "true"]);
}

#[test]
fn a_running_container_with_a_broken_record_can_be_removed() {
    let host = Host::with_busybox();
    let parent = support::unique("errors");
    let run = ["run", "-d", "--restart", "always", "--cgroup-parent", &parent];
    let id = host.mydocker(run.iter().chain(&["bb", "sleep", "1000"])).text();
    let program = host.pid(&id);
    let config = host.state_root().join("containers").join(&id).join("config.json");
    std::fs::write(&config, "{").unwrap();
    host.mydocker(["rm", "-f", &id]).stdout(&format!("{id}\n"));
    assert!(!std::path::Path::new(&format!("/proc/{program}")).exists());
    assert!(support::cgroups(&format!("{parent}/{id}")).is_empty());
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["system", "check"]).stdout("");
    // The cgroup that --cgroup-parent names stays, also its `monitors`, so the test removes both.
    for dir in ["monitors", ""] {
        support::remove_cgroup(&format!("{parent}/{dir}"));
    }
}

#[test]
fn commands_that_do_not_exist_here_explain_why() {
    let host = Host::new();
    for (line, part) in [
        ("search nginx", "only Docker Hub has that API"),
        ("swarm init", "no cluster; run mydocker on each host"),
        ("service ls", "use mydocker run -d --restart always"),
        ("stack deploy -c x y", "start each service with"),
        ("secret ls", ":/run/secrets/NAME:ro"),
        ("context ls", "ssh HOST mydocker ps"),
        ("plugin ls", "built in"),
        ("trust sign x", "pull by digest"),
        ("manifest inspect x", "--platform"),
        ("checkpoint create c x", "mydocker pause"),
        ("volume update x", "create a new volume and copy the files"),
    ] {
        host.mydocker(line.split(' ')).exits(1).stdout("").complains(part);
    }
}

#[test]
fn a_remote_docker_host_is_refused_and_the_local_default_accepted() {
    let host = Host::new();
    // Runs `ps -q`. Returns the exit status and stderr.
    let ps = |variable: &str, value: &str, flags: &[&str]| {
        let mut command = host.command(flags.iter().chain(&["ps", "-q"]));
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT").env(variable, value);
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let assert_refused = |(code, stderr): (Option<i32>, String), part: &str| {
        assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    };
    for (variable, value) in [
        ("DOCKER_HOST", "tcp://10.0.0.1:2375"),
        ("DOCKER_HOST", "ssh://user@other"),
        ("DOCKER_HOST", "unix:///run/user/1000/docker.sock"),
        ("DOCKER_CONTEXT", "production"),
    ] {
        let part = format!("{variable} is '{value}', but mydocker has no daemon");
        assert_refused(ps(variable, value, &[]), &part);
    }
    assert_refused(ps("X", "", &["-H", "tcp://10.0.0.1:2375"]), "--host is 'tcp://10.0.0.1:2375'");
    assert_refused(ps("X", "", &["--context=production"]), "--context is 'production'");
    assert_refused(ps("X", "", &["-c", "default", "--host=unix://"]), "either specify");
    let accepted = (Some(0), String::new());
    for (variable, value) in [
        ("DOCKER_HOST", ""),
        ("DOCKER_HOST", "unix:///var/run/docker.sock"),
        ("DOCKER_CONTEXT", "default"),
    ] {
        assert_eq!(ps(variable, value, &[]), accepted, "{variable}={value}");
    }
    // A flag overrides the variables.
    assert_eq!(
        ps("DOCKER_HOST", "tcp://10.0.0.1:2375", &["-H", "unix:///run/docker.sock"]),
        accepted
    );
    assert_eq!(ps("DOCKER_CONTEXT", "production", &["--context", "default"]), accepted);
}

#[test]
fn dockers_global_flags_are_accepted() {
    let host = Host::new();
    let flags =
        "--tls --tlsverify=false --tlscacert a --tlscert b --tlskey c -D --config d -l warn";
    host.mydocker(flags.split(' ').chain(["ps", "-q"])).exits(0).stdout("");
    host.mydocker(["--log-level", "loud", "ps"]).refused("'loud'");
    host.mydocker(["--config", "d", "login", "-u", "a", "-p", "b", "localhost:1"])
        .refused("set DOCKER_CONFIG=DIR");
    for command in [&["build", "."][..], &["compose", "up"], &["compose", "pull"]] {
        host.mydocker([&["--config", "d"], command].concat()).refused("set DOCKER_CONFIG=DIR");
    }
    let mut pf = host.command(["network", "ls"]);
    pf.env("MYDOCKER_FIREWALL", OsStr::from_bytes(b"pf\xff"));
    support::run_command(pf).exits(1).stderr_has("MYDOCKER_FIREWALL");
    let login = ["login", "-u", "me", "--password-stdin", "127.0.0.1:1"];
    host.feed("x".repeat((64 << 10) + 1), login).refused("longer than 65536 bytes");
}

#[test]
fn an_archive_whose_reader_has_closed_the_pipe_ends_in_silence() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    for args in [&["export", "c"][..], &["save", "bb"], &["cp", "c:/bin", "-"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = host.command(args.iter().copied()).stdout(writer).output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), &*complaint), (Some(141), ""), "{args:?}");
    }
}

#[test]
fn a_command_that_waits_for_more_ends_when_its_reader_has_closed_the_pipe() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", "echo 1; sleep 100000"]);
    for args in [&["events", "--since", "0"][..], &["logs", "-f", "c"], &["stats"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = host.command(args.iter().copied()).stdout(writer).spawn().unwrap();
        let mut first = String::new();
        std::io::BufReader::new(reader).read_line(&mut first).unwrap();
        support::eventually(&format!("{args:?} ends"), || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success() && !first.is_empty(), "{args:?}: {first:?}");
    }
}
