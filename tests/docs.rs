//! The documents name files and functions that exist and list every advisory that the code names,
//! the sources are documented, and imports between modules go one way.
//!
//! In the Markdown files of the project's root, `docs`, `contrib` and `examples`, a code span that
//! starts with `src/`, `seccomp-compiler/`, `tests/`, `benches/`, `contrib/` or `examples/` must be
//! a path of the project. For `path.rs::name` the file must define that name. Paths with a wildcard
//! or a placeholder are not checked.

use std::collections::BTreeSet;
use std::path::Path;

/// Every Markdown page of the directories named above, as pairs of name and text.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for directory in [".", "docs", "contrib", "examples"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "md") {
                let name = format!("{directory}/{}", entry.file_name().to_str().unwrap());
                pages.push((name, std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    assert!(pages.len() >= 6, "hardly any page was found: {pages:?}");
    pages
}

/// The code spans in single backticks, outside of fenced blocks.
fn code_spans(page: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut is_fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// The advisories that a text names, such as CVE-2024-21626.
fn advisories(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("CVE-").map(|(at, _)| &text[at..]);
    let end = |from: &str| from[4..].find(|c: char| !c.is_ascii_digit() && c != '-');
    starts.map(|from| &from[..end(from).map_or(from.len(), |end| end + 4)]).collect()
}

#[test]
fn every_advisory_in_the_code_has_a_row_in_the_security_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: String = page.lines().filter(|line| line.starts_with("| CVE-")).collect();
    let known = advisories(&rows);
    assert!(known.len() > 60, "{known:?}");
    let profile = include_str!("../seccomp-compiler/src/default.profile").to_owned();
    let code = ["src", "seccomp-compiler/src", "tests"].into_iter().flat_map(sources_of);
    let code = code.map(|(path, lines)| (path, lines.join("\n")));
    for (path, text) in code.chain([("default.profile".to_owned(), profile)]) {
        let missing: Vec<_> = advisories(&text).difference(&known).copied().collect();
        let is_this_file = path.ends_with("tests/docs.rs");
        assert!(is_this_file || missing.is_empty(), "{path}: {missing:?}");
    }
    assert_eq!(advisories("(CVE-2024-21626)."), BTreeSet::from(["CVE-2024-21626"]));
}

/// Whether Rust source defines `name`.
fn defines(source: &str, name: &str) -> bool {
    const KEYWORDS: [&str; 8] =
        ["fn ", "struct ", "enum ", "const ", "static ", "trait ", "mod ", "type "];
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    KEYWORDS.iter().any(|keyword| {
        let definition = format!("{keyword}{name}");
        source.match_indices(&definition).any(|(at, _)| ends(&source[at + definition.len()..]))
    }) || source.contains(&format!("by_each_firewall!({name})"))
}

/// The fault of a code span. Returns `None` if the span names an existing part of the project,
/// names no part of the project, or is not checked.
fn fault(span: &str) -> Option<String> {
    const FOLDERS: [&str; 6] =
        ["src/", "seccomp-compiler/", "tests/", "benches/", "contrib/", "examples/"];
    if !FOLDERS.iter().any(|folder| span.starts_with(folder)) {
        return None;
    }
    // A command line such as `tests/demo BINARY` starts with a path.
    let word = span.split(' ').next().unwrap();
    let (path, name) =
        word.split_once("::").map_or((word, None), |(path, name)| (path, Some(name)));
    if path.contains(['*', '<', '{']) {
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if !file.exists() {
        return Some(format!("{path} does not exist"));
    }
    let source = std::fs::read_to_string(&file).unwrap_or_default();
    name.filter(|name| !defines(&source, name)).map(|name| format!("{path} defines no {name}"))
}

#[test]
fn every_name_in_the_documents_exists() {
    let mut faults = Vec::new();
    let mut names = 0;
    for (page, text) in pages() {
        for span in code_spans(&text) {
            names += usize::from(span.contains(".rs"));
            faults.extend(fault(span).map(|fault| format!("{page}: {fault}")));
        }
    }
    assert!(names > 50, "only {names} files are named");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_check_finds_a_name_that_does_not_exist() {
    assert_eq!(fault("src/main.rs::main"), None);
    assert_eq!(fault("src/no_such.rs").unwrap(), "src/no_such.rs does not exist");
    assert_eq!(fault("src/main.rs::mai").unwrap(), "src/main.rs defines no mai");
}

/// The source directories of the product's crates.
const CRATES: [&str; 2] = ["src", "seccomp-compiler/src"];

/// Every Rust file of the product, as pairs of path and lines.
fn sources() -> Vec<(String, Vec<String>)> {
    let sources: Vec<_> = CRATES.into_iter().flat_map(sources_of).collect();
    assert!(sources.len() > 100, "hardly any source was found: {}", sources.len());
    sources
}

/// Every Rust file below the directory `root`, as pairs of path and lines.
fn sources_of(root: &str) -> Vec<(String, Vec<String>)> {
    let mut sources = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.lines().map(str::to_owned).collect();
                sources.push((path.display().to_string(), lines));
            }
        }
    }
    assert!(!sources.is_empty(), "{root} has no sources");
    sources
}

/// The public functions, types, traits, constants and statics without a doc comment, outside of
/// unit tests.
fn undocumented(lines: &[String]) -> Vec<&str> {
    const ITEMS: [&str; 8] =
        ["fn ", "struct ", "enum ", "const ", "static ", "trait ", "type ", "unsafe fn "];
    let mut found = Vec::new();
    let mut is_documented = false;
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim();
        let opens_tests = |next: &String| next.starts_with("mod ") && next.contains('{');
        if line == "#[cfg(test)]" && lines.get(at + 1).is_some_and(opens_tests) {
            break;
        }
        if line.starts_with("#[") || line == ")]" {
            // Attributes may be between the comment and the item.
            continue;
        }
        let item = ["pub ", "pub(super) ", "pub(crate) "]
            .into_iter()
            .find_map(|visibility| line.strip_prefix(visibility))
            .filter(|item| ITEMS.iter().any(|keyword| item.starts_with(keyword)));
        if item.is_some() && !is_documented {
            found.push(line);
        }
        is_documented = line.starts_with("///");
    }
    found
}

#[test]
fn every_public_item_has_a_doc_comment() {
    let mut faults = Vec::new();
    for (path, lines) in sources() {
        faults.extend(undocumented(&lines).into_iter().map(|item| format!("{path}: {item}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_check_finds_an_item_without_a_doc_comment() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(
        undocumented(&lines("/// Runs.\n#[inline]\npub fn run() {}\npub use other;")).is_empty()
    );
    assert_eq!(undocumented(&lines("// Runs.\npub fn run() {}")), ["pub fn run() {}"]);
    assert_eq!(undocumented(&lines("/// A.\npub struct A;\npub struct B;")), ["pub struct B;"]);
    assert_eq!(undocumented(&lines("pub(super) fn run() {}")), ["pub(super) fn run() {}"]);
}

#[test]
fn every_source_starts_with_a_head() {
    let is_short =
        |lines: &[String]| lines.iter().take_while(|line| line.starts_with("//!")).count() < 3;
    let mut faults = sources();
    faults.extend(["tests", "benches"].into_iter().flat_map(sources_of));
    faults.retain(|(_, lines)| is_short(lines));
    let faults: Vec<String> = faults.into_iter().map(|(path, _)| path).collect();
    assert!(faults.is_empty(), "these heads have fewer than 3 lines: {faults:#?}");
}

/// The modules that the head of a `mod.rs` lists, the lowest first, in lines such as
/// `//! 1. `naming`: …`.
fn listed_modules(head: &str) -> Vec<String> {
    let name = |line: &str| {
        let (number, rest) = line.strip_prefix("//! ")?.split_once(". `")?;
        number.parse::<usize>().ok()?;
        Some(rest.split_once('`')?.0.to_owned())
    };
    head.lines().filter_map(name).collect()
}

/// The code of a file without its unit tests. A declaration such as `#[cfg(test)] mod tests;`
/// stays.
fn before_unit_tests(source: &str) -> &str {
    const TESTS: &str = "#[cfg(test)]\nmod ";
    let opens_here = |at: usize| source[at + TESTS.len()..].lines().next().unwrap().contains('{');
    let mut found = source.match_indices(TESTS).map(|(at, _)| at);
    &source[..found.find(|at| opens_here(*at)).unwrap_or(source.len())]
}

/// The names directly after `prefix` in the code without its unit tests, such as `a` and `b` in
/// `use super::{a, b::C};`.
fn names_after(source: &str, prefix: &str) -> Vec<String> {
    let code = before_unit_tests(source);
    let code: Vec<&str> =
        code.lines().map(|line| line.split("//").next().unwrap().trim()).collect();
    let code = code.join(" ");
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let first = |item: &str| {
            let item = item.trim();
            let end = item.find(|next: char| !next.is_alphanumeric() && next != '_');
            item[..end.unwrap_or(item.len())].to_owned()
        };
        let Some(group) = rest.strip_prefix('{') else {
            names.push(first(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, next) in group.char_indices() {
            match next {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    names.push(first(&group[start..at]));
                    start = at + 1;
                    if next == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The imports of a file that do not lead to a lower module. `order` has the modules of its
/// directory, up to the file. For a file in a subdirectory of `network`, `above` has the modules of
/// `network`, up to the subdirectory. Each list starts with the lowest module.
fn upward_imports(source: &str, order: &[String], above: Option<&[String]>) -> Vec<String> {
    let lower = |order: &[String]| order[..order.len() - 1].to_vec();
    let (beside, network) = (lower(order), lower(above.unwrap_or(order)));
    let beside = names_after(source, "super::").into_iter().filter(|name| !beside.contains(name));
    let network = names_after(source, "crate::network::")
        .into_iter()
        .filter(|name| !network.contains(name))
        .map(|name| format!("network::{name}"));
    /// The layers below `network`, the modules that every layer may use, and `network` itself,
    /// whose parts are checked above.
    const LOWER: [&str; 16] = [
        "address",
        "container_id",
        "error",
        "event",
        "hex",
        "json",
        "name",
        "network",
        "network_name",
        "order",
        "port",
        "raw",
        "resolver",
        "store",
        "sys",
        "time",
    ];
    let outside = names_after(source, "crate::")
        .into_iter()
        .filter(|name| !LOWER.contains(&name.as_str()))
        .map(|name| format!("crate::{name}"));
    beside.chain(network).chain(outside).collect()
}

#[test]
fn imports_in_network_go_one_way() {
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/network");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let order = listed_modules(&read(&network.join("mod.rs")));
    let up_to = |order: &[String], name: &str| {
        let at = order.iter().position(|listed| listed == name);
        order[..=at.unwrap_or_else(|| panic!("mod.rs lists no {name}"))].to_vec()
    };
    let mut faults = Vec::new();
    let mut files = 0;
    let mut check = |path: &Path, order: &[String], above: Option<&[String]>| {
        files += 1;
        let upward = upward_imports(&read(path), order, above);
        faults.extend(upward.iter().map(|name| format!("{} imports {name}", path.display())));
    };
    let listed = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| !path.ends_with("mod.rs")).collect::<Vec<_>>()
    };
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    for path in listed(&network) {
        let above = up_to(&order, &stem(&path));
        if path.is_file() {
            check(&path, &above, None);
            continue;
        }
        let inner = listed_modules(&read(&path.join("mod.rs")));
        check(&path.join("mod.rs"), &above, None);
        for file in listed(&path) {
            check(&file, &up_to(&inner, &stem(&file)), Some(&above));
        }
    }
    assert!(files > 25, "only {files} files were found");
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The imports of `oci` and of the modules below `engine` in a file of `cli` or `compose`. The
/// file's module is `depth` levels below the crate, so `depth` times `super::` leads to the crate.
/// Two modules may be imported: `sys::stdio`, for output and prompts, and `sys::signal`, for
/// `compose up`.
fn imports_below_engine(source: &str, depth: usize) -> Vec<String> {
    const BELOW: [&str; 8] =
        ["container", "image", "network", "oci", "runtime", "store", "sys", "volume"];
    const EXEMPT: [&str; 2] = ["crate::sys::stdio", "crate::sys::signal"];
    let source = EXEMPT.iter().fold(source.to_owned(), |source, path| source.replace(path, ""));
    let mut names = names_after(&source, "crate::");
    names.extend(names_after(&source, &"super::".repeat(depth)));
    names.retain(|name| BELOW.contains(&name.as_str()));
    names
}

#[test]
fn the_command_line_imports_nothing_below_the_engine() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for (path, lines) in sources() {
        let Ok(below) = Path::new(&path).strip_prefix(&src) else { continue };
        if !below.starts_with("cli") && !below.starts_with("compose") {
            continue;
        }
        files += 1;
        // `cli/mod.rs` is one level below the crate, and `cli/a.rs` two.
        let depth = below.components().count() - usize::from(below.ends_with("mod.rs"));
        let below = imports_below_engine(&lines.join("\n"), depth);
        assert!(below.is_empty(), "{path} imports {below:?}");
    }
    assert!(files > 60, "only {files} files were found");
    let in_a = |source: &str| imports_below_engine(source, 2);
    assert_eq!(in_a("use crate::{engine::Engine, store::Roots};"), ["store"]);
    assert_eq!(in_a("use crate::sys::{signal, stdio};"), ["sys"]);
    assert_eq!(in_a("let x = super::super::oci::run();"), ["oci"]);
    assert!(in_a("use crate::sys::stdio::stdout;\nuse super::network::NETWORK;").is_empty());
}

#[test]
fn the_check_finds_an_upward_import() {
    let order = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let order = (order("rules backend"), order("naming record firewall"));
    let faults = |source: &str| upward_imports(source, &order.0, Some(&order.1));
    let good = "use super::rules::{Rules, PortRule};\nuse crate::network::naming;\n\
                use crate::store::{self, Roots}; // super::mod\n\
                #[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
    assert!(faults(good).is_empty(), "{:?}", faults(good));
    assert_eq!(faults("use super::{rules, Firewall};"), ["Firewall"]);
    assert_eq!(faults("use super::{\n    rules::{A, B},\n    nftables::C,\n};"), ["nftables"]);
    assert_eq!(faults("let x = super::super::attachment::all();"), ["super"]);
    assert_eq!(faults("use crate::network::attachment::record;"), ["network::attachment"]);
    assert_eq!(faults("use crate::network::{naming, firewall};"), ["network::firewall"]);
    assert_eq!(faults("use crate::container::record;"), ["crate::container"]);
}

/// All paths outside of unit tests that start with `crate::` or `super::`, as lists of parts. For
/// `use crate::{a::b::C, d}` the lists are `crate, a, b, C` and `crate, d`.
fn named_paths(source: &str) -> Vec<Vec<String>> {
    let code = before_unit_tests(source);
    let code: String = code.lines().map(|line| line.split("//").next().unwrap()).collect();
    let mut paths = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                continue;
            }
            collect_paths(&mut code[at..].chars().peekable(), &[], &mut paths);
        }
    }
    paths
}

/// Reads one item of an import, up to the comma or brace after it. `before` is the path of the
/// item's group.
fn collect_paths(
    text: &mut std::iter::Peekable<std::str::Chars<'_>>,
    before: &[String],
    paths: &mut Vec<Vec<String>>,
) {
    let mut path = before.to_vec();
    let mut word = String::new();
    while let Some(&next) = text.peek() {
        match next {
            _ if next.is_alphanumeric() || next == '_' => word.push(next),
            ':' if !word.is_empty() => path.push(std::mem::take(&mut word)),
            ':' => {}
            '{' if word.is_empty() => {
                text.next();
                while text.peek().is_some_and(|&next| next != '}') {
                    collect_paths(text, &path, paths);
                    while text.next_if(|&next| next == ',' || next.is_whitespace()).is_some() {}
                }
                text.next();
                return;
            }
            _ if next.is_whitespace() && word.is_empty() => {}
            _ => break,
        }
        text.next();
    }
    path.push(word);
    // Skip the rest of the item, such as ` as other`.
    if !before.is_empty() {
        while text.next_if(|&next| next != ',' && next != '}').is_some() {}
    }
    paths.push(path);
}

/// Each file of a crate except files with only unit tests, as pairs of module path (`["image",
/// "tar"]`) and code.
fn modules(root: &str) -> Vec<(Vec<String>, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let module = |(path, lines): (String, Vec<String>)| {
        let path = Path::new(&path).strip_prefix(&src).unwrap().with_extension("");
        let mut parts: Vec<String> =
            path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if matches!(parts.last().unwrap().as_str(), "mod" | "lib" | "main") {
            parts.pop();
        }
        (parts, lines.join("\n"))
    };
    let mut modules: Vec<_> = sources_of(root).into_iter().map(module).collect();
    let is_for_tests = |path: &[String]| {
        path.split_last().is_some_and(|(name, above)| {
            let declared = format!("#[cfg(test)]\nmod {name};");
            modules.iter().any(|(path, code)| path == above && code.contains(&declared))
        })
    };
    let tests: Vec<_> =
        modules.iter().map(|(path, _)| path.clone()).filter(|path| is_for_tests(path)).collect();
    assert!(
        root != "src" || !tests.is_empty(),
        "no module that only the unit tests have was found"
    );
    modules.retain(|(path, _)| !tests.contains(path));
    modules
}

/// The imports between modules of the same directory, as (directory, from, to). The imports of a
/// module's submodules count as the module's.
fn imports_beside(modules: &[(Vec<String>, String)]) -> Vec<(Vec<String>, String, String)> {
    let known = |path: &[String]| modules.iter().any(|(module, _)| module == path);
    let mut imports = Vec::new();
    for (module, code) in modules {
        for path in named_paths(code) {
            let supers = path.iter().take_while(|part| *part == "super").count();
            let mut target = match path[0].as_str() {
                "super" => module[..module.len().saturating_sub(supers)].to_vec(),
                _ => Vec::new(),
            };
            for part in &path[supers.max(1)..] {
                target.push(part.clone());
                if !known(&target) {
                    target.pop();
                    break;
                }
            }
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                imports.push((module[..common].to_vec(), from.clone(), to.clone()));
            }
        }
    }
    imports
}

/// The imports between modules of the same directory that form circles or lead to one. Repeatedly
/// removes each import whose target imports no module beside it, until nothing changes.
fn circles(modules: &[(Vec<String>, String)]) -> Vec<String> {
    let mut left = imports_beside(modules);
    loop {
        let before = left.len();
        let all = left.clone();
        left.retain(|(directory, _, to)| {
            all.iter().any(|(other, from, _)| other == directory && from == to)
        });
        if left.len() == before {
            break;
        }
    }
    let mut named: Vec<String> = left
        .iter()
        .map(|(directory, from, to)| format!("{}: {from} imports {to}", directory.join("::")))
        .collect();
    named.sort();
    named.dedup();
    named
}

#[test]
fn no_modules_beside_each_other_import_in_a_circle() {
    for (root, least) in CRATES.into_iter().zip([1000, 4]) {
        let modules = modules(root);
        let count = imports_beside(&modules).len();
        assert!(count >= least, "only {count} imports were found in {root}");
        let circles = circles(&modules);
        assert!(
            circles.is_empty(),
            "these imports are part of a circle or lead to one: {circles:#?}"
        );
    }
}

#[test]
fn the_check_finds_a_circle() {
    let modules = |files: &[(&str, &str)]| {
        let split = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
        files.iter().map(|(path, code)| (split(path), (*code).to_owned())).collect::<Vec<_>>()
    };
    let line = modules(&[
        ("a", "use crate::{b::c::D, error::Result};"),
        ("a::e", "use super::F;\nuse super::super::b;"),
        ("b", "mod c;"),
        ("b::c", "use super::G;\n// use crate::a;\n#[cfg(test)]\nmod tests { use crate::a; }"),
    ]);
    assert!(circles(&line).is_empty(), "{:?}", circles(&line));
    assert_eq!(imports_beside(&line).len(), 2);
    let circle = |code| {
        let mut circle = line.clone();
        circle.push((vec!["b".into(), "h".into()], code));
        circles(&circle)
    };
    assert_eq!(circle("fn f() { crate::a::g() }".into()), [": a imports b", ": b imports a"]);
    assert_eq!(circle("use crate::{\n    b::{c, i},\n    a::{E},\n};".into()).len(), 2);
    let beside =
        modules(&[("b::c", "use super::{h::I, J};"), ("b::h", "use super::c::{self, K};")]);
    assert_eq!(circles(&beside), ["b: c imports h", "b: h imports c"]);
}
