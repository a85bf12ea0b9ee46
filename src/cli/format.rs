//! How listings are printed: Docker's tables, `--format json`, and the plain `{{.Field}}` templates.
//!
//! A listing declares its fields once, as data; its default columns, JSON objects and templates are
//! all made from them. Of Go's template language `{{.Field}}`, `{{.A.B}}` (inspect), `{{json .}}` and
//! `{{json .Field}}` are known; anything richer is refused by name rather than half understood.

use std::borrow::Cow;

use super::json::push_string;
use super::table::Table;
use super::tame;
use crate::error::{Result, fail};
use crate::time::Instant;

/// What a field needs to know beside its row.
pub struct Show {
    pub no_trunc: bool,
    pub now: Instant,
}

/// One fact of a row, as Docker names it.
pub struct Field<R: 'static> {
    pub name: &'static str,
    pub header: &'static str,
    pub write: fn(&R, &Show, &mut String),
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `{{.A.B}}`; an empty path is the whole.
    Value {
        path: Vec<String>,
        json: bool,
    },
}

/// Parses a template.
pub fn parse_template(text: &str) -> Result<Vec<Piece>> {
    // A shell passes on `\t` as it is; Docker reads it too.
    let text = text.replace("\\t", "\t").replace("\\n", "\n");
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, after)) = after.split_once("}}") else {
            fail!("bad format: '{{{{' is not closed");
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(parse_action(action)?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn parse_action(action: &str) -> Result<Piece> {
    let action = action.trim();
    let (json, operand) = match action.strip_prefix("json ") {
        Some(operand) => (true, operand.trim()),
        None => (false, action),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match operand.strip_prefix('.') {
        Some("") => return Ok(Piece::Value { path: Vec::new(), json }),
        Some(path) if path.split('.').all(is_name) => {
            return Ok(Piece::Value { path: path.split('.').map(str::to_owned).collect(), json });
        }
        _ => {}
    }
    fail!(
        "format '{{{{{action}}}}}' is not supported: only {{{{.Field}}}} and {{{{json .Field}}}} are"
    )
}

/// How a listing is to be printed.
pub enum Format<R: 'static> {
    /// The default columns.
    Columns(&'static [&'static str]),
    /// `table {{.A}}\t{{.B}}`
    Table(Vec<Part<R>>),
    Lines(Vec<Part<R>>),
    Json,
}

/// A part of a template whose names are known to be fields.
pub enum Part<R: 'static> {
    Text(String),
    Field { field: &'static Field<R>, json: bool },
    Whole,
}

impl<R> Format<R> {
    /// What `--format` says, over `fields`.
    pub fn parse(
        text: &str,
        fields: &'static [Field<R>],
        columns: &'static [&'static str],
    ) -> Result<Format<R>> {
        match text {
            "" | "table" => return Ok(Format::Columns(columns)),
            "json" => return Ok(Format::Json),
            _ => {}
        }
        let (table, template) = match text.strip_prefix("table ") {
            Some(template) => (true, template.trim_start()),
            None => (false, text),
        };
        let mut parts = Vec::new();
        for piece in parse_template(template)? {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text),
                Piece::Value { path, json } => match path.as_slice() {
                    [] if json => Part::Whole,
                    [] => fail!("format '{{{{.}}}}' is not supported: name a field"),
                    [name] => match fields.iter().find(|field| field.name == name) {
                        Some(field) => Part::Field { field, json },
                        None => fail!("unknown field '.{name}'; known: {}", names(fields)),
                    },
                    path => fail!("unknown field '.{}'; known: {}", path.join("."), names(fields)),
                },
            });
        }
        Ok(if table { Format::Table(parts) } else { Format::Lines(parts) })
    }

    /// All rows as one text.
    pub fn render(&self, rows: &[R], fields: &'static [Field<R>], show: &Show) -> String {
        match self {
            Format::Columns(columns) => {
                let columns: Vec<&Field<R>> = columns
                    .iter()
                    .filter_map(|name| fields.iter().find(|field| field.name == *name))
                    .collect();
                let mut table = Table::new(columns.iter().map(|field| field.header));
                for row in rows {
                    for field in &columns {
                        table.cell(|text| push_field(text, field, row, show));
                    }
                }
                table.render()
            }
            Format::Table(parts) => {
                let mut headers = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => headers.push_str(text),
                        Part::Field { field, .. } => headers.push_str(field.header),
                        Part::Whole => {}
                    }
                }
                let columns = headers.split('\t').count();
                let mut table = Table::new(headers.split('\t'));
                let mut line = String::new();
                for row in rows {
                    line.clear();
                    push_parts(&mut line, parts, row, fields, show);
                    // A tab inside a value must not shift the cells after it.
                    let mut cells = line.splitn(columns, '\t');
                    for _ in 0..columns {
                        table.cell(|text| text.push_str(cells.next().unwrap_or("")));
                    }
                }
                table.render()
            }
            Format::Lines(parts) => {
                let mut out = String::new();
                for row in rows {
                    push_parts(&mut out, parts, row, fields, show);
                    out.push('\n');
                }
                out
            }
            Format::Json => {
                let mut out = String::new();
                for row in rows {
                    push_object(&mut out, row, fields, show);
                    out.push('\n');
                }
                out
            }
        }
    }
}

fn names<R>(fields: &[Field<R>]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    names.join(" ")
}

fn push_parts<R>(
    out: &mut String,
    parts: &[Part<R>],
    row: &R,
    fields: &'static [Field<R>],
    show: &Show,
) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field { field, json: false } => push_field(out, field, row, show),
            Part::Field { field, json: true } => push_json_field(out, field, row, show),
            Part::Whole => push_object(out, row, fields, show),
        }
    }
}

/// On one line, whatever is in it: a row must not pass for two.
fn push_field<R>(out: &mut String, field: &Field<R>, row: &R, show: &Show) {
    let start = out.len();
    (field.write)(row, show, out);
    if let Cow::Owned(tamed) = tame::line(&out[start..]) {
        out.replace_range(start.., &tamed);
    }
}

fn push_json_field<R>(out: &mut String, field: &Field<R>, row: &R, show: &Show) {
    let mut text = String::new();
    (field.write)(row, show, &mut text);
    push_string(out, &text);
}

/// One JSON object on one line; all values are strings, as Docker's are.
fn push_object<R>(out: &mut String, row: &R, fields: &'static [Field<R>], show: &Show) {
    out.push('{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, field.name);
        out.push(':');
        push_json_field(out, field, row, show);
    }
    out.push('}');
}

/// The first twelve digits of an id, or all of them.
pub fn push_id(out: &mut String, id: &str, show: &Show) {
    if show.no_trunc {
        out.push_str(id);
    } else {
        let bare = id.strip_prefix("sha256:").unwrap_or(id);
        out.push_str(bare.get(..12).unwrap_or(bare));
    }
}

/// `2026-01-31 12:00:00 +0000 UTC`, Go's way to print a time.
pub fn push_go_time(out: &mut String, instant: Instant) {
    let text = instant.to_rfc3339();
    out.push_str(text.get(..10).unwrap_or(&text));
    out.push(' ');
    out.push_str(text.get(11..19).unwrap_or(""));
    out.push_str(" +0000 UTC");
}

/// How long ago something was, as Docker words it.
pub fn push_ago(out: &mut String, then: Instant, now: Instant) {
    crate::units::push_human_span(out, now.seconds() - then.seconds());
    out.push_str(" ago");
}

/// `text`, or its first characters and an ellipsis: `length` characters in all.
pub fn push_ellipsis(out: &mut String, text: &str, length: usize) {
    match text.char_indices().nth(length) {
        None => out.push_str(text),
        Some(_) => {
            out.extend(text.chars().take(length - 1));
            out.push('…');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FIELDS: &[Field<(u32, &str)>] = &[
        Field {
            name: "ID",
            header: "ROW ID",
            write: |row, _, out| out.push_str(&row.0.to_string()),
        },
        Field { name: "Name", header: "NAME", write: |row, _, out| out.push_str(row.1) },
    ];

    fn rendered(format: &str) -> Result<String> {
        let show = Show { no_trunc: false, now: Instant(0) };
        let rows = [(1, "one"), (2, "t\"wo")];
        Ok(Format::parse(format, FIELDS, &["Name"])?.render(&rows, FIELDS, &show))
    }

    #[test]
    fn one_list_of_fields_makes_every_format() {
        assert_eq!(rendered("").unwrap(), "NAME\none\nt\"wo\n");
        assert_eq!(rendered("{{.ID}}: {{ .Name }}").unwrap(), "1: one\n2: t\"wo\n");
        assert_eq!(
            rendered("table {{.ID}}\\t{{.Name}}").unwrap(),
            "ROW ID    NAME\n1         one\n2         t\"wo\n"
        );
        let json = "{\"ID\":\"1\",\"Name\":\"one\"}\n{\"ID\":\"2\",\"Name\":\"t\\\"wo\"}\n";
        assert_eq!(rendered("json").unwrap(), json);
        assert_eq!(rendered("{{json .}}").unwrap(), json);
        assert_eq!(rendered("{{json .Name}}").unwrap(), "\"one\"\n\"t\\\"wo\"\n");
    }

    #[test]
    fn richer_templates_are_refused() {
        for (format, part) in [
            ("{{.Nope}}", "unknown field '.Nope'; known: ID Name"),
            ("{{if .ID}}x{{end}}", "'{{if .ID}}' is not supported"),
            ("{{range .ID}}", "is not supported"),
            ("{{.ID", "is not closed"),
            ("{{.ID.X}}", "unknown field '.ID.X'"),
            ("{{.}}", "name a field"),
            ("{{}}", "is not supported"),
        ] {
            let error = rendered(format).unwrap_err().to_string();
            assert!(error.contains(part), "{format}: {error}");
        }
    }

    #[test]
    fn ellipses_and_times() {
        let mut out = String::new();
        push_ellipsis(&mut out, "12345", 5);
        push_ellipsis(&mut out, " é23456", 5);
        assert_eq!(out, "12345 é23…");
        out.clear();
        push_go_time(&mut out, Instant(0));
        assert_eq!(out, "1970-01-01 00:00:00 +0000 UTC");
    }
}
