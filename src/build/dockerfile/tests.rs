//! Tests of the parser by the rules of the Dockerfile reference.
//!
//! The comment of a test names the section of docs.docker.com/reference/dockerfile that the test
//! covers. The parser replaces no variables; `words` has the tests of variables. `tests/build.rs`
//! tests the effect of an instruction on an image.

use super::instruction::{Command, Copy, Instruction};
use super::lexer::Lines;
use super::*;

fn parsed(text: &str) -> Dockerfile {
    Dockerfile::parse("Dockerfile", text).unwrap_or_else(|(source, mistake)| {
        panic!("{}\n{}", source.excerpt(mistake.place), source.error(mistake))
    })
}

/// The instructions after a `FROM x`.
fn steps(text: &str) -> Vec<Instruction> {
    let dockerfile = parsed(&format!("FROM x\n{text}"));
    dockerfile.stages[0].steps.iter().map(|step| step.instruction.clone()).collect()
}

fn step(text: &str) -> Instruction {
    let steps = steps(text);
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps[0].clone()
}

fn error(text: &str) -> String {
    match Dockerfile::parse("Dockerfile", text) {
        Ok(dockerfile) => panic!("{text}: {dockerfile:?}"),
        Err((source, mistake)) => source.error(mistake).to_string(),
    }
}

/// The command of a RUN.
fn run(text: &str) -> Command {
    match step(text) {
        Instruction::Run(run) => run.command,
        other => panic!("{other:?}"),
    }
}

fn shell(line: &str) -> Command {
    Command::Shell(line.to_owned())
}

fn exec(words: &[&str]) -> Command {
    Command::Exec(words.iter().map(|&word| word.to_owned()).collect())
}

fn copy(text: &str) -> Copy {
    match step(text) {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

/// "Format": keywords in any case; comments and blanks before them.
#[test]
fn keywords_and_comments() {
    assert_eq!(run("rUn echo a"), shell("echo a"));
    assert_eq!(run("  \t # comment\n   RUN echo a"), shell("echo a"));
    assert_eq!(run("RUN echo a # no comment"), shell("echo a # no comment"));
    assert_eq!(run("RUN echo hello \\\n# comment\nworld"), shell("echo hello world"));
    assert_eq!(run("RUN echo a \\\n\n\n  b\n"), shell("echo a   b"));
    assert_eq!(run("RUN echo a\\\n  \\\n b"), shell("echo a   b"));
    assert_eq!(
        run("RUN echo \"\\\n     hello\\\n     world\""),
        shell("echo \"     hello     world\"")
    );
    assert_eq!(run("RUN echo a \\  \n b"), shell("echo a  b"));
    assert_eq!(run("RUN a\\\\\n"), shell("a\\\\"));
    assert_eq!(run("RUN\techo a\r\n"), shell("echo a"));
    assert_eq!(parsed("\u{feff}FROM x").stages.len(), 1);
    assert_eq!(run("RUN echo a \\"), shell("echo a"));
}

/// "Parser directives".
#[test]
fn directives() {
    let of = |text: &str| Lines::read(text, true).unwrap();
    assert_eq!(of("# escape=`\nFROM x").escape, '`');
    assert_eq!(of("#escape = `\nFROM x").escape, '`');
    assert_eq!(of(" # escape=`\nFROM x").escape, '`');
    assert_eq!(of("# ESCAPE=`\nFROM x").escape, '`');
    assert_eq!(of("# syntax=docker/dockerfile:1\n# escape=`\nFROM x").escape, '`');
    assert_eq!(of("# syntax=a/b:1\nFROM x").syntax.unwrap(), "a/b:1");
    // After a comment, an empty line or an instruction, a directive is a comment.
    for before in ["# about\n", "\n", "FROM x\n", "# unknown=1\n", "ARG a\n"] {
        assert_eq!(of(&format!("{before}# escape=`\nFROM x")).escape, '\\', "{before}");
    }
    assert!(error("# escape=x\nFROM x").contains("bad escape character 'x'"));
    assert!(error("# escape=`\n# escape=`\nFROM x").contains("a second directive 'escape'"));
    let windows = parsed("# escape=`\nFROM x\nCOPY a.txt c:\\\nRUN a `\n b");
    assert_eq!(windows.stages[0].steps.len(), 2);
}

/// "FROM", "Understand how ARG and FROM interact".
#[test]
fn stages() {
    let dockerfile = parsed(
        "ARG V=1\nARG W\nFROM --platform=linux/amd64 a:$V AS One\nRUN x\nFROM b@sha256:c\nFROM one as two",
    );
    assert_eq!(dockerfile.arguments, [("V".into(), Some("1".into())), ("W".into(), None)]);
    let images: Vec<&str> = dockerfile.stages.iter().map(|stage| &*stage.image).collect();
    assert_eq!(images, ["a:$V", "b@sha256:c", "one"]);
    assert_eq!(dockerfile.stages[0].name.as_deref(), Some("one"));
    assert_eq!(dockerfile.stages[0].platform.as_deref(), Some("linux/amd64"));
    assert_eq!(dockerfile.stages[2].name.as_deref(), Some("two"));
    for (text, message) in [
        ("", "the file is empty"),
        (" \n# x\n", "there is no FROM"),
        ("ARG a", "there is no FROM"),
        ("RUN x\nFROM y", "RUN stands before the first FROM"),
        ("FROM", "FROM needs an argument"),
        ("FROM a b", "FROM IMAGE AS NAME"),
        ("FROM a as 1x", "bad stage name '1x'"),
        ("FROM a AS scratch", "the empty image"),
        ("FROM a AS b\nFROM c AS B", "two stages have the name 'b'"),
    ] {
        assert!(error(text).contains(message), "{text}: {}", error(text));
    }
}

/// "RUN", "CMD", "ENTRYPOINT", "SHELL": the shell form and the exec form.
#[test]
fn commands() {
    assert_eq!(
        run("RUN [\"/bin/bash\", \"-c\", \"echo hello\"]"),
        exec(&["/bin/bash", "-c", "echo hello"])
    );
    assert_eq!(run("RUN ['a']"), shell("['a']"));
    assert_eq!(run("RUN [ -f x ] && y"), shell("[ -f x ] && y"));
    assert_eq!(run("RUN echo $HOME '${x}'"), shell("echo $HOME '${x}'"));
    assert_eq!(step("CMD echo a"), Instruction::Cmd(shell("echo a")));
    assert_eq!(step("CMD [\"a\"]"), Instruction::Cmd(exec(&["a"])));
    assert_eq!(step("CMD []"), Instruction::Cmd(exec(&[])));
    assert_eq!(step("CMD"), Instruction::Cmd(exec(&[])));
    assert_eq!(step("ENTRYPOINT [\"a\", \"b\"]"), Instruction::Entrypoint(exec(&["a", "b"])));
    assert_eq!(
        step("SHELL [\"/bin/sh\", \"-ec\"]"),
        Instruction::Shell(vec!["/bin/sh".into(), "-ec".into()])
    );
    assert!(error("FROM x\nSHELL /bin/sh").contains("SHELL needs a JSON list"));
    assert!(error("FROM x\nRUN").contains("RUN needs an argument"));
    assert!(error("FROM x\nRUN []").contains("RUN needs a command"));
}

/// "RUN --mount", "RUN --network", "RUN --security".
#[test]
fn flags_of_run() {
    let Instruction::Run(run) = step(
        "RUN --mount=type=cache,target=/a --mount=type=tmpfs,target=\"/b c\" --network=none echo --x=1",
    ) else {
        panic!()
    };
    assert_eq!(run.mounts, ["type=cache,target=/a", "type=tmpfs,target=/b c"]);
    assert_eq!((run.network.as_deref(), run.command), (Some("none"), shell("echo --x=1")));
    assert!(error("FROM x\nRUN --security=insecure a").contains("--security=insecure is refused"));
    assert!(error("FROM x\nRUN --network=foo a").contains("bad --network=foo"));
    assert!(error("FROM x\nRUN --muont=type=bind a").contains("did you mean --mount?"));
    assert!(error("FROM x\nRUN --mount a").contains("--mount needs a value"));
    assert!(error("FROM x\nCMD --a=b").contains("CMD takes no flags"));
}

/// "Here-Documents".
#[test]
fn heredocs() {
    let of = |text: &str| match step(text) {
        Instruction::Run(run) => run.heredocs,
        Instruction::Copy(copy) => copy.heredocs,
        other => panic!("{other:?}"),
    };
    let found = of("RUN <<EOF\nmkdir -p a\n  # kept\n\\\nEOF");
    assert_eq!((found[0].name.as_str(), found[0].expands), ("EOF", true));
    assert_eq!(found[0].content, "mkdir -p a\n  # kept\n\\\n");
    let found = of("RUN cat <<FILE1 > f1 && cat <<FILE2 > f2\nI am\nFILE1\nI am not\nFILE2");
    assert_eq!((found[0].content.as_str(), found[1].content.as_str()), ("I am\n", "I am not\n"));
    let found = of("RUN <<-EOT bash\n\t\tmkdir a\n\tEOT");
    assert_eq!((found[0].content.as_str(), found[0].raw.as_str()), ("mkdir a\n", "\t\tmkdir a\n"));
    assert!(!of("COPY <<\"EOT\" /app/\n$x\nEOT")[0].expands);
    assert!(!of("COPY <<'EOT' /app/\n$x\nEOT")[0].expands);
    let both = copy("COPY <<robots.txt <<humans.txt /usr/share/\nno\nrobots.txt\nyes\nhumans.txt");
    assert_eq!((both.heredocs.len(), both.sources.len()), (2, 0));
    assert_eq!(both.destination, "/usr/share/");
    assert_eq!(steps("RUN <<EOF\nx\nEOF\nRUN y").len(), 2);
    assert!(of("RUN echo $((1 << 2)) \"<<X\"").is_empty());
    assert!(error("FROM x\nRUN <<EOF\nx").contains("the heredoc 'EOF' has no end"));
    assert!(error("FROM x\nCOPY a <<EOF\nEOF").contains("the destination is missing"));
}

/// "ENV", "LABEL": both forms, quotes and escapes.
#[test]
fn pairs() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        step("ENV A=\"John Doe\" B=Rex\\ The\\ Dog \\\n    C=fluffy"),
        Instruction::Env(vec![
            pair("A", "\"John Doe\""),
            pair("B", "Rex\\ The\\ Dog"),
            pair("C", "fluffy")
        ])
    );
    assert_eq!(
        step("ENV ONE TWO= THREE=world"),
        Instruction::Env(vec![pair("ONE", "TWO= THREE=world")])
    );
    assert_eq!(
        step("LABEL \"com.example.vendor\"=\"ACME\" a.b='x y'"),
        Instruction::Label(vec![pair("\"com.example.vendor\"", "\"ACME\""), pair("a.b", "'x y'")])
    );
    assert!(error("FROM x\nENV A").contains("ENV: 'A' has no value"));
    assert!(error("FROM x\nENV A=1 B").contains("'B' should be NAME=VALUE"));
    assert!(error("FROM x\nLABEL =x").contains("'=x' should be NAME=VALUE"));
}

/// "ARG".
#[test]
fn arguments() {
    assert_eq!(
        step("ARG a b=1 c=\"x y\" d="),
        Instruction::Arg(vec![
            ("a".into(), None),
            ("b".into(), Some("1".into())),
            ("c".into(), Some("\"x y\"".into())),
            ("d".into(), Some(String::new())),
        ])
    );
    assert!(error("FROM x\nARG =1").contains("should be NAME or NAME=DEFAULT"));
}

/// "ADD", "COPY": both forms and the flags.
#[test]
fn copies() {
    let found = copy("COPY [\"a b\", \"c\", \"/d e/\"]");
    assert_eq!(
        (found.sources, found.destination.as_str()),
        (vec!["a b".into(), "c".into()], "/d e/")
    );
    let found = copy(
        "COPY --from=build --chown=55:mygroup --chmod=u=rwX,go= --link --parents --exclude=*.a --exclude=b/** x y /z",
    );
    assert_eq!(
        (found.from.as_deref(), found.chown.as_deref()),
        (Some("build"), Some("55:mygroup"))
    );
    assert_eq!(
        (found.chmod.as_deref(), found.link, found.parents),
        (Some("u=rwX,go="), true, true)
    );
    assert_eq!(
        (found.excludes, found.sources.len()),
        (vec!["*.a".to_owned(), "b/**".to_owned()], 2)
    );
    let found = copy("ADD --checksum=sha256:24454f83 --unpack=false https://x.org/a.tar /");
    assert!(found.is_add && found.checksum.is_some() && found.unpack == Some(false));
    assert!(!copy("COPY --link=false a b").link);
    for (text, message) in [
        ("COPY a", "a source and a destination"),
        ("COPY [\"a\"]", "a source and a destination"),
        ("COPY --form=b a /", "did you mean --from?"),
        ("COPY --from=a --from=b a /", "--from is given twice"),
        ("COPY --link=x a /", "neither true nor false"),
        ("ADD --from=a a /", "use COPY --from"),
        ("ADD --keep-git-dir=true a /", "git repositories"),
        ("COPY --checksum=x a /", "unknown flag --checksum"),
    ] {
        let error = error(&format!("FROM x\n{text}"));
        assert!(error.contains(message), "{text}: {error}");
    }
}

/// "EXPOSE", "VOLUME", "USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER".
#[test]
fn instructions_with_plain_arguments() {
    assert_eq!(step("EXPOSE 80/tcp 53/udp"), Instruction::Expose("80/tcp 53/udp".into()));
    assert_eq!(step("VOLUME /a /b"), Instruction::Volume(vec!["/a".into(), "/b".into()]));
    assert_eq!(step("VOLUME [\"/c d\"]"), Instruction::Volume(vec!["/c d".into()]));
    assert_eq!(step("USER a:b"), Instruction::User("a:b".into()));
    assert_eq!(step("WORKDIR a b"), Instruction::Workdir("a b".into()));
    assert_eq!(step("STOPSIGNAL SIGQUIT"), Instruction::Stopsignal("SIGQUIT".into()));
    assert_eq!(step("MAINTAINER A <a@b>"), Instruction::Maintainer("A <a@b>".into()));
    assert!(error("FROM x\nUSER a b").contains("USER needs exactly one argument"));
    assert!(error("FROM x\nVOLUME [\"\"]").contains("one of them is empty"));
}

/// "HEALTHCHECK".
#[test]
fn health_checks() {
    let check = |text: &str| match step(text) {
        Instruction::Healthcheck(check) => check,
        other => panic!("{other:?}"),
    };
    let found = check(
        "HEALTHCHECK --interval=5m --timeout=3s \\\n  CMD curl -f http://localhost/ || exit 1",
    );
    assert_eq!(found.test, ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]);
    assert_eq!((found.interval, found.timeout), (300_000_000_000, 3_000_000_000));
    assert_eq!(check("HEALTHCHECK NONE").test, ["NONE"]);
    assert_eq!(check("HEALTHCHECK CMD [\"a\"]").test, ["CMD", "a"]);
    assert!(error("FROM x\nHEALTHCHECK --intervall=1s CMD x").contains("did you mean --interval?"));
    assert!(error("FROM x\nHEALTHCHECK x").contains("NONE, or CMD"));
}

/// "ONBUILD".
#[test]
fn triggers() {
    assert_eq!(step("ONBUILD add . /app"), Instruction::Onbuild("add . /app".into()));
    assert_eq!(step("ONBUILD RUN <<EOF\nx\nEOF"), Instruction::Onbuild("RUN <<EOF\nx\nEOF".into()));
    let step = Dockerfile::parse_trigger("RUN <<EOF\nx\nEOF").unwrap();
    assert!(matches!(step.instruction, Instruction::Run(run) if run.heredocs[0].content == "x\n"));
    for (text, message) in [
        ("ONBUILD ONBUILD RUN x", "ONBUILD can't be the instruction of an ONBUILD"),
        ("ONBUILD FROM x", "FROM can't be"),
        ("ONBUILD MAINTAINER x", "MAINTAINER can't be"),
        ("ONBUILD RNU x", "did you mean RUN?"),
        ("ONBUILD COPY a", "a source and a destination"),
    ] {
        let error = error(&format!("FROM x\n{text}"));
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn an_excerpt_shows_the_lines_of_a_mistake() {
    let text = "FROM x\nRUN a\n\n# why\nCOPPY a \\\n  b\nRUN c\nRUN d\nRUN e\n";
    let (source, mistake) = Dockerfile::parse("sub/Dockerfile", text).unwrap_err();
    assert_eq!(
        source.excerpt(mistake.place),
        "sub/Dockerfile:5\n--------------------\n   3 |\n   4 |     # why\n   5 | >>> COPPY a \\\n   \
         6 | >>>   b\n   7 |     RUN c\n   8 |     RUN d\n--------------------\n"
    );
    assert_eq!(
        source.error(mistake).to_string(),
        "sub/Dockerfile:5: unknown instruction 'COPPY'; did you mean COPY?"
    );
    assert!(error("FROM x\nXYZZY y").ends_with("unknown instruction 'XYZZY'"));
    assert!(error("FROM x\nRUN a\0b").contains("Dockerfile:2: a NUL byte"));
}

#[test]
fn each_prefix_of_the_corpus_is_read_without_a_panic() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/dockerfile");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        for end in 0..=bytes.len() {
            super::fuzz::dockerfile(&bytes[..end]);
        }
        count += 1;
    }
    assert!(count >= 3);
}
