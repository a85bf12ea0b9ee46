//! Prints the results of the checks as a table, with a line for each check and a column for each
//! host.
//!
//! The last line counts passed and failed checks, in a form that scripts can parse.

pub struct Outcome {
    pub host: &'static str,
    pub about: &'static str,
    pub boot_seconds: f64,
    pub seconds: f64,
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

impl Outcome {
    pub fn failures(&self) -> usize {
        self.checks.iter().filter(|(_, verdict)| verdict.is_err()).count()
    }
}

pub fn print(outcomes: &[Outcome]) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.checks) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max(16);
    let row = |title: &str, cells: &dyn Fn(&Outcome) -> String| {
        let cells: String =
            outcomes.iter().map(|outcome| format!("{:>7}", cells(outcome))).collect();
        println!("{title:<width$}{cells}");
    };
    println!();
    row("", &|outcome| outcome.host.to_owned());
    for name in &names {
        row(name, &|outcome| {
            let found = outcome.checks.iter().find(|(check, _)| check == name);
            match found {
                None => "-",
                Some((_, Ok(()))) => "ok",
                Some((_, Err(_))) => "FAILED",
            }
            .to_owned()
        });
    }
    row("boot, seconds", &|outcome| format!("{:.0}", outcome.boot_seconds));
    row("all, seconds", &|outcome| format!("{:.0}", outcome.seconds));
    println!();
    for outcome in outcomes {
        println!("{:>3}: {}", outcome.host, outcome.about);
    }
    let checks = outcomes.iter().map(|outcome| outcome.checks.len()).sum::<usize>();
    let failed = outcomes.iter().map(Outcome::failures).sum::<usize>();
    println!("\n{} passed, {failed} failed, 0 skipped", checks - failed);
}
