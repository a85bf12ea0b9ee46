//! The Makefile names the packages that the tests, the demo and the benchmarks need. The script
//! `support/declared-programs` makes a directory with the programs of such packages, of their
//! dependencies and of Debian's required packages, and `make` runs the tests with this directory as
//! PATH. This file tests the script. It also looks up the programs that the sources start by name
//! in such directories. So it finds a package that the Makefile lacks, even if this machine has the
//! package.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Host;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Lists of packages in the Makefile, each with the directories of the sources that need them.
/// `src` is in the first list, because `make test` also runs the unit tests.
const LISTS: [(&str, &[&str]); 3] = [
    ("test_packages", &["tests", "src"]),
    ("host_packages", &["tests/host"]),
    ("bench_packages", &["benches"]),
];

/// The packages in a list of the Makefile.
fn list(name: &str) -> Vec<String> {
    let makefile = std::fs::read_to_string(Path::new(PROJECT).join("Makefile")).unwrap();
    let makefile = makefile.replace("\\\n", " ");
    let value = makefile.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" := "));
    value.unwrap().split_whitespace().map(str::to_owned).collect()
}

/// Whether all `packages` are installed.
fn are_installed(packages: &[String]) -> bool {
    let mut query = Command::new("dpkg-query");
    let states = query.args(["-W", "-f", "${db:Status-Status}\n"]).args(packages).output().unwrap();
    let states = String::from_utf8(states.stdout).unwrap();
    states.lines().filter(|state| *state == "installed").count() == packages.len()
}

/// A directory with links to the programs of `packages`, of their dependencies and of Debian's
/// required packages.
fn programs(host: &Host, packages: &[String]) -> PathBuf {
    let directory = host.scratch().join("programs");
    let script = Path::new(PROJECT).join("tests/support/declared-programs");
    let made = Command::new(script).arg(&directory).args(packages).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

/// The texts between each `opening` and the next quotation mark.
fn quoted<'a>(source: &'a str, opening: &'a str) -> impl Iterator<Item = &'a str> {
    source.split(opening).skip(1).filter_map(|rest| rest.split_once('"').map(|(name, _)| name))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn has(directories: &str, program: &str) -> bool {
    std::env::split_paths(directories).any(|directory| directory.join(program).is_file())
}

#[test]
fn each_program_that_is_started_by_name_belongs_to_a_declared_package() {
    let host = Host::new();
    let help = host.mydocker(["help"]).text();
    let commands: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .collect();
    assert!(commands.contains("run"), "{help}");
    let mut missing = Vec::new();
    for (name, directories) in LISTS {
        let mut files = Vec::new();
        directories.iter().for_each(|part| sources(&Path::new(PROJECT).join(part), &mut files));
        let mut packages = list(name);
        if !are_installed(&packages) {
            support::skipped(&format!("not all of {name} are installed: run `make packages`"));
            continue;
        }
        packages.push("musl-tools".to_owned());
        let declared = programs(&host, &packages);
        for file in files.iter().filter(|file| !is_of_another_list(file, directories)) {
            let source = std::fs::read_to_string(file).unwrap();
            let mut wanted: BTreeSet<&str> = quoted(&source, "Command::new(\"")
                .filter(|program| !program.starts_with('/'))
                .collect();
            // The first word of a list in a source counts as a program if this machine has a
            // program of that name.
            let path = "/usr/sbin:/usr/bin:/sbin:/bin";
            let lists = quoted(&source, "&[\"").filter(|word| !commands.contains(word));
            wanted.extend(lists.filter(|word| has(path, word)));
            for program in wanted.into_iter().filter(|name| !declared.join(name).exists()) {
                missing.push(format!("{program}, in {}: no package of {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Whether `file` is in a directory of another list, and this directory is below one of
/// `directories`.
fn is_of_another_list(file: &Path, directories: &[&str]) -> bool {
    let others = LISTS.iter().filter(|(_, of)| *of != directories).flat_map(|(_, of)| of.iter());
    others.into_iter().any(|other| {
        file.starts_with(Path::new(PROJECT).join(other))
            && directories.iter().any(|directory| other.starts_with(directory))
    })
}

#[test]
fn a_program_of_a_package_left_out_is_not_found() {
    let host = Host::new();
    let has_nft = |packages: &[String]| programs(&host, packages).join("nft").exists();
    let all = list("test_packages");
    assert!(has_nft(&all));
    let without: Vec<_> = all.iter().filter(|package| *package != "nftables").cloned().collect();
    assert_eq!(without.len() + 1, all.len());
    assert!(!has_nft(&without), "nothing else brings nft");
    // sh and tar come from required packages, conmon comes from a dependency, and iptables-restore
    // is a link to an alternative.
    let few = programs(&host, &["podman", "iptables"].map(str::to_owned));
    for (program, is_there) in [
        ("sh", true),
        ("tar", true),
        ("conmon", true),
        ("iptables-restore", true),
        ("skopeo", false),
    ] {
        assert_eq!(few.join(program).exists(), is_there, "{program}");
    }
}
