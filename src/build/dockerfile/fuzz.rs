//! The property of Dockerfiles and `.dockerignore` files that the fuzzer checks: each text is read
//! without a panic, and each error of a Dockerfile can be shown with its excerpt.
//!
//! The fuzz target and a unit test call `dockerfile`, which compares no output; `tests` has the
//! expected values.

use super::Dockerfile;
use crate::build::ignore::Ignore;
use crate::words::Expander;

/// Parses `input` as a Dockerfile, replaces the variables in its first 100 lines, and matches a few
/// paths with its lines as the rules of a `.dockerignore`.
pub fn dockerfile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Dockerfile::parse("Dockerfile", text) {
        Err((source, mistake)) => {
            let excerpt = source.excerpt(mistake.place);
            assert!(excerpt.contains(">>>") || text.lines().count() == 0, "{excerpt}");
            assert!(!source.error(mistake).to_string().is_empty());
        }
        Ok(dockerfile) => assert!(!dockerfile.stages.is_empty()),
    }
    let variable = |name: &str| (name.len() < 3).then(|| "a b/c".repeat(3));
    let expander = Expander { escape: '\\', variable: &variable };
    for line in text.lines().take(100) {
        let _ = expander.word(line);
        let _ = expander.words(line);
    }
    if let Ok(ignore) = Ignore::parse(text) {
        for path in ["a", "a/b/c", ".git/config", "x.tmp"] {
            let _ = ignore.excludes(path.as_bytes());
        }
    }
}
