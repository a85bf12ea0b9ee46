//! Unusual images that other tools make: with repeated layers, or without any layer.
//!
//! overlayfs refuses a layer that is listed twice, so the engine must mount such images
//! differently. Broken images are in `tests/images_hostile.rs`.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use support::Host;
use support::chance::Chance;
use support::tar::Tar;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A docker-archive of the image `name`. Each layer is a separate member, even if two have the same
/// bytes.
fn archive(name: &str, layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> =
        layers.iter().map(|layer| format!("\"sha256:{}\"", sha256(layer))).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},
            "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let mut tar = Tar::default().file("config.json", &config);
    for (at, layer) in layers.iter().enumerate() {
        tar = tar.entry(b'0', &format!("{at}/layer.tar"), "", layer);
    }
    let members: Vec<String> = (0..layers.len()).map(|at| format!("\"{at}/layer.tar\"")).collect();
    let manifest = format!(
        r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":[{}]}}]"#,
        members.join(",")
    );
    tar.file("manifest.json", &manifest).end()
}

fn load(host: &Host, name: &str, layers: &[&[u8]]) {
    host.feed(archive(name, layers), ["load"]).stdout_has(name);
}

fn busybox() -> Vec<u8> {
    std::fs::read(support::busybox_archive()).unwrap()
}

#[test]
fn an_image_may_have_a_layer_several_times() {
    let host = Host::new();
    let base = busybox();
    let a = Tar::default().directory("d/").file("d/mine", "a\n").file("seen", "a\n").end();
    let b = Tar::default().file("d/.wh.mine", "").file("d/other", "b\n").file("seen", "b\n").end();
    let opaque = Tar::default().directory("d/").file("d/.wh..wh..opq", "").file("d/o", "o\n").end();
    let empty = Tar::default().end();
    for (name, layers, expected) in [
        ("adjacent", vec![&base, &a, &a], "mine\na\n"),
        ("apart", vec![&base, &a, &b, &a], "mine\nother\na\n"),
        ("bottom", vec![&a, &base, &b, &a], "mine\nother\na\n"),
        ("base", vec![&base, &a, &base], "mine\na\n"),
        ("deleted", vec![&base, &a, &a, &b], "other\nb\n"),
        ("thrice", vec![&base, &b, &a, &b, &a, &b], "other\nb\n"),
        ("opaque", vec![&base, &a, &opaque, &a], "mine\no\na\n"),
        ("opaque-twice", vec![&base, &opaque, &a, &b, &opaque], "o\nb\n"),
        ("empty", vec![&base, &empty, &a, &empty, &empty], "mine\na\n"),
    ] {
        let layers: Vec<&[u8]> = layers.into_iter().map(Vec::as_slice).collect();
        load(&host, name, &layers);
        let look = ["sh", "-c", "ls /d; cat /seen"];
        host.mydocker(["run", "--name", "c", name].iter().chain(&look)).stdout(expected);
        host.mydocker(["start", "-a", "c"]).stdout(expected);
        host.mydocker(["cp", "c:/seen", "-"]).stdout_has(&expected[expected.len() - 2..]);
        host.mydocker(["diff", "c"]).stdout("");
        let exported = host.mydocker(["export", "c"]).bytes();
        host.feed(exported, ["import", "-", "flat"]);
        host.mydocker(["run", "--rm", "flat"].iter().chain(&look)).stdout(expected);
        host.mydocker(["rm", "c"]);
        // A container adds a layer of changes on top.
        host.mydocker(["run", "--name", "c", name, "sh", "-c", "rm /seen; echo new >/d/new"]);
        host.mydocker(["diff", "c"]).stdout("C /d\nA /d/new\nD /seen\n");
        host.mydocker(["commit", "c", "made"]);
        host.mydocker(["run", "--rm", "made", "cat", "/d/new"]).stdout("new\n");
        host.mydocker(["rm", "c"]);
        host.mydocker(["rmi", "made"]);
        host.mydocker(["rmi", "flat"]);
        if !matches!(name, "bottom" | "deleted" | "thrice") {
            continue;
        }
        // After `save` and `load`, the image has the same id.
        let id = host.mydocker(["images", "-q", "--no-trunc", name]).text();
        for format in ["docker-archive", "oci-archive"] {
            let saved = host.mydocker(["save", "--format", format, name]).bytes();
            let other = Host::new();
            other.feed(saved, ["load", "-q"]);
            assert_eq!(other.mydocker(["images", "-q", "--no-trunc", name]).text(), id, "{name}");
            other.mydocker(["run", "--rm", name].iter().chain(&look)).stdout(expected);
            other.mydocker(["system", "check"]);
        }
    }
    host.mydocker(["system", "check"]);
    host.mydocker(["image", "prune", "-a", "-f"]);
    assert_eq!(std::fs::read_dir(host.state_root().join("layers")).unwrap().count(), 0);
}

#[test]
fn a_hundred_and_twenty_layers_may_repeat_each_other() {
    let host = Host::new();
    let base = busybox();
    let layers: Vec<Vec<u8>> = (0..60)
        .map(|at| Tar::default().file(&format!("f{at}"), "x").file("last", &at.to_string()).end())
        .collect();
    let rounds = layers.iter().chain(&layers).map(Vec::as_slice);
    let all: Vec<&[u8]> = std::iter::once(base.as_slice()).chain(rounds.take(119)).collect();
    load(&host, "many", &all);
    let script = "ls / | grep -c '^f[0-9]'; cat /last";
    host.mydocker(["run", "--rm", "many", "sh", "-c", script]).stdout("60\n58");
}

/// An entry of a layer.
#[derive(Clone)]
enum Node {
    File(String),
    Whiteout,
    Directory { opaque: bool, below: BTreeMap<String, Node> },
}

fn random_layer(chance: &mut Chance, depth: u32) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    for name in ["a", "b", "c"] {
        let node = match chance.below(20) {
            0..4 => Node::File(format!("{:x}", chance.below(1 << 32))),
            4..7 => Node::Whiteout,
            7..15 if depth > 0 => {
                let opaque = chance.below(3) == 0;
                Node::Directory { opaque, below: random_layer(chance, depth - 1) }
            }
            _ => continue,
        };
        nodes.insert(name.to_owned(), node);
    }
    nodes
}

fn write(mut tar: Tar, above: &str, nodes: &BTreeMap<String, Node>) -> Tar {
    for (name, node) in nodes {
        tar = match node {
            Node::File(text) => tar.file(&format!("{above}{name}"), text),
            Node::Whiteout => tar.file(&format!("{above}.wh.{name}"), ""),
            Node::Directory { opaque, below } => {
                let path = format!("{above}{name}/");
                tar = tar.directory(&path);
                if *opaque {
                    tar = tar.file(&format!("{path}.wh..wh..opq"), "");
                }
                write(tar, &path, below)
            }
        };
    }
    tar
}

/// Applies a layer to a tree, as the image specification defines it.
fn apply(tree: &mut BTreeMap<String, Node>, layer: &BTreeMap<String, Node>) {
    for (name, node) in layer {
        match node {
            Node::Whiteout => drop(tree.remove(name)),
            Node::File(_) => drop(tree.insert(name.clone(), node.clone())),
            Node::Directory { opaque, below } => {
                let mut merged = match tree.remove(name) {
                    Some(Node::Directory { below, .. }) if !opaque => below,
                    _ => BTreeMap::new(),
                };
                apply(&mut merged, below);
                tree.insert(name.clone(), Node::Directory { opaque: false, below: merged });
            }
        }
    }
}

/// For each entry of `tree`, adds a line to `lines`.
fn listed(tree: &BTreeMap<String, Node>, above: &str, lines: &mut Vec<String>) {
    for (name, node) in tree {
        let path = format!("{above}/{name}");
        match node {
            Node::File(text) => lines.push(format!("{path} {text}")),
            Node::Whiteout => panic!("applied trees have no whiteouts"),
            Node::Directory { below, .. } => {
                lines.push(format!("{path}/"));
                listed(below, &path, lines);
            }
        }
    }
}

fn found(directory: &Path, above: &str, lines: &mut Vec<String>) {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let (path, file) = (format!("{above}/{}", name.display()), directory.join(&name));
        if file.is_dir() {
            lines.push(format!("{path}/"));
            found(&file, &path, lines);
        } else {
            lines.push(format!("{path} {}", std::fs::read_to_string(&file).unwrap()));
        }
    }
}

/// The merged tree of random layers, some of them repeated, equals the result of applying the
/// layers one after the other.
#[test]
fn repeated_layers_merge_as_if_applied_in_order() {
    let host = Host::new();
    for seed in 1..=24_u64 {
        let mut chance = Chance::of(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pool: Vec<_> = (0..3).map(|_| random_layer(&mut chance, 3)).collect();
        let chosen: Vec<usize> = (0..7).map(|_| chance.below(3) as usize).collect();
        let mut tree = BTreeMap::new();
        for &at in &chosen {
            apply(&mut tree, &pool[at]);
        }
        let mut expected = Vec::new();
        listed(&tree, "", &mut expected);
        let tars: Vec<Vec<u8>> = pool
            .iter()
            .map(|layer| write(Tar::default().directory("t/"), "t/", layer).end())
            .collect();
        let layers: Vec<&[u8]> = chosen.iter().map(|&at| tars[at].as_slice()).collect();
        load(&host, "mixed", &layers);
        host.mydocker(["create", "--name", "c", "mixed", "true"]);
        let exported = host.file("exported.tar", host.mydocker(["export", "c"]).bytes());
        let out = host.scratch().join("out");
        std::fs::create_dir(&out).unwrap();
        let unpacked =
            Command::new("tar").arg("-C").arg(&out).arg("-xf").arg(&exported).status().unwrap();
        assert!(unpacked.success());
        let mut lines = Vec::new();
        found(&out.join("t"), "", &mut lines);
        assert_eq!(lines, expected, "seed {seed}, layers {chosen:?}");
        std::fs::remove_dir_all(&out).unwrap();
        host.mydocker(["rm", "c"]);
    }
}

#[test]
fn an_image_may_have_no_layer() {
    let host = Host::with_busybox();
    load(&host, "none", &[]);
    host.mydocker(["run", "--rm", "none", "sh"]).exits(127).stderr_has("sh");
    host.mydocker(["create", "--name", "c", "none", "/busybox"]);
    host.mydocker(["diff", "c"]).stdout("");
    host.mydocker(["cp", "/bin/busybox", "c:/busybox"]);
    host.mydocker(["diff", "c"]).stdout("A /busybox\n");
    host.mydocker(["start", "-a", "c"]).stdout_has("BusyBox");
    host.mydocker(["export", "c"]).stdout_has("busybox");
    host.mydocker(["commit", "-c", "ENTRYPOINT [\"/busybox\"]", "c", "made"]);
    host.mydocker(["run", "--rm", "made", "echo", "hi"]).stdout("hi\n");
    host.mydocker(["history", "-q", "none"]).stdout("");
    let saved = host.mydocker(["save", "none"]).bytes();
    let other = Host::new();
    other.feed(saved, ["load", "-q"]);
    other.mydocker(["create", "none", "x"]).stdout_has("\n");
    other.mydocker(["system", "check"]);
}
