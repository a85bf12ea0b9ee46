//! `push`: other programs can read the pushed images.
//!
//! The tests read the pushed images with skopeo and Podman, and pull them again with mydocker.
//! Logins are in `login.rs`.

use std::process::Command;

use crate::cat;
use crate::proxy::{Asked, Fault, Proxy};
use crate::server::{Packing, Registry, base, layer, noise, succeeds};
use crate::support::Host;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn a_pushed_image_can_be_pulled_unchanged() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let name = registry.name("me/bb:1");
    host.mydocker(["tag", "bb", &name]);
    let id = host.mydocker(["images", "-q", "--no-trunc", "bb"]).text();
    host.mydocker(["push", &name]).stdout_has("Pushed\n").stdout_has("1: digest: sha256:");
    let inspected = Command::new("skopeo")
        .args(["inspect", "--config", "--raw", "--tls-verify=false", &format!("docker://{name}")])
        .output()
        .unwrap();
    assert!(inspected.status.success());
    assert_eq!(format!("sha256:{}", crate::server::sha256(&inspected.stdout)), id);
    host.mydocker(["push", &name]).stdout_has("Already exists\n").stdout_lacks("Pushed");
    let latest = registry.name("me/bb");
    host.mydocker(["tag", "bb", &latest]);
    for verb in ["push", "pull"] {
        host.mydocker([verb, &latest]).stdout_has("Using default tag: latest\n");
        host.mydocker([verb, &name]).stdout_lacks("Using default tag");
        host.mydocker([verb, "-q", &latest]).stdout_lacks("Using default tag");
    }
    let other = Host::new();
    other.mydocker(["pull", &name]);
    assert_eq!(other.mydocker(["images", "-q", "--no-trunc", &name]).text(), id);
    other.mydocker(["run", "--rm", "--net", "none", &name, "echo", "hi"]).stdout("hi\n");
}

#[cfg(feature = "build")]
#[test]
fn a_build_can_push_its_image() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let (one, two) = (registry.name("me/built:1"), registry.name("me/built:2"));
    let args = ["build", "--push", "-t", &one, "-o", &format!("type=image,name={two}"), "-"];
    host.feed("FROM bb\nRUN echo made >/made\n", args);
    let other = Host::new();
    for name in [&one, &two] {
        other.mydocker(["pull", name]);
        assert_eq!(cat(&other, name, "/made").text(), "made");
    }
    // A failed build pushes nothing.
    let three = registry.name("me/built:3");
    host.feed("FROM bb\nRUN false\n", ["build", "--push", "-t", &three, "-"]).exits(1);
    other.mydocker(["pull", &three]).exits(1);
}

#[test]
fn a_layer_that_an_image_has_twice_is_pulled_and_pushed_once() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let twice = || layer(Packing::Gzip, "v", "twice");
    let layers = [base(), twice(), layer(Packing::Gzip, "w", "between"), twice()];
    registry.fill_with(&layers, "one:1");
    host.mydocker(["pull", &registry.name("one:1")]);
    assert_eq!(cat(&host, &registry.name("one:1"), "/v").text(), "twice");
    let elsewhere = Registry::plain(&host);
    let name = elsewhere.name("one:1");
    host.mydocker(["tag", &registry.name("one:1"), &name]);
    let pushed = host.mydocker(["push", &name]).text();
    assert_eq!(pushed.matches("Pushed").count(), 3, "{pushed}");
    let other = Host::new();
    other.mydocker(["pull", &name]);
    assert_eq!(cat(&other, &name, "/v").text(), "twice");
    let id = |host: &Host, name: &str| host.mydocker(["images", "-q", "--no-trunc", name]).text();
    assert_eq!(id(&other, &name), id(&host, &name));
}

#[test]
fn a_pulled_image_keeps_its_digest_within_its_registry() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base(), layer(Packing::Zstd, "v", noise(3, 50_000))], "one:1");
    let digest = |text: &str| {
        let at = text.find("sha256:").unwrap();
        text[at..at + 71].to_owned()
    };
    let pulled = host.mydocker(["pull", &registry.name("one:1")]).text();
    host.mydocker(["tag", &registry.name("one:1"), &registry.name("two:2")]);
    let pushed = host.mydocker(["push", &registry.name("two:2")]).text();
    assert!(pushed.contains("Mounted from another repository"), "{pushed}");
    let line = pushed.lines().last().unwrap();
    assert_eq!(digest(line), digest(&pulled[pulled.find("Digest:").unwrap()..]));
    // The layers are compressed again for the other registry.
    let elsewhere = Registry::plain(&host);
    host.mydocker(["tag", &registry.name("one:1"), &elsewhere.name("one:1")]);
    host.mydocker(["push", &elsewhere.name("one:1")]).stdout_has("Pushed");
    let other = Host::new();
    other.mydocker(["pull", &elsewhere.name("one:1")]);
    assert_eq!(cat(&other, &elsewhere.name("one:1"), "/v").bytes(), noise(3, 50_000));
}

/// Pushes two images that were never in a registry. One of them comes from a tar in which two
/// entries have the same name. mydocker cannot write the same tar again, so it pushes a new tar of
/// the files.
#[test]
fn other_tools_read_pushed_local_images() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let twice = host.scratch().join("twice.tar");
    let script = "mkdir t && cd t && mkdir bin && cp /bin/busybox bin/cat && echo 1 >v && \
                  tar -cf ../twice.tar bin v && echo 2 >v && tar -rf ../twice.tar v";
    succeeds(Command::new("sh").args(["-ec", script]).current_dir(host.scratch()));
    let drop = host.state_root().join("images/drop");
    std::fs::create_dir_all(&drop).unwrap();
    std::fs::copy(&twice, drop.join("dropped.tar")).unwrap();
    host.mydocker([
        "run",
        "--name",
        "c",
        "--net",
        "none",
        "bb",
        "sh",
        "-c",
        "echo 2 >/v; rm /bin/ls",
    ]);
    host.mydocker(["commit", "c", "committed"]);
    for image in ["committed", "dropped"] {
        let name = registry.name(&format!("{image}:1"));
        host.mydocker(["tag", image, &name]);
        let pushed = host.mydocker(["push", &name]).text();
        let at = pushed.rfind("sha256:").unwrap();
        let digest = &pushed[at..at + 71];
        // podman, skopeo and mydocker find the same digest.
        let podman = |args: &[&str]| {
            let mut podman = host.podman();
            let output = podman.args(["--storage-driver", "vfs"]).args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        podman(&["pull", "-q", "--tls-verify=false", &name]);
        let format = ["inspect", "--format", "{{.Digest}}", &name];
        assert_eq!(podman(&[&["image"], &format[..]].concat()), digest);
        podman(&["rmi", &name]);
        let inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}"];
        let skopeo =
            Command::new("skopeo").args(inspect).arg(format!("docker://{name}")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&skopeo.stdout).trim(), digest);
        let other = Host::new();
        let pulled = other.mydocker(["pull", &name]).text();
        assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
        cat(&other, &name, "/v").stdout("2\n");
    }
}

#[test]
fn push_takes_all_tags_of_one_repository() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    for name in ["app:1", "app:2", "app", "other:3"] {
        host.mydocker(["tag", "bb", &registry.name(name)]);
    }
    let names = ["app:1", "app:2", "app:latest"].map(|name| registry.name(name));
    let pushed = host.mydocker(["push", "-a", &registry.name("app")]).text();
    for tag in ["1: digest: sha256:", "2: digest: sha256:", "latest: digest: sha256:"] {
        assert_eq!(pushed.lines().filter(|line| line.starts_with(tag)).count(), 1, "{pushed}");
    }
    let quiet = host.mydocker(["push", "-q", "--all-tags", &registry.name("app")]);
    quiet.stdout(&format!("{}\n", names.join("\n")));
    let other = Host::new();
    other.mydocker(["pull", "-a", "-q", &registry.name("app")]).stdout_has(&names[1]);
    other
        .mydocker(["pull", "-a", &registry.name("other")])
        .refused(&format!("list the tags of {}: ", registry.name("other")));
    host.mydocker(["push", "-a", &names[0]]).refused("--all-tags can't go with a tag");
    host.mydocker(["push", "-a", &registry.name("none")]).refused("with any tag");
}

/// Pushes `bb` through a proxy that handles each request as `judge` says. Checks that another host
/// pulls the same image, with the printed digest. Returns the requests.
fn pushed_through(judge: fn(&Asked) -> Fault) -> Vec<Asked> {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let proxy = Proxy::before(&registry.address, move |asked, _| judge(asked));
    let name = proxy.name("me/bb:1");
    host.mydocker(["tag", "bb", &name]);
    let pushed = host.mydocker(["push", &name]).text();
    let digest = &pushed[pushed.rfind("sha256:").unwrap()..][..71];
    let other = Host::new();
    let straight = registry.name("me/bb:1");
    other.mydocker(["pull", &straight]).stdout_has(&format!("Digest: {digest}"));
    let id = |host: &Host, name: &str| host.mydocker(["images", "-q", "--no-trunc", name]).text();
    assert_eq!(id(&other, &straight), id(&host, "bb"));
    other.mydocker(["run", "--rm", "--net", "none", &straight, "echo", "hi"]).stdout("hi\n");
    proxy.asked()
}

#[test]
fn a_registry_that_needs_lengths_gets_no_chunks() {
    for status in [405, 411, 501] {
        let asked = pushed_through(match status {
            405 => |asked| refuse(asked.method == "PATCH", 405),
            411 => |asked| refuse(asked.header("transfer-encoding").is_some(), 411),
            _ => |asked| refuse(asked.header("transfer-encoding").is_some(), 501),
        });
        let chunked = asked.iter().filter(|asked| asked.header("transfer-encoding").is_some());
        assert_eq!(chunked.count(), 1, "tried once");
    }
}

#[test]
fn a_registry_without_oci_manifests_gets_dockers() {
    let of_oci = |asked: &Asked| asked.header("content-type") == Some(OCI_MANIFEST);
    let asked =
        pushed_through(|asked| refuse(asked.header("content-type") == Some(OCI_MANIFEST), 415));
    let put: Vec<_> = asked.iter().filter(|asked| asked.target.ends_with("/manifests/1")).collect();
    assert_eq!(put.len(), 2);
    assert!(of_oci(put[0]));
    let dockers = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(put[1].header("content-type"), Some(dockers));
    // This registry refuses every manifest. The error names the first answer.
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let proxy = Proxy::before(&registry.address, move |asked, _| {
        if of_oci(asked) {
            Fault::Answer(422, String::new())
        } else {
            refuse(asked.target.ends_with("/manifests/1"), 400)
        }
    });
    host.mydocker(["tag", "bb", &proxy.name("bb:1")]);
    host.mydocker(["push", &proxy.name("bb:1")]).exits(1).stderr_has("answers 422");
}

#[test]
fn a_registry_that_refuses_head_gets_every_blob() {
    for judge in [(|asked| refuse(asked.method == "HEAD", 403)) as fn(&Asked) -> Fault, |asked| {
        refuse(asked.method == "HEAD", 405)
    }] {
        let asked = pushed_through(judge);
        assert!(asked.iter().any(|asked| asked.method == "HEAD"));
        // The two blobs are a layer and the config.
        let starts =
            |asked: &&Asked| asked.method == "POST" && asked.target.contains("/blobs/uploads/");
        assert_eq!(asked.iter().filter(starts).count(), 2);
    }
}

/// The registry names the place of an upload by a path alone, which belongs to the host that
/// answered.
#[test]
fn an_upload_goes_where_a_redirect_has_started_it() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let to = registry.address.clone();
    let proxy = Proxy::before(&registry.address, move |asked, _| match &*asked.method {
        "POST" => Fault::Answer(307, format!("Location: http://{to}{}\r\n", asked.target)),
        "PATCH" | "PUT" if asked.target.contains("/uploads/") => Fault::Answer(404, String::new()),
        _ => Fault::None,
    });
    let name = proxy.name("bb:1");
    host.mydocker(["tag", "bb", &name]);
    host.mydocker(["push", &name]);
    host.mydocker(["pull", &name]);
}

/// A layer is compressed while it is sent, so it can't be sent to another place a second time. Only
/// 307 and 308 keep the method of every request (RFC 9110, section 15.4).
#[test]
fn a_redirect_that_cannot_be_followed_is_an_error() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let is_layer: fn(&Asked) -> bool = |asked| asked.target.contains("/uploads/");
    let is_manifest: fn(&Asked) -> bool = |asked| asked.target.contains("/manifests/");
    for (method, status, is_redirected) in
        [("PATCH", 307, is_layer), ("PUT", 308, is_layer), ("PUT", 302, is_manifest)]
    {
        let to = registry.address.clone();
        let proxy = Proxy::before(&registry.address, move |asked, _| {
            if asked.method == method && is_redirected(asked) {
                let location = format!("Location: http://{to}{}\r\n", asked.target);
                Fault::Answer(status, location)
            } else {
                refuse(method == "PUT" && asked.method == "PATCH", 411)
            }
        });
        let name = proxy.name("bb:1");
        host.mydocker(["tag", "bb", &name]);
        let error = format!("answers {status}: it redirects {method} to {}", registry.address);
        host.mydocker(["push", &name]).exits(1).stderr_has(&error);
        assert_eq!(proxy.asked().iter().any(is_manifest), status == 302, "{status}");
    }
}

fn refuse(whether: bool, status: u16) -> Fault {
    if whether { Fault::Answer(status, String::new()) } else { Fault::None }
}

#[test]
fn a_missing_image_is_not_pushed() {
    let host = Host::new();
    host.mydocker(["push", "127.0.0.1:1/nobody"]).exits(1).stderr_has("no such image");
}
