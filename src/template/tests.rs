//! Unit tests of templates.
//!
//! Most rows have a template, and the text or error that Docker prints for that template. The
//! document has the shape of `docker inspect`. `fuzz` tests arbitrary input.

use super::fuzz::document;
use super::{Struct, Template, Value, omit_empty};

fn rendered(source: &str) -> String {
    match Template::parse(source).and_then(|template| template.render_document(&document())) {
        Ok(text) => text,
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn a_document_is_read_as_json_where_its_types_do_not_fit() {
    let mount =
        Value::object(vec![("Type", Value::text("bind")), ("Gone", omit_empty(Value::Nil))]);
    let object = Value::object(vec![("Mounts", Value::list([mount])), ("Tty", Value::Bool(false))]);
    let shown = |format: &str| Template::parse(format).unwrap().render_document(&object).unwrap();
    assert_eq!(shown("{{index .Mounts 0 \"Type\"}} {{len .}}"), "bind 2");
    assert_eq!(shown("{{(index . \"Mounts\")}}"), "[map[Type:bind]]");
    assert_eq!(shown("{{.Mounts}}"), "[{bind <nil>}]");
}

#[test]
fn printf_takes_indexes_and_numbers_may_be_hexadecimal_floats() {
    let shown = |format: &str| Template::parse(format).unwrap().render(&Value::Nil).unwrap();
    assert_eq!(shown("{{printf \"%[2]s %[1]s\" \"a\" \"b\"}}"), "b a");
    assert_eq!(shown("{{printf \"%[9]s %[0]s %s\" \"a\"}}"), "%!s(BADINDEX) %!s(BADINDEX) a");
    assert_eq!(shown("{{0x1p4}} {{0x1.8p4}} {{0x1F}}"), "16 24 31");
    assert_eq!(shown("{{\"a\" | printf \"%s\" | }}"), "a");
}

#[test]
fn printf_formats_as_gos_does() {
    let shown = |format: &str| Template::parse(format).unwrap().render(&Value::Nil).unwrap();
    for (source, text) in [
        (
            "%+.2e|%08.3f|%E|%G\" 12345.678 -3.14159 1.5 1e21",
            "+1.23e+04|-003.142|1.500000E+00|1E+21",
        ),
        (
            "%v|%v|%g|%6.3v|%.2g\" 1e6 123456.0 1e-5 3.14159 100.0",
            "1e+06|123456|1e-05|  3.14|1e+02",
        ),
        ("% x|%#x|%# X|%x\" \"ab\" \"ab\" \"ab\" 255", "61 62|0x6162|0X61 0X62|ff"),
        ("%#q|%+q|%q|%#U\" \"a\" \"é\" 'é' 0x4e16", "`a`|\"\\u00e9\"|'é'|U+4E16 '世'"),
        ("%.*f|%*d|%-*d|%*d\" 2 3.14159 4 7 4 7 \"x\" 1", "3.14|   7|7   |%!(BADWIDTH)1"),
        (
            "%4v|%q|%#v\" (split \"a,b\" \",\") (split \"a\" \",\") (split \"a\" \",\")",
            "[   a    b]|[\"a\"]|[]string{\"a\"}",
        ),
        ("%T|%d\" nil nil", "<nil>|%!d(<nil>)"),
        ("%5d|%+c|%5d\" \"a\" 1.5 true", "%!d(string=    a)|%!c(float64=+1.5)|%!d(bool= true)"),
    ] {
        assert_eq!(shown(&format!("{{{{printf \"{source}}}}}")), text, "{source}");
    }
    assert_eq!(shown("{{1e6}} {{json 1e6}} {{json 1e21}}"), "1e+06 1000000 1e+21");
    assert_eq!(shown("{{title \"it's é\"}} {{upper \"ß\"}} {{lower \"Σ\"}}"), "It'S É ß σ");
}

#[test]
fn a_duration_prints_as_text_and_is_a_number() {
    let span = Value::printed("30s".to_owned(), Value::Int(30));
    let value = Value::object(vec![("Interval", span)]);
    let shown = |format: &str| Template::parse(format).unwrap().render(&value).unwrap();
    assert_eq!(
        shown("{{.Interval}} {{.}} {{printf \"%v %d\" .Interval .Interval}}"),
        "30s {30s} 30s 30"
    );
    assert_eq!(shown("{{printf \"%05d|%t\" . .}}"), "{00030}|{%!t(int=30)}");
    assert_eq!(shown("{{json .Interval}} {{eq .Interval 30}} {{print .Interval}}"), "30 true 30s");
}

#[test]
fn templates_print_what_gos_do() {
    for (source, text) in [
        ("{{.Name}} {{ .State.Pid }}", "/web 42"),
        ("{{.Config.Labels}}", "map[a:1 b:2]"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels.a}} {{.Config.Labels.zz}}", "1 <no value>"),
        ("{{index .Config.Labels \"zz\"}}|{{index .Config.Env 1}}", "|B=2"),
        ("{{.NetworkSettings.Networks.bridge.IPAddress}}", "10.0.0.2"),
        ("{{.NetworkSettings.Networks.other.IPAddress}}", "<no value>"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.0.0.2"),
        (
            "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}={{if $c}}{{(index $c 0).HostPort}}{{else}}-{{end}};{{end}}",
            "80/tcp=8080;81/tcp=-;",
        ),
        ("{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "A=1, B=2"),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1"),
        ("{{range $i, $e := .Config.Env}}{{if eq $i 0}}{{continue}}{{end}}{{$e}}{{end}}", "B=2"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{with .State}}{{.Status}}{{$.Name}}{{end}}", "running/web"),
        ("{{with .Config.Cmd}}x{{else}}y{{end}}", "y"),
        ("{{if eq .State.ExitCode 1}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"),
        ("{{if .State.Health}}x{{else}}no{{end}}", "no"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{define \"T\"}}<{{.}}>{{end}}{{template \"T\" .Name}}", "</web>"),
        ("{{block \"B\" .State}}{{.Pid}}{{end}}", "42"),
        ("a {{- /* no */ -}} b{{/* x */}}c", "abc"),
        ("a  {{- .Id -}}  b", "aabcb"),
        ("{{json .State.Running}} {{json .Config.Labels}}", "true {\"a\":\"1\",\"b\":\"2\"}"),
        ("{{.Name | printf \"%q %5d|%-5s|\" | len}} {{printf \"%05.1f\" 2.25}}", "33 002.2"),
        (
            "{{printf \"%d %s\" \"x\" 1}} {{printf \"%d\"}} {{printf \"a\" 1}}",
            "%!d(string=x) %!s(int=1) %!d(MISSING) a%!(EXTRA int=1)",
        ),
        ("{{print 1 2 \"a\" \"b\" 3}}{{println \"x\" 1}}", "1 2ab3x 1\n"),
        (
            "{{join (split \"a,b,c\" \",\") \"-\"}} {{upper \"aé\"}} {{title \"ab cd\"}}",
            "a-b-c AÉ Ab Cd",
        ),
        ("[{{pad \"x\" 1 2}}] {{truncate \"abcdef\" 3}} {{slice \"abc\" 1 2}}", "[ x  ] abc b"),
        ("{{and 1 0}} {{or 0 \"x\"}} {{not true}} {{and true false true}}", "0 x false false"),
        ("{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge \"b\" \"a\"}}", "true true true true"),
        (
            "{{html \"<a&'\"}} {{js \"'<\"}} {{urlquery \"a b/\"}}",
            "&lt;a&amp;&#39; \\'\\u003C a+b%2F",
        ),
        (
            "{{`raw\\n`}} {{\"a\\tb\\u00e9\\x41\\101\"}} {{'a'}} {{0x10}} {{1e3}} {{010}} {{-5}}",
            "raw\\n a\tbéAA 97 16 1000 8 -5",
        ),
        ("{{.Mounts}} {{json .Mounts}}", "[{/s /d}] [{\"Source\":\"/s\",\"Destination\":\"/d\"}]"),
        (
            "{{.Config.Cmd}} {{json .Config.Cmd}} {{len .Config.Cmd}} {{.Config.Volumes}} {{.Config.Volumes.x}}",
            "[] null 0 map[] <no value>",
        ),
        ("{{json .State}}", "{\"Status\":\"running\",\"Running\":true,\"Pid\":42,\"ExitCode\":0}"),
        ("{{.State}} {{.State.Health}}", "{running true 42 0 <nil>} <nil>"),
        ("{{index .NetworkSettings.Ports \"9/tcp\"}}", "<no value>"),
        ("{{len .Config.Env}} {{(.State).Pid}} {{$.State.Pid}}", "2 42 42"),
    ] {
        assert_eq!(rendered(source), text, "{source}");
    }
}

#[test]
fn errors_are_worded_as_dockers() {
    let running = "template parsing error: template: :1:";
    for (source, text) in [
        ("{{.Nope}}", "2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""),
        (
            "{{.State.Health.Status}}",
            "8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\"",
        ),
        (
            "{{(index (index .NetworkSettings.Ports \"9/tcp\") 0).HostPort}}",
            "3: executing \"\" at <index (index .NetworkSettings.Ports \"9/tcp\") 0>: error calling index: index of untyped nil",
        ),
        (
            "{{.Name.X}}",
            "7: executing \"\" at <.Name.X>: can't evaluate field X in type interface {}",
        ),
        ("{{.Name", " unclosed action"),
        ("{{if .Name}}", " unexpected EOF"),
        ("{{end}}", " unexpected {{end}}"),
        ("{{frob .Name}}", " function \"frob\" not defined"),
        ("{{$x}}", " undefined variable \"$x\""),
        ("{{}}", " missing value for command"),
        ("{{.Name}", " unexpected \"}\" in operand"),
        ("{{\"a}}", " unterminated quoted string"),
        ("{{break}}", " {{break}} outside {{range}}"),
        ("{{1 | 2}}", " non executable command in pipeline stage 2"),
        ("{{/* x }}", " unclosed comment"),
        ("{{range $a, $b, $c := .X}}{{end}}", " too many declarations in range"),
        (
            "{{lt .Mounts 1}}",
            "2: executing \"\" at <lt .Mounts 1>: error calling lt: invalid type for comparison",
        ),
        (
            "{{lt 1 \"a\"}}",
            "2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types for comparison",
        ),
        (
            "{{range .State.Health}}{{else}}none{{end}}",
            "14: executing \"\" at <.State.Health>: map has no entry for key \"Health\"",
        ),
        ("{{len}}", "2: executing \"\" at <len>: wrong number of args for len: want 1 got 0"),
    ] {
        assert_eq!(rendered(source), format!("ERROR {running}{text}"), "{source}");
    }
}

#[test]
fn rows_have_labels_and_a_type() {
    let row = |is_header| {
        let mut row =
            Struct { kind: Some("*formatter.ContainerContext"), is_header, ..Struct::default() };
        row.fields.push(("Names", Value::text("web")));
        row.labels = Some(vec![("com.x.my-app".to_owned(), "1".to_owned())]);
        Value::Struct(row.into())
    };
    let template = Template::parse("{{upper .Names}} {{.Label \"com.x.my-app\"}}").unwrap();
    assert_eq!(template.render(&row(false)).unwrap(), "WEB 1");
    assert_eq!(template.render_headers(&row(true)).0, "web my app");
    let error = Template::parse("{{.Foo}}").unwrap().render(&row(false)).unwrap_err().to_string();
    assert_eq!(
        error,
        "template parsing error: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext"
    );
}

#[test]
fn the_steps_bytes_and_depth_of_a_template_are_bounded() {
    for (source, part) in [
        (
            "{{define \"T\"}}{{template \"T\"}}{{end}}{{template \"T\"}}".to_owned(),
            "maximum template depth",
        ),
        ("{{range 1000000000}}{{end}}".to_owned(), "too many steps"),
        ("{{range 2000000000}}{{range 2000000000}}{{end}}{{end}}".to_owned(), "too many steps"),
        ("{{pad \"x\" 1000000000 1}}".to_owned(), "too large"),
        (
            "{{$x := \"aaaaaaaa\"}}{{range 100}}{{$x = printf \"%s%s\" $x $x}}{{end}}".to_owned(),
            "too large",
        ),
        ("{{range 1000000}}{{printf \"%1000000d\" 1}}{{end}}".to_owned(), "too large"),
        // The bytes of the arguments and the names that a search compares count as steps.
        (
            "{{$x := pad \"a\" 1000000 1}}{{range 2000}}{{if eq $x \"\"}}{{end}}{{end}}".to_owned(),
            "too many steps",
        ),
        (
            (0..1000).map(|at| format!("{{{{$a{at} := 1}}}}")).collect::<String>()
                + "{{range 200000}}{{if $a0}}{{end}}{{end}}",
            "too many steps",
        ),
        (format!("{{{{{}1{}}}}}", "(".repeat(10_000), ")".repeat(10_000)), "levels deep"),
        ("{{if 1}}".repeat(10_000), "levels deep"),
    ] {
        let text = rendered(&source);
        assert!(text.contains(part), "{part}: {}", &text[..text.len().min(300)]);
    }
}

#[test]
fn the_corpus_breaks_nothing() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/template");
    let mut count = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        super::fuzz::template(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "the corpus is empty");
}
