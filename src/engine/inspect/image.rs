//! `image inspect`: an image's names and digests, its config (OCI image specification, config.md)
//! and the directories of its layers.
//!
//! A stored image has one platform, so no manifest list is shown. mydocker does not record the
//! parent of an image, so `Parent` is empty.

use super::value::{
    NEVER, map, number, object, or_nil_list, or_nil_map, set, strings, strings_or_null, text,
};
use super::{graph_driver, healthcheck};
use crate::engine::Engine;
use crate::error::Result;
use crate::image::{ContainerConfig, Image, ImageStore, Reference};
use crate::order;
use crate::template::{Value, omit_empty};
use crate::time::Instant;

impl Engine {
    /// Returns what `inspect` shows of an image.
    pub(super) fn image(&self, image: &Image) -> Result<Value> {
        let config = &image.config;
        let images = ImageStore::open(&self.roots);
        let made = images.provenance(&image.id);
        let found = images.list()?;
        let id = image.id.to_string();
        let tags = found.iter().filter(|view| view.id == image.id).filter_map(|view| {
            Some(format!("{}:{}", view.repository.as_ref()?, view.tag.as_ref()?))
        });
        // As in Docker, sort by the full name with the registry's host.
        let mut tags: Vec<String> = tags.collect();
        order::sort_by_key(&mut tags, |tag| Reference::parse(tag).ok());
        let digests = found.iter().filter(|view| view.id == image.id).filter_map(|view| {
            Some(format!("{}@{}", view.repository.as_ref()?, view.digest.as_ref()?))
        });
        let mut digests: Vec<String> = digests.collect();
        order::sort(&mut digests);
        digests.dedup();
        let size = found.iter().find(|view| view.id == image.id).map_or(0, |view| view.size);
        let created = config.created.map_or_else(|| NEVER.to_owned(), Instant::to_rfc3339);
        let upper = image.layers.last().map(|layer| layer.display().to_string());
        let lower = image.layers.iter().rev().skip(1).map(|layer| layer.display().to_string());
        let lower = lower.collect::<Vec<String>>().join(":");
        let mut graph = Vec::new();
        if !lower.is_empty() {
            graph.push(("LowerDir", lower));
        }
        graph.extend(upper.map(|upper| ("UpperDir", upper)));
        Ok(object([
            ("Id", text(&id)),
            ("RepoTags", strings(tags)),
            ("RepoDigests", strings(digests)),
            ("Parent", text("")),
            ("Comment", text(config.history.last().map_or("", |step| &step.comment))),
            ("Created", text(created)),
            ("Container", text(&made.container)),
            ("ContainerConfig", defaults_value(&made.container_config.unwrap_or_default())),
            ("DockerVersion", text(&made.docker_version)),
            ("Author", text(&config.author)),
            ("Config", defaults_value(&config.config)),
            ("Architecture", text(&config.architecture)),
            ("Variant", omit_empty(text(&made.variant))),
            ("Os", text(&config.os)),
            ("OsVersion", omit_empty(text(&made.os_version))),
            ("Size", number(size)),
            ("VirtualSize", number(size)),
            ("GraphDriver", graph_driver(graph)),
            (
                "RootFS",
                object([
                    ("Type", text("layers")),
                    ("Layers", strings(config.diff_ids.iter().map(ToString::to_string))),
                ]),
            ),
            ("Metadata", object([("LastTagTime", tag_time(images.last_tagged(&image.id)?))])),
        ]))
    }
}

/// Returns the time at which an image got the last of its names. `ns` is in nanoseconds since 1970;
/// 0 means that the image has no name.
fn tag_time(ns: i64) -> Value {
    match ns {
        0 => Value::printed("0001-01-01 00:00:00 +0000 UTC".to_owned(), text(NEVER)),
        ns => Value::Time(Instant(ns)),
    }
}

/// Returns the defaults for a container of the image, in Docker's fields.
fn defaults_value(defaults: &ContainerConfig) -> Value {
    let on_build = Some(&defaults.on_build[..]).filter(|steps| !steps.is_empty());
    object([
        ("Hostname", text("")),
        ("Domainname", text("")),
        ("User", text(&defaults.user)),
        ("AttachStdin", Value::Bool(false)),
        ("AttachStdout", Value::Bool(false)),
        ("AttachStderr", Value::Bool(false)),
        ("ExposedPorts", omit_empty(set(&defaults.exposed_ports))),
        ("Tty", Value::Bool(false)),
        ("OpenStdin", Value::Bool(false)),
        ("StdinOnce", Value::Bool(false)),
        ("Env", or_nil_list(strings(&defaults.env))),
        ("Cmd", strings_or_null(defaults.cmd.as_deref())),
        ("Healthcheck", healthcheck(defaults.healthcheck.as_ref())),
        ("Image", text("")),
        ("Volumes", or_nil_map(set(&defaults.volumes))),
        ("WorkingDir", text(&defaults.working_dir)),
        ("Entrypoint", strings_or_null(defaults.entrypoint.as_deref())),
        ("OnBuild", strings_or_null(on_build)),
        ("Labels", or_nil_map(map(&defaults.labels))),
        ("StopSignal", omit_empty(text(defaults.stop_signal.as_deref().unwrap_or_default()))),
        ("Shell", omit_empty(strings(defaults.shell.iter().flatten()))),
    ])
}
