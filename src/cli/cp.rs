//! The command `cp`: copies files between the host and a container. An operand is a path on the
//! host, `NAME:PATH` for a container, or `-` for a tar on stdin or stdout, as in Docker. This file
//! parses the operands. `engine::cp` copies, and handles links and owners.

use super::flag::{Command, Flag, Group, Operand, spec};
use super::output::{refuse_terminal, refuse_terminal_output, status_of_archive};
use super::progress::Bytes;
use crate::engine::Engine;
use crate::engine::options::{CopyOptions, Place};
use crate::error::{Result, fail};

#[derive(Default)]
struct CpArgs {
    archive: bool,
    follow: bool,
    quiet: bool,
}

static FLAGS: &[Flag<CpArgs>] = &[
    Flag::<CpArgs>::switch("archive", "Keep owners, setuid bits and devices", |a, on| {
        a.archive = on;
    })
    .short('a'),
    Flag::<CpArgs>::switch("follow-link", "Follow SRC if it is a symbolic link", |a, on| {
        a.follow = on
    })
    .short('L'),
    Flag::<CpArgs>::switch("quiet", "Show no progress", |a, on| a.quiet = on).short('q'),
];

/// The command `cp`.
pub static CP: Command = Command {
    name: "cp",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER:SRC DEST|-  or  SRC|- CONTAINER:DEST",
    summary: "Copy files between a container and the host",
    examples: &[
        "mydocker cp web:/var/log/nginx logs",
        "mydocker cp site/. web:/var/www/html",
        "mydocker cp web:/etc - | tar -t",
    ],
    operand: Operand::Container,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(FLAGS)?;
        let engine = call.engine()?;
        let _shown = Bytes::show("Copying", args.quiet);
        let how = CopyFlags { archive: args.archive, follow: args.follow };
        let copied = copy(&engine, &names, how, &|place| match place {
            Place::Container { name, .. } => Ok(vec![name.clone()]),
            _ => Ok(vec![String::new()]),
        });
        Ok(status_of_archive(copied, names[1] == "-")?)
    },
};

/// The flags of `cp` and `compose cp` that change a copy.
pub struct CopyFlags {
    /// Whether to keep owners, setuid bits and devices.
    pub archive: bool,
    /// Whether to follow the source if it is a symbolic link.
    pub follow: bool,
}

/// Copies between the two places that `words` name. `containers` returns the names or ids of the
/// containers of a place. For a place outside of containers, `containers` returns one empty text.
/// The copy comes from the source's first container and goes to each target. Fails if an operand is
/// invalid, if a tar would be read from a terminal or written to a terminal, or if `containers` or
/// a copy fails.
pub fn copy(
    engine: &Engine,
    words: &[String],
    how: CopyFlags,
    containers: &dyn Fn(&Place) -> Result<Vec<String>>,
) -> Result<()> {
    let CopyFlags { archive, follow } = how;
    let (from, to) = (place(&words[0])?, place(&words[1])?);
    if from == Place::Stream {
        refuse_terminal("pipe a tar in")?;
    }
    if to == Place::Stream {
        refuse_terminal_output("name a directory")?;
    }
    let named = |place: &Place, id: &str| match place {
        Place::Container { path, .. } => {
            Place::Container { name: id.to_owned(), path: path.clone() }
        }
        place => place.clone(),
    };
    let sources = containers(&from)?;
    let source = sources.first().map_or("", String::as_str);
    for target in containers(&to)? {
        let (from, to) = (named(&from, source), named(&to, &target));
        engine.cp(&CopyOptions { from, to, archive, follow })?;
    }
    Ok(())
}

/// Parses an operand: `-` means a tar. `NAME:PATH` means a container, unless the operand starts
/// with `/` or `.`, or NAME contains `/`. Any other word is a path on the host. Fails if the
/// operand, NAME or PATH is empty.
fn place(word: &str) -> Result<Place> {
    Ok(match word.split_once(':') {
        _ if word.is_empty() => fail!("the path is empty; write . for the working directory"),
        _ if word == "-" => Place::Stream,
        Some((name, path)) if !word.starts_with(['/', '.']) && !name.contains('/') => {
            if name.is_empty() {
                fail!("'{word}' names no container; start a path on the host with ./");
            }
            if path.is_empty() {
                fail!("'{word}' has no path; {name}:/ is the container's root");
            }
            // The path starts at the container's root, not at the container's working directory.
            let path = format!("/{}", path.trim_start_matches('/'));
            Place::Container { name: name.to_owned(), path }
        }
        _ => Place::Host(word.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_parsed_as_by_docker() {
        let place = |word| super::place(word).unwrap();
        let host = |path: &str| Place::Host(path.to_owned());
        assert_eq!(place("-"), Place::Stream);
        assert_eq!(place("./a:b"), host("./a:b"));
        assert_eq!(place("/a:b"), host("/a:b"));
        assert_eq!(place("a/b:c"), host("a/b:c"));
        assert_eq!(place("plain"), host("plain"));
        let container = Place::Container { name: "web".to_owned(), path: "/etc/x:y".to_owned() };
        assert_eq!(place("web:etc/x:y"), container);
        for empty in ["", "web:", ":/etc"] {
            assert!(super::place(empty).is_err(), "{empty}");
        }
    }
}
