//! The sentences for the engine's warnings. Most sentences say what happens, and some name a flag
//! that changes the result. The callback in `Invocation::engine` prints each warning as one line on
//! stderr, and the command continues.

use crate::engine::warning::Warning;

/// Returns the sentence for a warning.
pub fn text(warning: &Warning) -> String {
    match warning {
        // As in Docker, `-p` on such a network is no error.
        Warning::PublishedWithoutBridge => "-p has no effect on a macvlan or ipvlan network: the \
             container has an address of its own on the parent's network"
            .to_owned(),
        Warning::PublishedOnHost => {
            "-p has no effect with --net host: the container's ports are the \
             host's already"
                .to_owned()
        }
        Warning::WithoutNetwork { flag, mode } => {
            format!("{flag} has no effect with --net {mode}")
        }
        Warning::WithoutLimits(reason) => format!("containers run without limits: {reason}"),
        Warning::ShortFiles(most) => format!(
            "files end at {most} bytes, the container's log too: the hard limit of this shell \
             (ulimit -H -f) can't be lifted without CAP_SYS_RESOURCE"
        ),
        Warning::PublicNameServers([first, second]) => format!(
            "the host's resolv.conf names no name server that containers can reach: they use \
             {first} and {second}; --dns names others"
        ),
        Warning::GivesHostAway(capabilities) => format!(
            "--cap-add {}: a program with this can become root of the host; \
             --userns auto keeps it in the container",
            capabilities.join(", ")
        ),
        Warning::OtherPlatform { image, native } => format!(
            "the image is for {image}, and this machine is {native}; --platform {image} says that \
             this is meant"
        ),
        Warning::NotPruned(reason) => format!("not removed: {reason}"),
        Warning::StateRoot(note) => note.clone(),
    }
}
