//! The table that a bench prints: a line for each measurement and peer, with the value of mydocker,
//! that of the peer, and the budget.
//!
//! A budget is a ratio or a limit, and the line says whether it is met. `turns` has the figures of
//! single runs.

use std::fmt::{self, Display};

/// A measured value with its unit.
#[derive(Clone, Copy)]
pub enum Value {
    Milliseconds(f64),
    KiB(f64),
    Count(f64),
    MBPerSecond(f64),
    Times(f64),
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Value::Milliseconds(n)
            | Value::KiB(n)
            | Value::Count(n)
            | Value::MBPerSecond(n)
            | Value::Times(n) => n,
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Value::Milliseconds(n) if n < 1000.0 => format!("{n:.2} ms"),
            Value::Milliseconds(n) => format!("{:.2} s", n / 1000.0),
            Value::KiB(n) => format!("{n:.0} KiB"),
            Value::Count(n) => format!("{n:.0}"),
            Value::MBPerSecond(n) => format!("{n:.0} MB/s"),
            Value::Times(n) => format!("{n:.2}"),
        };
        f.pad(&text)
    }
}

/// The limit for a ratio or a value.
#[derive(Clone, Copy)]
pub enum Budget {
    /// The maximum of the ratio of mydocker's value to the peer's.
    AtMost(f64),
    /// The minimum of the ratio of mydocker's value to the peer's.
    AtLeast(f64),
    /// The maximum of mydocker's value.
    Absolute(Value),
    None,
}

#[derive(Default)]
pub struct Table {
    lines: Vec<String>,
    missed: usize,
}

impl Table {
    /// Adds a line without a peer.
    pub fn alone(&mut self, what: &str, ours: Value, budget: Budget) {
        self.line(what, ours, None, budget);
    }

    pub fn against(&mut self, what: &str, ours: Value, peer: &str, theirs: Value, budget: Budget) {
        self.line(what, ours, Some((peer, theirs)), budget);
    }

    fn line(&mut self, what: &str, ours: Value, peer: Option<(&str, Value)>, budget: Budget) {
        let ratio = peer.map(|(_, theirs)| ours.number() / theirs.number());
        let (limit, met) = match (budget, ratio) {
            (Budget::AtMost(most), Some(ratio)) => (format!("≤ {most:.3} ×"), Some(ratio <= most)),
            (Budget::AtLeast(least), Some(ratio)) => {
                (format!("≥ {least:.2} ×"), Some(ratio >= least))
            }
            (Budget::Absolute(most), _) => {
                (format!("≤ {most}"), Some(ours.number() <= most.number()))
            }
            _ => (String::new(), None),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        self.missed += usize::from(met == Some(false));
        let (peer, theirs) = match peer {
            Some((peer, theirs)) => (peer, theirs.to_string()),
            None => ("", String::new()),
        };
        // The ratio of 0 to 0 is not a number, so leave it out.
        let ratio = ratio.filter(|ratio| !ratio.is_nan());
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
        self.lines.push(format!(
            "{what:<40} {ours:>11}  {peer:<11} {theirs:>11} {ratio:>9}  {limit:>12}  {verdict}"
        ));
    }

    pub fn print(&self) {
        println!(
            "{:<40} {:>11}  {:<11} {:>11} {:>9}  {:>12}",
            "", "mydocker", "against", "", "ratio", "budget"
        );
        for line in &self.lines {
            println!("{}", line.trim_end());
        }
        match self.missed {
            0 => println!("Every budget is met."),
            missed => println!("{missed} budgets are missed."),
        }
    }
}
