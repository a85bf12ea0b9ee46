//! The command `build`: parses the flags and shows the progress and the result. Progress goes to
//! stderr, in the form that `build_progress` chooses. With `-q` the command prints only the image's
//! id, to stdout. The module `crate::build` builds the image.

use super::build_progress::{Form, progress};
use super::flag::{Category, Checker, Command, Flag, Group, Operand, spec};
#[cfg(feature = "compose")]
use super::flag::{Placed, set_all};
use super::output::{print, print_line};
use super::progress::Progress;
use super::value::limit::{parse_cgroup_parent, parse_ulimit};
use super::value::name::{parse_host, parse_label};
use super::value::resources::{
    set_cpu_period, set_cpu_quota, set_cpu_shares, set_cpus, set_cpuset_cpus, set_cpuset_mems,
    set_memory, set_memory_swap,
};
use super::{Invocation, Outcome};
use crate::build::exchange;
use crate::build::output::Output;
use crate::build::{Options, Secret};
use crate::engine::Engine;
use crate::engine::options::Reference;
use crate::engine::registry::RegistryOptions;
use crate::error::{Result, fail};
use crate::raw;
use crate::units::ByteSize;

#[derive(Default)]
struct BuildArgs {
    options: Options,
    form: Form,
    check: bool,
    push: bool,
}

const ATTESTATION: &str = "Accept false: no attestation is made";

static BUILD_FLAGS: &[Flag<BuildArgs>] = &[
    Flag::<BuildArgs>::setting(
        "file",
        "FILE",
        "Read the Dockerfile FILE, or stdin for -",
        |a, v| {
            a.options.file = Some(v.to_owned());
            Ok(())
        },
    )
    .short('f'),
    Flag::<BuildArgs>::value("tag", "NAME[:TAG]", "Name the image; may be repeated", |a, v| {
        a.options.names.push(Reference::parse_new(v)?);
        Ok(())
    })
    .short('t'),
    Flag::<BuildArgs>::value("build-arg", "NAME[=VALUE]", "Set the value of an ARG", |a, v| {
        a.options.arguments.extend(parse_argument(v)?);
        Ok(())
    }),
    Flag::<BuildArgs>::setting(
        "target",
        "STAGE",
        "Build this stage instead of the last",
        |a, v| {
            a.options.target = Some(v.to_owned());
            Ok(())
        },
    ),
    Flag::<BuildArgs>::value("label", "NAME=VALUE", "Add a label to the image", |a, v| {
        a.options.labels.push(parse_label(v)?);
        Ok(())
    }),
    Flag::<BuildArgs>::setting("iidfile", "FILE", "Write the image's id to FILE", |a, v| {
        a.options.id_file = Some(raw::path(v).into());
        Ok(())
    }),
    Flag::<BuildArgs>::setting(
        "metadata-file",
        "FILE",
        "Write the image's id and names to FILE, as JSON",
        |a, v| {
            a.options.metadata_file = Some(raw::path(v).into());
            Ok(())
        },
    ),
    Flag::<BuildArgs>::value(
        "output",
        "DIRECTORY|type=TYPE,dest=PATH",
        "Write the files (local, tar), or an archive too (docker, oci)",
        |a, v| {
            a.options.outputs.push(Output::parse(v)?);
            Ok(())
        },
    )
    .short('o'),
    Flag::<BuildArgs>::value(
        "build-context",
        "NAME=DIRECTORY",
        "Name another context, or an image (docker-image://IMAGE)",
        |a, v| match v.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                a.options.contexts.push((name.to_owned(), value.to_owned()));
                Ok(())
            }
            _ => fail!("'{v}' should be NAME=DIRECTORY or NAME=docker-image://IMAGE"),
        },
    ),
    Flag::<BuildArgs>::switch("pull", "Pull base images even if they are here", |a, on| {
        a.options.pull = on;
    }),
    Flag::<BuildArgs>::switch("check", "Check the Dockerfile, and build nothing", |a, on| {
        a.check = on;
    }),
    Flag::<BuildArgs>::setting("call", "METHOD", "Call build (default) or check", |a, v| {
        a.check = match v {
            "build" => false,
            "check" | "lint" => true,
            _ => fail!("'{v}' is not supported; use build or check"),
        };
        Ok(())
    }),
    Flag::<BuildArgs>::setting(
        "platform",
        "OS/ARCH",
        "Build for this platform; RUN may need qemu-user in binfmt_misc",
        |a, v| {
            a.options.platform = if v == "local" { None } else { Some(v.parse()?) };
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<BuildArgs>::setting("network", "MODE", "Set the network of RUN steps", |a, v| {
        a.options.network = Some(v.to_owned());
        Ok(())
    }),
    Flag::<BuildArgs>::value("add-host", "NAME:IP", "Add a line to /etc/hosts of steps", |a, v| {
        a.options.container.add_hosts.push(parse_host(v)?);
        Ok(())
    }),
    Flag::<BuildArgs>::value("memory", "SIZE", "Limit the memory of steps", |a, v| {
        set_memory(&mut a.options.container.resources, v)
    })
    .short('m'),
    Flag::<BuildArgs>::value(
        "memory-swap",
        "SIZE",
        "Limit memory plus swap of steps; -1 for no limit",
        |a, v| set_memory_swap(&mut a.options.container.resources, v),
    ),
    Flag::<BuildArgs>::value("cpus", "NUMBER", "Limit the CPU time of steps, in CPUs", |a, v| {
        set_cpus(&mut a.options.container.resources, v)
    }),
    Flag::<BuildArgs>::value("cpu-shares", "WEIGHT", "Set the CPU weight of steps", |a, v| {
        set_cpu_shares(&mut a.options.container.resources, v)
    })
    .short('c'),
    Flag::<BuildArgs>::value(
        "cpu-quota",
        "MICROSECONDS",
        "Limit the CPU time of steps per period",
        |a, v| set_cpu_quota(&mut a.options.container.resources, v),
    )
    .checked_by(Checker::DaemonIfNumber),
    Flag::<BuildArgs>::value(
        "cpu-period",
        "MICROSECONDS",
        "Set the length of the period",
        |a, v| set_cpu_period(&mut a.options.container.resources, v),
    )
    .checked_by(Checker::DaemonIfNumber),
    Flag::<BuildArgs>::setting("cpuset-cpus", "LIST", "Run steps on these CPUs only", |a, v| {
        set_cpuset_cpus(&mut a.options.container.resources, v)
    })
    .checked_by(Checker::Daemon),
    Flag::<BuildArgs>::setting("cpuset-mems", "LIST", "Use these memory nodes only", |a, v| {
        set_cpuset_mems(&mut a.options.container.resources, v)
    })
    .checked_by(Checker::Daemon),
    Flag::<BuildArgs>::value("shm-size", "SIZE", "Set the size of /dev/shm of steps", |a, v| {
        match ByteSize::parse(v)?.0 {
            0 => fail!("the size can't be 0"),
            bytes => a.options.container.shm_size = Some(bytes),
        }
        Ok(())
    }),
    Flag::<BuildArgs>::value("ulimit", "NAME=SOFT[:HARD]", "Set a limit of steps", |a, v| {
        let limit = parse_ulimit(v)?;
        a.options.container.limits.rlimits.retain(|other| other.name != limit.name);
        a.options.container.limits.rlimits.push(limit);
        Ok(())
    }),
    Flag::<BuildArgs>::setting("cgroup-parent", "PATH", "Run steps below this cgroup", |a, v| {
        a.options.container.cgroup_parent = Some(parse_cgroup_parent(v)?);
        Ok(())
    }),
    Flag::<BuildArgs>::setting(
        "isolation",
        "NAME",
        "Accept default, the only one",
        |_, v| match v {
            "default" => Ok(()),
            _ => fail!("isolation '{v}' exists only on Windows; write default"),
        },
    ),
    Flag::<BuildArgs>::value(
        "annotation",
        "NAME=VALUE",
        "Annotate the manifest in an archive (-o type=oci)",
        |a, v| {
            // Docker's prefix `manifest:` chooses the manifest, the only object that mydocker
            // annotates.
            let v = v.strip_prefix("manifest:").unwrap_or(v);
            match v.split_once('=') {
                Some((name, _)) if name.contains(':') => {
                    fail!("'{v}': only the manifest gets annotations; write NAME=VALUE")
                }
                Some((name, value)) if !name.is_empty() => {
                    let pair = (raw::utf8("annotation", name)?, raw::utf8("annotation", value)?);
                    a.options.annotations.push(pair);
                    Ok(())
                }
                _ => fail!("'{v}' should be NAME=VALUE"),
            }
        },
    ),
    Flag::<BuildArgs>::setting("ssh", "ID", "Refused: no step gets an SSH agent", |_, _| {
        fail!("no step gets an SSH agent; fetch what needs it before the build, and COPY it")
    }),
    Flag::<BuildArgs>::value(
        "cache-from",
        "type=local,src=DIRECTORY",
        "Read the cache in DIRECTORY too",
        |a, v| {
            a.options.cache_from.push(exchange::directory(v, "src")?);
            Ok(())
        },
    ),
    Flag::<BuildArgs>::value(
        "cache-to",
        "type=local,dest=DIRECTORY",
        "Write the cache of this build to DIRECTORY too",
        |a, v| {
            a.options.cache_to.push(exchange::directory(v, "dest")?);
            Ok(())
        },
    ),
    Flag::<BuildArgs>::value("allow", "RIGHT", "Refused: steps get no more rights", |_, v| {
        fail!("steps run with the defaults of run, so '{v}' can't be allowed")
    }),
    Flag::<BuildArgs>::switch("squash", "Merge the new layers into one", |a, on| {
        a.options.squash = on;
    }),
    Flag::<BuildArgs>::switch("push", "Push the image under its names", |a, on| a.push = on),
    Flag::<BuildArgs>::accepted("load", "Accepted; the image is always among the local ones"),
    Flag::<BuildArgs>::setting("builder", "NAME", "Accepted; there is one builder", |_, _| Ok(()))
        .under(Category::Docker),
    Flag::<BuildArgs>::setting("provenance", "false", ATTESTATION, |_, v| refuse_attestation(v))
        .under(Category::Docker),
    Flag::<BuildArgs>::setting("sbom", "false", ATTESTATION, |_, v| refuse_attestation(v))
        .under(Category::Docker),
    Flag::<BuildArgs>::switch("quiet", "Print only the image's id", |a, on| {
        a.form = if on { Form::Quiet } else { Form::Auto };
    })
    .short('q'),
    Flag::<BuildArgs>::setting(
        "progress",
        "FORM",
        "Set the form of the progress: auto, tty, plain or quiet",
        |a, v| {
            a.form = match v {
                // `tty` means `auto`: a file or a pipe gets no escape sequences.
                "auto" | "tty" => Form::Auto,
                "plain" => Form::Plain,
                "quiet" => Form::Quiet,
                _ => fail!("'{v}' is not supported; use auto, tty, plain or quiet"),
            };
            Ok(())
        },
    ),
    Flag::<BuildArgs>::value(
        "secret",
        "id=ID,src=FILE",
        "Give RUN --mount=type=secret a file or variable; may be repeated",
        |a, v| {
            a.options.secrets.push(Secret::parse(v)?);
            Ok(())
        },
    ),
    Flag::<BuildArgs>::switch("no-cache", "Take no step from the cache", |a, on| {
        a.options.no_cache = on;
    }),
    Flag::<BuildArgs>::value(
        "no-cache-filter",
        "STAGE,…",
        "Take no step of these stages from the cache",
        |a, v| {
            a.options.no_cache_stages.extend(v.split(',').map(str::to_owned));
            Ok(())
        },
    ),
    Flag::<BuildArgs>::accepted("compress", "Accepted; the context is sent nowhere"),
    Flag::<BuildArgs>::content_trust(),
    Flag::<BuildArgs>::accepted("rm", "Accepted; the containers of steps are always removed"),
    Flag::<BuildArgs>::accepted("force-rm", "Accepted; the containers of steps are always removed"),
];

/// Returns the build options that these flags of `build` set. A compose file's `build` section
/// gives the flags. Fails on an unknown flag or a bad value.
#[cfg(feature = "compose")]
pub fn options_of(settings: &mut dyn Iterator<Item = Placed<'_>>) -> Result<Options> {
    let mut args = BuildArgs::default();
    set_all(BUILD_FLAGS, &mut args, settings)?;
    Ok(args.options)
}

/// Checks the value of `--provenance` or `--sbom`. Only `false` is accepted, because scripts switch
/// these flags off.
fn refuse_attestation(value: &str) -> Result<()> {
    match value {
        "false" => Ok(()),
        _ => fail!("no attestation is made; write false"),
    }
}

/// Parses `--build-arg`. `NAME` alone takes the value of the caller's environment variable; the
/// result is `None` if that variable is not set or not UTF-8. Fails if the name is empty, or if a
/// `NAME=VALUE` is not UTF-8.
pub fn parse_argument(text: &str) -> Result<Option<String>> {
    if text.is_empty() || text.starts_with('=') {
        fail!("'{text}' should be NAME=VALUE or NAME");
    }
    if text.contains('=') {
        return raw::utf8("argument", text).map(Some);
    }
    Ok(std::env::var(text).ok().map(|value| format!("{text}={value}")))
}

/// The command `build`.
pub static BUILD: Command = Command {
    name: "build",
    group: Group::Images,
    usage: "[FLAGS] DIRECTORY|FILE.tar|-",
    summary: "Build an image from a Dockerfile",
    examples: &[
        "mydocker build -t site:2 .",
        "mydocker build --target test -f ci/Dockerfile .",
        "mydocker build -o type=local,dest=out .",
        "mydocker build --check .",
    ],
    operand: Operand::File,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(BUILD_FLAGS, at),
    run: build,
};

fn build(call: &Invocation) -> Outcome {
    let (BuildArgs { mut options, form, check, push }, mut operands) = call.parse(BUILD_FLAGS)?;
    options.context = operands.swap_remove(0);
    let names: Vec<Reference> = options.all_names().cloned().collect();
    if push && names.is_empty() {
        return call.refuse("--push needs the image's name: -t NAME");
    }
    if !options.arguments.is_empty() {
        Engine::hide_variables();
    }
    let engine = call.engine()?;
    if check {
        let (text, count) = crate::build::check(&engine, &options)?;
        print(&text)?;
        return Ok(u8::from(count > 0));
    }
    let id = crate::build::build(&engine, &options, &mut *progress(form))?;
    if let Some(id) = id.filter(|_| form == Form::Quiet) {
        print_line(&id.to_string())?;
    }
    for name in names.iter().filter(|_| push) {
        let progress = Progress::on_stderr(form == Form::Quiet);
        engine.push(name, false, &RegistryOptions::default(), &|event| progress.note(event))?;
    }
    Ok(0)
}
