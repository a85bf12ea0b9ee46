//! The documents name files and functions that exist, and the sources are documented.
//!
//! In `docs/*.md`, README, CONTRIBUTING and SECURITY a code span that begins with `src/`, `tests/`,
//! `benches/`, `contrib/` or `examples/` is a path of the project. `path.rs::name` also says that the
//! file defines a function, type, constant or test of that name. A relative link leads to a file.

use std::path::Path;

/// Every Markdown page of the project.
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

/// What stands between single backticks, outside of fenced blocks.
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

/// What is wrong with a code span, if it names a part of the project.
fn fault(span: &str) -> Option<String> {
    const FOLDERS: [&str; 5] = ["src/", "tests/", "benches/", "contrib/", "examples/"];
    if !FOLDERS.iter().any(|folder| span.starts_with(folder)) {
        return None;
    }
    // A command line such as `tests/demo BINARY` names a file first.
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
fn a_name_that_does_not_exist_is_found() {
    assert_eq!(fault("src/main.rs::main"), None);
    assert_eq!(fault("src/no_such.rs").unwrap(), "src/no_such.rs does not exist");
    assert_eq!(fault("src/main.rs::mai").unwrap(), "src/main.rs defines no mai");
}

/// Every Rust file of the product, as its path and its lines.
fn sources() -> Vec<(String, Vec<String>)> {
    let mut sources = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
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
    assert!(sources.len() > 100, "hardly any source was found: {}", sources.len());
    sources
}

/// The public functions, types, constants and statics without a doc comment, up to the unit tests.
fn undocumented(lines: &[String]) -> Vec<&str> {
    const ITEMS: [&str; 8] =
        ["fn ", "struct ", "enum ", "const ", "static ", "trait ", "type ", "unsafe fn "];
    let mut found = Vec::new();
    let mut is_documented = false;
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| next.starts_with("mod "))
        {
            break;
        }
        if line.starts_with("#[") || line == ")]" {
            // An attribute may stand between the comment and the item.
            continue;
        }
        let item = line
            .strip_prefix("pub ")
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
fn an_item_without_a_doc_comment_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(
        undocumented(&lines("/// Runs.\n#[inline]\npub fn run() {}\npub use other;")).is_empty()
    );
    assert_eq!(undocumented(&lines("// Runs.\npub fn run() {}")), ["pub fn run() {}"]);
    assert_eq!(undocumented(&lines("/// A.\npub struct A;\npub struct B;")), ["pub struct B;"]);
}

#[test]
fn every_source_starts_with_a_head() {
    let is_short =
        |lines: &[String]| lines.iter().take_while(|line| line.starts_with("//!")).count() < 3;
    let mut faults = sources();
    faults.retain(|(_, lines)| is_short(lines));
    let faults: Vec<String> = faults.into_iter().map(|(path, _)| path).collect();
    assert!(faults.is_empty(), "these heads have fewer than 3 lines: {faults:#?}");
}
