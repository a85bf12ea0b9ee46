//! `pull`: what it takes, what it prints, what it leaves.

use std::fs;
use std::process::Command;

use crate::cat;
use crate::server::{Packing, Registry, base, layer, noise, succeeds};
use crate::support::{Host, unique};

#[test]
fn layers_of_every_packing() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let layers = [
        base(),
        layer(Packing::Gzip, "gzip", "1\n"),
        layer(Packing::Zstd, "zstd", noise(1, 300_000)),
        layer(Packing::Plain, "plain", "3\n"),
    ];
    registry.fill_with(&layers, "a/b/packed:1");
    let name = registry.name("a/b/packed:1");
    host.mydocker(["pull", &name])
        .stdout_has("1: Pulling from a/b/packed\n")
        .stdout_has("Pull complete\n");
    cat(&host, &name, "/gzip").stdout("1\n");
    cat(&host, &name, "/plain").stdout("3\n");
    assert_eq!(cat(&host, &name, "/zstd").bytes(), noise(1, 300_000));
    host.mydocker(["pull", "-q", &name]).stdout(&format!("{name}\n"));
    host.mydocker(["pull", &name])
        .stdout_has("Already exists\n")
        .stdout_has("Status: Image is up to date");
    let partial = fs::read_dir(host.state_root().join("images/partial")).unwrap();
    assert_eq!(partial.count(), 0, "nothing is left of downloads");
}

#[test]
fn images_of_umoci_in_both_kinds_of_manifest() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let dir = host.scratch().join(unique("umoci"));
    fs::create_dir_all(dir.join("tree/bin")).unwrap();
    fs::copy("/bin/busybox", dir.join("tree/bin/cat")).unwrap();
    fs::write(dir.join("tree/hi"), "hi\n").unwrap();
    let umoci =
        |line: &str| succeeds(Command::new("umoci").args(line.split(' ')).current_dir(&dir));
    umoci("init --layout oci");
    umoci("new --image oci:t");
    umoci("insert --image oci:t tree /");
    let source = format!("oci:{}/oci:t", dir.display());
    for format in ["oci", "v2s2"] {
        registry.fill(&source, format, &["--format", format]);
        host.mydocker(["pull", &registry.name(format)]);
        cat(&host, &registry.name(format), "/hi").stdout("hi\n");
    }
}

#[test]
fn by_digest_and_all_tags() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "2")], "app:2");
    let pulled = host.mydocker(["pull", &registry.name("app:1")]).text();
    let digest = pulled.lines().find_map(|line| line.strip_prefix("Digest: ")).unwrap().to_owned();
    let by_digest = registry.name(&format!("app@{digest}"));
    host.mydocker(["rmi", &registry.name("app:1")]).stdout_has(&by_digest);
    host.mydocker(["pull", &by_digest]);
    cat(&host, &by_digest, "/v").stdout("1");
    host.mydocker(["pull", "-a", &registry.name("app")]);
    cat(&host, &registry.name("app:1"), "/v").stdout("1");
    cat(&host, &registry.name("app:2"), "/v").stdout("2");
    let wrong = registry.name(&format!("app@sha256:{}", "0".repeat(64)));
    host.mydocker(["pull", &wrong]).exits(125).stderr_has("404");
}

#[test]
fn the_image_for_the_platform() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base()], "one:1");
    let name = registry.name("one:1");
    host.mydocker(["pull", "--platform", "linux/s390x", &name])
        .exits(125)
        .stderr_has("is for linux/amd64, not for linux/s390x");
    host.mydocker(["pull", "--platform", "windows/amd64", &name])
        .exits(125)
        .stderr_has("only linux runs here");
    host.mydocker(["pull", "--platform", "linux/amd64", &name]);
}

#[test]
fn run_and_create_pull_what_is_missing() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    let name = registry.name("app:1");
    let run = |pull: &str| {
        host.mydocker(["run", "--rm", "--net", "none", "--pull", pull, &name, "cat", "/v"])
    };
    run("never").exits(125).stderr_has("no such image");
    run("missing").stdout("1").stderr_has("Pull complete");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "2")], "app:1");
    run("missing").stdout("1").stderr("");
    run("always").stdout("2");
    host.mydocker(["rmi", "-f", &name]);
    host.mydocker(["create", "--name", "c", "--net", "none", &name, "cat", "/v"]);
    host.mydocker(["start", "-a", "c"]).stdout("2");
}

#[test]
fn what_is_not_there_is_told_of() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let name = registry.name("nobody:1");
    host.mydocker(["pull", &name]).exits(125).stderr_has("answers 404");
    host.mydocker(["pull", "127.0.0.1:1/x"]).exits(125).stderr_has("Connection refused");
    host.mydocker(["pull", "Bad:name"]).exits(125).stderr_has("lower case");
}

#[test]
fn the_old_image_keeps_its_name_until_the_new_one_is_whole() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    let name = registry.name("app:1");
    host.mydocker(["pull", &name]);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", noise(1, 100_000))], "app:1");
    // The new layer's blob is lost in the registry.
    registry.lose_blob_of(100_000);
    host.mydocker(["pull", &name]).exits(125).stderr_has("answers 404");
    cat(&host, &name, "/v").stdout("1");
}

#[test]
fn a_mirror_is_asked_before_the_registry() {
    let host = Host::new();
    let (registry, mirror) = (Registry::plain(&host), Registry::plain(&host));
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "registry")], "app:1");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "registry")], "app:2");
    mirror.fill_with(&[base(), layer(Packing::Gzip, "v", "mirror")], "app:1");
    let settings = host.scratch().join("settings");
    fs::create_dir_all(&settings).unwrap();
    let text = format!(
        r#"{{"mirrors":{{"{}":["http://127.0.0.1:1","http://{}"]}}}}"#,
        registry.address, mirror.address
    );
    fs::write(settings.join("registries.json"), text).unwrap();
    for (tag, from) in [("app:1", "mirror"), ("app:2", "registry")] {
        let mut pull = host.command(["pull", &registry.name(tag)]);
        succeeds(pull.env("MYDOCKER_CONFIG_DIR", &settings));
        cat(&host, &registry.name(tag), "/v").stdout(from);
    }
}
