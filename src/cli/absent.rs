//! Refuses Docker commands that mydocker does not have (`ABSENT`). One line on stderr says why the
//! command is missing and what to do instead. The exit status is 1, as when a Docker command fails.
//! A script with `set -e` then stops at the line that needs the command.
//!
//! A unit test fails if a command is both in `COMMANDS` and in `ABSENT`.

use super::EXIT_FAILURE;
use crate::error::Error;

/// Each entry holds the words as typed, why the command is missing, and what to do instead.
static ABSENT: &[(&str, &str, &str)] = &[
    (
        "search",
        "only Docker Hub has that API",
        "find the image at https://hub.docker.com, then run mydocker pull NAME",
    ),
    ("swarm", NO_CLUSTER, "run mydocker on each host, for example by ssh"),
    ("service", NO_CLUSTER, "use mydocker run -d --restart always"),
    ("stack", NO_CLUSTER, "start each service with mydocker run -d"),
    ("node", NO_CLUSTER, "use mydocker info for this host"),
    ("secret", NO_CLUSTER, "mount a file with -v FILE:/run/secrets/NAME:ro"),
    ("config", NO_CLUSTER, "mount a file with -v FILE:/PATH:ro"),
    #[cfg(not(feature = "compose"))]
    (
        "compose",
        "this build reads no compose files",
        "start each service with mydocker run -d --network NAME",
    ),
    #[cfg(not(feature = "build"))]
    ("build", NO_BUILD, INSTEAD_OF_BUILD),
    #[cfg(not(feature = "build"))]
    ("image build", NO_BUILD, INSTEAD_OF_BUILD),
    #[cfg(not(feature = "build"))]
    ("buildx", NO_BUILD, INSTEAD_OF_BUILD),
    #[cfg(not(feature = "build"))]
    ("builder", NO_BUILD, INSTEAD_OF_BUILD),
    #[cfg(feature = "build")]
    ("buildx bake", "one call builds one image", "call mydocker build for each image"),
    #[cfg(feature = "build")]
    ("buildx create", "there is one builder", "use mydocker build"),
    #[cfg(feature = "build")]
    ("buildx use", "there is one builder", "use mydocker build"),
    ("bake", "one call builds one image", "call mydocker build for each image"),
    (
        "context",
        "there is no daemon to choose: mydocker works on this host",
        "run it on the other host, as in ssh HOST mydocker ps",
    ),
    (
        "plugin",
        "drivers of volumes, networks and logs are built in",
        "use -v and the networks of mydocker network create",
    ),
    (
        "volume update",
        "only a volume of a cluster can be updated",
        "create a new volume and copy the files with mydocker run -v OLD:/a -v NEW:/b IMAGE cp",
    ),
    (
        "trust",
        "image signatures are never verified",
        "pull by digest: mydocker pull NAME@sha256:DIGEST",
    ),
    (
        "manifest",
        "mydocker handles the image of one platform at a time",
        "use mydocker pull --platform, or a tool for registries such as skopeo",
    ),
    (
        "checkpoint",
        "processes cannot be written to disk",
        "use mydocker pause to hold them, or mydocker commit to keep the files",
    ),
    ("scout", NO_SCANNER, INSTEAD_OF_SCANNER),
    ("scan", NO_SCANNER, INSTEAD_OF_SCANNER),
    ("sbom", NO_SCANNER, INSTEAD_OF_SCANNER),
    ("init", "mydocker writes no project files", "write the Dockerfile by hand"),
    ("system dial-stdio", "there is no daemon to connect to", "run mydocker on this host"),
    ("dockerd", "there is no daemon", "run any command; mydocker needs no service"),
];

const NO_CLUSTER: &str = "mydocker manages one host and no cluster";
#[cfg(not(feature = "build"))]
const NO_BUILD: &str = "this build of mydocker reads no Dockerfiles";
#[cfg(not(feature = "build"))]
const INSTEAD_OF_BUILD: &str =
    "build the image elsewhere and mydocker load it, or use mydocker run and mydocker commit";
const NO_SCANNER: &str = "mydocker does not look into packages";
const INSTEAD_OF_SCANNER: &str = "mydocker save the image and give the archive to a scanner";

/// Returns the error for `word` if `ABSENT` lists this command, otherwise `None`. `management` is
/// the management word before `word`, or "". The error has the exit status 1.
pub fn explain(management: &str, word: &str) -> Option<Error> {
    let typed = match management {
        "" => word.to_owned(),
        _ => format!("{management} {word}"),
    };
    let (_, why, instead) = ABSENT.iter().find(|(name, ..)| *name == typed)?;
    Some(Error::new(format!("{typed} is not supported: {why}; {instead}")).exit_with(EXIT_FAILURE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_that_exists_is_listed() {
        for (typed, ..) in ABSENT {
            let exists = super::super::COMMANDS.iter().any(|command| command.name == *typed);
            assert!(!exists, "{typed} exists");
        }
    }

    #[test]
    fn each_refusal_is_one_line_that_says_what_to_do() {
        assert_eq!(
            explain("", "swarm").unwrap().to_string(),
            "swarm is not supported: mydocker manages one host and no cluster; run mydocker on \
             each host, for example by ssh"
        );
        assert!(explain("system", "dial-stdio").is_some());
        assert!(explain("", "rnu").is_none());
    }
}
