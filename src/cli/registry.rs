//! Images from and to registries: pull.

use super::flag::{Command, Flag, Group, Operand, specs};
use super::output::print_line;
use super::progress::Progress;
use crate::engine::registry::{PullRequest, RegistryOptions};

const TLS_VERIFY: &str = "With =false, take any certificate, and plain HTTP too";
const CACERT: &str = "Trust the authorities in FILE (PEM) too";

#[derive(Default)]
struct PullArgs {
    platform: Option<String>,
    all_tags: bool,
    quiet: bool,
    registry: RegistryOptions,
}

static PULL_FLAGS: &[Flag<PullArgs>] = &[
    Flag::<PullArgs>::switch("all-tags", "All tags of the repository", |a, on| a.all_tags = on)
        .short('a'),
    Flag::<PullArgs>::value(
        "platform",
        "OS/ARCH[/VARIANT]",
        "The image for that platform instead of this machine's",
        |a, v| {
            a.platform = Some(v.to_owned());
            Ok(())
        },
    ),
    Flag::<PullArgs>::switch("quiet", "Print the name only", |a, on| a.quiet = on).short('q'),
    Flag::<PullArgs>::switch("tls-verify", TLS_VERIFY, |a, on| a.registry.tls_verify = Some(on)),
    Flag::<PullArgs>::value("cacert", "FILE", CACERT, |a, v| {
        a.registry.ca_cert = Some(v.into());
        Ok(())
    }),
];

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
    flags: || specs(PULL_FLAGS),
    run: |call| {
        let (args, names) = call.parse(PULL_FLAGS)?;
        let request = PullRequest {
            name: names[0].clone(),
            platform: args.platform,
            all_tags: args.all_tags,
            registry: args.registry,
        };
        let progress = Progress::on_stdout(args.quiet);
        for name in call.engine()?.pull(&request, &|event| progress.note(event))? {
            print_line(&name)?;
        }
        Ok(0)
    },
};
