//! Describes the images in an archive of `docker save` as lines, so that the images of two programs
//! can be compared. The lines are the files after all layers, the config and the history. Times,
//! and the ids and digests of images and layers, are left out, because they differ.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use miniserde::json::{self, Value};

/// The directory with the applets of the base image `bb`, on which most cases build.
const BASE: &str = "bin/";

/// The name of each image in the archive, with its lines.
pub fn describe(archive: &[u8]) -> Vec<(String, Vec<String>)> {
    let files: BTreeMap<String, Entry> =
        entries(archive).into_iter().map(|entry| (entry.name.clone(), entry)).collect();
    let resolve = |name: &str| -> &[u8] {
        let entry = &files[name];
        // If two layers are the same, Docker saves the second as a link.
        if entry.kind == b'2' {
            let target = entry.link.trim_start_matches("../");
            return files[target].data;
        }
        entry.data
    };
    let manifest = parse(files["manifest.json"].data);
    let mut images = Vec::new();
    for image in list(&manifest) {
        let name = text(list(get(image, "RepoTags"))[0]);
        let name =
            name.strip_suffix(":latest").unwrap_or(&name).rsplit('/').next().unwrap().to_owned();
        let mut tree = BTreeMap::new();
        for layer in list(get(image, "Layers")) {
            apply(&mut tree, entries(resolve(&text(layer))));
        }
        let config = parse(resolve(&text(get(image, "Config"))));
        let mut lines = config_lines(&config);
        lines.extend(history_lines(&config));
        lines.extend(tree.into_values());
        images.push((name, lines));
    }
    images
}

struct Entry<'a> {
    name: String,
    kind: u8,
    mode: u64,
    owner: (u64, u64),
    link: String,
    device: (u64, u64),
    data: &'a [u8],
}

/// The entries of a tar: ustar, with the PAX and GNU records for long names.
fn entries(mut tar: &[u8]) -> Vec<Entry<'_>> {
    let number = |field: &[u8]| {
        let digits = String::from_utf8_lossy(field);
        u64::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap_or(0)
    };
    let string = |field: &[u8]| {
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let mut entries = Vec::new();
    let (mut long_name, mut long_link) = (None, None);
    while tar.len() >= 512 && tar[..512].iter().any(|&byte| byte != 0) {
        let (header, rest) = tar.split_at(512);
        let size = number(&header[124..136]) as usize;
        let data = &rest[..size];
        tar = &rest[size.next_multiple_of(512)..];
        match header[156] {
            b'x' => {
                for record in String::from_utf8_lossy(data).split_inclusive('\n') {
                    let record = record.split_once(' ').map_or("", |(_, rest)| rest);
                    match record.trim_end().split_once('=') {
                        Some(("path", value)) => long_name = Some(value.to_owned()),
                        Some(("linkpath", value)) => long_link = Some(value.to_owned()),
                        _ => {}
                    }
                }
                continue;
            }
            b'g' => continue,
            b'L' => {
                long_name = Some(string(data));
                continue;
            }
            b'K' => {
                long_link = Some(string(data));
                continue;
            }
            _ => {}
        }
        let mut name = string(&header[..100]);
        let prefix = string(&header[345..500]);
        if !prefix.is_empty() && header[257..263] == *b"ustar\0" {
            name = format!("{prefix}/{name}");
        }
        let name = long_name.take().unwrap_or(name);
        let name = name.trim_start_matches("./").trim_matches('/').to_owned();
        entries.push(Entry {
            name,
            kind: header[156],
            mode: number(&header[100..108]) & 0o7777,
            owner: (number(&header[108..116]), number(&header[116..124])),
            link: long_link.take().unwrap_or_else(|| string(&header[157..257])),
            device: (number(&header[329..337]), number(&header[337..345])),
            data,
        });
    }
    entries
}

/// Applies a layer to the files of the layers below.
fn apply(tree: &mut BTreeMap<String, String>, layer: Vec<Entry<'_>>) {
    let remove = |tree: &mut BTreeMap<String, String>, name: &str, with_top: bool| {
        let below = format!("{name}/");
        tree.retain(|known, _| !(with_top && known == name || known.starts_with(&below)));
    };
    for entry in &layer {
        let (parent, last) = entry.name.rsplit_once('/').unwrap_or(("", &entry.name));
        let joined = |last: &str| {
            if parent.is_empty() { last.to_owned() } else { format!("{parent}/{last}") }
        };
        match last.strip_prefix(".wh.") {
            Some(".wh..opq") => remove(tree, parent, false),
            Some(gone) => remove(tree, &joined(gone), true),
            None => {}
        }
    }
    for entry in layer {
        if entry.name.rsplit('/').next().is_some_and(|last| last.starts_with(".wh.")) {
            continue;
        }
        if entry.kind != b'5' {
            remove(tree, &entry.name, false);
        }
        let Entry { kind, mode, owner: (uid, gid), link, .. } = &entry;
        let what = match kind {
            b'0' | 0 => {
                let mut hasher = DefaultHasher::new();
                entry.data.hash(&mut hasher);
                let shown = std::str::from_utf8(entry.data).ok().filter(|text| text.len() <= 200);
                let shown = shown.map(|text| format!("{text:?}"));
                format!("file {}", shown.unwrap_or_else(|| format!("#{:x}", hasher.finish())))
            }
            b'1' => match tree.get(link.trim_start_matches("./").trim_matches('/')) {
                Some(line) => line.split_once(": ").unwrap().1.to_owned(),
                None => format!("hard link to nothing {link}"),
            },
            b'2' => format!("link to {link}"),
            b'5' => "directory".to_owned(),
            other => format!("type {} {:?}", char::from(*other), entry.device),
        };
        let name = if entry.name.is_empty() { "." } else { &entry.name };
        let line = match kind {
            b'1' => format!("/{name}: {what}"),
            b'2' => format!("/{name}: {uid}:{gid} {what}"),
            _ => format!("/{name}: {mode:o} {uid}:{gid} {what}"),
        };
        // Leave out the files in `BASE` except busybox: the applets, which no case changes.
        if !name.starts_with(BASE) || name.contains("busybox") {
            tree.insert(entry.name, line);
        }
    }
}

fn config_lines(config: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: &Value| {
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !is_empty {
            lines.push(format!("config {name} {}", json::to_string(value)));
        }
    };
    for name in ["architecture", "os", "author"] {
        add(name, get(config, name));
    }
    let inner = get(config, "config");
    let names =
        "Cmd Entrypoint WorkingDir User ExposedPorts Volumes StopSignal Healthcheck OnBuild Shell";
    for name in names.split(' ') {
        add(name, get(inner, name));
    }
    if let Value::Array(env) = get(inner, "Env") {
        for pair in env {
            add("Env", pair);
        }
    }
    if let Value::Object(labels) = get(inner, "Labels") {
        for (name, value) in labels.iter().filter(|(name, _)| !name.starts_with("io.buildah.")) {
            add(&format!("Label {name}"), value);
        }
    }
    lines
}

/// One line for each step: its number, whether it made a layer, and its command.
fn history_lines(config: &Value) -> Vec<String> {
    let steps = list(get(config, "history"));
    // Leave out the import of the base, which each program describes in its own words.
    let steps = steps.iter().filter(|step| {
        let by = text(get(step, "created_by"));
        !by.is_empty() && !text(get(step, "comment")).contains("mported")
    });
    let steps = steps.enumerate().map(|(at, step)| {
        let mut by = text(get(step, "created_by")).replace('\n', "\\n");
        // Docker names copied files by a digest, also the files from a stage, and writes no space
        // after --chown. So compare neither the sources nor the flags.
        let copies = ["#(nop) COPY ", "#(nop) ADD "];
        if let Some((start, _)) = copies.iter().find_map(|copy| by.match_indices(copy).next())
            && let Some(end) = by.rfind(" in ")
        {
            by.replace_range(start + "#(nop) ".len()..end, "COPY");
        }
        let empty = matches!(get(step, "empty_layer"), Value::Bool(true));
        format!("history {at} {}{by}", if empty { "" } else { "layer: " })
    });
    steps.collect()
}

fn parse(bytes: &[u8]) -> Value {
    json::from_str(std::str::from_utf8(bytes).unwrap()).unwrap()
}

fn get<'a>(value: &'a Value, name: &str) -> &'a Value {
    match value {
        Value::Object(fields) => fields.get(name).unwrap_or(&Value::Null),
        _ => &Value::Null,
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}
