//! Prints listings as Docker's tables, as JSON, or by a template (`--format`).
//!
//! A listing declares its fields once, as data. The default columns, the JSON objects and the
//! values for templates are all made from these fields. Templates use Go's language (`template`).

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use super::escape;
use super::output::{print, print_painted};
use super::style::{self, Style};
use super::table::Table;
use crate::error::Result;
use crate::hex::short;
use crate::template::{Struct, Template, Value};
use crate::time::Instant;

/// The settings that a field needs besides its row.
pub struct Show {
    pub no_trunc: bool,
    pub now: Instant,
}

/// One field of a row. `name` is the field's name in templates and in JSON.
pub struct Field<R: 'static> {
    pub name: &'static str,
    pub header: &'static str,
    pub write: fn(&R, &Show, &mut String),
}

/// The facts about a row that a listing needs besides the row's fields.
pub trait Row {
    /// The name of the row's type in Docker's errors, such as `*formatter.ContainerContext`.
    const KIND: &'static str;
    /// The template that `--format raw` stands for; empty if Docker has none.
    const RAW: &'static str = "";
    /// The template that `--quiet` stands for.
    const QUIET: &'static str = "{{.ID}}";

    /// Fields that Docker does not have. Templates can use these fields; `{{json .}}` leaves them
    /// out.
    const OURS: &'static [&'static str] = &[];

    /// The style of the field in the default table on a terminal.
    fn style(&self, _field: &str) -> Option<Style> {
        None
    }

    /// The field's value in JSON and in templates. The default value is `text`, the text of the
    /// field.
    fn typed(&self, _field: &str, text: &str) -> Value {
        Value::text(text)
    }

    /// The labels that the template method `Label` searches.
    fn labels(&self) -> Option<&[(String, String)]> {
        None
    }
}

/// Parses a template. Outside the actions, `\t` and `\n` become a tab and a newline, because a
/// shell passes them on unchanged. Fails on a syntax error.
pub fn parse_template(text: &str) -> Result<Template> {
    let mut source = String::with_capacity(text.len());
    for (at, part) in text.split("{{").enumerate() {
        if at > 0 {
            source.push_str("{{");
        }
        let plain = match part.rfind("}}") {
            Some(end) if at > 0 => end,
            _ if at > 0 => part.len(),
            _ => 0,
        };
        source.push_str(&part[..plain]);
        source.push_str(&part[plain..].replace("\\t", "\t").replace("\\n", "\n"));
    }
    Template::parse(&source)
}

/// How a listing is to be printed.
pub enum Format {
    /// The default columns.
    Columns(&'static [&'static str]),
    /// `table {{.A}}\t{{.B}}`: a table of these columns.
    Table(Template),
    Lines(Template),
    Json,
}

impl Format {
    /// As [`Format::parse`], for a listing that has the flag `--quiet`. As in Docker, `--quiet`
    /// replaces the default table, shortens `raw` to the line of the id or name, and has no effect
    /// on `json` or on a template.
    pub fn parse_quiet<R: Row>(
        quiet: bool,
        text: &str,
        fields: &'static [Field<R>],
        columns: &'static [&'static str],
    ) -> Result<Format> {
        let template = match text.trim_matches(' ') {
            "" | "table" if quiet => R::QUIET,
            "raw" if quiet => R::RAW.lines().find(|line| line.ends_with(R::QUIET)).unwrap_or(text),
            _ => text,
        };
        Format::parse(template, fields, columns)
    }

    /// Parses `--format`; `fields` are the fields that a template may use. Fails on a bad template
    /// or an unknown field.
    pub fn parse<R: Row>(
        text: &str,
        fields: &'static [Field<R>],
        columns: &'static [&'static str],
    ) -> Result<Format> {
        let format = Format::parse_unchecked::<R>(text, columns)?;
        // Report an unknown field even if there is no row to print.
        if let Format::Table(template) | Format::Lines(template) = &format {
            template.check_fields(&headers(fields))?;
        }
        Ok(format)
    }

    /// As [`Format::parse`], but does not look for unknown fields: for `stats`, Docker reports them
    /// only if there is a row. Fails on a bad template.
    pub fn parse_unchecked<R: Row>(text: &str, columns: &'static [&'static str]) -> Result<Format> {
        // As in Docker, `table` before a template is plain text if a space precedes `table`.
        let table = text.starts_with("table");
        let text = text.trim_matches(' ');
        match text {
            "" | "table" => return Ok(Format::Columns(columns)),
            "json" => return Ok(Format::Json),
            "raw" if !R::RAW.is_empty() => {
                return Ok(Format::Lines(parse_template(R::RAW)?));
            }
            _ => {}
        }
        let template = text.strip_prefix("table").filter(|_| table).unwrap_or(text);
        let template = parse_template(template.trim_matches(' '))?;
        Ok(if table { Format::Table(template) } else { Format::Lines(template) })
    }

    /// Returns all rows as one text, without colours. Fails if a template fails on a row.
    pub fn render<R: Row>(
        &self,
        rows: &[R],
        fields: &'static [Field<R>],
        show: &Show,
    ) -> Result<String> {
        self.painted(rows, fields, show, false)
    }

    /// Prints all rows. The default table has colours if stdout is a terminal that takes colours.
    pub fn print_painted<R: Row>(
        &self,
        rows: &[R],
        fields: &'static [Field<R>],
        show: &Show,
    ) -> Result<()> {
        let colour = matches!(self, Format::Columns(_)) && style::on_stdout();
        let text = self.painted(rows, fields, show, colour)?;
        // The fields of a table are escaped before they are painted.
        if colour { print_painted(&text) } else { print(&text) }
    }

    /// Returns all rows as one text. If `colour` is set, the default table has colours.
    fn painted<R: Row>(
        &self,
        rows: &[R],
        fields: &'static [Field<R>],
        show: &Show,
        colour: bool,
    ) -> Result<String> {
        Ok(match self {
            Format::Columns(columns) => {
                let columns: Vec<&Field<R>> = columns
                    .iter()
                    .filter_map(|name| fields.iter().find(|field| field.name == *name))
                    .collect();
                let mut table = Table::new(columns.iter().map(|field| field.header));
                for row in rows {
                    for field in &columns {
                        table.cell(|text| push_field(text, field, row, show));
                        if colour && let Some(style) = row.style(field.name) {
                            table.paint(style);
                        }
                    }
                }
                table.render()
            }
            Format::Table(template) => {
                let (headers, columns) = template.render_headers(&headers(fields));
                let mut lines = Vec::with_capacity(rows.len());
                for row in rows {
                    lines.push(template.render(&value(row, fields, show))?);
                }
                let count = |line: &String| line.split('\t').count();
                let columns = columns.unwrap_or_else(|| {
                    lines.iter().chain([&headers]).map(count).max().unwrap_or_default()
                });
                let titles = headers.split('\t').chain(std::iter::repeat(""));
                let mut table = Table::new(titles.take(columns));
                for line in lines {
                    // Each row has `columns` cells, even if a value contains a tab: the last cell
                    // takes the rest of the line.
                    let mut cells = line.splitn(columns, '\t');
                    for _ in 0..columns {
                        table.cell(|text| text.push_str(cells.next().unwrap_or("")));
                    }
                }
                table.render()
            }
            Format::Lines(template) => {
                let mut out = String::new();
                for row in rows {
                    out.push_str(&template.render(&value(row, fields, show))?);
                    out.push('\n');
                }
                out
            }
            Format::Json => {
                let mut out = String::new();
                for row in rows {
                    record(row, fields, show).push_json(&mut out);
                    out.push('\n');
                }
                out
            }
        })
    }
}

/// Returns all rows as a list for a template.
pub fn rows<R: Row>(rows: &[R], fields: &'static [Field<R>], show: &Show) -> Value {
    Value::list(rows.iter().map(|row| value(row, fields, show)))
}

/// Returns a row as a value for a template.
fn value<R: Row>(row: &R, fields: &'static [Field<R>], show: &Show) -> Value {
    let mut object = Struct { kind: Some(R::KIND), is_row: true, ..Struct::default() };
    for field in fields {
        let mut text = String::new();
        push_field(&mut text, field, row, show);
        object.fields.push((field.name, of_field::<R>(field.name, row.typed(field.name, &text))));
    }
    object.labels = row.labels().map(<[_]>::to_vec);
    Value::Struct(object.into())
}

/// Returns a row as `--format json` prints it, with the fields that Docker lacks. `push_json`
/// escapes control characters.
fn record<R: Row>(row: &R, fields: &'static [Field<R>], show: &Show) -> Value {
    let mut object = Struct { kind: Some(R::KIND), is_row: true, ..Struct::default() };
    for field in fields {
        let mut text = String::new();
        (field.write)(row, show, &mut text);
        object.fields.push((field.name, row.typed(field.name, &text)));
    }
    Value::Struct(object.into())
}

fn of_field<R: Row>(name: &str, value: Value) -> Value {
    if R::OURS.contains(&name) { Value::Omitted(value.into()) } else { value }
}

/// Returns a row that has the column headers as values.
fn headers<R: Row>(fields: &'static [Field<R>]) -> Value {
    let mut object =
        Struct { kind: Some(R::KIND), is_row: true, is_header: true, ..Struct::default() };
    for field in fields {
        object.fields.push((field.name, of_field::<R>(field.name, Value::text(field.header))));
    }
    // A row has labels if its type has a field `Labels`.
    object.labels = object.field("Labels").map(|_| Vec::new());
    Value::Struct(object.into())
}

/// Appends a field with its control characters escaped, newlines too: one row must not look like
/// two.
fn push_field<R>(out: &mut String, field: &Field<R>, row: &R, show: &Show) {
    let start = out.len();
    (field.write)(row, show, out);
    if let Cow::Owned(escaped) = escape::line(&out[start..]) {
        out.replace_range(start.., &escaped);
    }
}

/// Appends the items with `separator` between them.
pub fn push_list<T: Display>(out: &mut String, items: &[T], separator: &str) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        // Writing to a String can't fail.
        let _ = write!(out, "{item}");
    }
}

/// Appends labels as `a=1,b=2`.
pub fn push_labels(out: &mut String, labels: &[(String, String)]) {
    for (at, (key, value)) in labels.iter().enumerate() {
        out.extend([if at > 0 { "," } else { "" }, key, "=", value]);
    }
}

/// Appends the first twelve hexadecimal digits of an id, or the whole id if `show.no_trunc` is set.
pub fn push_id(out: &mut String, id: &str, show: &Show) {
    if show.no_trunc {
        out.push_str(id);
    } else {
        let bare = id.strip_prefix("sha256:").unwrap_or(id);
        out.push_str(short(bare));
    }
}

/// Appends a time in Go's format: `2026-01-31 12:00:00 +0000 UTC`.
pub fn push_go_time(out: &mut String, instant: Instant) {
    let text = instant.to_rfc3339();
    out.push_str(text.get(..10).unwrap_or(&text));
    out.push(' ');
    out.push_str(text.get(11..19).unwrap_or(""));
    out.push_str(" +0000 UTC");
}

/// Appends the time since `then` in Docker's words, such as `3 hours ago`.
pub fn push_ago(out: &mut String, then: Instant, now: Instant) {
    crate::units::push_human_span(out, now.seconds() - then.seconds());
    out.push_str(" ago");
}

/// Appends `text`, cut to `length` characters. The last character of a cut text is an ellipsis.
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

    impl Row for (u32, &str) {
        const KIND: &'static str = "*formatter.rowContext";
        const RAW: &'static str = "id: {{.ID}}\nname: {{.Name}}\n";
    }

    fn rendered(format: &str) -> Result<String> {
        let show = Show { no_trunc: false, now: Instant(0) };
        let rows = [(1, "one"), (2, "t\"wo")];
        Format::parse(format, FIELDS, &["Name"])?.render(&rows, FIELDS, &show)
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
    fn templates_reach_rows_and_headers() {
        assert_eq!(rendered("{{if eq .ID \"1\"}}a{{else}}b{{end}}").unwrap(), "a\nb\n");
        assert_eq!(
            rendered("table {{upper .Name}}\\t{{printf \"%s\\n\" .ID | len}}").unwrap(),
            "NAME      7\nONE       2\nT\"WO      2\n"
        );
        assert_eq!(rendered("table{{.Name}}").unwrap(), "NAME\none\nt\"wo\n");
        assert_eq!(rendered(" table {{.ID}}").unwrap(), "table 1\ntable 2\n");
        assert_eq!(rendered("raw").unwrap(), "id: 1\nname: one\n\nid: 2\nname: t\"wo\n\n");
    }

    #[test]
    fn wrong_templates_are_refused() {
        for (format, part) in [
            ("{{.Nope}}", "can't evaluate field Nope in type *formatter.rowContext"),
            ("{{range .ID}}", "unexpected EOF"),
            ("{{.ID", "unclosed action"),
            ("{{.ID.X}}", "can't evaluate field X in type string"),
            ("{{}}", "missing value for command"),
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
