//! `build --check`: warns about lines that are valid but probably not what the author meant.
//!
//! The rules, their names and their texts come from BuildKit's build checks
//! (docs.docker.com/reference/build-checks), but not all of those checks are here. A check builds
//! nothing, reads no layer, and looks up only the variables of base images. `# check=skip=RULE,…`
//! disables rules, `# check=skip=all` disables all of them.

use super::dockerfile::instruction::{Command, Copy, Instruction};
use super::dockerfile::{Dockerfile, Place, Stage, Step};
use super::ignore::Ignore;
use super::{plan, steps};
use crate::order;
use crate::suggest::nearest;

/// A warning of one rule about one instruction.
pub struct Warning {
    pub rule: &'static str,
    pub place: Place,
    pub text: String,
}

/// Words in a variable's name that suggest a secret, unless the name also has the word "public".
const SECRETS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];

struct Checker<'a> {
    dockerfile: &'a Dockerfile,
    ignore: &'a Ignore,
    /// Returns the variables that an image sets, or `None` if the image is not local.
    variables: &'a dyn Fn(&str) -> Option<Vec<String>>,
    skipped: Vec<String>,
    found: Vec<Warning>,
}

/// What a stage passes on to the stages that are based on it.
#[derive(Clone)]
struct Scope {
    known: Vec<String>,
    /// True if the base image is not local: then any variable may be set.
    is_open: bool,
    has_absolute_workdir: bool,
}

/// Returns all warnings in the order of the lines. `variables` returns the variables that a local
/// image sets, and `None` for any other image.
pub fn check(
    dockerfile: &Dockerfile,
    ignore: &Ignore,
    variables: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Vec<Warning> {
    let options = dockerfile.check.as_deref().unwrap_or_default();
    let skipped = options.split(';').find_map(|option| option.trim().strip_prefix("skip="));
    let skipped = skipped.unwrap_or_default().split(',').map(|rule| rule.trim().to_lowercase());
    let mut checker =
        Checker { dockerfile, ignore, variables, skipped: skipped.collect(), found: Vec::new() };
    checker.lines();
    let mut scopes: Vec<Scope> = Vec::new();
    for (at, stage) in dockerfile.stages.iter().enumerate() {
        checker.from(stage);
        let scope = checker.stage(at, stage, &scopes);
        scopes.push(scope);
    }
    order::sort_by_key(&mut checker.found, |warning| warning.place.first);
    checker.found
}

/// Reports whether `# check=error=true` makes warnings fail a build.
pub fn is_fatal(dockerfile: &Dockerfile) -> bool {
    let options = dockerfile.check.as_deref().unwrap_or_default();
    options.split(';').any(|option| option.trim().eq_ignore_ascii_case("error=true"))
}

impl Checker<'_> {
    fn add(&mut self, rule: &'static str, place: Place, text: String) {
        let name = rule.to_lowercase();
        if !self.skipped.iter().any(|skipped| *skipped == name || skipped == "all") {
            self.found.push(Warning { rule, place, text });
        }
    }

    /// Applies the rules about the case of keywords and about empty lines.
    fn lines(&mut self) {
        let stages = self.dockerfile.stages.iter();
        let steps: Vec<&Step> =
            stages.flat_map(|stage| std::iter::once(&stage.from).chain(&stage.steps)).collect();
        let keyword = |step: &Step| -> String {
            let line = self.dockerfile.source.line(step.place.first).trim_start();
            line.split(char::is_whitespace).next().unwrap_or_default().to_owned()
        };
        let keywords: Vec<(String, Place)> =
            steps.iter().map(|step| (keyword(step), step.place)).collect();
        let is_lower = |word: &str| word == word.to_ascii_lowercase();
        let is_upper = |word: &str| word == word.to_ascii_uppercase();
        let lower = keywords.iter().filter(|(word, _)| is_lower(word)).count();
        let upper = keywords.iter().filter(|(word, _)| is_upper(word)).count();
        for (word, place) in keywords {
            let (good, case) = if upper >= lower {
                (is_upper(&word), "uppercase")
            } else {
                (is_lower(&word), "lowercase")
            };
            if !good {
                self.add(
                    "ConsistentInstructionCasing",
                    place,
                    format!(
                        "Command '{word}' should match the case of the command majority ({case})"
                    ),
                );
            }
        }
        for step in steps {
            let has_heredoc = match &step.instruction {
                Instruction::Run(run) => !run.heredocs.is_empty(),
                Instruction::Copy(copy) => !copy.heredocs.is_empty(),
                Instruction::Onbuild(text) => text.contains("<<"),
                _ => false,
            };
            let inner = step.place.first + 1..step.place.last;
            let mut lines = inner.filter(|_| !has_heredoc);
            if lines.any(|line| self.dockerfile.source.line(line).trim().is_empty()) {
                self.add("NoEmptyContinuation", step.place, "Empty continuation line".to_owned());
            }
        }
    }

    /// Applies the rules about FROM.
    fn from(&mut self, stage: &Stage) {
        let place = stage.from.place;
        let line = self.dockerfile.source.line(place.first);
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [from, .., word, name] = words.as_slice()
            && word.eq_ignore_ascii_case("as")
        {
            let is_upper = |word: &str| word == word.to_ascii_uppercase();
            if is_upper(from) != is_upper(word) {
                let text = format!("'{word}' and '{from}' keywords' casing do not match");
                self.add("FromAsCasing", place, text);
            }
            if *name != name.to_lowercase() {
                let text = format!("Stage name '{name}' should be lowercase");
                self.add("StageNameCasing", place, text);
            }
            if name.eq_ignore_ascii_case("context") {
                let text = format!("'{name}' is reserved and should not be used as a stage name");
                self.add("ReservedStageName", place, text);
            }
        }
        let globals: Vec<&str> =
            self.dockerfile.arguments.iter().map(|(name, _)| name.as_str()).collect();
        let platform = stage.platform.as_deref().unwrap_or_default();
        for name in variables_in(&stage.image).into_iter().chain(variables_in(platform)) {
            if !globals.contains(&name.as_str()) && !steps::is_predefined(&name) {
                let near = meant("", &name, globals.iter().copied());
                let text = format!("FROM argument '{name}' is not declared{near}");
                self.add("UndefinedArgInFrom", place, text);
            }
        }
        let value = |name: &str| {
            let known = self.dockerfile.arguments.iter().find(|(known, _)| known == name);
            known.and_then(|(_, value)| value.clone())
        };
        let is_empty = |name: &String| value(name).unwrap_or_default().is_empty();
        let declared = |name: &&String| globals.contains(&name.as_str());
        if variables_in(&stage.image).iter().filter(declared).any(is_empty) {
            let text = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.image
            );
            self.add("InvalidDefaultArgInFrom", place, text);
        }
        match platform {
            "" => {}
            "$TARGETPLATFORM" | "${TARGETPLATFORM}" => self.add(
                "RedundantTargetPlatform",
                place,
                format!(
                    "Setting platform to predefined {platform} in FROM is redundant as this is the \
                     default behavior"
                ),
            ),
            constant if !constant.contains('$') => self.add(
                "FromPlatformFlagConstDisallowed",
                place,
                format!("FROM --platform flag should not use constant value \"{constant}\""),
            ),
            _ => {}
        }
    }

    /// Applies the rules about the instructions of a stage. `before` has the scopes of the stages
    /// above.
    fn stage(&mut self, at: usize, stage: &Stage, before: &[Scope]) -> Scope {
        let mut scope = match plan::base(self.dockerfile, &stage.image, at) {
            Some(base) => before[base].clone(),
            None => {
                let variables = match stage.image.as_str() {
                    "scratch" => Some(Vec::new()),
                    image => (self.variables)(image),
                };
                let is_open = variables.is_none();
                let known = variables.unwrap_or_default();
                Scope { known, is_open, has_absolute_workdir: false }
            }
        };
        scope.known.push("PATH".to_owned());
        // An ARG is valid until the end of its stage.
        let mut arguments = Vec::new();
        let has_shell =
            stage.steps.iter().any(|step| matches!(step.instruction, Instruction::Shell(_)));
        for step in &stage.steps {
            for text in expanded(&step.instruction) {
                for name in variables_in(text) {
                    let is_known = scope.is_open
                        || scope.known.contains(&name)
                        || arguments.contains(&name)
                        || steps::is_proxy(&name);
                    if !is_known {
                        let near = scope.known.iter().chain(&arguments).map(String::as_str);
                        let near = meant("$", &name, near);
                        let text = format!("Usage of undefined variable '${name}'{near}");
                        self.add("UndefinedVar", step.place, text);
                    }
                }
            }
            match &step.instruction {
                Instruction::Env(pairs) => {
                    for (name, _) in pairs {
                        self.secret("ENV", name, step.place);
                        scope.known.push(name.clone());
                    }
                    self.legacy("ENV", step);
                }
                Instruction::Label(_) => self.legacy("LABEL", step),
                Instruction::Arg(pairs) => {
                    for (name, _) in pairs {
                        self.secret("ARG", name, step.place);
                        arguments.push(name.clone());
                    }
                }
                Instruction::Cmd(Command::Shell(_)) if !has_shell => self.json("CMD", step.place),
                Instruction::Entrypoint(Command::Shell(_)) if !has_shell => {
                    self.json("ENTRYPOINT", step.place);
                }
                Instruction::Maintainer(_) => self.add(
                    "MaintainerDeprecated",
                    step.place,
                    "Maintainer instruction is deprecated in favor of using label".to_owned(),
                ),
                Instruction::Workdir(path) => {
                    if path.starts_with('/') || path.starts_with('$') {
                        scope.has_absolute_workdir = true;
                    } else if !scope.has_absolute_workdir {
                        let text = format!(
                            "Relative workdir \"{path}\" can have unexpected results if the base \
                             image changes"
                        );
                        self.add("WorkdirRelativePath", step.place, text);
                    }
                }
                Instruction::Expose(text) => self.expose(text, step.place),
                Instruction::Copy(copy) => self.copy(copy, step.place),
                _ => {}
            }
        }
        for (keyword, is_one) in [
            ("CMD", (|step| matches!(step, Instruction::Cmd(_))) as fn(&Instruction) -> bool),
            ("ENTRYPOINT", |step| matches!(step, Instruction::Entrypoint(_))),
            ("HEALTHCHECK", |step| matches!(step, Instruction::Healthcheck(_))),
        ] {
            let those: Vec<&Step> =
                stage.steps.iter().filter(|step| is_one(&step.instruction)).collect();
            for step in those.iter().rev().skip(1) {
                self.add(
                    "MultipleInstructionsDisallowed",
                    step.place,
                    format!(
                        "Multiple {keyword} instructions should not be used in the same stage \
                         because only the last one will be used"
                    ),
                );
            }
        }
        scope
    }

    fn json(&mut self, keyword: &str, place: Place) {
        let text = format!(
            "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS \
             signals"
        );
        self.add("JSONArgsRecommended", place, text);
    }

    fn secret(&mut self, keyword: &str, name: &str, place: Place) {
        let name_words = name.to_lowercase();
        let has = |words: &[&str]| name_words.split(['_', '-']).any(|part| words.contains(&part));
        if has(&SECRETS) && !has(&["public"]) {
            let text = format!(
                "Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")"
            );
            self.add("SecretsUsedInArgOrEnv", place, text);
        }
    }

    /// Applies the rule about the legacy forms `ENV name value` and `LABEL name value`.
    fn legacy(&mut self, keyword: &str, step: &Step) {
        let rest = step.text.split_once(' ').map_or("", |(_, rest)| rest);
        if !rest.split_whitespace().next().unwrap_or_default().contains('=') {
            let text = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" \
                 format"
            );
            self.add("LegacyKeyValueFormat", step.place, text);
        }
    }

    fn expose(&mut self, text: &str, place: Place) {
        for port in text.split_whitespace() {
            let protocol = port.split_once('/').map_or("", |(_, protocol)| protocol);
            if port.contains(':') && !port.contains('$') {
                let text = format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, found \
                     '{port}'"
                );
                self.add("ExposeInvalidFormat", place, text);
            }
            if protocol != protocol.to_lowercase() && !protocol.contains('$') {
                let text =
                    format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
                self.add("ExposeProtoCasing", place, text);
            }
        }
    }

    fn copy(&mut self, copy: &Copy, place: Place) {
        for source in copy.sources.iter().filter(|_| copy.from.is_none()) {
            let path = source.trim_start_matches("./").trim_matches('/');
            let is_plain = !path.is_empty() && !path.contains(['*', '?', '[', '$', ':']);
            if is_plain && self.ignore.excludes(path.as_bytes()) && !self.ignore.takes_back() {
                let text = format!(
                    "Attempting to Copy file \"{source}\" that is excluded by .dockerignore"
                );
                self.add("CopyIgnoredFile", place, text);
            }
        }
    }
}

/// Returns a suggestion for an unknown variable, worded as BuildKit's, or an empty text.
fn meant<'n>(mark: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(name, known).map_or(String::new(), |near| format!(" (did you mean {mark}{near}?)"))
}

/// Returns the parts of an instruction that the rule `UndefinedVar` checks.
fn expanded(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
        }
        Instruction::Arg(pairs) => pairs.iter().filter_map(|(_, value)| value.as_deref()).collect(),
        Instruction::Copy(copy) => {
            let mut texts: Vec<&str> = copy.sources.iter().map(String::as_str).collect();
            texts.push(&copy.destination);
            texts.extend(copy.chown.as_deref().into_iter().chain(copy.chmod.as_deref()));
            texts
        }
        Instruction::Expose(text)
        | Instruction::User(text)
        | Instruction::Stopsignal(text)
        | Instruction::Workdir(text) => vec![text],
        Instruction::Volume(paths) => paths.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns the variables that stand in `text` as `$A` or `${A}`. Leaves out those with an operator,
/// such as `${A:-x}`, and those that are escaped or in single quotes.
fn variables_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            '\'' => while rest.next().is_some_and(|c| c != '\'') {},
            '$' => {
                let in_braces = rest.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if is_name && (!in_braces || rest.peek() == Some(&'}')) {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
    names
}

/// Returns the name of a rule in the address of its page: `stage-name-casing` for
/// `StageNameCasing`.
pub fn slug(rule: &str) -> String {
    let mut slug = String::new();
    let rule = rule.replace("JSON", "Json");
    for c in rule.chars() {
        if c.is_ascii_uppercase() && !slug.is_empty() {
            slug.push('-');
        }
        slug.push(c.to_ascii_lowercase());
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rule of each warning about a Dockerfile, and the warning's first line.
    fn warnings(text: &str) -> Vec<(&'static str, usize)> {
        let dockerfile = Dockerfile::parse("Dockerfile", text).unwrap();
        let ignore = Ignore::parse("ignored\n").unwrap();
        let variables = |image: &str| (image == "known").then(|| vec!["SET".to_owned()]);
        let found = check(&dockerfile, &ignore, &variables);
        found.into_iter().map(|warning| (warning.rule, warning.place.first)).collect()
    }

    /// For each rule, a bad and a good example.
    #[test]
    fn bad_and_good_examples() {
        for (rule, bad, good) in [
            ("StageNameCasing", "FROM x AS BuilderBase", "FROM x AS builder-base"),
            ("FromAsCasing", "FROM x as b", "from x as b"),
            ("NoEmptyContinuation", "FROM x\nRUN a &&\\\n\n  b", "FROM x\nRUN a &&\\\n# x\n  b"),
            ("ConsistentInstructionCasing", "FROM x\nRUN a\nrun b", "from x\nrun a\nrun b"),
            ("JSONArgsRecommended", "FROM x\nCMD a b", "FROM x\nSHELL [\"a\"]\nCMD a b"),
            ("JSONArgsRecommended", "FROM x\nENTRYPOINT a", "FROM x\nENTRYPOINT [\"a\"]"),
            ("MaintainerDeprecated", "FROM x\nMAINTAINER a", "FROM x\nLABEL a=b"),
            ("UndefinedArgInFrom", "FROM x:$V", "ARG V=1\nFROM --platform=$BUILDPLATFORM x:${V}"),
            ("WorkdirRelativePath", "FROM x\nWORKDIR a", "FROM x\nWORKDIR /\nWORKDIR a"),
            ("UndefinedVar", "FROM known\nCOPY $foo .", "FROM known\nARG foo\nCOPY $foo$SET ."),
            ("UndefinedVar", "FROM known\nENV A=$B", "FROM known\nENV A=${B:-x} C='$D' E=\\$F"),
            (
                "MultipleInstructionsDisallowed",
                "FROM x\nCMD [\"a\"]\nCMD [\"b\"]",
                "FROM x\nCMD [\"a\"]\nFROM x\nCMD [\"b\"]",
            ),
            ("LegacyKeyValueFormat", "FROM x\nENV A b", "FROM x\nENV A=b"),
            ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM x", "FROM x"),
            ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/amd64 x", "FROM x"),
            (
                "SecretsUsedInArgOrEnv",
                "FROM x\nARG AWS_SECRET_ACCESS_KEY",
                "FROM x\nARG PUBLIC_KEY",
            ),
            ("InvalidDefaultArgInFrom", "ARG TAG\nFROM busybox:${TAG}", "ARG TAG=1\nFROM b:${TAG}"),
            ("CopyIgnoredFile", "FROM x\nCOPY ./ignored /", "FROM x\nCOPY other /"),
            ("ExposeProtoCasing", "FROM x\nEXPOSE 80/TcP", "FROM x\nEXPOSE 80/tcp"),
            ("ExposeInvalidFormat", "FROM x\nEXPOSE 80:80", "FROM x\nEXPOSE 80 $P:80"),
            ("ReservedStageName", "FROM x AS context", "FROM x AS contexts"),
        ] {
            let found = warnings(bad);
            assert!(found.iter().any(|(found, _)| *found == rule), "{rule}: {bad}: {found:?}");
            assert_eq!(warnings(good), [], "{good}");
        }
        assert_eq!(slug("JSONArgsRecommended"), "json-args-recommended");
    }

    #[test]
    fn unknown_variables_get_suggestions() {
        let text = "ARG VERSION\nFROM known:$VERSOIN\nFROM scratch\nENV NAME=1\nENV B=$NAEM\n";
        let dockerfile = Dockerfile::parse("Dockerfile", text).unwrap();
        let found = check(&dockerfile, &Ignore::default(), &|_| None);
        let texts: Vec<&str> = found.iter().map(|warning| warning.text.as_str()).collect();
        let expected = [
            "FROM argument 'VERSOIN' is not declared (did you mean VERSION?)",
            "Usage of undefined variable '$NAEM' (did you mean $NAME?)",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn rules_are_skipped_by_a_directive() {
        let text = "FROM x\nENV A b\nMAINTAINER c";
        assert_eq!(warnings(text), [("LegacyKeyValueFormat", 2), ("MaintainerDeprecated", 3)]);
        let one = warnings(&format!("# check=skip=legacyKeyValueFormat,X;error=true\n{text}"));
        assert_eq!(one, [("MaintainerDeprecated", 4)]);
        assert_eq!(warnings(&format!("# check=skip=all\n{text}")), []);
    }
}
