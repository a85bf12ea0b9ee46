//! `images`, `import`, `load`, `tag` and `rmi`: the commands for local images and for images from
//! archives. An archive is read from a file, from a URL (`import` only) or from stdin. If stdin is
//! a terminal, the commands do not read from stdin but fail. `save` and `commit` are in `archive`,
//! `pull` and `push` are in `registry`, and the filters of `images` are in `image_filter`.

use std::path::PathBuf;

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::format::{Field, Format, Row, Show, push_ago, push_go_time, push_id};
use super::image_filter::{ImageFilter, passes};
use super::lifecycle::NO_FLAGS;
use super::output::{print, print_error, print_line, refuse_terminal};
use super::progress::Bytes;
use super::{Invocation, Outcome};
use crate::engine::options::{ImportSource, Platform, Reference};
use crate::engine::view::{ImageView, RemovedImage};
use crate::error::{Error, Result};
use crate::raw;
use crate::time::Instant;
use crate::units::push_human_size;

#[derive(Default)]
struct ImagesArgs {
    all: bool,
    quiet: bool,
    no_trunc: bool,
    digests: bool,
    filters: Vec<ImageFilter>,
    format: String,
}

static IMAGES_FLAGS: &[Flag<ImagesArgs>] = &[
    Flag::<ImagesArgs>::switch("all", "Show the images of failed builds too", |a, on| a.all = on)
        .short('a'),
    Flag::<ImagesArgs>::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    Flag::<ImagesArgs>::switch("no-trunc", "Do not shorten ids", |a, on| a.no_trunc = on),
    Flag::<ImagesArgs>::switch("digests", "Show the digests of the registries", |a, on| {
        a.digests = on;
    }),
    Flag::<ImagesArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Filter by dangling, reference, label, before, since or until",
        |a, v| {
            a.filters.extend(ImageFilter::parse(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .short('f'),
    Flag::<ImagesArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Repository}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `images`.
pub static IMAGES: Command = Command {
    name: "images",
    group: Group::Images,
    usage: "[FLAGS] [REPOSITORY[:TAG]]",
    summary: "List images",
    examples: &[],
    operand: Operand::Image,
    operands: (0, 1),
    trailing: false,
    flags: |at| spec(IMAGES_FLAGS, at),
    run: images,
};

fn images(call: &Invocation) -> Outcome {
    let (args, names) = call.parse(IMAGES_FLAGS)?;
    let columns = if args.digests { DIGEST_COLUMNS } else { COLUMNS };
    let format = match Format::parse_quiet(args.quiet, &args.format, FIELDS, columns) {
        Ok(format) => format,
        Err(error) => return call.refuse(format!("--format: {error}")),
    };
    let engine = call.engine()?;
    let named = names.iter().map(|pattern| ImageFilter::named(pattern));
    let filters = args.filters.into_iter().map(Ok).chain(named);
    let filters = filters.map(|filter| filter?.resolve(&engine));
    let filters = filters.collect::<Result<Vec<ImageFilter>>>()?;
    let mut images = engine.images()?;
    images.retain(|image| (args.all || !image.hidden) && passes(image, &filters));
    let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
    let view = |listed| ImageView { listed, usage: None };
    let images: Vec<ImageView> = images.into_iter().map(view).collect();
    print(&format.render(&images, FIELDS, &show)?)?;
    Ok(0)
}

impl Row for ImageView {
    const KIND: &'static str = "*formatter.imageContext";
    const RAW: &'static str = "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\n\
        created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
}

static COLUMNS: &[&str] = &["Repository", "Tag", "ID", "CreatedSince", "Size"];
static DIGEST_COLUMNS: &[&str] = &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];

/// The fields of `--format`, in alphabetical order, as in Docker's JSON.
pub(super) static FIELDS: &[Field<ImageView>] = &[
    Field {
        name: "Containers",
        header: "CONTAINERS",
        write: |image, _, out| match &image.usage {
            Some(usage) => out.push_str(&usage.containers.to_string()),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "CreatedAt",
        header: "CREATED AT",
        write: |image, _, out| match image.listed.created {
            Some(created) => push_go_time(out, created),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |image, show, out| match image.listed.created {
            Some(created) => push_ago(out, created, show.now),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "Digest",
        header: "DIGEST",
        write: |image, _, out| {
            out.push_str(
                &image.listed.digest.map_or("<none>".to_owned(), |digest| digest.to_string()),
            )
        },
    },
    Field {
        name: "ID",
        header: "IMAGE ID",
        write: |image, show, out| push_id(out, &image.listed.id.to_string(), show),
    },
    Field {
        name: "Repository",
        header: "REPOSITORY",
        write: |image, _, out| out.push_str(image.listed.repository.as_deref().unwrap_or("<none>")),
    },
    Field {
        name: "SharedSize",
        header: "SHARED SIZE",
        write: |image, _, out| match &image.usage {
            Some(usage) => push_human_size(out, usage.shared),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "Size",
        header: "SIZE",
        write: |image, _, out| push_human_size(out, image.listed.size),
    },
    Field {
        name: "Tag",
        header: "TAG",
        write: |image, _, out| out.push_str(image.listed.tag.as_deref().unwrap_or("<none>")),
    },
    Field {
        name: "UniqueSize",
        header: "UNIQUE SIZE",
        write: |image, _, out| match &image.usage {
            Some(usage) => push_human_size(out, image.listed.size.saturating_sub(usage.shared)),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "VirtualSize",
        header: "SIZE",
        write: |image, _, out| push_human_size(out, image.listed.size),
    },
];

#[derive(Default)]
struct ImportArgs {
    quiet: bool,
    platform: Option<Platform>,
    changes: Vec<String>,
    message: Option<String>,
}

static IMPORT_FLAGS: &[Flag<ImportArgs>] = &[
    Flag::<ImportArgs>::value(
        "change",
        "INSTRUCTION",
        "Apply a Dockerfile instruction (CMD, ENV, USER …)",
        |a, v| {
            a.changes.push(raw::utf8("instruction", v)?);
            Ok(())
        },
    )
    .short('c'),
    Flag::<ImportArgs>::value(
        "message",
        "TEXT",
        "Set a comment for the image's history",
        |a, v| {
            a.message = Some(raw::utf8("message", v)?);
            Ok(())
        },
    )
    .short('m'),
    Flag::<ImportArgs>::switch("quiet", "Show no progress", |a, on| a.quiet = on).short('q'),
    Flag::<ImportArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Set the platform of the image",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
];

/// The command `import`.
pub static IMPORT: Command = Command {
    name: "import",
    group: Group::Images,
    usage: "[FLAGS] FILE|URL|- [NAME[:TAG]]",
    summary: "Create an image from a tar of a root file system",
    examples: &[
        "mydocker import -c 'CMD [\"/bin/sh\"]' rootfs.tar.gz base:1",
        "tar -C rootfs -c . | mydocker import - base",
    ],
    operand: Operand::File,
    operands: (1, 2),
    trailing: false,
    flags: |at| spec(IMPORT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(IMPORT_FLAGS)?;
        let source = match names[0].as_str() {
            "-" => {
                refuse_terminal("name a file, or pipe the archive in")?;
                ImportSource::Stdin
            }
            url if url.starts_with("http://") || url.starts_with("https://") => {
                ImportSource::Url(url.to_owned())
            }
            file => ImportSource::File(raw::path(file).into()),
        };
        let reference = names.get(1).map(|name| Reference::parse_new(name)).transpose()?;
        let engine = call.engine()?;
        let shown = Bytes::show("Importing", args.quiet);
        let imported = engine.import(
            &source,
            reference.as_ref(),
            &args.changes,
            args.message.as_deref(),
            &args.platform.unwrap_or_default(),
        );
        drop(shown);
        print_line(&imported?.to_string())?;
        Ok(0)
    },
};

#[derive(Default)]
struct LoadArgs {
    quiet: bool,
    platform: Option<Platform>,
    input: Option<PathBuf>,
}

static LOAD_FLAGS: &[Flag<LoadArgs>] = &[
    Flag::<LoadArgs>::setting("input", "FILE", "Read FILE instead of stdin", |a, v| {
        a.input = Some(raw::path(v).into());
        Ok(())
    })
    .short('i'),
    Flag::<LoadArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Load only the images for the platform",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<LoadArgs>::switch("quiet", "Show no progress", |a, on| a.quiet = on).short('q'),
];

/// The command `load`.
pub static LOAD: Command = Command {
    name: "load",
    group: Group::Images,
    usage: "[FLAGS]",
    summary: "Load images from an archive of docker save or mydocker save",
    examples: &["mydocker load -i images.tar", "docker save nginx | mydocker load"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(LOAD_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(LOAD_FLAGS)?;
        if args.input.is_none() {
            refuse_terminal("name a file with -i, or pipe the archive in")?;
        }
        let mut notes = Vec::new();
        let (input, platform) = (args.input.as_deref(), args.platform);
        let engine = call.engine()?;
        let shown = Bytes::show("Loading", args.quiet);
        let loaded = engine.load(input, platform, &mut |note| notes.push(note));
        drop(shown);
        for note in notes {
            print_error(&format!("warning: {note}\n"));
        }
        for image in loaded? {
            if image.references.is_empty() {
                print_line(&format!("Loaded image ID: {}", image.id))?;
            }
            for name in &image.references {
                print_line(&format!("Loaded image: {}", name.familiar()))?;
            }
        }
        Ok(0)
    },
};

/// The command `tag`.
pub static TAG: Command = Command {
    name: "tag",
    group: Group::Images,
    usage: "IMAGE NAME[:TAG]",
    summary: "Add a name to an image",
    examples: &[],
    operand: Operand::Image,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let (image, name) = (names[0].parse()?, Reference::parse_new(&names[1])?);
        call.engine()?.tag(&image, &name)?;
        Ok(0)
    },
};

#[derive(Default)]
struct RmiArgs {
    force: bool,
    platform: Option<Platform>,
}

static RMI_FLAGS: &[Flag<RmiArgs>] = &[
    Flag::<RmiArgs>::switch("force", "Untag used images, and ignore missing ones", |a, on| {
        a.force = on
    })
    .short('f'),
    Flag::<RmiArgs>::accepted("no-prune", "Accepted; images have no untagged parents"),
    Flag::<RmiArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Remove the image only if it is for the platform",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
];

/// The command `rmi`.
pub static RMI: Command = Command {
    name: "rmi",
    group: Group::Images,
    usage: "[FLAGS] IMAGE [IMAGE…]",
    summary: "Remove images",
    examples: &[],
    operand: Operand::Image,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(RMI_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(RMI_FLAGS)?;
        let engine = call.engine()?;
        call.each(&names, |name| {
            let name = name.parse()?;
            if args.force && !engine.image_exists(&name)? {
                call.complain(&Error::new(format!("no such image: {name}")));
                return Ok(());
            }
            engine.require_platform(&name, args.platform.as_ref())?;
            let removed = engine.remove_image(&name, args.force)?;
            lines_of(&removed).try_for_each(|line| print_line(&line))
        })
    },
};

/// Returns the lines that Docker prints for the names and digests that a removal has removed.
pub(super) fn lines_of(removed: &RemovedImage) -> impl Iterator<Item = String> {
    let names = removed.untagged.iter();
    let untagged = names.map(|name| format!("Untagged: {}", name.familiar()));
    untagged.chain(removed.deleted.iter().map(|digest| format!("Deleted: {digest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(repository: Option<&str>, tag: Option<&str>) -> ImageView {
        let listed = crate::engine::view::ListedImage {
            repository: repository.map(str::to_owned),
            tag: tag.map(str::to_owned),
            digest: None,
            labels: vec![("a".to_owned(), "1".to_owned())],
            id: crate::engine::view::ImageId::parse_hex(&"0123456789abcdef".repeat(4)).unwrap(),
            created: repository.map(|_| Instant(0)),
            size: 7_380_000,
            hidden: false,
        };
        ImageView { listed, usage: None }
    }

    #[test]
    fn the_table_reads_as_dockers() {
        let rows = [image(Some("busybox"), Some("latest")), image(None, None)];
        let show = Show { no_trunc: false, now: Instant(3_600_000_000_000) };
        assert_eq!(
            Format::Columns(COLUMNS).render(&rows, FIELDS, &show).unwrap(),
            "REPOSITORY   TAG       IMAGE ID       CREATED             SIZE\n\
             busybox      latest    0123456789ab   About an hour ago   7.38MB\n\
             <none>       <none>    0123456789ab   N/A                 7.38MB\n"
        );
        let quiet = |format: &str| {
            let format = Format::parse_quiet(true, format, FIELDS, COLUMNS).unwrap();
            format.render(&rows, FIELDS, &show).unwrap()
        };
        assert_eq!(quiet(""), "0123456789ab\n0123456789ab\n");
        assert_eq!(quiet("raw"), "image_id: 0123456789ab\nimage_id: 0123456789ab\n");
        assert_eq!(quiet("{{.Tag}}"), "latest\n<none>\n");
    }
}
