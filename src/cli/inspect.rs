//! The command `inspect`, and the output that `volume inspect` and `network inspect` share: a JSON
//! array of objects, or one line for each object by a template. The engine returns the objects as
//! values. A name that is not found is reported on stderr, and the other objects are still printed.

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::json::push_pretty;
use super::output::print;
use super::{Invocation, Outcome};
use crate::engine::options::InspectKind;
use crate::error::{Result, fail};
use crate::template::{Template, Value};

#[derive(Default)]
struct InspectArgs {
    format: Option<Template>,
    kind: Option<InspectKind>,
    size: bool,
}

static FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.State.Pid}}'",
        |a, v| {
            a.format = Some(parse_format(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Template)
    .short('f'),
    Flag::<InspectArgs>::switch("size", "Print the sizes of containers", |a, on| a.size = on)
        .short('s'),
    Flag::<InspectArgs>::setting(
        "type",
        "KIND",
        "Inspect only a container, image, volume or network",
        |a, v| {
            a.kind = Some(match v {
                "container" => InspectKind::Container,
                "image" => InspectKind::Image,
                "volume" => InspectKind::Volume,
                "network" => InspectKind::Network,
                _ => fail!("unknown kind '{v}'; known: container image volume network"),
            });
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
];

/// The command `inspect`.
pub static INSPECT: Command = Command {
    name: "inspect",
    group: Group::Watch,
    usage: "[FLAGS] NAME [NAME…]",
    summary: "Print the details of containers, images, volumes and networks",
    examples: &["mydocker inspect -f '{{.State.Pid}}' web"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(FLAGS)?;
        inspect(call, &names, args.kind, args.format.as_ref(), args.size)
    },
};

/// Parses the value of `--format`: `json` or a template. As in Docker, `\t` and `\n` outside the
/// actions stay as they are, unlike in a listing. Fails on a syntax error.
pub fn parse_format(text: &str) -> Result<Template> {
    Template::parse(template_of(text))
}

/// Returns the template that `text` stands for.
pub fn template_of(text: &str) -> &str {
    if text == "json" { "{{json .}}" } else { text }
}

/// Prints the objects with these `names` as one array, or one line each by `format`. `with_size`
/// also measures the disk use of containers. The exit status is 1 if a name is not found or
/// `format` fails on an object.
pub fn inspect(
    call: &Invocation,
    names: &[String],
    kind: Option<InspectKind>,
    format: Option<&Template>,
    with_size: bool,
) -> Outcome {
    let engine = call.engine()?;
    let mut out = String::new();
    let mut found = Vec::new();
    let status = call.each(names, |name| {
        let object = engine.inspect(name, kind, with_size)?;
        match format {
            Some(format) => push_line(&mut out, format, &object),
            None => {
                found.push(object);
                Ok(())
            }
        }
    })?;
    if format.is_none() {
        push_array(&mut out, &found);
    }
    print(&out)?;
    Ok(status)
}

/// Appends one object, printed by `format`, and a newline. Fails if the template fails.
pub fn push_line(out: &mut String, format: &Template, object: &Value) -> Result<()> {
    out.push_str(&format.render_document(object)?);
    out.push('\n');
    Ok(())
}

fn push_array(out: &mut String, objects: &[Value]) {
    out.push('[');
    for (at, object) in objects.iter().enumerate() {
        out.push_str(if at > 0 { ",\n    " } else { "\n    " });
        let mut compact = String::new();
        object.push_json(&mut compact);
        push_pretty(out, &compact, 1);
    }
    out.push_str(if objects.is_empty() { "]\n" } else { "\n]\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_walk_into_the_object() {
        let state = Value::object(vec![("Pid", Value::Int(7))]);
        let object = Value::object(vec![("Name", Value::text("web")), ("State", state)]);
        let line = |format: &str| {
            let mut out = String::new();
            push_line(&mut out, &parse_format(format).unwrap(), &object).map(|()| out)
        };
        assert_eq!(line("{{.Name}} {{.State.Pid}}").unwrap(), "web 7\n");
        assert_eq!(line("{{json .State}}").unwrap(), "{\"Pid\":7}\n");
        assert_eq!(line("json").unwrap(), "{\"Name\":\"web\",\"State\":{\"Pid\":7}}\n");
        assert_eq!(
            line("{{.State.Nope}}").unwrap_err().to_string(),
            "template parsing error: template: :1:8: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""
        );
    }

    #[test]
    fn arrays_are_laid_out_as_dockers() {
        let mut out = String::new();
        push_array(
            &mut out,
            &[Value::object(vec![("A", Value::Int(1))]), Value::object(Vec::new())],
        );
        assert_eq!(out, "[\n    {\n        \"A\": 1\n    },\n    {}\n]\n");
        out.clear();
        push_array(&mut out, &[]);
        assert_eq!(out, "[]\n");
    }
}
