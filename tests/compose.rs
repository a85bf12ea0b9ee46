//! Tests of `compose`. Some check what `config` prints for a compose file, and `corpus` compares
//! the output with that of Debian's docker-compose 1.29. The others start, change and remove
//! projects.

mod compose {
    mod corpus;
}
#[path = "registry/server.rs"]
#[allow(dead_code)]
mod server;
mod support;

use std::path::PathBuf;
use std::process::Command;

use server::Registry;
use support::Host;

/// A directory with a project's files, and `mydocker compose` in it.
struct Project {
    host: Host,
    dir: PathBuf,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Project {
        Project::on(Host::with_busybox(), files)
    }

    fn on(host: Host, files: &[(&str, &str)]) -> Project {
        let dir = host.directory(&support::unique("p"), files);
        Project { host, dir }
    }

    fn command(&self, line: &str) -> Command {
        let words = std::iter::once("compose").chain(line.split_whitespace());
        let mut command = self.host.command(words);
        command.current_dir(&self.dir);
        command
    }

    fn compose(&self, line: &str) -> support::Done {
        support::run(self.command(line), None)
    }
}

fn config(files: &[(&str, &str)], line: &str) -> support::Done {
    Project::new(files).compose(line)
}

#[test]
fn a_project_is_found_in_a_directory_above_and_named_after_it() {
    let project = Project::new(&[
        ("My App/compose.yaml", "services: {web: {image: bb}}"),
        ("My App/compose.override.yaml", "services: {web: {command: echo hi}}"),
        ("My App/a/b/x", ""),
    ]);
    let mut command = project.command("config");
    command.current_dir(project.dir.join("My App/a/b"));
    support::run(command, None).stdout(
        "name: myapp\nservices:\n  web:\n    image: bb\n    command:\n      - echo\n      - hi\n    \
         networks:\n      default: null\nnetworks:\n  default:\n    name: myapp_default\n",
    );
}

#[test]
fn a_file_from_the_standard_input_names_its_project() {
    let project = Project::new(&[("b.yaml", "services: {web: {image: bb}}")]);
    let named = "name: mine\nservices: {web: {command: echo hi}}";
    let command = project.command("-f - -f b.yaml config");
    let printed = support::run(command, Some(named.into())).text();
    assert!(printed.starts_with("name: mine\nservices:\n  web:\n    command:\n"), "{printed}");
}

#[test]
fn the_host_port_zero_means_any_port() {
    let project = Project::new(&[("c.yaml", "services: {a: {image: bb, ports: ['0:80']}}")]);
    let out = project.compose("-f c.yaml config --format json").text();
    assert!(out.contains(r#""published":"0""#), "{out}");
    let project = Project::new(&[("c.yaml", "services: {a: {image: bb, ports: ['0-3:80']}}")]);
    project.compose("-f c.yaml config").exits(1).stderr_has("bad port '0-3:80'");
}

#[test]
fn files_merge_by_the_rules_of_the_specification() {
    let project = Project::new(&[
        (
            "a.yaml",
            "services: {web: {image: bb, command: one two, environment: [A=1, B=2], \
             ports: ['80:80', '81:81'], volumes: ['d:/d', './x:/e'], cap_add: [NET_ADMIN], \
             labels: {k: v}, dns: 1.1.1.1}}\nvolumes: {d: }",
        ),
        (
            "b.yaml",
            "services:\n  web:\n    command: [three]\n    environment: {B: 3, C: 4}\n    \
             ports: ['80:80']\n    volumes: ['./y:/e']\n    cap_add: [SYS_TIME, NET_ADMIN]\n    \
             labels: !reset\n    dns: !override [8.8.8.8]",
        ),
    ]);
    let out = project.compose("-p m -f a.yaml -f b.yaml config --format json").text();
    for part in [
        r#""command":["three"]"#,
        r#""environment":{"A":"1","B":"3","C":"4"}"#,
        r#""cap_add":["NET_ADMIN","SYS_TIME"]"#,
        r#""dns":["8.8.8.8"]"#,
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(!out.contains("labels") && out.matches("published").count() == 2, "{out}");
    assert!(out.contains("/y\"") && !out.contains("/x\""), "{out}");
}

#[test]
fn drivers_devices_dependencies_and_paths_have_their_own_rules() {
    let project = Project::new(&[
        (
            "sub/a.yaml",
            "services: {a: {image: bb, logging: {driver: json-file, options: {max-size: 1m}}, \
             devices: ['/dev/null:/dev/x', '/dev/full'], depends_on: {b: {condition: \
             service_healthy, required: false}}, security_opt: ['seccomp:s.json']}, b: {image: bb, \
             security_opt: [seccomp=default, 'seccomp:builtin', seccomp=unconfined]}}",
        ),
        (
            "b.yaml",
            "services: {a: {logging: {driver: none}, devices: ['/dev/zero:/dev/x:r'], \
             depends_on: {b: {restart: true}}}}",
        ),
        ("sub/s.json", "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"),
        ("c.yaml", "volumes: {v: {driver_opts: {type: none, o: bind, device: ./data}}}"),
    ]);
    let out = project.compose("-f sub/a.yaml -f b.yaml -f c.yaml config --format json").text();
    let device = format!(r#""device":"{}/sub/data""#, project.dir.display());
    let profile = format!(r#""security_opt":["seccomp={}/sub/s.json"]"#, project.dir.display());
    for part in [
        r#""logging":{"driver":"none"}"#,
        r#""devices":["/dev/zero:/dev/x:r","/dev/full"]"#,
        r#""depends_on":{"b":{"condition":"service_healthy","required":false,"restart":true}}"#,
        &profile,
        r#""security_opt":["seccomp=default","seccomp:builtin","seccomp=unconfined"]"#,
        &device,
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn a_later_file_removes_what_is_not_supported() {
    let file = "services: {web: {image: bb, gpus: all}}\nmodels: {m: {model: x}}";
    let project = Project::new(&[
        ("a.yaml", file),
        ("b.yaml", "services: {web: {gpus: !reset null}}\nmodels: !reset {}"),
    ]);
    project.compose("-f a.yaml config").exits(1).stderr_has("a.yaml:2: models is not supported");
    let printed = project.compose("-f a.yaml -f b.yaml config").text();
    assert!(!printed.contains("gpus") && !printed.contains("models"), "{printed}");
}

#[test]
fn variables_come_from_the_caller_then_from_the_env_file() {
    let files = [
        ("compose.yaml", "services: {web: {image: '$A-${B:-b}-${C-c}', hostname: '${D:?set D}'}}"),
        (".env", "A=file\nC=\nD=\"${A}x\"\n"),
        ("other.env", "D=d"),
    ];
    let project = Project::new(&files);
    let mut command = project.command("config --images");
    command.env("A", "own");
    support::run(command, None).stdout("own-b-\n");
    project
        .compose("--env-file other.env config --images")
        .stderr_has("the variable A is not set")
        .stdout("-b-c\n");
    project
        .compose("--env-file /dev/null config")
        .exits(1)
        .stderr_has("required variable D is not set: set D");
}

#[test]
fn mistakes_are_reported_by_file_line_and_key() {
    for (text, part) in [
        (
            "services:\n  a: {imge: x}",
            "c.yaml:2: unknown key services.a.imge; did you mean 'image'?",
        ),
        (
            "services:\n  a:\n    image: x\n    gpus: all",
            "c.yaml:4: services.a.gpus is not supported",
        ),
        ("services:\n  a: {image: x, mem_limit: 1x}", "c.yaml:2: memory: bad size '1x'"),
        ("services:\n  a: {image: x, ports: [a]}", "c.yaml:2: bad port 'a'"),
        (
            "services:\n  a: {image: x, ports: [{target: 80, published: 1:2}]}",
            "c.yaml:2: ports: bad port '1:2'",
        ),
        (
            "services:\n  a: {image: x, ports: [{target: 80, host_ip: x}]}",
            "c.yaml:2: ports.host_ip: 'x' is no IP address",
        ),
        ("services:\n  a: {image: x, networks: [n]}", "no such network: n; declare it"),
        ("services:\n  a: {image: x, depends_on: [b]}", "depends on b, which does not exist"),
        (
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
            "in a circle: a, b",
        ),
        ("include: [c.yaml]\nservices: {a: {image: x}}", "or a circle of them"),
        ("services:\n  a: {image: x}\n  a: {image: y}", "c.yaml:3: 'a' stands here again"),
        ("services:\n  a: {image: x, volumes: ['d:/d:q']}", "unknown option 'q'"),
        (
            "services:\n  a: {image: x, volumes: [{source: d, target: /d}]}",
            "c.yaml:2: no such volume: d; declare it",
        ),
        ("services:\n  a: {image: x, tty: maybe}", "services.a.tty should be true or false"),
        (
            "services:\n  a: {image: x, memswap_limit: 2g}",
            "c.yaml:2: services.a: --memory-swap needs --memory",
        ),
        (
            "services:\n  a: {image: x, volumes: ['/a:/x'], tmpfs: [/x]}",
            "c.yaml:2: services.a: two mounts on '/x'",
        ),
        (
            "services:\n  a: {image: x, ports: [{target: 80, mode: any}]}",
            "c.yaml:2: ports.mode: write host or ingress",
        ),
        (
            "services:\n  a: {image: x, pull_refresh_after: 1h}",
            "c.yaml:2: pull_refresh_after counts with",
        ),
        ("services:\n  a: {image: x, models: [m]}", "c.yaml:2: services.a.models is not supported"),
        ("services:\n  a: {image: x, use_api_socket: true}", "use_api_socket is not supported"),
        ("services: {a: {}}", "services.a has neither image nor build"),
        ("services: {a: {image: x, container_name: a b}}", "c.yaml:1: bad container name 'a b'"),
        (
            "services: {a: {extends: {service: b, file: no.yaml}}}",
            "c.yaml:1: extends: read no.yaml",
        ),
        ("include: [{path: c.yaml, env_file: no.env}]", "c.yaml:1: include: read no.env"),
        (
            "services: {ulimits: {image: x, depends_on: {'a/b': {}}}}",
            "services.ulimits.depends_on: bad name 'a/b'",
        ),
        ("{", "c.yaml:"),
        ("volumes: {v: {driver: nfs}}\nservices: {a: {image: x}}", "only local"),
    ] {
        config(&[("c.yaml", text)], "-f c.yaml config").exits(1).stderr_has(part);
    }
    Project::new(&[]).compose("-f no.yaml config").exits(1).stderr_has("read no.yaml");
}

#[test]
fn profiles_extends_includes_and_env_files_are_read() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "include: [sub/inc.yaml]\nservices:\n  a: {extends: {file: base.yaml, service: base}, \
             env_file: [a.env, {path: no.env, required: false}], environment: {Y: mine}}\n  \
             b: {image: bb, profiles: [debug]}",
        ),
        (
            "base.yaml",
            "services: {base: {extends: root, command: hi}, root: {image: bb, tty: true}}",
        ),
        ("a.env", "X='1 2'\nY=file\n"),
        ("sub/inc.yaml", "services: {c: {image: bb, volumes: ['./d:/d']}}"),
    ]);
    project.compose("config --services").stdout("a\nc\n");
    project.compose("--profile debug config --services").stdout("a\nb\nc\n");
    let out = project.compose("config --format json").text();
    assert!(out.contains(r#""environment":{"X":"1 2","Y":"mine"}"#), "{out}");
    assert!(out.contains(r#""tty":true"#) && out.contains(r#""command":["hi"]"#), "{out}");
    assert!(out.contains("/sub/d\""), "{out}");
}

#[test]
fn variables_of_an_include_count_after_those_of_the_project() {
    let project = Project::new(&[
        (".env", "A=outer"),
        ("compose.yaml", "include: [{path: sub/i.yaml, env_file: [x.env, y.env]}, other/i.yaml]"),
        ("sub/i.yaml", "services: {i: {image: '$A-$B'}}"),
        ("x.env", "A=inner\nB=x"),
        ("y.env", "B=y"),
        ("other/i.yaml", "services: {j: {image: '$A-$B'}}"),
        ("other/.env", "A=inner\nB=other"),
    ]);
    let mut images = project.compose("config --images").lines();
    images.sort();
    assert_eq!(images, ["outer-other", "outer-y"]);
}

#[test]
fn the_hash_ignores_order_and_style() {
    let hash = |text: &str| config(&[("c.yaml", text)], "-p h -f c.yaml config --hash a").text();
    let one = hash("services: {a: {image: bb, environment: [A=1, B=2]}}");
    assert_eq!(
        one,
        hash("services:\n  a:\n    environment: {B: 2, A: '1'}\n    image: bb\n    scale: 3")
    );
    assert_ne!(one, hash("services: {a: {image: bb, environment: [A=1, B=3]}}"));
}

/// Two replicas of `web`, which wait until `db` is healthy and `job` has ended.
const SHOP: &str = "
services:
  web:
    image: bb
    command: sh -c 'cat /etc/hosts; exec sleep 1000'
    scale: 2
    init: true
    depends_on:
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
  db:
    image: bb
    init: true
    command: sh -c 'sleep 0.2; touch /ok; exec sleep 1000'
    healthcheck: {test: [CMD, test, -e, /ok], interval: 100ms, start_period: 60s}
    volumes: ['data:/data']
  job:
    image: bb
    command: sh -c 'sleep 0.1; echo did it'
volumes:
  data:
";

impl Project {
    /// The names of all containers of the host, each with its id.
    fn ids(&self) -> Vec<String> {
        let format = "{{.Names}} {{.ID}}";
        let mut lines: Vec<String> = self
            .host
            .mydocker(["ps", "-a", "--no-trunc", "--format", format])
            .text()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    fn names(&self) -> Vec<String> {
        let name = |line: String| line.split(' ').next().unwrap().to_owned();
        self.ids().into_iter().map(name).collect()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.dir.join("compose.yaml"), text).unwrap();
    }
}

#[test]
fn a_project_comes_up_in_order_and_goes_down() {
    let project = Project::new(&[("compose.yaml", SHOP)]);
    let up = project.compose("-p shop up -d").stderr_text();
    let place = |line: &str| up.find(line).unwrap_or_else(|| panic!("{line} in {up}"));
    for (earlier, later) in [
        ("Network shop_default  Created", "Container shop-db-1  Created"),
        ("Container shop-db-1  Healthy", "Container shop-web-1  Starting"),
        ("Container shop-job-1  Exited", "Container shop-web-2  Starting"),
        ("Container shop-job-1  Starting", "Container shop-db-1  Healthy"),
    ] {
        assert!(place(earlier) < place(later), "{earlier} before {later} in {up}");
    }
    assert_eq!(project.names(), ["shop-db-1", "shop-job-1", "shop-web-1", "shop-web-2"]);
    let label = |name: &str, label: &str| {
        let format = format!("{{{{index .Config.Labels \"com.docker.compose.{label}\"}}}}");
        project.host.inspect(name, &format)
    };
    assert_eq!(label("shop-web-2", "project"), "shop");
    assert_eq!(label("shop-web-2", "service"), "web");
    assert_eq!(label("shop-web-2", "container-number"), "2");
    assert_eq!(label("shop-web-2", "oneoff"), "False");
    assert_eq!(
        label("shop-web-1", "depends_on"),
        "db:service_healthy:false,job:service_completed_successfully:false"
    );
    assert_eq!(label("shop-web-1", "project.working_dir"), project.dir.to_str().unwrap());
    let hash = project.compose("-p shop config --hash web").text();
    assert_eq!(format!("web {}", label("shop-web-1", "config-hash")), hash);
    // `db` can resolve both replicas of `web`, and `web` can resolve `db`.
    let hosts = project.host.mydocker(["exec", "shop-db-1", "cat", "/etc/hosts"]).text();
    assert_eq!(hosts.matches(" web").count(), 2, "{hosts}");
    let log = project.compose("-p shop logs web").text();
    assert!(log.contains("shop-db-1 db "), "{log}");
    assert!(log.lines().all(|line| line.starts_with("web-1  | ") || line.starts_with("web-2  | ")));
    project.compose("-p shop logs --no-log-prefix job").stdout("did it\n");
    project.compose("-p shop ps --services").stdout("db\nweb\n");
    project.compose("-p shop ps --status exited --format {{.Name}}").stdout("shop-job-1\n");
    project
        .compose("ls --format json")
        .stdout_has(r#""Name":"shop","Status":"exited(1), running(3)""#);
    // Nothing has changed, so the same containers stay.
    let before = project.ids();
    project.compose("-p shop up -d").stderr_has("Container shop-web-1  Running");
    assert_eq!(project.ids(), before);
    // With `-p`, `ps` and `down` need neither the compose file nor the files that it names.
    project.write(&SHOP.replace("scale: 2", "env_file: gone.env"));
    project.compose("-p shop up -d").exits(1).stderr_has("env_file: read gone.env");
    project.write(&SHOP.replace("scale: 2", "env_file: gone.env\n    profiles: [later]"));
    project.compose("-p shop config").exits(0);
    project.compose("-p shop --profile later config").exits(1).stderr_has("read gone.env");
    project.compose("-p shop ps --services").stdout("db\nweb\n");
    std::fs::remove_file(project.dir.join("compose.yaml")).unwrap();
    let down = project.compose("-p shop down").stderr_text();
    assert!(!down.contains("no longer has"), "{down}");
    let place = |line: &str| down.find(line).unwrap_or_else(|| panic!("{line} in {down}"));
    assert!(place("shop-web-1  Stopped") < place("shop-db-1  Stopping"), "{down}");
    assert!(project.names().is_empty());
    assert!(!project.host.succeeds(["network", "inspect", "shop_default"]));
    project.host.mydocker(["volume", "inspect", "shop_data"]);
    project.compose("-p shop down -v").stderr_has("Volume shop_data  Removed");
    project.compose("-p shop ps").stdout_has("NAME");
    project.compose("ps").exits(1).stderr_has("no compose file in");
}

#[test]
fn a_dependency_that_fails_is_named() {
    let file = |db: &str, condition: &str| {
        format!(
            "services:\n  web: {{image: bb, command: sleep 1000, depends_on: {{db: {{condition: \
             {condition}}}}}}}\n  db: {{image: bb, init: true, {db}}}"
        )
    };
    for (db, condition, part) in [
        (
            "command: sh -c 'exit 3'",
            "service_completed_successfully",
            "service web can't start: container f-db-1 of service db exited with 3",
        ),
        (
            "command: sleep 1000, healthcheck: {test: 'false', interval: 50ms, retries: 1}",
            "service_healthy",
            "service web can't start: container f-db-1 of service db is unhealthy",
        ),
        (
            "command: sleep 1000",
            "service_healthy",
            "service web can't start: service db has no health check",
        ),
        ("command: /nowhere", "service_started", "service db: exec '/nowhere'"),
    ] {
        let project = Project::new(&[("compose.yaml", &file(db, condition))]);
        project.compose("-p f up -d").exits(1).stderr_has(part);
        assert!(!project.names().contains(&"f-web-1".to_owned()));
        project.compose("-p f down -t 0");
    }
    let optional =
        file("command: sh -c 'exit 3'", "service_completed_successfully, required: false");
    let project = Project::new(&[("compose.yaml", &optional)]);
    project.compose("-p f up -d").stderr_has("service web starts without it");
    project.compose("-p f down -t 0");
}

#[test]
fn start_waits_for_the_conditions_of_dependencies() {
    let project = Project::new(&[("compose.yaml", SHOP)]);
    project.compose("-p st create");
    for line in ["-p st start", "-p st restart -t 1"] {
        let shown = project.compose(line).stderr_text();
        let place = |line: &str| shown.find(line).unwrap_or_else(|| panic!("{line} in {shown}"));
        assert!(place("st-job-1  Exited") < place("st-web-1  Started"), "{shown}");
        assert!(place("st-db-1  Healthy") < place("st-web-2  Started"), "{shown}");
    }
    project.compose("-p st down -v -t 0");
}

#[test]
fn wait_sees_a_program_that_fails_at_once() {
    let file = "services: {a: {image: bb, command: \"sh -c 'sleep 0.1; exit 4'\"}}";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p wt up -d --wait").exits(1).stderr_has("container wt-a-1 exited with 4");
    project.compose("-p wt down");
}

#[test]
fn only_changed_services_are_made_again() {
    let file = |web: &str| {
        format!(
            "services:\n  web: {{image: bb, init: true, command: sleep 1000, {web}}}\n  db: {{image: \
             bb, init: true, command: sleep 1000, volumes: [/kept]}}"
        )
    };
    let project = Project::new(&[("compose.yaml", &file("environment: [A=1]"))]);
    project.compose("-p c up -d");
    let id = |name: &str| project.host.inspect(name, "{{.Id}}");
    let (web, db) = (id("c-web-1"), id("c-db-1"));
    project.write(&file("environment: [A=2]"));
    project.compose("-p c up -d --no-recreate");
    assert_eq!((id("c-web-1"), id("c-db-1")), (web.clone(), db.clone()));
    project.compose("-p c up -d").stderr_has("Container c-web-1  Recreated");
    assert_ne!(id("c-web-1"), web);
    assert_eq!(id("c-db-1"), db);
    project.host.mydocker(["exec", "c-web-1", "sh", "-c", "echo $A"]).stdout("2\n");
    // The new container of `db` gets the anonymous volume of the old one. The volume still counts
    // as anonymous, so `-V` replaces the volume.
    project.host.mydocker(["exec", "c-db-1", "sh", "-c", "echo hi >/kept/file"]);
    project.compose("-p c up -d --force-recreate db");
    assert_ne!(id("c-db-1"), db);
    project.host.mydocker(["exec", "c-db-1", "cat", "/kept/file"]).stdout("hi\n");
    project.compose("-p c up -d --force-recreate -V db");
    project.host.mydocker(["exec", "c-db-1", "ls", "/kept"]).stdout("");
    // If the image's name now belongs to another image, the container is made again.
    let web = id("c-web-1");
    let archive = support::busybox_archive();
    project.host.mydocker(["import", "--change", "ENV NEW=1", archive.to_str().unwrap(), "bb"]);
    project.compose("-p c up -d --no-deps web");
    assert_ne!(id("c-web-1"), web);
    project.compose("-p c up -d --scale web=3");
    assert_eq!(project.names(), ["c-db-1", "c-web-1", "c-web-2", "c-web-3"]);
    project.compose("-p c up -d --scale web=1 --no-recreate");
    assert_eq!(project.names(), ["c-db-1", "c-web-1"]);
    project.write("services: {web: {image: bb, init: true, command: sleep 1000}}");
    project.compose("-p c up -d").stderr_has("that the file no longer has: c-db-1");
    assert_eq!(project.names(), ["c-db-1", "c-web-1"]);
    project.compose("-p c up -d --remove-orphans").stderr_has("Container c-db-1  Removed");
    assert_eq!(project.names(), ["c-web-1"]);
    project.compose("-p c down -v");
}

/// A killed `up` may leave a new container with another name beside the old one.
#[test]
fn an_interrupted_change_is_finished() {
    let file = |value: u32| {
        format!(
            "services: {{a: {{image: bb, init: true, command: sleep 1000, environment: [A={value}]}}}}"
        )
    };
    let project = Project::new(&[("compose.yaml", &file(1))]);
    project.compose("-p i up -d");
    project.write(&file(2));
    let hash = project.compose("-p i config --hash a").text();
    let labels = [
        "project=i".to_owned(),
        "service=a".to_owned(),
        "container-number=1".to_owned(),
        format!("config-hash={}", hash.trim().split(' ').nth(1).unwrap()),
    ];
    let mut command =
        vec!["create".to_owned(), "--name=x_i-a-1".to_owned(), "--net=i_default".to_owned()];
    command.extend(labels.map(|label| format!("--label=com.docker.compose.{label}")));
    command.extend(["--init", "bb", "sleep", "1000"].map(str::to_owned));
    let new = project.host.mydocker(command).text().trim().to_owned();
    project.compose("-p i up -d");
    assert_eq!(project.ids(), [format!("i-a-1 {new}")]);
    assert!(project.host.is_running("i-a-1"));
    project.compose("-p i down");
}

/// CVE-2026-53488: the author of an image chooses its labels, so an image's labels must not put a
/// container into a project.
#[test]
fn labels_of_an_image_make_no_project() {
    let project = Project::new(&[(
        "compose.yaml",
        "services: {a: {image: evil, command: sleep 1000, init: true}}",
    )]);
    let archive = support::busybox_archive();
    let mut import = vec!["import".to_owned()];
    for label in ["project=victim", "service=a", "container-number=1", "oneoff=False"] {
        import.push(format!("--change=LABEL com.docker.compose.{label}"));
    }
    import
        .extend(["--change=LABEL kept=yes", archive.to_str().unwrap(), "evil"].map(str::to_owned));
    project.host.mydocker(import);
    project.host.mydocker(["run", "-d", "--init", "--name", "stray", "evil", "sleep", "1000"]);
    project
        .host
        .mydocker(["inspect", "--format", "{{json .Config.Labels}}", "stray"])
        .stdout("{\"kept\":\"yes\"}\n");
    project.compose("-p victim ps -aq").stdout("");
    project.compose("-p victim down");
    assert!(project.host.is_running("stray"));
    project.compose("-p mine up -d");
    assert_eq!(
        project.host.inspect("mine-a-1", "{{index .Config.Labels \"com.docker.compose.project\"}}"),
        "mine"
    );
    project.compose("-p mine down");
}

#[test]
fn a_service_without_an_active_profile_does_not_run() {
    let project = Project::new(&[(
        "compose.yaml",
        "services:\n  web: {image: bb, network_mode: 'service:db', command: sleep 1000, init: true,\n        \
         depends_on: {db: {condition: service_started, required: false}}}\n  db: {image: bb, profiles: [off]}",
    )]);
    project.host.mydocker(["run", "-d", "--init", "--name", "db", "bb", "sleep", "1000"]);
    project.compose("-p n up -d").exits(1).stderr_has("service web: no such container: n-db-1");
}

#[test]
fn a_service_for_another_machine_is_reported_with_its_platform() {
    let far = "services: {a: {image: far, command: 'true', platform: linux/s390x}}";
    let undeclared = "services: {a: {image: far, command: 'true'}}";
    let project = Project::new(&[("compose.yaml", far), ("undeclared.yaml", undeclared)]);
    let archive = support::busybox_archive();
    let import = ["import", "-q", "--platform", "linux/s390x", archive.to_str().unwrap(), "far"];
    project.host.mydocker(import);
    let warning = "the image is for linux/s390x";
    let silent = project.compose("create").stderr_text();
    assert!(!silent.contains(warning), "{silent}");
    project.compose("down");
    project.compose("-f undeclared.yaml create").stderr_has(warning);
    project.compose("down");
}

#[test]
fn networks_and_volumes_of_others_are_not_changed() {
    let external = "services: {a: {image: bb, command: 'true', networks: [n], volumes: ['v:/v']}}\n\
                    networks: {n: {external: true, name: NET}}\nvolumes: {v: {external: true, name: outside}}";
    let net = support::unique("n");
    let project = Project::new(&[("compose.yaml", &external.replace("NET", &net))]);
    project.compose("-p e up -d").exits(1).stderr_has(&format!(
        "compose.yaml:2: the external network {net} does not exist; make it with mydocker network create {net}"
    ));
    project.host.mydocker(["network", "create", &net]);
    project.compose("-p e up -d").exits(1).stderr_has("the external volume outside does not exist");
    project.host.mydocker(["volume", "create", "outside"]);
    project.compose("-p e up -d --wait");
    project.compose("-p e down -v");
    project.host.mydocker(["network", "inspect", &net]);
    project.host.mydocker(["volume", "inspect", "outside"]);
    project.write(&format!(
        "services: {{a: {{image: bb, networks: [n]}}}}\nnetworks: {{n: {{name: {net}}}}}"
    ));
    project.compose("-p e up -d").exits(1).stderr_has("exists and is not this project's");
    project.host.mydocker(["network", "rm", &net]);
}

#[test]
fn an_endpoint_has_the_options_of_its_service() {
    let project = Project::new(&[(
        "compose.yaml",
        "services:
  a:
    image: bb
    command: sleep 1000
    init: true
    networks:
      n:
        interface_name: lan7
        link_local_ips: [169.254.5.6]
        driver_opts:
          com.docker.network.endpoint.sysctls: \"net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.arp_announce=2\"
networks: {n: {}}
",
    )]);
    project.compose("-p e up -d");
    let shown = "ip addr show lan7; cat /proc/sys/net/ipv4/conf/lan7/arp_announce";
    let shown = project.host.mydocker(["exec", "e-a-1", "sh", "-c", shown]).text();
    assert!(shown.contains("169.254.5.6/16") && shown.ends_with("\n2"), "{shown}");
    project.compose("-p e down");
    let other =
        "services: {a: {image: bb, networks: {n: {driver_opts: {x: y}}}}}\nnetworks: {n: {}}";
    project.write(other);
    project.compose("-p e up -d").exits(1).stderr_has("compose.yaml:1: net: unknown option 'x'");
}

const CHATTY: &str = "
services:
  a: {image: bb, init: true, command: \"sh -c 'echo from a; sleep 1000'\"}
  b: {image: bb, init: true, command: \"sh -c 'echo from b >&2; sleep 1000'\", depends_on: [a]}
";

impl Project {
    fn background(&self, line: &str) -> support::Background {
        support::Background::spawn(self.command(line))
    }
}

#[test]
fn up_in_the_foreground_prints_logs_and_stops_in_order() {
    let project = Project::new(&[("compose.yaml", CHATTY)]);
    let mut up = project.background("-p g up");
    up.expect("a-1  | from a\n");
    support::eventually("b runs", || {
        project.names().len() == 2 && project.host.is_running("g-b-1")
    });
    let log = || project.compose("-p g logs b").stderr_text();
    support::eventually("b has said something", || log().contains("from b"));
    up.signal(rustix::process::Signal::INT);
    let done = up.wait().exits(130).stdout_has("a-1  | from a\n").stderr_has("b-1  | from b\n");
    let printed = done.stderr_text();
    let place = |line: &str| printed.find(line).unwrap_or_else(|| panic!("{line} in {printed}"));
    assert!(place("g-b-1  Stopped") < place("g-a-1  Stopping"), "{printed}");
    assert!(printed.contains("b-1 exited with code 143"), "{printed}");
    assert!(!project.host.is_running("g-a-1"));
    project.compose("-p g down");
}

#[test]
fn a_second_signal_kills() {
    let deaf = "services: {a: {image: bb, command: \"sh -c 'trap : TERM; echo on; while :; do sleep 1; done'\", stop_grace_period: 10m}}";
    let project = Project::new(&[("compose.yaml", deaf)]);
    let mut up = project.background("-p k up");
    up.expect("a-1  | on\n");
    up.signal(rustix::process::Signal::INT);
    up.expect_error("Stopping");
    up.signal(rustix::process::Signal::INT);
    up.wait().exits(130).stderr_has("a-1 exited with code 137");
    project.compose("-p k down");
}

#[test]
fn the_first_signal_kills_if_up_already_stops_the_containers() {
    let file = "services:\n  deaf: {image: bb, command: sleep 1000, stop_grace_period: 10m}\n  \
                b: {image: bb, command: 'false', depends_on: [deaf]}";
    let project = Project::new(&[("compose.yaml", file)]);
    let mut up = project.background("-p kk up --abort-on-container-exit");
    up.expect_error("kk-deaf-1  Stopping");
    up.signal(rustix::process::Signal::INT);
    up.wait().exits(1).stderr_has("deaf-1 exited with code 137");
    project.compose("-p kk down");
}

#[test]
fn the_end_of_one_container_can_stop_all() {
    let file = "services:\n  a: {image: bb, init: true, command: sleep 1000}\n  \
                b: {image: bb, command: \"sh -c 'sleep 0.2; exit 7'\", depends_on: [a]}\n  \
                c: {image: bb, command: 'true'}";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p x up --exit-code-from b").exits(7).stderr_has("Container x-a-1  Stopped");
    project.compose("-p x up --abort-on-container-failure").exits(7);
    project.compose("-p x up --abort-on-container-exit a b").exits(7);
    project.compose("-p x up --exit-code-from d").exits(1).stderr_has("no such service: d");
    project.compose("-p x down");
}

#[test]
fn the_end_of_a_container_counts_without_its_logs() {
    let file = "services:\n  a: {image: bb, init: true, command: sleep 1000}\n  \
                job: {image: bb, attach: false, command: \"sh -c 'echo hi; sleep 0.2; exit 7'\"}\n  \
                c: {image: bb, command: 'true'}";
    let project = Project::new(&[("compose.yaml", file)]);
    let done = project.compose("-p xs up --exit-code-from job").exits(7);
    done.stdout("").stderr_has("Container xs-a-1  Stopped");
    project.compose("-p xs up --abort-on-container-exit a job").exits(7).stdout("");
    project.compose("-p xs up --abort-on-container-failure c job --no-attach c").exits(7);
    // As in Docker Compose, the end of a service that is neither named nor attached does not count.
    project.compose("-p xs up --abort-on-container-failure --attach c").exits(0);
    // Without any logs, `up` waits for all containers.
    project.write("services: {a: {image: bb, attach: false, command: sleep 0.2}}");
    project.compose("-p xs up --remove-orphans").stderr_has("a-1 exited with code 0");
    project.compose("-p xs down");
}

#[test]
fn up_reports_the_status_of_a_container_that_is_removed() {
    let file = "services: {a: {image: bb, command: sh -c 'echo on; exec sleep 1000', init: true}}";
    let project = Project::new(&[("compose.yaml", file)]);
    let mut up = project.background("-p rr up");
    up.expect("a-1  | on\n");
    // While `up` is stopped, the container ends and is removed.
    up.signal(rustix::process::Signal::STOP);
    project.host.mydocker(["rm", "-f", "rr-a-1"]);
    up.signal(rustix::process::Signal::CONT);
    up.wait().stderr_has("a-1 exited with code 137");
    project.compose("-p rr down");
}

#[test]
fn names_are_coloured_on_a_terminal() {
    let project = Project::new(&[("compose.yaml", CHATTY)]);
    project.compose("-p t up -d");
    support::eventually("a has said something", || project.compose("-p t logs a").text() != "");
    let mut command = project.command("-p t logs a");
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let mut terminal = support::Terminal::spawn(&command);
    terminal.expect("\x1b[36ma-1  | \x1b[0mfrom a");
    project.compose("--ansi always -p t logs a").stdout("\x1b[36ma-1  | \x1b[0mfrom a\n");
    project.compose("-p t logs a").stdout("a-1  | from a\n");
    project.compose("-p t down -t 0");
}

#[test]
fn logs_follow_several_containers_until_they_end() {
    let file = "services:\n  a: {image: bb, command: \"sh -c 'echo 1; sleep 0.5; echo 2'\"}\n  \
                long: {image: bb, command: \"sh -c 'echo 3; sleep 0.7; printf 4'\"}";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p l up -d");
    let mut lines = project.compose("-p l logs -f").lines();
    lines.sort();
    assert_eq!(lines, ["a-1     | 1", "a-1     | 2", "long-1  | 3", "long-1  | 4"]);
    project.compose("-p l logs --tail 1 a").stdout("a-1  | 2\n");
    project.compose("-p l down");
}

/// Each line that `a` prints ends with the number of times that its container has started.
#[test]
fn containers_that_come_later_are_followed_too() {
    let file = |word: &str| {
        format!(
            "services:\n  a: {{image: bb, init: true, command: \"sh -c 'echo >>/n; echo {word} $$(wc -l </n); \
             exec sleep 1000'\"}}\n  stays: {{image: bb, init: true, command: \"sh -c 'echo up; exec sleep 1000'\"}}\n  \
             b: {{image: bb, command: echo not me}}"
        )
    };
    let project = Project::new(&[("compose.yaml", &file("one"))]);
    project.compose("-p w up -d");
    let mut logs = project.background("-p w logs -f a stays");
    logs.expect("a-1      | one 1\n");
    project.compose("-p w up -d --scale a=2 a");
    logs.expect("a-2      | one 1\n");
    project.compose("-p w restart -t 1 a b");
    logs.expect("a-1      | one 2\n");
    logs.expect("a-2      | one 2\n");
    project.compose("-p w kill a");
    project.compose("-p w start a");
    logs.expect("a-1      | one 3\n");
    logs.expect("a-2      | one 3\n");
    project.write(&file("two"));
    project.compose("-p w up -d -t 1 --scale a=1");
    logs.expect("a-1      | two 1\n");
    let mut up = project.background("-p w up");
    up.expect_error("w-a-1  Running");
    project.compose("-p w restart -t 1 a");
    up.expect("a-1      | two 2\n");
    logs.expect("a-1      | two 2\n");
    project.write(&file("three"));
    project.compose("-p w up -d -t 1 --scale a=2");
    up.expect("a-1      | three 1\n");
    up.expect("a-2      | three 1\n");
    up.signal(rustix::process::Signal::INT);
    up.wait().exits(130).stderr_has("Container w-a-2  Stopped");
    // No line is printed twice.
    let mut printed = logs.wait().lines();
    printed.sort();
    let wanted = ["one 1", "one 2", "one 3", "three 1", "two 1", "two 2"];
    let first: Vec<&str> =
        printed.iter().filter_map(|line| line.strip_prefix("a-1      | ")).collect();
    assert_eq!(first, wanted, "{printed:#?}");
    let second: Vec<&str> =
        printed.iter().filter_map(|line| line.strip_prefix("a-2      | ")).collect();
    assert_eq!(second, ["one 1", "one 2", "one 3", "three 1"], "{printed:#?}");
    assert_eq!(printed.len(), 11, "{printed:#?}");
    project.compose("-p w down -t 0");
}

/// `logs -f` follows a single container. When `up` replaces the container, `logs` follows the new
/// one.
#[test]
fn logs_go_on_with_the_container_that_replaces_another() {
    let file = |word: &str| {
        format!(
            "services: {{a: {{image: bb, init: true, command: \"sh -c 'echo {word}; exec sleep 1000'\"}}}}"
        )
    };
    let project = Project::new(&[("compose.yaml", &file("old"))]);
    project.compose("-p q up -d");
    let mut logs = project.background("-p q logs -f");
    logs.expect("a-1  | old\n");
    project.write(&file("new"));
    project.compose("-p q up -d -t 1");
    logs.expect("a-1  | new\n");
    project.compose("-p q down -t 0");
    logs.wait().stdout("a-1  | old\na-1  | new\n");
}

#[test]
fn run_makes_a_separate_container() {
    let file = "services:\n  app: {image: bb, entrypoint: [sh, -c], command: ['echo usual'], depends_on: \
                {db: {condition: service_healthy}}, ports: ['127.0.0.1:1:1'], environment: [A=1], \
                container_name: fixed, restart: always}\n  \
                db: {image: bb, init: true, command: sleep 1000, healthcheck: {test: 'true', \
                interval: 100ms}}";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p r run --rm app").stdout("usual\n").stderr_has("Container r-db-1  Started");
    let mut command = project.command("-p r run -T -e B=2 -w /tmp app");
    command.arg("echo $A $B; pwd; exit 5");
    support::run(command, None).exits(5).stdout("1 2\n/tmp\n");
    let names = project.names();
    assert!(names.len() == 2 && names[0].starts_with("r-app-run-"), "{names:?}");
    let labels = project.host.inspect(&names[0], "{{json .Config.Labels}}");
    assert!(labels.contains(r#""com.docker.compose.oneoff":"True""#), "{labels}");
    assert_eq!(project.host.inspect(&names[0], "{{.HostConfig.RestartPolicy.Name}}"), "no");
    project.compose("-p r run --no-deps --entrypoint echo app a b").stdout("a b\n");
    // The container of `run` is not a replica.
    project.compose("-p r up -d --no-deps app");
    project.compose("-p r exec -T db sh -c pwd").stdout("/\n");
    project.compose("-p r exec app true").exits(1).stderr_has("waits to be restarted");
    project.compose("-p r exec ap true").exits(1).stderr_has("did you mean 'app'?");
    project.compose("-p r exec db nowhere").exits(127);
    project.compose("-p r exec db /etc").exits(126);
    project.compose("-p r run --rm --no-deps db nowhere").exits(127);
    project.compose("-p r run nobody").exits(1);
    project.compose("-p r down -t 0");
    assert!(project.names().is_empty());
}

#[test]
fn containers_are_paused_stopped_killed_and_removed() {
    let project = Project::new(&[("compose.yaml", CHATTY)]);
    project.compose("-p o create").stderr_has("Container o-b-1  Created");
    assert!(!project.host.is_running("o-a-1"));
    project.compose("-p o start");
    let state = |name: &str| project.host.inspect(name, "{{.State.Status}}");
    project.compose("-p o pause a");
    assert_eq!((state("o-a-1"), state("o-b-1")), ("paused".to_owned(), "running".to_owned()));
    project.compose("-p o unpause");
    project.compose("-p o top b").stdout_has("sleep 1000");
    project.compose("-p o stats --no-stream a").stdout_has("o-a-1");
    project.compose("-p o images -q").stdout_has(&project.host.inspect("o-a-1", "{{.Image}}")[7..]);
    let started = project.host.inspect("o-b-1", "{{.State.StartedAt}}");
    project.compose("-p o restart -t 5 b");
    assert_ne!(project.host.inspect("o-b-1", "{{.State.StartedAt}}"), started);
    project.compose("-p o kill -s KILL b");
    project.compose("-p o wait b").exits(137).stdout("137\n");
    project.compose("-p o rm -f");
    assert_eq!(project.names(), ["o-a-1"]);
    project.compose("-p o stop");
    project.compose("-p o rm -f").stderr_has("Container o-a-1  Removed");
    project.compose("-p o start").exits(1).stderr_has("there are no containers to start");
    std::fs::write(project.dir.join("file"), "here\n").unwrap();
    project.compose("-p o up -d --scale a=2 a");
    project.compose("-p o cp file a:/copy");
    project.compose("-p o exec -T a cat /copy").stdout("here\n");
    project.compose("-p o exec -T --index 2 a cat /copy").stdout("here\n");
    project.compose("-p o cp --index 2 file a:/other");
    project.compose("-p o exec -T a cat /other").exits(1);
    project.compose("-p o port a 80").exits(1).stderr_has("container o-a-1 has published no port");
    project.compose("-p o down -t 0");
}

#[test]
fn images_are_built() {
    let file = "services:\n  app:\n    build: {context: ctx, args: {WHO: all}, labels: {l: x}, tags: \
                [also:1]}\n  small:\n    image: named\n    build:\n      context: ctx\n      \
                dockerfile_inline: |\n        FROM bb\n        CMD [\"echo\", \"inline $$HOME\"]\n";
    let project = Project::new(&[
        ("compose.yaml", file),
        (
            "ctx/Dockerfile",
            "FROM bb\nARG WHO\nRUN echo hello $WHO >/greet\nCMD [\"cat\", \"/greet\"]\n",
        ),
    ]);
    project.compose("-p b up -d --wait");
    project.compose("-p b logs -f app").stdout("app-1  | hello all\n");
    project.compose("-p b logs -f small").stdout("small-1  | inline $HOME\n");
    project
        .host
        .mydocker(["inspect", "--format", "{{.Config.Labels.l}}", "b-app", "also:1"])
        .stdout("x\nx\n");
    let before = project.ids();
    project.compose("-p b build --build-arg WHO=me app");
    project.compose("-p b up -d app").stderr_has("Recreated");
    assert_ne!(project.ids(), before);
    project.compose("-p b wait app");
    project.compose("-p b up --no-log-prefix app").stdout("hello me\n");
    project.write(&file.replace("app:", "app:\n    pull_policy: build"));
    project.compose("-p b up -d --no-build app").stderr_has("Container b-app-1  Started");
    let printed = project.compose("-p b down --rmi all small").stderr_text();
    assert!(printed.contains("Image named  Removed") && !printed.contains("b-app"), "{printed}");
    project.compose("-p b build small");
    project.compose("-p b down --rmi local").stderr_has("Image b-app  Removed");
    project.compose("-p b up -d --no-build app").exits(1).stderr_has("--no-build was given");
    project.host.mydocker(["image", "inspect", "named"]);
    project.write(
        "services: {a: {build: {context: ctx, additional_contexts: {more: ./more}, extra_hosts: \
         ['gate:10.9.8.7'], ulimits: {nofile: 500}, dockerfile_inline: \"FROM bb\\nCOPY --from=more f \
         /f\\nRUN cat /etc/hosts >>/f; ulimit -n >>/f\\nCMD cat /f\"}}}",
    );
    std::fs::create_dir(project.dir.join("more")).unwrap();
    std::fs::write(project.dir.join("more/f"), "from more\n").unwrap();
    let text = project.compose("-p b up --no-log-prefix").text();
    for part in ["from more", "10.9.8.7\tgate", "\n500"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    project.compose("-p b down --rmi local");
    for (key, part) in [
        ("ssh: default", "services.a.build.ssh is not supported"),
        ("entitlements: [x]", "services.a.build.entitlements is not supported"),
        ("privileged: true", "services.a.build.privileged is not supported"),
        ("sbom: true", "services.a.build.sbom is not supported"),
        ("context: 'git@h:a/b'", "services.a.build.context is not supported"),
        ("isolation: hyperv", "isolation 'hyperv' exists only on Windows"),
        ("platforms: [linux/a, linux/b]", "build.platforms: an image is for one platform"),
        ("cache_from: ['type=gha']", "only a directory can hold a cache"),
        ("secrets: [s]", "no such secret: s; declare it below 'secrets:'"),
        ("additional_contexts: {b: 'service:no'}", "no such service: no"),
        ("additional_contexts: {b: 'service:a'}", "these builds need each other"),
    ] {
        let context = if key.starts_with("context") { "" } else { "context: ctx, " };
        project.write(&format!("services: {{a: {{build: {{{context}{key}}}}}}}"));
        let done = project.compose("-p b build").exits(1);
        let error = done.stderr_text();
        assert!(error.contains("compose.yaml:1: ") && error.contains(part), "{key}: {error}");
    }
}

#[test]
fn builds_have_secrets_caches_and_images_of_other_services() {
    let file = "services:\n  app:\n    build:\n      context: .\n      isolation: default\n      \
                additional_contexts: {base: 'service:base'}\n      cache_to: ['type=local,dest=cache']\n      \
                cache_from: ['type=local,src=cache']\n      secrets: [token, {source: key, target: id}]\n      \
                dockerfile_inline: |\n        FROM base\n        RUN --mount=type=secret,id=token \
                --mount=type=secret,id=id cat /run/secrets/token /run/secrets/id >>/out\n        CMD cat /out\n  \
                base:\n    profiles: [never]\n    build: {context: ., cache_to: ['type=local,dest=cache2'], cache_from: ['type=local,src=cache2'], dockerfile_inline: \"FROM bb\\nRUN echo \
                base >/out\"}\nsecrets:\n  token: {environment: TOKEN}\n  key: {file: ./key}\n";
    let project =
        Project::new(&[("compose.yaml", file), (".env", "TOKEN=of .env"), ("key", " of a file\n")]);
    project.compose("-p d up --no-log-prefix").stdout("base\nof .env of a file\n");
    project.compose("-p d down --rmi all");
    // The steps are in the cache beside the compose file, wherever the command runs.
    project.host.mydocker(["builder", "prune", "-af"]);
    project.host.mydocker(["image", "prune", "-f"]);
    let mut command = project.command("-p d -f");
    command.arg(project.dir.join("compose.yaml")).args(["build", "app"]).current_dir("/");
    let built = support::run(command, None).stderr_text();
    assert!(project.dir.join("cache").is_dir() && built.matches("CACHED").count() == 2, "{built}");
}

#[test]
fn images_are_pushed_and_pulled_by_their_policies() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let name = registry.name("app:1");
    let file = |rest: &str| {
        format!("services: {{a: {{image: '{name}', init: true, command: sleep 1000, {rest}}}}}")
    };
    let project = Project::on(host, &[]);
    project.write(&file("build: {context: ., dockerfile_inline: 'FROM bb'}"));
    project.compose("-p y build");
    project.compose("-p y push -q");
    project.compose("-p y down --rmi all");
    project.write(&file("pull_policy: every_1w2d"));
    project.compose("-p y create --quiet-pull");
    let pulls = |project: &Project| {
        let shown = project.host.mydocker([
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "--filter",
            "event=pull",
        ]);
        shown.lines().len()
    };
    assert_eq!(pulls(&project), 1);
    project.compose("-p y create");
    assert_eq!(pulls(&project), 1);
    // Set the time of the file that records the image's name ten days back.
    let (repository, tag) = name.split_once("/app:").unwrap();
    let path = project.host.state_root().join(format!("images/refs/{repository}+app/{tag}"));
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(10 * 24 * 60 * 60);
    let age =
        || std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    age();
    project.compose("-p y create");
    assert_eq!(pulls(&project), 2);
    project.compose("-p y create");
    assert_eq!(pulls(&project), 2);
    for (policy, more) in
        [("weekly", 1), ("every_30d", 0), ("missing", 0), ("never", 0), ("always", 1)]
    {
        age();
        let before = pulls(&project);
        project.write(&file(&format!("pull_policy: {policy}")));
        project.compose("-p y create");
        assert_eq!(pulls(&project), before + more, "{policy}");
    }
    for (rest, more) in
        [("pull_policy: never", 1), ("pull_policy: refresh, pull_refresh_after: 241h", 0)]
    {
        age();
        let before = pulls(&project);
        project.write(&file(rest));
        project.compose("-p y create --pull refresh");
        assert_eq!(pulls(&project), before + more, "{rest}");
    }
    let before = pulls(&project);
    project.write(&file("pull_policy: never"));
    project.compose("-p y pull");
    assert_eq!(pulls(&project), before);
    project.write(&file("pull_policy: missing"));
    project.compose("-p y pull -q --policy always");
    assert_eq!(pulls(&project), before + 1);
    project.write(&file("pull_policy: monthly"));
    project.compose("config").exits(1).stderr_has("compose.yaml:1: unknown policy 'monthly'");
    project.compose("-p y down");
}

/// Docker Compose prints its objects with these keys and types too.
#[test]
fn listings_are_printed_as_json() {
    let file = "services: {a: {image: bb, init: true, command: sleep 1000, ports: ['127.0.0.1::80'], volumes: ['v:/v']}}\n\
                volumes: {v: }";
    let project = Project::on(Host::on_machine(), &[("compose.yaml", file)]);
    project.compose("-p j up -d");
    let port = project.compose("-p j port a 80").text();
    let port = port.trim().rsplit(':').next().unwrap();
    let line = project.compose("-p j ps --format json").text();
    let publishers = format!(
        "\"Publishers\":[{{\"URL\":\"127.0.0.1\",\"TargetPort\":80,\"PublishedPort\":{port},\"Protocol\":\"tcp\"}}]"
    );
    for part in [
        publishers.as_str(),
        "\"ExitCode\":0,",
        "\"Name\":\"j-a-1\"",
        "\"Project\":\"j\"",
        "\"LocalVolumes\":\"1\"",
        "\"Mounts\":\"j_v\"",
        "\"CreatedAt\":\"20",
        "\"Size\":\"0B\"",
        "\"State\":\"running\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    project
        .compose("-p j ps --format {{.ExitCode}}:{{.Publishers}}")
        .stdout(&format!("0:[{{127.0.0.1 80 {port} tcp}}]\n"));
    let images = project.compose("-p j images --format json").text();
    let id = project.host.inspect("j-a-1", "{{.Image}}");
    let start = format!(
        "[{{\"ID\":\"{id}\",\"ContainerName\":\"j-a-1\",\"Repository\":\"bb\",\"Tag\":\"latest\",\"Platform\":\"linux/"
    );
    assert!(images.starts_with(&start), "{start} in {images}");
    for part in ["\"Size\":", "\"Created\":\"", "\"LastTagTime\":\"20"] {
        assert!(images.contains(part), "{part} in {images}");
    }
    project.compose("-p j images").stdout_has("PLATFORM");
    project.compose("-p j down -v -t 0");
}

#[test]
fn variables_of_compose_itself_are_read() {
    let file =
        "services: {web: {image: bb, init: true, command: sleep 1000, hostname: '${NAME-none}'}}";
    let project = Project::new(&[("compose.yaml", file), (".env", "NAME=file\n")]);
    let with = |line: &str, name: &str, value: &str| {
        let mut command = project.command(line);
        command.env(name, value);
        support::run(command, None)
    };
    project.write("services: {a: {image: bb, profiles: [a]}, b: {image: bb, profiles: [b]}}");
    with("config --services", "COMPOSE_PROFILES", "b").stdout("b\n");
    with("--profile a config --services", "COMPOSE_PROFILES", "b").stdout("a\n");
    project.write(file);
    with("config", "COMPOSE_DISABLE_ENV_FILE", "1").stdout_has("hostname: none");
    with("config", "COMPOSE_DISABLE_ENV_FILE", "0").stdout_has("hostname: file");
    with("-p z up -d --scale web=3", "COMPOSE_PARALLEL_LIMIT", "1");
    with("-p z logs", "COMPOSE_ANSI", "always");
    project.write(&file.replace("web:", "new:"));
    let shown = with("-p z up -d", "COMPOSE_IGNORE_ORPHANS", "1").stderr_text();
    assert!(!shown.contains("no longer has"), "{shown}");
    assert_eq!(project.names(), ["z-new-1", "z-web-1", "z-web-2", "z-web-3"]);
    with("-p z up -d", "COMPOSE_REMOVE_ORPHANS", "true");
    assert_eq!(project.names(), ["z-new-1"]);
    project.compose("-p z down -t 0");
}

#[test]
fn variables_of_compose_count_as_in_docker_compose() {
    let project = Project::new(&[
        (".env", "COMPOSE_FILE=sub/a.yaml:b.yaml\nV=top"),
        ("sub/.env", "V=sub\nW=sub"),
        (
            "sub/a.yaml",
            "services: {a: {image: '$V-$W', hostname: $COMPOSE_PROJECT_NAME, volumes: ['./x:/x']}}",
        ),
        ("b.yaml", "services: {a: {command: hi}}"),
    ]);
    // The directory of the first file is the project's directory.
    let out = project.compose("config --format json").text();
    for part in ["\"name\":\"sub\"", "\"top-sub\"", "/sub/x\"", "\"command\":[\"hi\"]"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    // `-p` sets $COMPOSE_PROJECT_NAME, whatever the caller's environment says.
    let mut command = project.command("-p flag config");
    command.env("COMPOSE_PROJECT_NAME", "own");
    support::run(command, None).stdout_has("hostname: flag");
}

#[test]
fn secrets_and_configs_come_from_files_variables_and_the_text() {
    let file = "services:\n  a:\n    image: bb\n    init: true\n    command: sleep 1000\n    user: '7:8'\n    \
                tmpfs: [/run]\n    secrets:\n      - token\n      - {source: plain, target: /etc/plain}\n      \
                - {source: plain, target: mine, uid: '7', gid: '8', mode: 0400}\n    configs:\n      - \
                {source: app, target: /etc/app.conf, mode: 0440, gid: '8'}\n      - app\nsecrets:\n  token: \
                {environment: TOKEN}\n  plain: {file: ./plain.txt}\nconfigs:\n  app:\n    content: |\n      \
                home = ${TOKEN}\n";
    let project = Project::new(&[("compose.yaml", file), ("plain.txt", "in a file\n")]);
    project
        .compose("-p s up -d")
        .exits(1)
        .stderr_has("compose.yaml:16: secrets.token: the variable TOKEN is not set");
    let up = |token: &str| {
        let mut command = project.command("-p s up -d");
        command.env("TOKEN", token);
        support::run(command, None);
    };
    up("s3cret");
    let sh = |line: &str| project.host.mydocker(["exec", "s-a-1", "sh", "-c", line]).text();
    assert_eq!(sh("cat /run/secrets/token"), "s3cret");
    assert_eq!(sh("cat /etc/plain /run/secrets/mine"), "in a file\nin a file");
    assert_eq!(sh("cat /etc/app.conf /app"), "home = s3cret\nhome = s3cret");
    assert_eq!(
        sh("stat -c '%a %u %g' /run/secrets/token /run/secrets/mine /etc/app.conf"),
        "444 0 0\n400 7 8\n440 0 8"
    );
    assert!(!project.host.succeeds([
        "exec",
        "-u",
        "0",
        "s-a-1",
        "sh",
        "-c",
        "echo x >>/run/secrets/token"
    ]));
    // The content of a secret is not in the record. If the content changes, the container is made
    // again.
    let record = project.host.mydocker(["inspect", "s-a-1"]).text();
    assert!(!record.contains("s3cret"), "{record}");
    let before = project.ids();
    up("s3cret");
    assert_eq!(project.ids(), before);
    up("other");
    assert_ne!(project.ids(), before);
    assert_eq!(sh("cat /run/secrets/token"), "other");
    project.compose("-p s down");
    project.write(
        "services: {a: {image: bb, secrets: [{source: s, mode: 440}]}}\nsecrets: {s: {content: x}}",
    );
    project.compose("config").exits(1).stderr_has("compose.yaml:1: bad mode '440'");
}

#[test]
fn boot_brings_a_project_back_in_order() {
    let file = "services:\n  \
        after: {image: bb, init: true, restart: always, volumes: ['v:/v'], depends_on: {db: {condition: service_healthy}},\n    \
                command: \"sh -c 'test -e /v/ok && echo ready || echo early; exec sleep 1000'\"}\n  \
        db: {image: bb, init: true, restart: unless-stopped, volumes: ['v:/v'],\n    \
             command: \"sh -c 'rm -f /v/ok; sleep 0.5; touch /v/ok; exec sleep 1000'\",\n    \
             healthcheck: {test: [CMD, test, -e, /v/ok], interval: 200ms, start_period: 60s}}\n  \
        job: {image: bb, command: 'true'}\nvolumes: {v: }";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p h up -d");
    project.host.mydocker(["halt", "-t", "5"]);
    assert!(!project.host.is_running("h-db-1"));
    assert_eq!(project.host.mydocker(["boot"]).lines(), ["h-db-1", "h-after-1"]);
    support::eventually("it has started twice", || {
        project.compose("-p h logs --no-log-prefix after").text() == "ready\nready"
    });
    project.compose("-p h down -v -t 0");
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    let file = "services:\n  a:\n    image: bb\n    init: true\n    command: sleep 1000\n    volumes: ['./log:/log']\n    \
                post_start:\n      - command: sh -c 'echo $$A $$(pwd) >>/log/l'\n        environment: [A=started]\n        \
                working_dir: /tmp\n    pre_stop:\n      - command: [sh, -c, 'echo stops >>/log/l']\n";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p p up -d");
    project.compose("-p p down");
    let log = std::fs::read_to_string(project.dir.join("log/l")).unwrap();
    assert_eq!(log, "started /tmp\nstops\n");
    project.write(&file.replace("echo $$A $$(pwd) >>/log/l", "exit 3"));
    project.compose("-p p up -d").exits(1).stderr_has("post_start of service a exited with 3");
    assert!(!project.host.is_running("p-a-1"));
    project.compose("-p p down");
    project.write(&file.replace("echo stops >>/log/l", "exit 4"));
    project.compose("-p p up -d");
    project.compose("-p p stop").exits(1).stderr_has("pre_stop of service a exited with 4");
    assert!(project.host.is_running("p-a-1"));
    project.compose("-p p kill");
    project.compose("-p p down");
}

#[test]
fn a_hundred_services_may_extend_one_file() {
    let services: String = (0..100)
        .map(|n| format!("  s{n}: {{extends: {{file: base.yaml, service: base}}}}\n"))
        .collect();
    let file = format!("services:\n{services}");
    let base = "services: {base: {image: bb, labels: {a: .inf, b: '.inf', c: '.NaN'}}}";
    let done = config(&[("compose.yaml", &file), ("base.yaml", base)], "-p e config");
    // Without quotes a YAML reader takes these texts for numbers.
    done.stdout_has("s99:").stdout_has("b: \".inf\"").stdout_has("c: \".NaN\"");
}

/// CVE-2019-5736: a hook's program may be the engine's own binary, so the commands of `compose`
/// that stop containers also run from a read-only mount of the binary.
#[test]
fn a_hook_before_the_stop_gets_the_binary_of_a_read_only_mount() {
    let file = "services:\n  a:\n    image: bb\n    init: true\n    command: sleep 1000\n    volumes: ['./log:/log']\n    \
                pre_stop:\n      - command: [/proc/self/exe, run, --env-file, /log/fifo, x]\n";
    let project = Project::new(&[("compose.yaml", file)]);
    project.compose("-p h up -d");
    let fifo = project.dir.join("log/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let down = project.background("-p h down -t 0");
    // The hook reads the FIFO, so opening it for writing waits for the hook.
    let writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let top = project.host.mydocker(["top", "h-a-1", "-o", "pid,args"]).lines();
    let hook = top.iter().find(|line| line.contains("--env-file")).unwrap();
    let pid = hook.split_whitespace().next().unwrap();
    let mount = rustix::fs::statvfs(format!("/proc/{pid}/exe")).unwrap();
    assert!(
        mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        "{hook}: a writable mount"
    );
    drop(writer);
    down.wait().exits(1).stderr_has("pre_stop of service a exited with 125");
    project.compose("-p h kill");
    project.compose("-p h down");
}

/// Container `a` has an hour to stop. `b` and `c` are stopped without waiting for `a`, although `c`
/// has a `pre_stop` hook.
#[test]
fn each_container_has_its_own_time_to_stop() {
    let deaf = "image: bb, command: \"sh -c 'trap : TERM; echo on; while :; do sleep 0.1; done'\"";
    let file = format!(
        "services:\n  a: {{{deaf}, stop_grace_period: 1h}}\n  b: {{{deaf}, stop_grace_period: 0s}}\n  \
         c: {{{deaf}, stop_grace_period: 0s, pre_stop: [{{command: 'touch /log/hook'}}], volumes: ['./log:/log']}}\n"
    );
    let project = Project::new(&[("compose.yaml", &file)]);
    project.compose("-p u up -d");
    for name in ["a", "b", "c"] {
        support::eventually("it has its trap", || {
            project.compose(&format!("-p u logs {name}")).text() != ""
        });
    }
    let stop = project.background("-p u stop");
    support::eventually("the others are killed", || {
        !project.host.is_running("u-b-1") && !project.host.is_running("u-c-1")
    });
    assert!(project.host.is_running("u-a-1") && project.dir.join("log/hook").exists());
    project.host.mydocker(["kill", "u-a-1"]);
    stop.wait().stderr_has("Container u-b-1  Stopped");
    // `mydocker stop` gives each container its own time too.
    project.compose("-p u start");
    for name in ["a", "b"] {
        let lines = || project.compose(&format!("-p u logs {name}")).lines().len();
        support::eventually("it has its trap", || lines() == 2);
    }
    let stop = project.host.background(["stop", "u-a-1", "u-b-1"]);
    support::eventually("the other is killed", || !project.host.is_running("u-b-1"));
    project.host.mydocker(["kill", "u-a-1"]);
    stop.wait().stdout("u-a-1\nu-b-1\n");
    project.compose("-p u down -t 0");
}

#[test]
fn events_of_a_project_are_printed() {
    let project = Project::new(&[("compose.yaml", CHATTY)]);
    project.host.mydocker(["run", "--rm", "bb", "true"]);
    project.compose("-p v up -d");
    project.compose("-p v down -t 0");
    let lines = project.compose("-p v events --json --since 1h --until 0s a").lines();
    let action = |line: &String| {
        let (_, rest) = line.split_once("\"action\":\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let actions: Vec<String> = lines.iter().map(action).collect();
    for wanted in ["create", "start", "die", "destroy"] {
        assert!(actions.iter().any(|action| action == wanted), "{wanted} in {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.contains("\"service\":\"a\"")), "{lines:#?}");
    let all = project.compose("-p v events --since 1h --until 0s").text();
    assert!(all.contains("name=v-b-1") && !all.contains("image=bb, name=v-c"), "{all}");
}

#[test]
fn volumes_have_options_and_networks_have_drivers() {
    let text =
        "services: {a: {image: bb, command: sleep 1000, volumes: ['fast:/fast'], networks: [own]}}
volumes: {fast: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}
networks:
  own: {driver: bridge, driver_opts: {com.docker.network.driver.mtu: 1400}}
  wire: {driver: macvlan, driver_opts: {parent: nowhere}}";
    let project = Project::new(&[("compose.yaml", text)]);
    project.compose("up -d").stderr_has("Started");
    project.compose("exec -T a grep /fast /proc/mounts").stdout_has("size=1024k");
    project.compose("exec -T a cat /sys/class/net/eth0/mtu").stdout("1400\n");
    project.write(&text.replace("size=1m", "size=2m"));
    project.compose("up -d").stderr_has("_fast  has changed in the file and stays as it is");
    project.compose("down -v");
    let used = text.replace("[own]", "[wire]");
    let project = Project::new(&[("compose.yaml", &used)]);
    project.compose("up -d").exits(1).stderr_has("parent=nowhere: the host has no such link");
    project.compose("down -v");
}
