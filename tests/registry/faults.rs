//! Faulty networks and registries: wrong data never becomes visible, and complete data is not lost.
//!
//! The proxy in front of the registry makes most faults, each at a chosen request. Most tests
//! compare a file of the image with the bytes from which it was made. Only the test of
//! `Retry-After` measures the time of a retry.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::cat;
use crate::proxy::{Asked, Fault, Proxy};
use crate::server::{Packing, Registry, base, gzip, layer, noise, sha256, succeeds};
use crate::support::{Background, Host, eventually};

/// The size in bytes of the file in the large layer. The file hardly compresses.
const LARGE: usize = 3_000_000;
const MIB: usize = 1 << 20;

/// A registry with the image `app:1`, whose upper layer is large.
fn filled(host: &Host) -> Registry {
    let registry = Registry::plain(host);
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", noise(7, LARGE))], "app:1");
    registry
}

fn is_whole(host: &Host, name: &str) {
    assert_eq!(sha256(&cat(host, name, "/v").bytes()), sha256(&noise(7, LARGE)));
}

fn partials(host: &Host) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(host.state_root().join("images/partial")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect()
}

/// The number of layers, blobs and repositories in the store of a host.
fn visible(host: &Host) -> usize {
    let count = |dir: &str| {
        let entries = fs::read_dir(host.state_root().join(dir));
        entries.map_or(0, |entries| {
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| !name.starts_with('.')).count()
        })
    };
    count("layers") + count("images/blobs/sha256") + count("images/refs")
}

#[test]
fn an_interrupted_download_continues() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::before(&registry.address, |asked, before| {
        if asked.is_blob() && before < 2 { Fault::Cut(MIB + 12345) } else { Fault::None }
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
    let ranges = |asked: &crate::proxy::Asked| asked.header("range").map(str::to_owned);
    let ranges: Vec<String> = proxy.asked().iter().filter_map(ranges).collect();
    assert!(ranges.contains(&format!("bytes={}-", MIB + 12345)), "{ranges:?}");
    assert!(ranges.contains(&format!("bytes={}-", 2 * (MIB + 12345))), "{ranges:?}");
}

#[test]
fn a_download_survives_interruptions_at_any_byte() {
    let host = Host::new();
    let registry = filled(&host);
    let chance = AtomicUsize::new(std::process::id() as usize);
    println!("seed {}", chance.load(Ordering::SeqCst));
    // The proxy cuts the first two answers to each request at a random offset: below `LARGE` in a
    // layer, and below 400 in a document.
    let proxy = Proxy::before(&registry.address, move |asked, before| {
        let next = chance.fetch_add(7919, Ordering::SeqCst).wrapping_mul(2_654_435_761) >> 7;
        let most = if asked.header("accept-encoding").is_some() { LARGE } else { 400 };
        if before < 2 { Fault::Cut(next % most) } else { Fault::None }
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
}

#[test]
fn a_registry_without_ranges_sends_the_whole_blob_again() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::forgetting_ranges(&registry.address, |asked, before| {
        if asked.is_blob() && before == 0 { Fault::Cut(MIB) } else { Fault::None }
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
}

#[test]
fn other_bytes_after_an_interruption_are_never_visible() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::before(&registry.address, |asked, before| match (asked.is_blob(), before) {
        (true, 0) => Fault::Cut(MIB),
        // Imitate a registry that has another blob now.
        (true, 1) => Fault::Corrupt(1000),
        _ => Fault::None,
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
    assert!(partials(&host).is_empty());
}

#[test]
fn wrong_bytes_are_never_visible_and_are_requested_again() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::before(&registry.address, |asked, before| {
        if asked.is_blob() && before == 0 { Fault::Corrupt(1000) } else { Fault::None }
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));

    let other = Host::new();
    let always = Proxy::before(&registry.address, |asked, _| {
        if asked.is_blob() { Fault::Corrupt(50_000) } else { Fault::None }
    });
    other.mydocker(["pull", &always.name("app:1")]).exits(1).stderr_has("with another digest");
    assert_eq!(visible(&other), 0);
    other.mydocker(["pull", &registry.name("app:1")]);
    is_whole(&other, &registry.name("app:1"));
    assert!(partials(&other).is_empty());
}

#[test]
fn a_wrong_manifest_is_refused() {
    let host = Host::new();
    let registry = filled(&host);
    let pulled = host.mydocker(["pull", &registry.name("app:1")]).text();
    let digest = pulled.lines().find_map(|line| line.strip_prefix("Digest: ")).unwrap().to_owned();
    let proxy = Proxy::before(&registry.address, |asked, _| {
        if asked.target.contains("/manifests/") { Fault::Corrupt(20) } else { Fault::None }
    });
    let name = proxy.name(&format!("app@{digest}"));
    host.mydocker(["pull", &name]).exits(1).stderr_has("sends a manifest with the digest");
    // The config is the only blob that is requested without the header Accept-Encoding.
    let proxy = Proxy::before(&registry.address, |asked, _| {
        let is_config = asked.is_blob() && asked.header("accept-encoding").is_none();
        if is_config { Fault::Corrupt(20) } else { Fault::None }
    });
    let other = Host::new();
    let pulled = other.mydocker(["pull", &proxy.name("app:1")]);
    pulled.exits(1).stderr_has("sends a config with the digest");
}

/// The layer's bytes have the digest that the manifest states, but its tar does not have the digest
/// that the config states. A program that checks only the manifest would accept this layer.
#[test]
fn a_layer_that_the_config_does_not_state_is_refused() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[layer(Packing::Gzip, "v", "1")], "app:1");
    let remote = format!("docker://{}", registry.name("app:1"));
    let inspect = ["inspect", "--raw", "--tls-verify=false", &remote];
    let raw = Command::new("skopeo").args(inspect).output().unwrap();
    let raw = String::from_utf8(raw.stdout).unwrap();
    let (_, layers) = raw.split_once("\"layers\":").unwrap();
    let config = format!(
        r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        sha256(b"another")
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{}","size":{}}},"layers":{layers}"#,
        sha256(config.as_bytes()),
        config.len()
    );
    let target = format!("/blobs/sha256:{}", sha256(config.as_bytes()));
    let proxy = Proxy::before(&registry.address, move |asked, _| match &asked.target {
        path if path.contains("/manifests/") => Fault::Document("", manifest.clone()),
        path if path.ends_with(&target) => Fault::Document("", config.clone()),
        _ => Fault::None,
    });
    host.mydocker(["pull", &proxy.name("app:1")]).exits(1).stderr_has("its tar has the digest");
    assert_eq!(visible(&host), 0);
}

#[test]
fn a_stalled_download_is_restarted() {
    let host = Host::new();
    let registry = filled(&host);
    let settings = host.scratch().join("settings");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("registries.json"), r#"{"stall_seconds":5}"#).unwrap();
    let proxy = Proxy::before(&registry.address, |asked, before| {
        if asked.is_blob() && before == 0 {
            Fault::Stall(10_000, Duration::from_secs(3600))
        } else {
            Fault::None
        }
    });
    let mut pull = host.command(["pull", &proxy.name("app:1")]);
    pull.env("MYDOCKER_CONFIG_DIR", &settings);
    drop(Background::spawn(pull).wait().exits(0));
    is_whole(&host, &proxy.name("app:1"));
}

/// One proxy sends the layers very slowly, and a second proxy sends the manifest very slowly. The
/// pull of the slow manifest fails. A pull from the registry itself does not wait for the slow
/// layers.
#[test]
fn a_pull_from_a_too_slow_registry_fails() {
    let host = Host::new();
    let registry = filled(&host);
    let settings = host.scratch().join("settings");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("registries.json"), r#"{"stall_seconds":1}"#).unwrap();
    let pull = |name: &str| {
        let mut pull = host.command(["pull", name]);
        pull.env("MYDOCKER_CONFIG_DIR", &settings);
        Background::spawn(pull)
    };
    let drip = |whether: fn(&Asked) -> bool| {
        Proxy::before(&registry.address, move |asked, _| {
            if whether(asked) { Fault::Drip(100, Duration::from_millis(100)) } else { Fault::None }
        })
    };
    let is_layer = |asked: &Asked| asked.header("accept-encoding").is_some();
    let (layers, manifests) = (drip(is_layer), drip(|asked| asked.target.contains("/manifests/")));
    let [slow, slower] = [pull(&layers.name("app:1")), pull(&manifests.name("app:1"))];
    eventually("a layer is being downloaded", || layers.asked().iter().any(is_layer));
    drop(pull(&registry.name("app:1")).wait().exits(0));
    is_whole(&host, &registry.name("app:1"));
    drop(slower.wait().exits(1).stderr_has("sent less than 500 bytes a second for 1 s"));
    // The pull of the slow layers may succeed, because the layers now exist on the host.
    slow.wait().status();
}

/// The registry is slow, but not slow enough for the pull to give up. A pull of the same layer from
/// another registry does not wait for the slow pull.
#[test]
fn a_slow_registry_delays_no_pull_from_another() {
    let host = Host::new();
    let registry = filled(&host);
    let settings = host.scratch().join("settings");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("registries.json"), r#"{"stall_seconds":2}"#).unwrap();
    let is_layer = |asked: &Asked| asked.header("accept-encoding").is_some();
    let slow = Proxy::before(&registry.address, move |asked, _| {
        if is_layer(asked) { Fault::Trickle(500, Duration::from_millis(100)) } else { Fault::None }
    });
    let pull = |name: &str| {
        let mut pull = host.command(["pull", name]);
        pull.env("MYDOCKER_CONFIG_DIR", &settings);
        Background::spawn(pull)
    };
    let first = pull(&slow.name("app:1"));
    eventually("the layers are being downloaded", || {
        slow.asked().iter().filter(|asked| is_layer(asked)).count() == 2
    });
    drop(pull(&registry.name("app:1")).wait().exits(0));
    is_whole(&host, &registry.name("app:1"));
    // The first pull still runs: its layers exist, but its image does not.
    host.mydocker(["image", "inspect", &slow.name("app:1")]).exits(1);
    first.signal(Signal::KILL);
    first.wait().exits(137);
    host.mydocker(["system", "check", "--repair"]);
    assert!(partials(&host).is_empty());
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn a_busy_registry_is_retried_a_limited_number_of_times() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::before(&registry.address, |asked, before| match (asked.is_blob(), before) {
        (_, 0) => Fault::Answer(503, String::new()),
        (true, 1) => Fault::Answer(429, "Retry-After: 0\r\n".to_owned()),
        _ => Fault::None,
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
    let broken = Proxy::before(&registry.address, |_, _| {
        Fault::Answer(500, "Retry-After: 0\r\n".to_owned())
    });
    host.mydocker(["pull", &broken.name("app:1")]).exits(1).stderr_has("answers 500");
    assert!(broken.asked().len() < 20, "{}", broken.asked().len());
}

#[test]
fn retry_after_is_obeyed() {
    let host = Host::new();
    let registry = filled(&host);
    // `Retry-After` has a number of seconds, or a date by the registry's own clock.
    for wait in [
        "Retry-After: 2\r\n",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\n",
    ] {
        let proxy = Proxy::before(&registry.address, move |asked, before| {
            if asked.is_blob() && before == 0 {
                Fault::Answer(429, wait.to_owned())
            } else {
                Fault::None
            }
        });
        let host = Host::new();
        host.mydocker(["pull", &proxy.name("app:1")]);
        let asked = proxy.asked();
        let first = asked.iter().find(|asked| asked.is_blob()).unwrap();
        let again = asked.iter().filter(|asked| asked.target == first.target).nth(1).unwrap();
        assert!(again.at - first.at >= Duration::from_secs(2), "{wait}");
    }
}

#[test]
fn a_registry_may_compress_manifests_and_compare_accept_lines() {
    let host = Host::new();
    let registry = filled(&host);
    let remote = format!("docker://{}", registry.name("app:1"));
    let inspect = ["inspect", "--raw", "--tls-verify=false", &remote];
    let raw = Command::new("skopeo").args(inspect).output().unwrap().stdout;
    let packed = gzip(&raw);
    for (encoding, body, reason) in [
        ("gzip", packed.clone(), None),
        ("x-gzip", packed.clone(), None),
        // Some registries name an encoding that they have already removed.
        ("aws-chunked", raw.clone(), None),
        ("br", packed.clone(), Some("an answer in the encoding 'br'")),
        ("gzip", packed[..packed.len() / 2].to_vec(), Some("an answer in gzip that is broken")),
        // This short body decompresses to 64 MiB.
        ("gzip", gzip(&vec![b' '; 64 << 20]), Some("answers with more than")),
    ] {
        let proxy = Proxy::before(&registry.address, move |asked, _| {
            let kind =
                ("accept".to_owned(), "application/vnd.oci.image.manifest.v1+json".to_owned());
            match asked.target.contains("/manifests/") {
                true if asked.headers.contains(&kind) => Fault::Encoded(encoding, body.clone()),
                true => Fault::Answer(404, String::new()),
                false => Fault::None,
            }
        });
        let host = Host::new();
        let pulled = host.mydocker(["pull", &proxy.name("app:1")]);
        match reason {
            Some(reason) => drop(pulled.exits(1).stderr_has(reason)),
            None => is_whole(&host, &proxy.name("app:1")),
        }
    }
}

#[test]
fn a_location_may_be_relative_and_contain_a_user() {
    let host = Host::new();
    let registry = filled(&host);
    let storage = Proxy::before(&registry.address, |asked, _| {
        // The credentials are `me:secret`.
        match asked.header("authorization") {
            Some("Basic bWU6c2VjcmV0") => Fault::None,
            _ => Fault::Answer(403, String::new()),
        }
    });
    let to = storage.address.clone();
    let proxy = Proxy::before(&registry.address, move |asked, _| {
        let digest = asked.target.rsplit('/').next().unwrap();
        match asked.is_blob() {
            true if asked.target.starts_with("/here/") => {
                let there = format!("http://me:secret@{to}/a b/../v2/app/blobs/{digest}?by=a b");
                Fault::Answer(307, format!("Location: {there}\r\n"))
            }
            true => Fault::Answer(307, format!("Location: ../../../here/./app/blobs/{digest}\r\n")),
            false => Fault::None,
        }
    });
    host.mydocker(["pull", &proxy.name("app:1")]);
    is_whole(&host, &proxy.name("app:1"));
    for asked in storage.asked() {
        assert!(asked.target.starts_with("/v2/app/blobs/sha256:"), "{asked:?}");
        assert!(asked.target.ends_with("?by=a%20b"), "{asked:?}");
    }
}

#[test]
fn redirects_are_followed_without_credentials_and_limited() {
    let host = Host::new();
    let registry = filled(&host);
    let storage = Proxy::before(&registry.address, |_, _| Fault::None);
    let to = storage.address.clone();
    let proxy = Proxy::before(&registry.address, move |asked, _| {
        // With Basic authentication, the client sends the credentials after a challenge.
        if asked.header("authorization").is_none() {
            return Fault::Answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned());
        }
        if asked.is_blob() {
            Fault::Answer(307, format!("Location: http://{to}{}\r\n", asked.target))
        } else {
            Fault::None
        }
    });
    let config = host.scratch().join("docker");
    fs::create_dir_all(&config).unwrap();
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, proxy.address);
    fs::write(config.join("config.json"), text).unwrap();
    let mut pull = host.command(["pull", &proxy.name("app:1")]);
    succeeds(pull.env("DOCKER_CONFIG", &config));
    is_whole(&host, &proxy.name("app:1"));
    assert!(!storage.asked().is_empty());
    for asked in storage.asked() {
        assert_eq!(asked.header("authorization"), None, "{asked:?}");
    }

    let circle = Proxy::before(&registry.address, |asked, _| {
        Fault::Answer(307, format!("Location: {}\r\n", asked.target))
    });
    host.mydocker(["pull", &circle.name("app:1")]).exits(1).stderr_has("redirects more than");
}

/// A redirect leads to another host, which asks for credentials by a challenge. The client must
/// send no credentials to this host (CVE-2020-15157).
#[test]
fn a_challenge_of_another_host_is_not_answered() {
    let host = Host::new();
    let registry = filled(&host);
    let tokens = Proxy::before(&registry.address, |_, _| Fault::Answer(404, String::new()));
    let bearer = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    for challenge in ["Basic realm=\"give\"", &bearer] {
        let header = format!("WWW-Authenticate: {challenge}\r\n");
        let thief =
            Proxy::before(&registry.address, move |_, _| Fault::Answer(401, header.clone()));
        let to = thief.address.clone();
        let proxy = Proxy::before(&registry.address, move |asked, _| {
            if asked.is_blob() {
                Fault::Answer(307, format!("Location: http://{to}/x\r\n"))
            } else {
                Fault::None
            }
        });
        let config = host.scratch().join("docker");
        fs::create_dir_all(&config).unwrap();
        let entry = r#"{"auth":"bWU6c2VjcmV0"}"#;
        let text =
            format!(r#"{{"auths":{{"{}":{entry},"{}":{entry}}}}}"#, proxy.address, thief.address);
        fs::write(config.join("config.json"), text).unwrap();
        let mut pull = host.command(["pull", &proxy.name("app:1")]);
        assert!(!pull.env("DOCKER_CONFIG", &config).output().unwrap().status.success());
        for asked in thief.asked() {
            assert_eq!(asked.header("authorization"), None, "{asked:?}");
        }
    }
    assert!(tokens.asked().is_empty(), "{:?}", tokens.asked());
}

#[test]
fn a_pull_continues_a_killed_one() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let layers = [
        base(),
        layer(Packing::Gzip, "w", noise(8, LARGE)),
        layer(Packing::Gzip, "v", noise(7, LARGE)),
    ];
    registry.fill_with(&layers, "app:1");
    let held = Arc::new(Mutex::new(String::new()));
    let (slow, patience) = (Arc::clone(&held), Duration::from_secs(3600));
    let proxy = Proxy::before(&registry.address, move |asked, before| {
        // The first request for a layer hangs in the middle, until the pull is killed.
        let mut held = slow.lock().unwrap();
        let is_config = before > 0 || !asked.is_blob();
        if !is_config && held.is_empty() && asked.header("accept-encoding").is_some() {
            *held = asked.target.clone();
        }
        if *held == asked.target && before == 0 {
            Fault::Stall(100_000, patience)
        } else {
            Fault::None
        }
    });
    let name = proxy.name("app:1");
    let pull = host.background(["pull", &name]);
    let ready = |host: &Host| {
        let entries = fs::read_dir(host.state_root().join("layers"));
        entries.map_or(0, |entries| {
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with(".ready-")).count()
        })
    };
    eventually("two layers are ready and a part of the third is here", || {
        ready(&host) == 2 && partials(&host).iter().any(|&length| length >= 100_000)
    });
    pull.signal(Signal::KILL);
    pull.wait().exits(137);
    host.mydocker(["images", "-q"]).stdout("");
    let before = proxy.asked().len();
    host.mydocker(["pull", &name]);
    is_whole(&host, &name);
    assert_eq!(sha256(&cat(&host, &name, "/w").bytes()), sha256(&noise(8, LARGE)));
    let again = proxy.asked().split_off(before);
    let layers: Vec<_> =
        again.iter().filter(|a| a.is_blob() && a.header("accept-encoding").is_some()).collect();
    assert_eq!(layers.len(), 1, "only the layer that was broken off: {layers:?}");
    assert!(layers[0].header("range").is_some_and(|range| range.starts_with("bytes=1")));
}

/// A pull that is killed at any moment leaves the old or the new image under the name.
#[test]
fn kills_at_random_leave_the_old_image_or_the_new_one() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    let name = registry.name("app:1");
    let chance = std::process::id();
    println!("seed {chance}");
    let content = |round: u64| noise(100 + round, 400_000);
    let fill = |round: u64| {
        let other = layer(Packing::Zstd, "w", noise(200 + round, 400_000));
        registry.fill_with(&[base(), other, layer(Packing::Gzip, "v", content(round))], "app:1");
    };
    fill(0);
    host.mydocker(["pull", &name]);
    for round in 1..=10 {
        fill(round);
        let pull = host.background(["pull", &name]);
        let pause =
            u64::from(chance.wrapping_mul(2_654_435_761).rotate_left(round as u32) % 150_000);
        std::thread::sleep(Duration::from_micros(pause));
        pull.signal(Signal::KILL);
        pull.wait().status();
        let now = cat(&host, &name, "/v").bytes();
        assert!(now == content(round - 1) || now == content(round), "after {pause} µs");
        host.mydocker(["pull", &name]);
        assert_eq!(cat(&host, &name, "/v").bytes(), content(round));
    }
    host.mydocker(["image", "prune", "-f"]);
    assert!(partials(&host).is_empty());
    host.mydocker(["system", "check", "--repair"]);
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn two_pulls_at_the_same_time_download_a_layer_once() {
    let host = Host::new();
    let registry = filled(&host);
    registry.fill_with(
        &[base(), layer(Packing::Gzip, "v", noise(7, LARGE)), layer(Packing::Gzip, "w", "w")],
        "app:2",
    );
    let running = Arc::new(AtomicUsize::new(0));
    let started = Arc::clone(&running);
    let proxy = Proxy::before(&registry.address, move |asked, _| {
        if asked.target.contains("/manifests/") {
            // Wait until two requests for a manifest have come, so that the pulls overlap.
            started.fetch_add(1, Ordering::SeqCst);
            while started.load(Ordering::SeqCst) < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Fault::None
    });
    let names = [proxy.name("app:1"), proxy.name("app:2")];
    let pulls = names.clone().map(|name| host.background(["pull".to_owned(), name]));
    for pull in pulls {
        drop(pull.wait().exits(0));
    }
    for name in &names {
        is_whole(&host, name);
    }
    let asked = proxy.asked();
    let layers = asked.iter().filter(|a| a.is_blob() && a.header("accept-encoding").is_some());
    let mut targets: Vec<&String> = layers.map(|asked| &asked.target).collect();
    targets.sort();
    let all = targets.len();
    targets.dedup();
    assert_eq!((targets.len(), all), (3, 3));
}

#[test]
fn prune_removes_partial_downloads_of_a_killed_pull() {
    let host = Host::new();
    let registry = filled(&host);
    let proxy = Proxy::before(&registry.address, |asked, _| {
        if asked.is_blob() { Fault::Stall(100_000, Duration::from_secs(3600)) } else { Fault::None }
    });
    let pull = host.background(["pull", &proxy.name("app:1")]);
    eventually("a part is here", || partials(&host).iter().any(|&length| length >= 50_000));
    // `image prune` does not remove a download that is still running.
    host.mydocker(["image", "prune", "-f"]).stdout_has("0B");
    assert!(!partials(&host).is_empty());
    pull.signal(Signal::KILL);
    pull.wait().exits(137);
    host.mydocker(["system", "check"]).exits(1).stdout_has("partial");
    // A partial download has neither a time nor a label, so a filter does not match it.
    host.mydocker(["image", "prune", "-f", "--filter", "until=0s"]).stdout_has("0B");
    host.mydocker(["image", "prune", "-f"]).stdout_lacks("0B");
    assert!(partials(&host).is_empty());
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn damaged_partial_downloads_are_not_used() {
    let host = Host::new();
    let registry = filled(&host);
    let dir = host.state_root().join("images/partial");
    fs::create_dir_all(&dir).unwrap();
    let blobs = registry.blobs();
    for digest in &blobs {
        fs::write(Path::new(&dir).join(digest), noise(99, 5000)).unwrap();
    }
    host.mydocker(["pull", &registry.name("app:1")]);
    is_whole(&host, &registry.name("app:1"));
}
