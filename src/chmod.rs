//! A MODE as chmod(1) reads it: an octal number, or clauses such as `u=rwX,go-w`.
//!
//! A symbolic mode is kept as a list of changes and is applied to each file's own mode, because the
//! permissions `X`, `u`, `g` and `o` depend on that mode. A clause without `u`, `g`, `o` or `a`
//! does not set the bits of the umask, as in chmod(1); during a build the umask is 022. A mode
//! has at most `MAX_CHANGES` changes, so the type is plain data without allocations.

use crate::error::{Result, fail};

/// The maximum number of changes in a mode.
const MAX_CHANGES: usize = 16;
const UMASK: u32 = 0o022;

/// A change of file modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeChange {
    changes: [Change; MAX_CHANGES],
    count: usize,
}

/// An operator (`+`, `-` or `=`) with its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// The bits that the clause may change: those of the classes that it names. A clause without
    /// classes may change all bits except those of the umask.
    who: u32,
    /// The bits that `=` clears: those of the classes that the clause names, or without classes all.
    cleared: u32,
    operator: u8,
    /// The bits to add, remove or set, for all three classes. `who` selects the classes.
    bits: u32,
    /// `X`: execute, but only for directories and for files that are executable for some class.
    execute_like: bool,
    /// `u`, `g` or `o` as permissions: the shift by which `rwx` of this class moves to the lowest
    /// three bits.
    copied_from: Option<u32>,
}

impl Default for Change {
    fn default() -> Change {
        Change {
            who: 0o7777,
            cleared: 0o7777,
            operator: b'=',
            bits: 0,
            execute_like: false,
            copied_from: None,
        }
    }
}

impl ModeChange {
    /// Parses an octal mode such as `755` or a symbolic one such as `u=rwX,go=rX`. Fails on any
    /// other text, and on more than `MAX_CHANGES` changes.
    pub fn parse(text: &str) -> Result<ModeChange> {
        let mut mode = ModeChange::default();
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            match u32::from_str_radix(text, 8) {
                Ok(bits @ ..=0o7777) => mode.push(Change { bits, ..Change::default() })?,
                _ => fail!("bad mode '{text}'; it is an octal number of at most 7777"),
            }
            return Ok(mode);
        }
        for clause in text.split(',') {
            if mode.clause(clause)?.is_none() {
                fail!("bad mode '{text}'; it is like 755 or u=rwX,go=rX");
            }
        }
        Ok(mode)
    }

    fn push(&mut self, change: Change) -> Result<()> {
        if self.count == MAX_CHANGES {
            fail!("a mode of more than {MAX_CHANGES} changes");
        }
        self.changes[self.count] = change;
        self.count += 1;
        Ok(())
    }

    /// Parses one clause and adds its changes. `None` if the text is not a clause. Fails if the
    /// mode gets more than `MAX_CHANGES` changes.
    fn clause(&mut self, clause: &str) -> Result<Option<()>> {
        let end = clause.find(['+', '-', '=']).unwrap_or(clause.len());
        let mut who = 0;
        for c in clause[..end].chars() {
            who |= match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return Ok(None),
            };
        }
        let mut cleared = who;
        if who == 0 {
            (who, cleared) = (0o7777 & !UMASK, 0o7777);
        }
        let mut rest = clause[end..].chars().peekable();
        let mut any = false;
        while let Some(operator) = rest.next() {
            let mut change = Change { who, cleared, operator: operator as u8, ..Change::default() };
            while let Some(c) = rest.next_if(|c| !matches!(c, '+' | '-' | '=')) {
                match c {
                    'r' => change.bits |= 0o444,
                    'w' => change.bits |= 0o222,
                    'x' => change.bits |= 0o111,
                    's' => change.bits |= 0o6000,
                    't' => change.bits |= 0o1000,
                    'X' => change.execute_like = true,
                    'u' => change.copied_from = Some(6),
                    'g' => change.copied_from = Some(3),
                    'o' => change.copied_from = Some(0),
                    _ => return Ok(None),
                }
            }
            self.push(change)?;
            any = true;
        }
        Ok(any.then_some(()))
    }

    /// Applies the changes to the low 12 bits of a file's `mode` (st_mode). Returns the new 12
    /// bits.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut mode = mode & 0o7777;
        for change in &self.changes[..self.count] {
            let mut bits = change.bits;
            if change.execute_like && (is_directory || mode & 0o111 != 0) {
                bits |= 0o111;
            }
            if let Some(shift) = change.copied_from {
                bits |= (mode >> shift & 7) * 0o111;
            }
            bits &= change.who;
            mode = match change.operator {
                b'+' => mode | bits,
                b'-' => mode & !bits,
                _ => mode & !change.cleared | bits,
            };
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from GNU chmod under umask 022, with one exception: an octal mode clears the
    /// set-user-ID bit of a directory, which GNU chmod keeps.
    #[test]
    fn modes_of_files_and_directories() {
        for (text, mode, file, directory) in [
            ("755", 0o4600, 0o755, 0o755),
            ("0", 0o777, 0, 0),
            ("7777", 0, 0o7777, 0o7777),
            ("u=rwX,go=rX", 0o600, 0o644, 0o755),
            ("u=rwX,go=rX", 0o711, 0o755, 0o755),
            ("u=rwX,go=", 0o664, 0o600, 0o700),
            ("+x", 0o644, 0o755, 0o755),
            ("+w", 0o444, 0o644, 0o644),
            ("a+w", 0o444, 0o666, 0o666),
            ("go-w", 0o666, 0o644, 0o644),
            ("g=u", 0o640, 0o660, 0o660),
            ("o=g-w", 0o660, 0o664, 0o664),
            ("u+s,g+s", 0o755, 0o6755, 0o6755),
            ("a+t", 0o777, 0o1777, 0o1777),
            ("=r", 0o666, 0o444, 0o444),
            ("=rw", 0o777, 0o644, 0o644),
            ("u-x+w", 0o500, 0o600, 0o600),
        ] {
            let change = ModeChange::parse(text).unwrap();
            assert_eq!(change.apply(mode, false), file, "{text} on {mode:o}");
            assert_eq!(change.apply(mode, true), directory, "{text} on {mode:o}, a directory");
        }
    }

    #[test]
    fn bad_modes() {
        for text in ["", "8", "17777", "u", "rwx", "u=y", "u=r,", "x+r", "-1", "7a"] {
            assert!(ModeChange::parse(text).is_err(), "{text}");
        }
        let many = vec!["+r"; MAX_CHANGES + 1].join(",");
        assert!(ModeChange::parse(&many).unwrap_err().to_string().contains("more than"));
    }
}
