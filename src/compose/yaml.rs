//! Parses YAML 1.2 into nodes.
//!
//! saphyr-parser supplies the events. This file resolves anchors, merge keys (`<<`) and the compose
//! specification's tags. Plain scalars have the types of YAML's core schema (yaml.org/spec/1.2.2,
//! section 10.3), but `.inf` and `.nan` are texts. The size of a file, its nesting, and the number
//! of nodes and bytes after alias expansion are limited. So an alias bomb ("billion laughs") ends
//! with an error and not with exhausted memory.

use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag as YamlTag};

use super::node::{Node, Place, Tag, Value};
use crate::error::{Error, Result};

/// The largest compose file, env file or label file, in bytes.
pub const MAX_FILE: u64 = 1 << 20;
/// The deepest nesting of lists and maps in the text of a file, before alias expansion.
const MAX_DEPTH: usize = 64;
/// The most nodes of a file after alias expansion.
const MAX_NODES: usize = 50_000;
/// The most bytes of text in a file after alias expansion.
const MAX_TEXT: usize = 8 << 20;

/// A list or map that is being read.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map, the key whose value comes next.
    key: Option<(String, Place)>,
}

struct Loader {
    file: Rc<str>,
    open: Vec<Open>,
    /// The complete nodes that have an anchor, by the anchor's number, which starts at 1.
    anchors: Vec<Option<(Node, Size)>>,
    documents: Vec<Node>,
    used: Size,
}

/// A number of nodes, and the bytes of their texts.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

/// Parses all documents of a file. Errors name the file as `file`, and the line. Fails for example
/// for bad YAML, for an unknown tag, and for a file that exceeds a limit.
pub fn load(file: &str, text: &str) -> Result<Vec<Node>> {
    let mut loader = Loader {
        file: file.into(),
        open: Vec::new(),
        anchors: Vec::new(),
        documents: Vec::new(),
        used: Size::default(),
    };
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = event.map_err(|error| {
            Error::new(format!("{file}:{}: bad YAML: {}", error.marker().line(), error.info()))
        })?;
        loader.event(event, span.start.line())?;
    }
    Ok(loader.documents)
}

impl Loader {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<()> {
        let place = Place { file: self.file.clone(), line };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (tag, kind) = read_tag(tag.as_deref(), &place)?;
                let value = match (style, kind) {
                    (_, Some("str")) => Value::Text(text.into_owned()),
                    (ScalarStyle::Plain, _) => plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                self.add(Node { place, tag, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let (tag, _) = read_tag(tag.as_deref(), &place)?;
                self.begin(Node { place, tag, value: Value::List(Vec::new()) }, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let (tag, _) = read_tag(tag.as_deref(), &place)?;
                self.begin(Node { place, tag, value: Value::Map(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.add(merge_keys(node)?, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(Some((node, size))) = self.anchors.get(anchor) else {
                    return Err(place.wrong("this alias stands inside its own anchor"));
                };
                let (node, size) = (node.clone(), *size);
                self.count(size, &place)?;
                self.add(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(node.wrong(format_args!("more than {MAX_DEPTH} levels of nesting")));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn count(&mut self, size: Size, place: &Place) -> Result<()> {
        self.used.nodes += size.nodes;
        self.used.text += size.text;
        if self.used.nodes > MAX_NODES || self.used.text > MAX_TEXT {
            Err(place.wrong("the file has more values than any project needs"))
        } else {
            Ok(())
        }
    }

    /// Adds a complete node to the innermost open list or map, or to the documents.
    fn add(&mut self, node: Node, anchor: usize) -> Result<()> {
        let text = match &node.value {
            Value::Text(text) | Value::Number(text) => text.len(),
            _ => 0,
        };
        self.count(Size { nodes: 1, text }, &node.place)?;
        if anchor != 0 {
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            self.anchors[anchor] = Some((node.clone(), measure(&node)));
        }
        let Some(Open { node: parent, key, .. }) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut parent.value {
            Value::List(elements) => elements.push(node),
            Value::Map(entries) => match key.take() {
                None => *key = Some((node.scalar()?.to_owned(), node.place)),
                Some((name, place)) => {
                    // A key may occur only once in a map, but `<<` any number of times.
                    if name != "<<"
                        && let Some((_, first)) = entries.iter().find(|(known, _)| *known == name)
                    {
                        return Err(place.wrong(format_args!(
                            "'{name}' stands here again; the first one is on line {}",
                            first.place.line
                        )));
                    }
                    entries.push((name, Node { place, ..node }));
                }
            },
            _ => {}
        }
        Ok(())
    }
}

fn measure(node: &Node) -> Size {
    let mut size = Size { nodes: 1, text: 0 };
    let mut add = |part: Size| {
        size.nodes += part.nodes;
        size.text += part.text;
    };
    match &node.value {
        Value::Text(text) | Value::Number(text) => add(Size { nodes: 0, text: text.len() }),
        Value::List(elements) => elements.iter().for_each(|node| add(measure(node))),
        Value::Map(entries) => entries.iter().for_each(|(key, node)| {
            add(measure(node));
            add(Size { nodes: 0, text: key.len() });
        }),
        _ => {}
    }
    size
}

/// Returns the tag of the compose specification, or the name of a YAML type such as `str`.
fn read_tag<'a>(tag: Option<&'a YamlTag>, place: &Place) -> Result<(Tag, Option<&'a str>)> {
    let Some(tag) = tag else { return Ok((Tag::None, None)) };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") => Ok((Tag::Reset, None)),
        ("!", "override") => Ok((Tag::Override, None)),
        ("tag:yaml.org,2002:", kind) => Ok((Tag::None, Some(kind))),
        _ => Err(place.wrong(format_args!("unknown tag '{tag}'; known: !reset !override !!str"))),
    }
}

/// Parses a plain scalar by YAML's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        digits.strip_prefix(prefix).is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
        })
    };
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && (radix("0x", 16) || radix("0o", 8) || digits.parse::<f64>().is_ok())
}

/// Adds the entries of the maps in `<<` to the map `node`. The own keys of `node` override these
/// entries, and an earlier map in `<<` overrides a later one.
fn merge_keys(mut node: Node) -> Result<Node> {
    while let Some(merged) = node.take("<<") {
        let maps = match &merged.value {
            Value::Map(_) => std::slice::from_ref(&merged),
            Value::List(maps) => maps.as_slice(),
            _ => return Err(merged.wrong("<< needs a map or a list of maps")),
        };
        for map in maps {
            if !matches!(map.value, Value::Map(_)) {
                return Err(map.wrong("<< needs a map or a list of maps"));
            }
            for (key, value) in map.entries() {
                if node.get(key).is_none() {
                    node.set(key, value.clone());
                }
            }
        }
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        load("f", text).unwrap().remove(0)
    }

    fn error(text: &str) -> String {
        load("f", text).unwrap_err().to_string()
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let node =
            one("a: 1\nb: '1'\nc: yes\nd: true\ne: ~\nf: 0x1f\ng: 1.5\nh: 80:80\ni: !!str 5\nj:");
        let value = |key: &str| node.get(key).unwrap().value.clone();
        assert_eq!(value("a"), Value::Number("1".into()));
        assert_eq!(value("b"), Value::Text("1".into()));
        assert_eq!(value("c"), Value::Text("yes".into()));
        assert_eq!(value("d"), Value::Bool(true));
        assert_eq!((value("e"), value("j")), (Value::Null, Value::Null));
        assert_eq!(value("f"), Value::Number("0x1f".into()));
        assert_eq!(value("g"), Value::Number("1.5".into()));
        assert_eq!(value("h"), Value::Text("80:80".into()));
        assert_eq!(value("i"), Value::Text("5".into()));
        assert_eq!(node.get("c").unwrap().place.line, 3);
    }

    #[test]
    fn anchors_and_merge_keys() {
        let node = one(
            "x: &a {k: 1, l: 2}\ny: &b {l: 3, m: 4}\nz:\n  <<: [*a, *b]\n  k: 9\nw: {<<: *b, n: *a}",
        );
        let text = |node: &Node, key: &str| node.get_text(key).unwrap().to_owned();
        let z = node.get("z").unwrap();
        assert_eq!([text(z, "k"), text(z, "l"), text(z, "m")], ["9", "2", "4"]);
        let w = node.get("w").unwrap();
        assert_eq!((text(w, "m"), text(w.get("n").unwrap(), "k")), ("4".into(), "1".into()));
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for n in 1..12 {
            let one = format!("*a{}", n - 1);
            let ten = vec![one; 10].join(",");
            laughs.push_str(&format!("a{n}: &a{n} [{ten}]\n"));
        }
        assert!(error(&laughs).contains("more values"));
        assert!(error(&"[".repeat(70)).contains("levels of nesting"));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 19), vec!["*a"; 40].join(","));
        assert!(error(&long).contains("more values"));
    }

    #[test]
    fn errors_name_the_line() {
        assert!(error("a: 1\nb: [1").starts_with("f:"), "{}", error("a: 1\nb: [1"));
        assert_eq!(
            error("a: 1\nb: 2\na: 3"),
            "f:3: 'a' stands here again; the first one is on line 1"
        );
        assert_eq!(error("a: !foo 1"), "f:1: unknown tag '!foo'; known: !reset !override !!str");
        assert!(error("a: &a [*a]").contains("inside its own anchor"));
        assert!(error("a: *b").starts_with("f:1: bad YAML"));
    }
}
