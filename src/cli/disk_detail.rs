//! `system df -v`: tables with each image, container and volume and each step in the build cache, and the
//! room that it takes. Only columns and words are here; the sizes come from `engine::disk` and
//! `engine::build_cache`.

use super::format::{Field, Format, Row, Show, push_ago, push_id};
use super::ps::{push_command, push_image, push_status};
use crate::engine::view::{CacheView, ContainerUse, DiskDetail, ImageUse, VolumeUse};
use crate::error::Result;
use crate::units::push_human_size;

/// Returns the four tables with their headings.
pub fn render(detail: &DiskDetail, show: &Show) -> Result<String> {
    let images = Format::Columns(IMAGE_COLUMNS).render(&detail.images, IMAGE_FIELDS, show)?;
    let containers = Format::Columns(CONTAINER_COLUMNS);
    let containers = containers.render(&detail.containers, CONTAINER_FIELDS, show)?;
    let volumes = Format::Columns(VOLUME_COLUMNS).render(&detail.volumes, VOLUME_FIELDS, show)?;
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

impl Row for ImageUse {
    const KIND: &'static str = "*formatter.imageContext";
}

impl Row for ContainerUse {
    const KIND: &'static str = "*formatter.ContainerContext";
}

impl Row for VolumeUse {
    const KIND: &'static str = "*formatter.volumeContext";
}

impl Row for CacheView {
    const KIND: &'static str = "*formatter.buildCacheContext";
}

static IMAGE_COLUMNS: &[&str] =
    &["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];

static IMAGE_FIELDS: &[Field<ImageUse>] = &[
    Field {
        name: "Containers",
        header: "CONTAINERS",
        write: |row, _, out| out.push_str(&row.containers.to_string()),
    },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |row, show, out| match row.image.created {
            Some(created) => push_ago(out, created, show.now),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "ID",
        header: "IMAGE ID",
        write: |row, show, out| push_id(out, &row.image.id, show),
    },
    Field {
        name: "Repository",
        header: "REPOSITORY",
        write: |row, _, out| out.push_str(row.image.repository.as_deref().unwrap_or("<none>")),
    },
    Field {
        name: "SharedSize",
        header: "SHARED SIZE",
        write: |row, _, out| push_human_size(out, row.shared),
    },
    Field {
        name: "Size",
        header: "SIZE",
        write: |row, _, out| push_human_size(out, row.image.size),
    },
    Field {
        name: "Tag",
        header: "TAG",
        write: |row, _, out| out.push_str(row.image.tag.as_deref().unwrap_or("<none>")),
    },
    Field {
        name: "UniqueSize",
        header: "UNIQUE SIZE",
        write: |row, _, out| push_human_size(out, row.image.size.saturating_sub(row.shared)),
    },
];

static CONTAINER_COLUMNS: &[&str] =
    &["ID", "Image", "Command", "LocalVolumes", "Size", "CreatedSince", "Status", "Names"];

static CONTAINER_FIELDS: &[Field<ContainerUse>] = &[
    Field {
        name: "Command",
        header: "COMMAND",
        write: |row, show, out| push_command(&row.container, show, out),
    },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |row, show, out| push_ago(out, row.container.created, show.now),
    },
    Field {
        name: "ID",
        header: "CONTAINER ID",
        write: |row, show, out| push_id(out, &row.container.id, show),
    },
    Field {
        name: "Image",
        header: "IMAGE",
        write: |row, show, out| push_image(&row.container, show, out),
    },
    Field {
        name: "LocalVolumes",
        header: "LOCAL VOLUMES",
        write: |row, _, out| out.push_str(&row.volumes.to_string()),
    },
    Field {
        name: "Names",
        header: "NAMES",
        write: |row, _, out| out.push_str(&row.container.name),
    },
    Field { name: "Size", header: "SIZE", write: |row, _, out| push_human_size(out, row.size) },
    Field {
        name: "Status",
        header: "STATUS",
        write: |row, show, out| push_status(out, &row.container, show.now),
    },
];

static VOLUME_COLUMNS: &[&str] = &["Name", "Links", "Size"];

static VOLUME_FIELDS: &[Field<VolumeUse>] = &[
    Field {
        name: "Links",
        header: "LINKS",
        write: |row, _, out| out.push_str(&row.users.to_string()),
    },
    Field { name: "Name", header: "VOLUME NAME", write: |row, _, out| out.push_str(&row.name) },
    Field { name: "Size", header: "SIZE", write: |row, _, out| push_human_size(out, row.size) },
];

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
