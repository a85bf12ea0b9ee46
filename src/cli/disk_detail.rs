//! `system df -v`: prints the disk use of each image, container, volume and build step. The output
//! is tables, or a template over the lists `Images`, `Containers`, `Volumes` and `BuildCache`. The
//! fields of the first three lists are those of `images`, `ps` and `volume ls`. `engine::disk` and
//! `engine::build_cache` measure sizes.

use super::format::{Field, Format, Row, Show, parse_template, push_ago, push_id, rows};
use super::{image, ps, volume};
use crate::engine::view::{CacheView, DiskDetail};
use crate::error::Result;
use crate::template::{Struct, Template, Value};
use crate::units::push_human_size;

static IMAGE_COLUMNS: &[&str] =
    &["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];

static CONTAINER_COLUMNS: &[&str] =
    &["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];

static VOLUME_COLUMNS: &[&str] = &["Name", "Links", "Size"];

/// Parses the value of `--format`; `None` stands for the tables. Fails on a bad template.
pub fn parse(format: &str) -> Result<Option<Template>> {
    match format.trim_matches(' ') {
        "" | "table" => Ok(None),
        "json" => parse_template("{{json .}}").map(Some),
        template => parse_template(template).map(Some),
    }
}

/// Returns the tables with their headings, or the template's output.
pub fn render(detail: &DiskDetail, show: &Show, template: Option<&Template>) -> Result<String> {
    if let Some(template) = template {
        // As in Docker, a template's output ends without a newline and has whole ids.
        return template.render(&document(detail, &Show { no_trunc: true, now: show.now }));
    }
    let images = Format::Columns(IMAGE_COLUMNS).render(&detail.images, image::FIELDS, show)?;
    let containers = Format::Columns(CONTAINER_COLUMNS);
    let containers = containers.render(&detail.containers, ps::FIELDS, show)?;
    let volumes = Format::Columns(VOLUME_COLUMNS).render(&detail.volumes, volume::FIELDS, show)?;
    let cache = Format::Columns(CACHE_COLUMNS).render(&detail.cache, CACHE_FIELDS, show)?;
    let total = detail.cache.iter().filter(|step| !step.shared).map(|step| step.size).sum();
    let mut cache_size = String::new();
    push_human_size(&mut cache_size, total);
    Ok(format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\n{volumes}\n\
         Build cache usage: {cache_size}\n\n{cache}"
    ))
}

fn document(detail: &DiskDetail, show: &Show) -> Value {
    let fields = vec![
        ("Images", rows(&detail.images, image::FIELDS, show)),
        ("Containers", rows(&detail.containers, ps::FIELDS, show)),
        ("Volumes", rows(&detail.volumes, volume::FIELDS, show)),
        ("BuildCache", rows(&detail.cache, CACHE_FIELDS, show)),
    ];
    Value::Struct(
        Struct {
            kind: Some("*formatter.diskUsageContext"),
            is_row: true,
            fields,
            ..Struct::default()
        }
        .into(),
    )
}

impl Row for CacheView {
    const KIND: &'static str = "*formatter.buildCacheContext";
}

static CACHE_COLUMNS: &[&str] =
    &["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "Shared", "Description"];

static CACHE_FIELDS: &[Field<CacheView>] = &[
    Field { name: "CacheType", header: "CACHE TYPE", write: |_, _, out| out.push_str("regular") },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |row, show, out| push_ago(out, row.created, show.now),
    },
    Field {
        name: "Description",
        header: "DESCRIPTION",
        write: |row, _, out| out.push_str(&row.title),
    },
    Field { name: "ID", header: "CACHE ID", write: |row, show, out| push_id(out, &row.id, show) },
    Field {
        name: "LastUsedSince",
        header: "LAST USED",
        write: |row, show, out| push_ago(out, row.used, show.now),
    },
    Field {
        name: "Shared",
        header: "SHARED",
        write: |row, _, out| out.push_str(if row.shared { "true" } else { "false" }),
    },
    Field { name: "Size", header: "SIZE", write: |row, _, out| push_human_size(out, row.size) },
];
