//! Runs a template's tree over a value and writes the text.
//!
//! Steps, bytes and depth are bounded: a template that exceeds a bound ends with an error. In
//! strict mode a missing key is an error. After an error `inspect` runs the template again in
//! strict mode, as Docker does.

use std::rc::Rc;

use super::functions::{Function, ITEM_BYTES, TOO_MUCH};
use super::parser::{Branch, Command, Node, Pipe, Span, Trees, Word, WordKind};
use super::value::{Struct, Value};

const MAX_STEPS: usize = 1_000_000;
/// The number of bytes of a function's arguments that count as one step.
const BYTES_PER_STEP: usize = 1024;
/// The number of known names that count as one step of the search for a name.
const NAMES_PER_STEP: usize = 128;
/// The most bytes of the output and of the results of functions together.
const MAX_BYTES: usize = 32 << 20;
/// The deepest nesting of templates, blocks and parentheses.
const MAX_DEPTH: usize = 256;

/// Go structs that Docker embeds in other structs of its documents. Such a name selects the outer
/// struct itself, as in `{{.ContainerJSONBase.ID}}`.
const EMBEDDED: &[&str] =
    &["ContainerJSONBase", "Resources", "NetworkSettingsBase", "DefaultNetworkSettings"];

/// The state of rendering one template.
pub struct Evaluation<'a> {
    /// The name of the whole template, for errors. `name` is that of the defined template that
    /// runs.
    pub template: &'static str,
    pub source: &'a str,
    pub trees: &'a Trees,
    /// Whether a missing key is an error. The error for a missing field then has Docker's words for
    /// a missing key.
    pub strict: bool,
    /// Whether `root` holds a table's headers.
    pub headers: bool,
    pub root: Value,
    pub variables: Vec<(String, Value)>,
    pub name: String,
    pub out: String,
    pub steps: usize,
    pub bytes: usize,
    pub depth: usize,
}

enum Flow {
    Next,
    Break,
    Continue,
}

type Done<T> = Result<T, Fault>;

/// Why the evaluation of a template stops.
pub struct Fault {
    /// The place in the template and the reason.
    pub message: String,
    /// Whether the reason is a field that the type of the row lacks. Then the template is wrong,
    /// whatever the rows hold.
    pub is_unknown_field: bool,
}

impl<'a> Evaluation<'a> {
    /// Returns an evaluation of `trees` with `root` as the dot.
    pub fn new(
        template: &'static str,
        source: &'a str,
        trees: &'a Trees,
        root: Value,
    ) -> Evaluation<'a> {
        Evaluation {
            template,
            source,
            trees,
            strict: false,
            headers: false,
            variables: vec![("$".to_owned(), root.clone())],
            root,
            name: template.to_owned(),
            out: String::new(),
            steps: 0,
            bytes: 0,
            depth: 0,
        }
    }

    /// Returns the output for `root`. Fails at the first fault, such as an exceeded bound.
    pub fn run(self) -> Done<String> {
        let (out, fault) = self.run_to_fault();
        fault.map_or(Ok(out), Err)
    }

    /// Returns the output up to the first fault, and the fault.
    pub fn run_to_fault(mut self) -> (String, Option<Fault>) {
        let dot = self.root.clone();
        let fault = match self.tree("") {
            Some((_, nodes)) => self.list(&dot, nodes).err(),
            None => None,
        };
        (self.out, fault)
    }

    fn tree(&self, name: &str) -> Option<&'a (String, Vec<Node>)> {
        self.trees.iter().rev().find(|(known, _)| known == name)
    }

    fn fault<T>(&self, at: Span, message: &str) -> Done<T> {
        self.fault_of(at, &self.source[at.start..at.end], message)
    }

    /// Like `fault`, but the error shows `text` as the place.
    fn fault_of<T>(&self, at: Span, text: &str, message: &str) -> Done<T> {
        let (line, column) = super::place(self.source, at.mark);
        let Evaluation { template, name, .. } = self;
        let message = format!(
            "template: {template}:{line}:{column}: executing {name:?} at <{text}>: {message}"
        );
        Err(Fault { message, is_unknown_field: false })
    }

    fn step(&mut self, at: Span) -> Done<()> {
        self.steps(at, 1)
    }

    fn steps(&mut self, at: Span, count: usize) -> Done<()> {
        self.steps += count;
        if self.steps > MAX_STEPS {
            self.fault(at, "the template takes too many steps")
        } else {
            Ok(())
        }
    }

    fn charge(&mut self, at: Span, bytes: usize) -> Done<()> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES { self.fault(at, TOO_MUCH) } else { Ok(()) }
    }

    fn deeper<T>(&mut self, at: Span, act: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.depth >= MAX_DEPTH {
            return self.fault(at, "exceeded maximum template depth");
        }
        self.depth += 1;
        let done = act(self);
        self.depth -= 1;
        done
    }

    fn list(&mut self, dot: &Value, nodes: &'a [Node]) -> Done<Flow> {
        for node in nodes {
            match self.node(dot, node)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Done<Flow> {
        match node {
            Node::Text(text) => {
                self.charge(Span { start: 0, end: 0, mark: 0 }, text.len())?;
                self.out.push_str(text);
            }
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    let before = self.out.len();
                    value.push(&mut self.out);
                    self.charge(pipe.at, self.out.len() - before)?;
                }
            }
            Node::If(branch) => return self.branch(dot, branch, false),
            Node::With(branch) => return self.branch(dot, branch, true),
            Node::Range(branch) => {
                let known = self.variables.len();
                self.deeper(branch.pipe.at, |this| this.range(dot, branch))?;
                self.variables.truncate(known);
            }
            Node::Call { at, name, argument } => self.call(dot, *at, name, argument.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, dot: &Value, branch: &'a Branch, moves: bool) -> Done<Flow> {
        let known = self.variables.len();
        let flow = self.deeper(branch.pipe.at, |this| {
            let value = this.pipe(dot, &branch.pipe)?;
            match (value.is_true(), moves) {
                (true, true) => this.list(&value, &branch.then),
                (true, false) => this.list(dot, &branch.then),
                (false, _) => this.list(dot, &branch.otherwise),
            }
        });
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &'a Branch) -> Done<()> {
        let pipe = &branch.pipe;
        let value = self.pipe(dot, pipe)?;
        let known = self.variables.len();
        let mut turns = 0usize;
        let mut turn = |this: &mut Self, key: Value, item: Value| -> Done<bool> {
            turns += 1;
            this.step(pipe.at)?;
            this.variables.truncate(known);
            match pipe.variables.as_slice() {
                [one] => this.set(one, item.clone(), true),
                [first, second] => {
                    this.set(first, key, true);
                    this.set(second, item.clone(), true);
                }
                _ => {}
            }
            let flow = this.list(&item, &branch.then)?;
            Ok(!matches!(flow, Flow::Break))
        };
        match value.shown() {
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    if !turn(self, Value::Int(at as i64), item.clone())? {
                        break;
                    }
                }
            }
            Value::Map(items) => {
                for (key, item) in items.iter() {
                    if !turn(self, Value::Text(Rc::clone(key)), item.clone())? {
                        break;
                    }
                }
            }
            Value::Int(count) => {
                for at in 0..*count {
                    if !turn(self, Value::Int(at), Value::Int(at))? {
                        break;
                    }
                }
            }
            Value::Missing | Value::NilList | Value::NilMap => {}
            // As in Go, a nil pointer is an error too.
            other => {
                let mut text = String::new();
                other.push(&mut text);
                return self.fault(pipe.at, &format!("range can't iterate over {text}"));
            }
        }
        self.variables.truncate(known);
        if turns == 0 {
            self.list(dot, &branch.otherwise)?;
        }
        Ok(())
    }

    fn call(&mut self, dot: &Value, at: Span, name: &str, argument: Option<&'a Pipe>) -> Done<()> {
        let Some((name, nodes)) = self.tree(name) else {
            let text = format!("{{{{{}}}}}", self.source[at.start..at.end].trim());
            return self.fault_of(at, &text, &format!("template {name:?} not defined"));
        };
        let dot = match argument {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        self.steps(at, 1 + self.trees.len() / NAMES_PER_STEP)?;
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name.clone());
        let done = self.deeper(at, |this| this.list(&dot, nodes));
        self.variables = variables;
        self.name = outer;
        done.map(|_| ())
    }

    /// Sets the innermost variable with this name. Creates a variable if none has this name, or if
    /// `is_new` is set.
    fn set(&mut self, name: &str, value: Value, is_new: bool) {
        if !is_new
            && let Some((_, known)) =
                self.variables.iter_mut().rev().find(|(known, _)| known == name)
        {
            *known = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipe(&mut self, dot: &Value, pipe: &'a Pipe) -> Done<Value> {
        self.step(pipe.at)?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Missing);
        // If the pipeline declares two variables, `range` sets them.
        if let [name] = pipe.variables.as_slice() {
            self.set(name, value.clone(), !pipe.assigns);
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Done<Value> {
        let Some((first, words)) = command.words.split_first() else { return Ok(Value::Missing) };
        if let WordKind::Function(function) = &first.kind {
            let value = self.function(dot, command.at, function, words, last)?;
            return self.chain(value, first, Vec::new());
        }
        if !first.fields.is_empty() {
            let mut arguments = Vec::new();
            for word in words {
                arguments.push(self.word(dot, word)?);
            }
            arguments.extend(last);
            let base = self.base(dot, first)?;
            return self.chain(base, first, arguments);
        }
        if matches!(first.kind, WordKind::Nil) {
            return self.fault(first.at, "nil is not a command");
        }
        if !words.is_empty() || last.is_some() {
            let text = &self.source[first.at.start..first.at.end];
            return self.fault(first.at, &format!("can't give argument to non-function {text}"));
        }
        self.base(dot, first)
    }

    /// Evaluates a word that is an argument.
    fn word(&mut self, dot: &Value, word: &'a Word) -> Done<Value> {
        let base = self.base(dot, word)?;
        self.chain(base, word, Vec::new())
    }

    fn base(&mut self, dot: &Value, word: &'a Word) -> Done<Value> {
        match &word.kind {
            WordKind::Literal(value) => Ok(value.clone()),
            WordKind::Nil => Ok(Value::Nil),
            WordKind::Dot => Ok(dot.clone()),
            WordKind::Variable(name) => {
                self.steps(word.at, self.variables.len() / NAMES_PER_STEP)?;
                let mut known = self.variables.iter().rev();
                let found = known.find(|(known, _)| known == name);
                Ok(found.map_or(Value::Missing, |(_, value)| value.clone()))
            }
            WordKind::Function(function) => self.function(dot, word.at, function, &[], None),
            WordKind::Pipe(pipe) => self.deeper(word.at, |this| this.pipe(dot, pipe)),
        }
    }

    /// Follows a word's fields. If there are arguments, the last field must be a method, which gets
    /// them.
    fn chain(&mut self, mut value: Value, word: &Word, arguments: Vec<Value>) -> Done<Value> {
        for (at, name) in word.fields.iter().enumerate() {
            let is_last = at + 1 == word.fields.len();
            let given: &[Value] = if is_last { &arguments } else { &[] };
            value = self.field(word.at, &value, name, given)?;
        }
        Ok(value)
    }

    fn field(&mut self, at: Span, value: &Value, name: &str, arguments: &[Value]) -> Done<Value> {
        self.step(at)?;
        let no_method = || format!("{name} has arguments but cannot be invoked as function");
        match value {
            Value::Omitted(value) => self.field(at, value, name, arguments),
            Value::Printed(printed) => self.field(at, &printed.1, name, arguments),
            Value::Missing if self.strict => {
                self.fault(at, &format!("nil data; no entry for key {name:?}"))
            }
            Value::Missing => Ok(Value::Missing),
            Value::Nil => self.fault(at, &format!("nil pointer evaluating interface {{}}.{name}")),
            Value::Map(_) | Value::NilMap if !arguments.is_empty() => {
                self.fault(at, &format!("{name} is not a method but has arguments"))
            }
            Value::Map(items) => match items.get(name) {
                Some(item) => Ok(item.clone()),
                None if self.strict => {
                    self.fault(at, &format!("map has no entry for key {name:?}"))
                }
                None => Ok(Value::Missing),
            },
            Value::NilMap if !self.strict => Ok(Value::Missing),
            Value::Struct(object) => match object.field(name) {
                Some(Value::Omitted(_)) if self.strict => self.absent(at, object, name, arguments),
                Some(_) if !arguments.is_empty() => self.fault(at, &no_method()),
                Some(item) => Ok(item.shown().clone()),
                None if object.kind.is_none() && EMBEDDED.contains(&name) => Ok(value.clone()),
                None => self.absent(at, object, name, arguments),
            },
            other => {
                let kind = if self.strict { "interface {}" } else { other.type_name() };
                self.fault(at, &format!("can't evaluate field {name} in type {kind}"))
            }
        }
    }

    /// Calls the method `Label`, or returns the error for a missing field.
    fn absent(&self, at: Span, object: &Struct, name: &str, arguments: &[Value]) -> Done<Value> {
        if name == "Label" && object.labels.is_some() {
            return match arguments {
                [Value::Text(key)] => Ok(object.label(key).unwrap_or(Value::Missing)),
                [other] => {
                    let kind = other.type_name();
                    let message = format!("wrong type for value; expected string; got {kind}");
                    self.fault(at, &message)
                }
                _ => {
                    let got = arguments.len();
                    self.fault(at, &format!("wrong number of args for Label: want 1 got {got}"))
                }
            };
        }
        if self.strict {
            return self.fault(at, &format!("map has no entry for key {name:?}"));
        }
        let is_unknown_field = object.kind.is_some();
        let kind = object.kind.unwrap_or("struct");
        self.fault(at, &format!("can't evaluate field {name} in type {kind}"))
            .map_err(|fault| Fault { is_unknown_field, ..fault })
    }

    fn function(
        &mut self,
        dot: &Value,
        at: Span,
        function: &Function,
        words: &'a [Word],
        last: Option<Value>,
    ) -> Done<Value> {
        let count = words.len() + usize::from(last.is_some());
        let (least, most) = function.arguments;
        if count < least || count > most {
            let want = if most == usize::MAX { "at least " } else { "" };
            let name = function.name;
            let message =
                format!("wrong number of args for {name}: want {want}{least} got {count}");
            return self.fault_of(at, name, &message);
        }
        if matches!(function.name, "and" | "or") {
            return self.shortcut(dot, function.name == "and", words, last);
        }
        let mut values = Vec::with_capacity(count);
        for word in words {
            values.push(self.word(dot, word)?);
        }
        values.extend(last);
        if !function.prints {
            for value in &mut values {
                if let Value::Printed(printed) = value {
                    *value = printed.1.clone();
                }
            }
        }
        if self.headers && function.keeps_headers {
            return match values.swap_remove(0) {
                header @ Value::Text(_) => Ok(header),
                other => {
                    let kind = other.type_name();
                    self.fault(at, &format!("wrong type for value; expected string; got {kind}"))
                }
            };
        }
        let size: usize = values.iter().map(weight).sum();
        self.steps(at, size / BYTES_PER_STEP)?;
        let left = MAX_BYTES.saturating_sub(self.bytes);
        match (function.run)(&values, left) {
            Ok(value) => {
                self.charge(at, weight(&value))?;
                Ok(value)
            }
            Err(error) => self.fault(at, &format!("error calling {}: {error}", function.name)),
        }
    }

    /// Evaluates the arguments of `and` or `or` up to the first that decides the result.
    fn shortcut(
        &mut self,
        dot: &Value,
        stops_at: bool,
        words: &'a [Word],
        last: Option<Value>,
    ) -> Done<Value> {
        let mut value = Value::Missing;
        for word in words {
            value = self.word(dot, word)?;
            if value.is_true() != stops_at {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

/// The approximate bytes of a function's argument or result.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len() * ITEM_BYTES,
        _ => 0,
    }
}
