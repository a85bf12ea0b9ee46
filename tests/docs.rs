//! The documents name files and functions that exist.
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
