//! Decides what completes the value of a flag and a command's operands. For most values only the
//! flag's name matters. Filters depend on the command; containers depend on the state that the
//! command needs. If the shell cannot know the value, such as a number or a new name, the shell
//! completes files, which is its default.

use crate::cli::flag::{Command, FlagSpec, Operand};
use crate::cli::value::limit::LOG_DRIVERS;
use crate::engine::options::{Signal, capabilities};

/// Where completions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Words(Vec<String>),
    /// The lines that mydocker prints when it is called with these arguments.
    Ask(&'static str),
    Files,
    Nothing,
}

const ALL: &str = "ps -a --format '{{.Names}}'";
const RUNNING: &str = "ps --filter status=running --format '{{.Names}}'";
const STOPPABLE: &str = "ps --format '{{.Names}}'";
const PAUSED: &str = "ps --filter status=paused --format '{{.Names}}'";
const STOPPED: &str = "ps -a --filter status=created --filter status=exited --format '{{.Names}}'";
const IMAGES: &str = "images --filter dangling=false --format '{{.Repository}}:{{.Tag}}'";
const NETWORKS: &str = "network ls --format '{{.Name}}'";
const VOLUMES: &str = "volume ls -q";

fn words(text: &str) -> Source {
    Source::Words(text.split(' ').map(str::to_owned).collect())
}

/// Returns what completes the value of a flag of `command`.
pub fn of_value(command: &Command, flag: &FlagSpec) -> Source {
    match flag.long {
        "network" | "net" => Source::Ask(NETWORKS),
        "volumes-from" | "link" | "depends-on" => Source::Ask(ALL),
        "restart" => words("no always unless-stopped on-failure on-failure:"),
        "stop-signal" | "signal" => Source::Words(Signal::names().map(str::to_owned).collect()),
        "cap-add" | "cap-drop" => {
            let all = ["ALL"].into_iter().chain(capabilities::NAMES);
            Source::Words(all.map(str::to_owned).collect())
        }
        "pull" => words("always missing never"),
        "pid" | "uts" => words("host private container:"),
        "ipc" => words("host private shareable none container:"),
        "cgroupns" => words("private host"),
        "userns" => words("auto host"),
        "log-driver" => words(&LOG_DRIVERS.join(" ")),
        "health-on-failure" => words("none kill restart stop"),
        "security-opt" => words("no-new-privileges seccomp= seccomp=unconfined apparmor= label="),
        "firewall" => words("auto iptables nftables"),
        "condition" => words("not-running next-exit removed healthy"),
        "type" if command.name == "inspect" => words("container image volume network"),
        "format" if command.name == "save" => words("docker-archive oci-archive"),
        "format" => words("json table"),
        "platform" => words("linux/amd64 linux/arm64 linux/arm/v7 linux/386"),
        "filter" => match command.name {
            "ps" => words(
                "ancestor= before= exited= expose= id= label= name= isolation=default network= \
                 publish= since= volume= health=healthy health=unhealthy health=starting \
                 status=created status=running status=paused status=restarting status=exited \
                 status=removing status=dead",
            ),
            "images" => {
                words("dangling=true dangling=false reference= label= before= since= until=")
            }
            "volume ls" => words("name= driver=local dangling=true dangling=false label="),
            "network ls" => words(
                "id= name= driver= scope= type=builtin type=custom dangling=true dangling=false label=",
            ),
            "events" => words(
                "container= event= image= label= network= scope= type=container type=image \
                 type=network type=volume volume=",
            ),
            _ => words("label= label!= until="),
        },
        _ => Source::Files,
    }
}

/// Returns what completes a command's operands. Only containers in the state that the command needs
/// are offered.
pub fn of_operands(command: &Command) -> Source {
    match command.name {
        "completion" => return words("bash zsh fish"),
        "start" => return Source::Ask(STOPPED),
        "unpause" => return Source::Ask(PAUSED),
        "stop" => return Source::Ask(STOPPABLE),
        "kill" | "pause" | "exec" | "attach" | "top" | "port" => {
            return Source::Ask(RUNNING);
        }
        _ => {}
    }
    match command.operand {
        Operand::Nothing => Source::Nothing,
        Operand::Container => Source::Ask(ALL),
        Operand::Image => Source::Ask(IMAGES),
        Operand::Volume => Source::Ask(VOLUMES),
        Operand::Network => Source::Ask(NETWORKS),
        Operand::File => Source::Files,
        Operand::Command => {
            Source::Words(super::first_words().into_iter().map(str::to_owned).collect())
        }
    }
}
