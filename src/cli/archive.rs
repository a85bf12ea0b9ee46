//! `save`, `export`, `commit` and `diff`: the commands that turn local images and containers into
//! archives, images or lists of changes. If stdout is a terminal and no file is named, `save` and
//! `export` fail and write no archive. `engine::archives`, `engine::commit` and `engine::diff` do
//! the work.

use std::path::PathBuf;

use super::escape;
use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::lifecycle::NO_FLAGS;
use super::output::{print, print_line, refuse_terminal_output, status_of_archive};
use super::progress::Bytes;
use crate::engine::options::{ArchiveFormat, CommitOptions, ImageName, Platform, Reference};
use crate::engine::view::ChangeKind;
use crate::error::{Result, fail};
use crate::raw;

#[derive(Default)]
struct SaveArgs {
    platform: Option<Platform>,
    output: Option<PathBuf>,
    format: ArchiveFormat,
}

static SAVE_FLAGS: &[Flag<SaveArgs>] = &[
    Flag::<SaveArgs>::setting("output", "FILE", "Write to FILE instead of stdout", |a, v| {
        a.output = Some(raw::path(v).into());
        Ok(())
    })
    .short('o'),
    Flag::<SaveArgs>::setting(
        "format",
        "FORMAT",
        "Write a docker-archive (default) or oci-archive",
        |a, v| {
            a.format = match v {
                "docker-archive" => ArchiveFormat::Docker,
                "oci-archive" => ArchiveFormat::Oci,
                _ => fail!("unknown format '{v}'; known: docker-archive oci-archive"),
            };
            Ok(())
        },
    ),
    Flag::<SaveArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Save the images only if they are for the platform",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
];

/// The command `save`.
pub static SAVE: Command = Command {
    name: "save",
    group: Group::Images,
    usage: "[FLAGS] IMAGE [IMAGE…]",
    summary: "Save images to a tar archive",
    examples: &["mydocker save -o web.tar nginx:1", "mydocker save nginx | ssh host mydocker load"],
    operand: Operand::Image,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(SAVE_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(SAVE_FLAGS)?;
        if args.output.is_none() {
            refuse_terminal_output("name a file with -o")?;
        }
        let engine = call.engine()?;
        let names = names.iter().map(|name| name.parse()).collect::<Result<Vec<ImageName>>>()?;
        for name in &names {
            engine.require_platform(name, args.platform.as_ref())?;
        }
        let _shown = Bytes::show("Saving", false);
        let saved = engine.save(&names, args.format, &[], args.output.as_deref());
        Ok(status_of_archive(saved, args.output.is_none())?)
    },
};

#[derive(Default)]
struct ExportArgs {
    output: Option<PathBuf>,
}

static EXPORT_FLAGS: &[Flag<ExportArgs>] =
    &[Flag::<ExportArgs>::setting("output", "FILE", "Write to FILE instead of stdout", |a, v| {
        a.output = Some(raw::path(v).into());
        Ok(())
    })
    .short('o')];

/// The command `export`.
pub static EXPORT: Command = Command {
    name: "export",
    group: Group::Images,
    usage: "[FLAGS] CONTAINER",
    summary: "Export a container's root file system, without volumes, as a tar",
    examples: &["mydocker export web | tar -t"],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(EXPORT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(EXPORT_FLAGS)?;
        if args.output.is_none() {
            refuse_terminal_output("name a file with -o")?;
        }
        let engine = call.engine()?;
        let _shown = Bytes::show("Exporting", false);
        let exported = engine.export(&names[0], args.output.as_deref());
        Ok(status_of_archive(exported, args.output.is_none())?)
    },
};

struct CommitArgs {
    options: CommitOptions,
    quiet: bool,
}

impl Default for CommitArgs {
    fn default() -> Self {
        let options = CommitOptions { pause: true, ..CommitOptions::default() };
        CommitArgs { options, quiet: false }
    }
}

static COMMIT_FLAGS: &[Flag<CommitArgs>] = &[
    Flag::<CommitArgs>::value(
        "message",
        "TEXT",
        "Set a comment for the image's history",
        |a, v| {
            a.options.message = raw::utf8("message", v)?;
            Ok(())
        },
    )
    .short('m'),
    Flag::<CommitArgs>::value("author", "NAME", "Set the author", |a, v| {
        a.options.author = raw::utf8("author", v)?;
        Ok(())
    })
    .short('a'),
    Flag::<CommitArgs>::value(
        "change",
        "INSTRUCTION",
        "Apply a Dockerfile instruction (CMD, ENV, USER …)",
        |a, v| {
            a.options.changes.push(raw::utf8("instruction", v)?);
            Ok(())
        },
    )
    .short('c'),
    Flag::<CommitArgs>::switch(
        "pause",
        "Pause the container during the commit (default true)",
        |a, on| {
            a.options.pause = on;
        },
    )
    .short('p'),
    Flag::<CommitArgs>::switch(
        "no-pause",
        "Do not pause the container during the commit",
        |a, on| {
            a.options.pause = !on;
        },
    ),
    Flag::<CommitArgs>::switch("quiet", "Show no progress", |a, on| a.quiet = on).short('q'),
    Flag::<CommitArgs>::setting(
        "output",
        "FILE",
        "Write the root file system as a tar to FILE instead",
        |a, v| {
            a.options.output = Some(raw::path(v).into());
            Ok(())
        },
    )
    .short('o'),
];

/// The command `commit`.
pub static COMMIT: Command = Command {
    name: "commit",
    group: Group::Images,
    usage: "[FLAGS] CONTAINER [NAME[:TAG]]",
    summary: "Create an image from a container's changes",
    examples: &["mydocker commit -m 'nginx set up' -c 'CMD [\"nginx\"]' web site:2"],
    operand: Operand::Container,
    operands: (1, 2),
    trailing: false,
    flags: |at| spec(COMMIT_FLAGS, at),
    run: |call| {
        let (CommitArgs { mut options, quiet }, mut names) = call.parse(COMMIT_FLAGS)?;
        options.image = names.get(1).map(|name| Reference::parse_new(name)).transpose()?;
        options.container = names.swap_remove(0);
        if options.image.is_some() && options.output.is_some() {
            return call.refuse("--output makes no image; leave out the image's name");
        }
        let engine = call.engine()?;
        let shown = Bytes::show("Committing", quiet);
        let committed = engine.commit(&options);
        drop(shown);
        if let Some(id) = committed? {
            print_line(&id.to_string())?;
        }
        Ok(0)
    },
};

/// `diff` prints its list in writes of about this many bytes.
const PIECE: usize = 64 << 10;

/// The command `diff`.
pub static DIFF: Command = Command {
    name: "diff",
    group: Group::Watch,
    usage: "CONTAINER",
    summary: "List files that a container added (A), changed (C) or deleted (D)",
    examples: &[],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let mut text = String::new();
        call.engine()?.diff(&names[0], &mut |change| {
            text.push_str(match change.kind {
                ChangeKind::Added => "A ",
                ChangeKind::Changed => "C ",
                ChangeKind::Deleted => "D ",
            });
            text.push_str(&escape::line(&raw::encode(&change.path)));
            text.push('\n');
            if text.len() < PIECE { Ok(()) } else { print(&std::mem::take(&mut text)) }
        })?;
        print(&text)?;
        Ok(0)
    },
};
