//! `.dockerignore`: the files of a context that the steps of a build do not see.
//!
//! Each line is a pattern in the syntax of Go's filepath.Match, with `**` for any number of
//! directories. A line that starts with `#` is a comment. A line that starts with `!` includes
//! files again. The last line that matches a path decides. A pattern that matches a directory
//! matches everything in the directory. The rules are those of Docker's `patternmatcher`
//! (MatchesOrParentMatches). Paths are relative to the context's root.

use crate::error::{Context, Result, fail};
use crate::glob::Glob;
use crate::raw;

/// The largest `.dockerignore` that is read, in bytes.
pub const MAX_RULES: u64 = 1 << 20;
/// The maximum number of rules. At worst, each rule is tried with each file of the context.
const MAX_COUNT: usize = 10_000;

/// The rules of one `.dockerignore`, or the patterns of `--exclude`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    glob: Glob,
    /// True if the line starts with `!`: files that match are included again.
    takes_back: bool,
}

impl Ignore {
    /// Parses the rules, one on each line. Fails for a bad pattern, for a `!` without a pattern and
    /// for more than `MAX_COUNT` rules.
    pub fn parse(text: &str) -> Result<Ignore> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (line, takes_back) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (line, false),
            };
            if line.is_empty() {
                if takes_back {
                    fail!("line {}: a '!' without a pattern", at + 1);
                }
                continue;
            }
            if rules.len() == MAX_COUNT {
                fail!("more than {MAX_COUNT} patterns");
            }
            let pattern = clean(line);
            // The context itself cannot be excluded.
            if pattern.is_empty() {
                continue;
            }
            let glob = Glob::of_path(&pattern, true).context(|| format!("line {}", at + 1))?;
            rules.push(Rule { glob, takes_back });
        }
        Ok(Ignore { rules })
    }

    /// Makes rules of the patterns of `--exclude`.
    pub fn of_patterns(patterns: &[String]) -> Result<Ignore> {
        Ignore::parse(&patterns.join("\n"))
    }

    /// Reports whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Reports whether the rules exclude the file at `path`, which is relative and has no slash at
    /// its start.
    pub fn excludes(&self, path: &[u8]) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let path = raw::encode(path);
        let path = path.trim_end_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let parts: Vec<&str> = ends.map(|end| &path[..end]).collect();
        let mut ignored = false;
        for rule in &self.rules {
            // Matching is slow, so try only the rules that can change the result.
            if rule.takes_back == ignored && parts.iter().any(|part| rule.glob.matches(part)) {
                ignored = !rule.takes_back;
            }
        }
        ignored
    }

    /// Reports whether a `!` rule exists. If so, an excluded directory must still be searched.
    pub fn takes_back(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_back)
    }
}

/// Removes `.`, `..` and double slashes like Go's filepath.Clean, and also the slashes at both
/// ends.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        Ignore::parse(rules).unwrap().excludes(path.as_bytes())
    }

    /// From the section on `.dockerignore` files of Docker's page on the build context.
    #[test]
    fn the_examples_of_the_manual() {
        let rules = "# comment\n*/temp*\n*/*/temp*\ntemp?\n";
        for path in ["somedir/temporary.txt", "somedir/temp", "a/b/temporary.txt", "tempa"] {
            assert!(ignored(rules, path), "{path}");
        }
        for path in ["temp", "temporary", "a/b/c/temp", "# comment"] {
            assert!(!ignored(rules, path), "{path}");
        }
        assert!(ignored("**/*.go", "a/b/c.go") && ignored("**/*.go", "c.go"));
        let rules = "*.md\n!README.md\n";
        assert!(ignored(rules, "a.md") && !ignored(rules, "README.md"));
        let rules = "*.md\n!README*.md\nREADME-secret.md\n";
        assert!(!ignored(rules, "README-x.md") && ignored(rules, "README-secret.md"));
        let rules = "*.md\nREADME-secret.md\n!README*.md\n";
        assert!(!ignored(rules, "README-secret.md"));
    }

    #[test]
    fn the_last_match_decides_and_directories_take_their_contents() {
        assert!(ignored("node_modules", "node_modules/a/b"));
        assert!(ignored("/node_modules/", "node_modules/a/b"));
        assert!(!ignored("node_modules", "src/node_modules/a"));
        assert!(ignored("**/node_modules", "src/node_modules/a"));
        assert!(!ignored("*\n!src\n", "src/a/b") && ignored("*\n!src\n", "lib/a"));
        assert!(ignored("*\n!src\nsrc/a\n", "src/a/b"));
        assert!(ignored("./a/../b", "b"));
        assert!(ignored("..\nx", "x"));
        assert!(ignored(" x \r\n", "x"));
    }

    #[test]
    fn comments_and_bad_patterns() {
        assert_eq!(Ignore::parse("#x\n\n  \n.\n/\n").unwrap(), Ignore::default());
        assert!(ignored(" # no comment", "# no comment"));
        assert!(Ignore::parse("!").unwrap_err().to_string().contains("line 1: a '!'"));
        assert!(Ignore::parse("a\n[").unwrap_err().to_string().contains("line 2: bad pattern"));
        let many = "a\n".repeat(MAX_COUNT + 1);
        assert!(Ignore::parse(&many).unwrap_err().to_string().contains("more than"));
    }
}
