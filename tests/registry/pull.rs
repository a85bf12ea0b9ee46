//! `pull`: which images it accepts, what it prints, and what it stores.
//!
//! The images are made by the tests and by umoci, and pushed by skopeo. `push.rs` pulls what
//! mydocker has pushed, and `faults.rs` has the pulls over faulty networks.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cat;
use crate::proxy::{Asked, Fault, Proxy};
use crate::server::{Layer, Packing, Registry, base, layer, noise, succeeds};
use crate::support::{Host, unique};
use crate::tls::Certificates;

#[test]
fn layers_of_every_compression() {
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
fn images_of_umoci_with_both_kinds_of_manifest() {
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
fn pull_takes_a_digest_or_all_tags() {
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
    host.mydocker(["pull", &wrong]).exits(1).stderr_has("404");
}

#[test]
fn pull_takes_a_platform() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base()], "one:1");
    let name = registry.name("one:1");
    host.mydocker(["pull", "--platform", "linux/s390x", &name])
        .exits(1)
        .stderr_has("is for linux/amd64, not for linux/s390x");
    host.mydocker(["pull", "--platform", "windows/amd64", &name])
        .exits(1)
        .stderr_has("only linux runs here");
    host.mydocker(["pull", "--platform", "linux/amd64", &name]);
}

#[test]
fn run_and_create_pull_a_missing_image() {
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
fn a_foreign_layer_is_downloaded_from_its_own_url() {
    let host = Host::new();
    let allowed = "validation: {manifests: {urls: {allow: [\"^http://\"]}}}\n";
    let (registry, owner) = (Registry::start(&host, "", allowed), Registry::plain(&host));
    let plain = || layer(Packing::Gzip, "v", noise(5, 300_000));
    owner.fill_with(&[plain()], "theirs:1");
    // The download is also interrupted once.
    let at = Proxy::before(&owner.address, |asked, before| {
        if asked.is_blob() && before == 0 { Fault::Cut(100_000) } else { Fault::None }
    });
    let foreign =
        Layer { url: Some(format!("http://{}/v2/theirs/blobs/DIGEST", at.address)), ..plain() };
    registry.fill_with(&[base(), foreign], "app:1");
    host.mydocker(["pull", &registry.name("app:1")]);
    assert_eq!(cat(&host, &registry.name("app:1"), "/v").bytes(), noise(5, 300_000));
    assert_eq!(at.asked().len(), 2);
}

#[test]
fn short_names_mean_docker_hub() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "library/box:latest");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "2")], "me/box:2");
    let proxy = Proxy::before(&registry.address, |_, _| Fault::None);
    for (typed, last_line, content) in [
        ("box", "docker.io/library/box:latest", "1"),
        ("docker.io/box", "docker.io/library/box:latest", "1"),
        ("index.docker.io/library/box:latest", "docker.io/library/box:latest", "1"),
        ("me/box:2", "docker.io/me/box:2", "2"),
    ] {
        let mut pull = host.command(["pull", "-q", "--cacert", &certificates.authority(), typed]);
        let pull = pull.env("HTTPS_PROXY", format!("http://{}", proxy.address)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&pull.stdout), format!("{last_line}\n"), "{pull:?}");
        cat(&host, typed, "/v").stdout(content);
    }
    assert!(proxy.asked().iter().all(|asked| asked.target == "registry-1.docker.io:443"));
    assert!(host.mydocker(["images"]).text().contains("\nbox "));
}

#[test]
fn a_registry_on_an_ipv6_address() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "6")], "app:1");
    let name = Proxy::on_ipv6(&registry.address).name("app:1");
    assert!(name.starts_with("[::1]:"));
    host.mydocker(["pull", &name]).stdout_has(&name);
    cat(&host, &name, "/v").stdout("6");
    host.mydocker(["tag", &name, &name.replace(":1", ":2").replace("[::2]", "[::1]")]);
    host.mydocker(["images"]).stdout_has(name.strip_suffix(":1").unwrap());
    host.mydocker(["rmi", &name]).stdout_has("Untagged");
}

#[test]
fn documents_that_are_not_images_are_refused() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let digest = format!("sha256:{}", "0".repeat(64));
    let chart = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":2}},"layers":[{{"mediaType":
        "application/vnd.cncf.helm.chart.content.v1","digest":"{digest}","size":1}}]}}"#
    );
    for (media_type, body, reason) in [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            "is of Docker's schema 1, which is obsolete; push the image again with a current tool",
        ),
        (
            "application/vnd.oci.image.manifest.v1+json",
            &chart,
            "layers[0] should be a layer of an image, not 'application/vnd.cncf.helm",
        ),
        ("text/html", "<html>Please log in", "is not valid JSON"),
    ] {
        let body = body.to_owned();
        let proxy = Proxy::before(&registry.address, move |asked, _| {
            if asked.target.contains("/manifests/") {
                Fault::Document(media_type, body.clone())
            } else {
                Fault::None
            }
        });
        host.mydocker(["pull", &proxy.name("app:1")]).exits(1).complains(reason);
    }
}

/// The pulls do not see the host's /etc/ssl. Many small devices have no certificate authorities
/// there.
#[test]
fn the_binary_has_certificate_authorities() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base()], "app:1");
    let name = registry.name("app:1");
    let authority = certificates.authority();
    let pull = |more: &[&str], prepare: &str| {
        let pull = host.command([&["pull"], more, &[name.as_str()]].concat());
        let script = format!("mount -t tmpfs none /etc/ssl; {prepare}; exec \"$@\"");
        let mut apart = Command::new("unshare");
        apart.args(["-m", "--propagation", "private", "sh", "-ec", &script, "sh"]);
        apart
            .env_remove("SSL_CERT_FILE")
            .arg(pull.get_program())
            .args(pull.get_args())
            .output()
            .unwrap()
    };
    let printed = String::from_utf8(pull(&[], ":").stderr).unwrap();
    assert!(printed.contains("is not from a trusted authority"), "{printed}");
    assert!(pull(&["--cacert", &authority], ":").status.success());
    // The authorities of the host are used if there are any.
    let has = format!("mkdir /etc/ssl/certs; cp {authority} /etc/ssl/certs/ca-certificates.crt");
    assert!(pull(&[], &has).status.success());
}

#[test]
fn a_terminal_shows_a_bar_for_each_layer() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let layers = [
        base(),
        layer(Packing::Gzip, "v", noise(1, 3_000_000)),
        layer(Packing::Gzip, "w", noise(2, 3_000_000)),
    ];
    registry.fill_with(&layers, "app:1");
    let go_on = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&go_on);
    // The downloads of layers are interrupted twice, and then pause until the test has seen a bar.
    let proxy = Proxy::before(&registry.address, move |asked, before| {
        if !asked.is_blob() || asked.header("accept-encoding").is_none() {
            return Fault::None;
        }
        if before < 2 {
            return Fault::Cut(700_000);
        }
        while !seen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Fault::None
    });
    let mut terminal = host.terminal(["pull", &proxy.name("app:1")]);
    terminal.expect(": [========");
    terminal.expect("/3.16MB");
    go_on.store(true, Ordering::SeqCst);
    let (status, shown) = terminal.wait();
    assert_eq!(status, 0, "{shown}");
    // A line takes the place of each finished bar.
    let through: Vec<_> =
        shown.split("\x1b[J").filter(|part| part.contains("Pull complete")).collect();
    assert_eq!(through.len(), 3, "{shown}");
    assert!(!through[2].contains('['), "{shown}");
    // Without a terminal, `pull` prints plain lines, one for each step of a layer.
    let other = Host::new();
    let plain = other.mydocker(["pull", &registry.name("app:1")]).text();
    assert!(!plain.contains('\x1b') && !plain.contains('['), "{plain}");
    assert_eq!(plain.lines().filter(|line| line.ends_with(": Pull complete")).count(), 3);
    assert_eq!(plain.lines().count(), 10, "{plain}");
}

#[test]
fn a_bar_fits_the_width_of_the_terminal() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[layer(Packing::Gzip, "v", noise(1, 3_000_000))], "app:1");
    let narrow = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&narrow);
    let proxy = Proxy::before(&registry.address, move |asked, before| {
        while asked.is_blob() && !seen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // The cuts make the download last long enough for a bar to be drawn.
        if asked.header("accept-encoding").is_some() && before < 2 {
            Fault::Cut(700_000)
        } else {
            Fault::None
        }
    });
    let mut terminal = host.terminal(["pull", &proxy.name("app:1")]);
    // Some terminals report only their columns.
    terminal.resize(0, 40);
    narrow.store(true, Ordering::SeqCst);
    let (status, shown) = terminal.wait();
    assert_eq!(status, 0, "{shown}");
    let lines = shown.split(['\r', '\n']).filter_map(|line| line.rsplit("\x1b[J").next());
    let bars: Vec<_> = lines.filter(|line| line.contains(": [=")).collect();
    assert!(!bars.is_empty() && bars.iter().all(|bar| bar.len() < 40), "{bars:?}");
}

/// A container's monitor lives long, so it must not keep the memory that TLS has used.
#[test]
fn the_pull_of_a_run_leaves_nothing_in_the_memory_of_the_monitor() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", noise(1, 300_000))], "app:1");
    let name = registry.name("app:1");
    let certs = host.scratch().join("settings/certs.d").join(&registry.address);
    fs::create_dir_all(&certs).unwrap();
    fs::copy(certificates.authority(), certs.join("ca.crt")).unwrap();
    let private_kib = |pull: &str| -> u64 {
        let mut run = host.command(["run", "-d", "-i", "--name", "c", "--net", "none"]);
        run.args(["--pull", pull, &name, "cat"]);
        succeeds(run.env("MYDOCKER_CONFIG_DIR", host.scratch().join("settings")));
        let rollup = format!("/proc/{}/smaps_rollup", host.monitor("c"));
        let rollup = fs::read_to_string(rollup).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
        host.mydocker(["rm", "-f", "c"]);
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let (with, without) = (private_kib("always"), private_kib("never"));
    assert!(with <= without + 100, "{with} KiB after a pull, {without} without");
}

#[test]
fn a_missing_image_is_reported() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let name = registry.name("nobody:1");
    host.mydocker(["pull", &name]).exits(1).stderr_has("answers 404");
    host.mydocker(["pull", "127.0.0.1:1/x"]).exits(1).stderr_has("Connection refused");
    host.mydocker(["pull", "Bad:name"]).exits(1).stderr_has("lower case");
}

#[test]
fn the_old_image_keeps_its_name_until_the_new_one_is_complete() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    let name = registry.name("app:1");
    host.mydocker(["pull", &name]);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", noise(1, 100_000))], "app:1");
    // The registry loses the blob of the new layer.
    registry.lose_blob_of(100_000);
    host.mydocker(["pull", &name]).exits(1).stderr_has("answers 404");
    cat(&host, &name, "/v").stdout("1");
}

#[test]
fn an_index_gives_the_image_that_fits_best() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let image = |what: &str| vec![base(), layer(Packing::Gzip, "v", what)];
    let offers = [
        ("windows/amd64", image("windows")),
        ("unknown/unknown", image("attestation")),
        ("linux/arm/v6", image("v6")),
        ("linux/arm/v7", image("v7")),
        ("linux/amd64", image("amd64")),
        ("linux/arm64/v8", image("arm64")),
    ];
    registry.fill_with_index(&offers, "many:1");
    let name = registry.name("many:1");
    let chosen = |platform: &str| {
        host.mydocker(["pull", "-q", "--platform", platform, &name]);
        host.mydocker(["create", "--name", "c", "--pull", "never", "--net", "none", &name]);
        let tar = host.mydocker(["cp", "c:/v", "-"]).bytes();
        host.mydocker(["rm", "c"]);
        String::from_utf8_lossy(&tar[512..]).trim_end_matches('\0').to_owned()
    };
    for (platform, chosen_one) in [
        ("linux/arm/v7", "v7"),
        ("linux/arm", "v7"),
        ("linux/arm/v6", "v6"),
        ("arm64", "arm64"),
        ("linux/amd64", "amd64"),
    ] {
        assert_eq!(chosen(platform), chosen_one, "{platform}");
    }
    host.mydocker(["pull", "--platform", "linux/s390x", &name]).exits(1).complains(
        "many:1 is not there for linux/s390x, only for windows/amd64, linux/arm/v6, linux/arm/v7, \
         linux/amd64, linux/arm64/v8",
    );
    host.mydocker(["pull", "--platform", "linux/arm/v5", &name]).exits(1).complains("only for");
    // `pull` prints the digest of the index, which does not depend on the machine's platform.
    let pulled = host.mydocker(["pull", &name]).text();
    let digest = pulled.lines().find_map(|line| line.strip_prefix("Digest: ")).unwrap().to_owned();
    for whole in [format!("many@{digest}"), format!("many:1@{digest}")] {
        host.mydocker(["pull", "-q", &registry.name(&whole)]);
    }
}

#[test]
fn an_index_without_platforms() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let image = vec![base(), layer(Packing::Gzip, "v", "1")];
    registry.fill_with_index(&[("", image)], "one:1");
    host.mydocker(["pull", &registry.name("one:1")]);
    cat(&host, &registry.name("one:1"), "/v").stdout("1");
}

fn settings_with_mirrors(host: &Host, registry: &str, mirrors: &[&str]) -> PathBuf {
    let settings = host.scratch().join("settings");
    fs::create_dir_all(&settings).unwrap();
    let mirrors: Vec<String> = mirrors.iter().map(|at| format!("\"http://{at}\"")).collect();
    let text = format!(r#"{{"mirrors":{{"{registry}":[{}]}}}}"#, mirrors.join(","));
    fs::write(settings.join("registries.json"), text).unwrap();
    settings
}

#[test]
fn a_mirror_is_tried_before_the_registry() {
    let host = Host::new();
    let (registry, mirror) = (Registry::plain(&host), Registry::plain(&host));
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "registry")], "app:1");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "registry")], "app:2");
    mirror.fill_with(&[base(), layer(Packing::Gzip, "v", "mirror")], "app:1");
    let asked = Proxy::before(&mirror.address, |_, _| Fault::None);
    let settings = settings_with_mirrors(&host, &registry.address, &[&asked.address]);
    for (tag, from) in [("app:1", "mirror"), ("app:2", "registry")] {
        let mut pull = host.command(["pull", &registry.name(tag)]);
        let pull = pull.env("MYDOCKER_CONFIG_DIR", &settings).output().unwrap();
        assert!(pull.status.success() && pull.stderr.is_empty(), "{pull:?}");
        cat(&host, &registry.name(tag), "/v").stdout(from);
    }
    let manifests = asked.asked();
    let manifests: Vec<_> =
        manifests.iter().filter(|asked| asked.target.ends_with("/manifests/1")).collect();
    assert_eq!(manifests.len(), 1, "{manifests:?}");
}

#[test]
fn a_broken_mirror_is_reported_once_and_skipped() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let layers: Vec<Layer> = ["a", "b", "c", "d"]
        .iter()
        .zip(1..)
        .map(|(name, seed)| layer(Packing::Gzip, name, noise(seed, 50_000)))
        .collect();
    registry.fill_with(&layers, "app:1");
    let gone = |asked: &Asked, _| {
        if asked.target.contains("/blobs/") {
            Fault::Answer(403, String::new())
        } else {
            Fault::None
        }
    };
    let wrong = |asked: &Asked, _| {
        if asked.header("accept-encoding").is_some() { Fault::Corrupt(1000) } else { Fault::None }
    };
    let refusing = Proxy::before(&registry.address, gone);
    let lying = Proxy::before(&registry.address, wrong);
    for (mirror, why) in [
        ("127.0.0.1:1", "connect to 127.0.0.1:1: Connection refused"),
        (refusing.address.as_str(), "answers 403"),
        (lying.address.as_str(), "repeatedly sends bytes with another digest"),
    ] {
        let host = Host::new();
        let settings = settings_with_mirrors(&host, &registry.address, &[mirror]);
        let mut pull = host.command(["pull", &registry.name("app:1")]);
        let pull = pull.env("MYDOCKER_CONFIG_DIR", &settings).output().unwrap();
        let printed = String::from_utf8(pull.stderr).unwrap();
        assert!(pull.status.success(), "{printed}");
        let warning = format!("warning: the mirror {mirror} is skipped: ");
        assert!(printed.starts_with(&warning) && printed.contains(why), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}

#[test]
fn a_mirror_that_never_answers_is_waited_for_once() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "registry")], "app:1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = listener.local_addr().unwrap().to_string();
    let came = Arc::new(Mutex::new(Vec::new()));
    let held = Arc::clone(&came);
    // This thread ends with the test's process.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            held.lock().unwrap().push(client);
        }
    });
    let settings = settings_with_mirrors(&host, &registry.address, &[&mirror]);
    let file = settings.join("registries.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(r#"{"mirrors""#, r#"{"stall_seconds":1,"mirrors""#)).unwrap();
    let mut pull = host.command(["pull", &registry.name("app:1")]);
    let pull = pull.env("MYDOCKER_CONFIG_DIR", &settings).output().unwrap();
    let printed = String::from_utf8(pull.stderr).unwrap();
    assert!(pull.status.success(), "{printed}");
    let why = format!(
        "the mirror {mirror} is skipped: {mirror} sent less than 500 bytes a second for 1 s"
    );
    assert!(printed.contains(&why), "{printed}");
    assert_eq!(came.lock().unwrap().len(), 1);
    cat(&host, &registry.name("app:1"), "/v").stdout("registry");
}
