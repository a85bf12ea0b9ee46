//! `pull`, `push`, `login` and `logout`: the commands that talk to registries. Progress goes to
//! stdout, with bars on a terminal. If `login` has no `-p`, the password is read from stdin or from
//! the terminal without echo. Credentials are stored where Docker stores them. `image::registry`
//! implements the protocol (OCI distribution spec).

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::lifecycle::NO_FLAGS;
use super::output::print_line;
use super::progress::Progress;
use super::prompt::{Echo, ask, read_secret};
use crate::engine::options::{Platform, Reference};
use crate::engine::registry::{Login, PullRequest, RegistryOptions};
use crate::engine::transfer;
use crate::error::Result;
use crate::raw;

const TLS_VERIFY: &str = "Verify certificates (default true); =false allows HTTP too";
const CACERT: &str = "Trust the certificate authorities in FILE (PEM) too";

#[derive(Default)]
struct PullArgs {
    platform: Option<Platform>,
    all_tags: bool,
    quiet: bool,
    registry: RegistryOptions,
}

static PULL_FLAGS: &[Flag<PullArgs>] = &[
    Flag::<PullArgs>::content_trust(),
    Flag::<PullArgs>::switch("all-tags", "Pull all tags of the repository", |a, on| {
        a.all_tags = on
    })
    .short('a'),
    Flag::<PullArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Pull the image for this platform (default: the host's)",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<PullArgs>::switch("quiet", "Print only the name", |a, on| a.quiet = on).short('q'),
    Flag::<PullArgs>::switch("tls-verify", TLS_VERIFY, |a, on| a.registry.tls_verify = Some(on)),
    Flag::<PullArgs>::setting("cacert", "FILE", CACERT, |a, v| {
        a.registry.ca_cert = Some(raw::path(v).into());
        Ok(())
    }),
];

/// The command `pull`.
pub static PULL: Command = Command {
    name: "pull",
    group: Group::Images,
    usage: "[FLAGS] NAME[:TAG|@DIGEST]",
    summary: "Pull an image from a registry",
    examples: &[
        "mydocker pull alpine",
        "mydocker pull --platform linux/arm64 ghcr.io/org/app:1.2",
        "mydocker pull --tls-verify=false registry.lan:5000/app",
    ],
    operand: Operand::Image,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(PULL_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(PULL_FLAGS)?;
        let progress = Progress::on_stdout(args.quiet);
        let request = PullRequest {
            reference: reference(&names[0], args.all_tags, args.quiet)?,
            platform: args.platform,
            all_tags: args.all_tags,
            registry: args.registry,
        };
        for name in call.engine()?.pull(&request, &|event| progress.note(event))? {
            print_line(&name.to_string())?;
        }
        Ok(0)
    },
};

/// Parses the operand: an image, or with `--all-tags` a repository. Unless `quiet`, reports the
/// default tag if the name has no tag.
fn reference(name: &str, all_tags: bool, quiet: bool) -> Result<Reference> {
    if all_tags {
        return Reference::parse_repository(name);
    }
    let reference = Reference::parse(name)?;
    if !quiet
        && reference.digest.is_none()
        && let Some(tag) = &reference.tag
        && !name.ends_with(&format!(":{tag}"))
    {
        print_line(&format!("Using default tag: {tag}"))?;
    }
    Ok(reference)
}

#[derive(Default)]
struct PushArgs {
    platform: Option<Platform>,
    all_tags: bool,
    quiet: bool,
    registry: RegistryOptions,
}

static PUSH_FLAGS: &[Flag<PushArgs>] = &[
    Flag::<PushArgs>::content_trust(),
    Flag::<PushArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Push the image only if it is for the platform",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<PushArgs>::switch("all-tags", "Push all local tags of the repository", |a, on| {
        a.all_tags = on;
    })
    .short('a'),
    Flag::<PushArgs>::switch("quiet", "Print only the name", |a, on| a.quiet = on).short('q'),
    Flag::<PushArgs>::switch("tls-verify", TLS_VERIFY, |a, on| a.registry.tls_verify = Some(on)),
    Flag::<PushArgs>::setting("cacert", "FILE", CACERT, |a, v| {
        a.registry.ca_cert = Some(raw::path(v).into());
        Ok(())
    }),
];

/// The command `push`.
pub static PUSH: Command = Command {
    name: "push",
    group: Group::Images,
    usage: "[FLAGS] NAME[:TAG]",
    summary: "Push an image to a registry",
    examples: &[
        "mydocker tag app registry.lan:5000/app:1 && mydocker push registry.lan:5000/app:1",
    ],
    operand: Operand::Image,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(PUSH_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(PUSH_FLAGS)?;
        let progress = Progress::on_stdout(args.quiet);
        let engine = call.engine()?;
        let reference = reference(&names[0], args.all_tags, args.quiet)?;
        engine.require_platform(&names[0].parse()?, args.platform.as_ref())?;
        let note = |event| progress.note(event);
        let pushed = engine.push(&reference, args.all_tags, &args.registry, &note)?;
        if args.quiet {
            pushed.iter().try_for_each(|name| print_line(&name.to_string()))?;
        }
        Ok(0)
    },
};

#[derive(Default)]
struct LoginArgs {
    user: Option<String>,
    password: Option<String>,
    password_stdin: bool,
    registry: RegistryOptions,
}

static LOGIN_FLAGS: &[Flag<LoginArgs>] = &[
    Flag::<LoginArgs>::setting("username", "USER", "Set the user, instead of asking", |a, v| {
        a.user = Some(v.to_owned());
        Ok(())
    })
    .short('u'),
    Flag::<LoginArgs>::value(
        "password",
        "PASSWORD",
        "Set the password; other users can see it in ps",
        |a, v| {
            a.password = Some(v.to_owned());
            Ok(())
        },
    )
    .short('p'),
    Flag::<LoginArgs>::switch("password-stdin", "Read the password from stdin", |a, on| {
        a.password_stdin = on;
    }),
    Flag::<LoginArgs>::switch("tls-verify", TLS_VERIFY, |a, on| a.registry.tls_verify = Some(on)),
    Flag::<LoginArgs>::setting("cacert", "FILE", CACERT, |a, v| {
        a.registry.ca_cert = Some(raw::path(v).into());
        Ok(())
    }),
];

/// The command `login`.
pub static LOGIN: Command = Command {
    name: "login",
    group: Group::Images,
    usage: "[FLAGS] [REGISTRY]",
    summary: "Log in to a registry and store the password",
    examples: &["mydocker login -u me --password-stdin registry.lan:5000 <password"],
    operand: Operand::Nothing,
    operands: (0, 1),
    trailing: false,
    flags: |at| spec(LOGIN_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(LOGIN_FLAGS)?;
        if args.password_stdin && (args.password.is_some() || args.user.is_none()) {
            return call.refuse("--password-stdin needs --username, and no --password");
        }
        let user = args.user.map_or_else(|| ask("Username", Echo::On), Ok)?;
        let password = match args.password {
            Some(password) => password,
            None if args.password_stdin => read_secret()?,
            None => ask("Password", Echo::Off)?,
        };
        let server = names.first().cloned().unwrap_or_default();
        let login = Login { server, user, password };
        let kept = transfer::login(&login, &args.registry)?;
        print_line(&format!("Login Succeeded (stored in {kept})"))?;
        Ok(0)
    },
};

/// The command `logout`.
pub static LOGOUT: Command = Command {
    name: "logout",
    group: Group::Images,
    usage: "[REGISTRY]",
    summary: "Log out of a registry and delete the stored password",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 1),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let server = names.first().map_or("docker.io", String::as_str);
        let text = if transfer::logout(server)? {
            format!("Removed the stored password for {server}")
        } else {
            format!("No password is stored for {server}")
        };
        print_line(&text)?;
        Ok(0)
    },
};
