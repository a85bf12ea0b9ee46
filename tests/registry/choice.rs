//! Which image of an index is pulled, and manifests with wrong statements about their blobs.
//!
//! The image specification only says that the client should use the first manifest that matches.
//! For what matches, the tests follow Docker. Sizes and digests in a manifest must fit the blobs.

use std::process::Command;

use crate::cat;
use crate::proxy::{Fault, Proxy};
use crate::server::{Packing, Registry, base, layer, sha256};
use crate::support::Host;

/// A registry with the image `app:1`, and the image's manifest.
fn filled(host: &Host) -> (Registry, String) {
    let registry = Registry::plain(host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    let remote = format!("docker://{}", registry.name("app:1"));
    let inspect = ["inspect", "--raw", "--tls-verify=false", &remote];
    let raw = Command::new("skopeo").args(inspect).output().unwrap();
    (registry, String::from_utf8(raw.stdout).unwrap())
}

/// The entry for a document in an index.
fn describe(document: &str, more: &str) -> String {
    let (digest, size) = (sha256(document.as_bytes()), document.len());
    format!(r#"{{"digest":"sha256:{digest}","size":{size}{more}}}"#)
}

fn index(entries: &[String]) -> String {
    let media_type = "application/vnd.oci.image.index.v1+json";
    format!(r#"{{"mediaType":"{media_type}","manifests":[{}]}}"#, entries.join(","))
}

/// A proxy that also serves `documents`, the first of them under the tag `1`.
fn with_documents(registry: &Registry, documents: Vec<String>) -> Proxy {
    Proxy::before(&registry.address, move |asked, _| {
        let by_digest = |document: &&String| {
            asked.target.ends_with(&format!("/manifests/sha256:{}", sha256(document.as_bytes())))
        };
        let found = if asked.target.ends_with("/manifests/1") {
            documents.first()
        } else {
            documents.iter().find(by_digest)
        };
        found.map_or(Fault::None, |document| Fault::Document("", document.clone()))
    })
}

#[test]
fn an_index_may_contain_indexes_and_artifacts() {
    let host = Host::new();
    let (registry, manifest) = filled(&host);
    let empty = r#","mediaType":"application/vnd.oci.empty.v1+json""#;
    let artifact = format!(r#"{{"config":{},"layers":[]}}"#, describe("{}", empty));
    let unknown = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
    let other = r#","platform":{"os":"linux","architecture":"s390x"}"#;
    let beside = [describe(&artifact, ""), describe("not there", unknown)];
    let inner = index(&[&beside[..], &[describe(&manifest, "")]].concat());
    let outer =
        index(&[&beside[..], &[describe("nor this", other), describe(&inner, "")]].concat());
    let proxy = with_documents(&registry, vec![outer, inner, artifact.clone()]);
    host.mydocker(["pull", &proxy.name("app:1")]);
    cat(&host, &proxy.name("app:1"), "/v").stdout("1");
    host.mydocker(["pull", "--platform", "linux/arm64", &proxy.name("app:1")])
        .exits(1)
        .complains("is not there for linux/arm64, only for linux/s390x, linux/amd64");
    let proxy = with_documents(&registry, vec![artifact]);
    host.mydocker(["pull", &proxy.name("app:1")]).exits(1).complains("the config of an image");
}

#[test]
fn indexes_that_refer_to_each_other_are_refused() {
    let host = Host::new();
    let (registry, manifest) = filled(&host);
    let mut documents = vec![index(&[describe(&manifest, "")])];
    for _ in 0..6 {
        documents.insert(0, index(&[describe(&documents[0], "")]));
    }
    let proxy = with_documents(&registry, documents);
    host.mydocker(["pull", &proxy.name("app:1")]).exits(1).complains("too many nested indexes");
}

#[test]
fn a_wrong_size_is_refused() {
    let host = Host::new();
    let (registry, manifest) = filled(&host);
    let state = |at: usize, change: i64| {
        let (start, _) = manifest.match_indices(r#""size":"#).nth(at).unwrap();
        let start = start + r#""size":"#.len();
        let digits = manifest[start..].bytes().take_while(u8::is_ascii_digit).count();
        let size: i64 = manifest[start..start + digits].parse().unwrap();
        let (before, after) = (&manifest[..start], &manifest[start + digits..]);
        format!("{before}{}{after}", size + change)
    };
    for (at, change, reason) in [
        (0, 1, "its descriptor says"),
        (0, -1, "its descriptor says"),
        (1, -1, "bytes with another digest"),
        (2, -1, "bytes with another digest"),
        (2, 1, "ask for the rest of"),
    ] {
        let proxy = with_documents(&registry, vec![state(at, change)]);
        // Pull on a host without layers, because `pull` does not request layers that exist.
        let fresh = Host::new();
        fresh.mydocker(["pull", &proxy.name("app:1")]).exits(1).stderr_has(reason);
        fresh.mydocker(["images", "-q"]).stdout("");
    }
    let wrong = describe(&manifest, "").replace(r#""size":"#, r#""size":1"#);
    let proxy = with_documents(&registry, vec![index(&[wrong])]);
    host.mydocker(["pull", &proxy.name("app:1")]).exits(1).stderr_has("its descriptor says 1");
    host.mydocker(["images", "-q"]).stdout("");
}

#[test]
fn run_fetches_the_image_for_the_platform_or_refuses() {
    let host = Host::with_busybox();
    let registry = Registry::plain(&host);
    let image = |what: &str| vec![base(), layer(Packing::Gzip, "v", what)];
    let offers = [("linux/amd64", image("amd64")), ("linux/s390x", image("s390x"))];
    registry.fill_with_index(&offers, "many:1");
    let name = registry.name("many:1");
    let run = |platform: &str, pull: &str| {
        let line = ["run", "--rm", "--net", "none", "--platform", platform, "--pull", pull];
        host.mydocker(line.into_iter().chain([&name[..], "cat", "/v"]))
    };
    run("linux/amd64", "missing").stdout("amd64");
    run("linux/amd64", "missing").stdout("amd64").stderr("");
    let other = "here is for linux/amd64, not for linux/s390x";
    run("linux/s390x", "never").exits(125).complains(other);
    run("linux/s390x", "missing").stdout("s390x").stderr_has(other);
    // The image `bb` is not for linux/s390x, whether its name or its id is given.
    let id = host.mydocker(["images", "-q", "bb"]).text();
    for name in ["bb", &id[..]] {
        let create = ["create", "--platform", "linux/s390x", "--pull", "never", name];
        host.mydocker(create).exits(1).complains(other);
    }
    host.mydocker(["create", "--platform", "linux/s390x", &id]).exits(1).complains(other);
    host.mydocker(["create", "--platform", "linux/amd64", "bb", "true"]);
}
