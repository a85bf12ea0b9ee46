//! Parses a template's tokens into a tree, by the grammar of Go's text/template.
//!
//! The parser resolves the names of functions and variables, so that a wrong name is an error
//! before any output. `MAX_DEPTH` bounds the nesting.

use std::rc::Rc;

use super::functions::{self, Function};
use super::lexer::{Kind, Token, tokens};
use super::literal::{number, unquote};
use super::value::Value;

/// The deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 64;

/// One part of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Call { at: Span, name: String, argument: Option<Pipe> },
    Break,
    Continue,
}

/// The parts of `if`, `with` and `range`.
#[derive(Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub then: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// The byte offsets of the part that an error quotes, and the offset whose line and column the
/// error states.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub mark: usize,
}

/// A pipeline: commands that each pass their result to the next, and the variables that it sets.
#[derive(Debug)]
pub struct Pipe {
    pub at: Span,
    pub variables: Vec<String>,
    /// Whether the pipeline assigns with `=` instead of declaring with `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// One command of a pipeline: a value, or a function or method and its arguments.
#[derive(Debug)]
pub struct Command {
    pub at: Span,
    pub words: Vec<Word>,
}

/// One word of a command.
#[derive(Debug)]
pub struct Word {
    pub at: Span,
    pub kind: WordKind,
    /// The fields after the word, such as `.A.B`.
    pub fields: Vec<String>,
}

/// The kind of a word.
#[derive(Debug)]
pub enum WordKind {
    Literal(Value),
    Nil,
    Dot,
    Variable(String),
    Function(&'static Function),
    Pipe(Box<Pipe>),
}

/// The trees of a template by name. The main tree has the empty name.
pub type Trees = Vec<(String, Vec<Node>)>;

type Parsed<T> = Result<T, (usize, String)>;

/// Parses `source`. An error is a byte offset and a message.
pub fn parse(source: &str) -> Parsed<Trees> {
    let (tokens, fault) = tokens(source);
    let mut parser = Parser {
        source,
        tokens,
        fault,
        next: 0,
        variables: vec!["$".to_owned()],
        trees: Vec::new(),
        depth: 0,
        loops: 0,
    };
    let (nodes, end) = parser.list(true)?;
    if let End::Else(at) | End::Close(at) = end {
        let word = if matches!(end, End::Else(_)) { "else" } else { "end" };
        return Err((at, format!("unexpected {{{{{word}}}}}")));
    }
    parser.trees.push((String::new(), nodes));
    Ok(parser.trees)
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    /// The offset and the reason, if the tokens end before the source does.
    fault: Option<(usize, String)>,
    next: usize,
    variables: Vec<String>,
    trees: Trees,
    depth: usize,
    loops: usize,
}

#[derive(Clone, Copy)]
enum End {
    File,
    Close(usize),
    Else(usize),
}

impl Parser<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    fn text(&self, token: Token) -> &str {
        &self.source[token.start..token.end]
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|token| token.kind == Kind::Space) {
            self.next += 1;
        }
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek();
        self.next += usize::from(token.is_some());
        token
    }

    fn peek_word(&mut self) -> Option<Token> {
        self.skip_space();
        self.peek()
    }

    fn is_next(&mut self, kind: Kind) -> bool {
        self.peek_word().is_some_and(|token| token.kind == kind)
    }

    fn unexpected<T>(&self, token: Option<Token>, context: &str) -> Parsed<T> {
        match token {
            Some(token) => {
                let text = self.text(token);
                let text = if text.len() > 40 { "…" } else { text };
                Err((token.start, format!("unexpected {text:?} in {context}")))
            }
            None => Err(self.cut_off()),
        }
    }

    fn cut_off(&self) -> (usize, String) {
        let ends = || (self.source.len(), "unexpected EOF".to_owned());
        self.fault.clone().unwrap_or_else(ends)
    }

    fn deeper(&mut self, at: usize) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err((at, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    fn right(&mut self, context: &str) -> Parsed<()> {
        match self.peek_word() {
            Some(token) if token.kind == Kind::Right => {
                self.next += 1;
                Ok(())
            }
            token => self.unexpected(token, context),
        }
    }

    fn list(&mut self, top: bool) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            if token.kind == Kind::Text {
                nodes.push(Node::Text(self.text(token).to_owned()));
                continue;
            }
            let word = self.peek_word();
            let name = word.map_or("", |word| match word.kind {
                Kind::Word => self.text(word),
                _ => "",
            });
            let at = word.map_or(token.start, |word| word.start);
            match name {
                "end" => {
                    self.next += 1;
                    self.right("end")?;
                    return Ok((nodes, End::Close(at)));
                }
                "else" => {
                    self.next += 1;
                    return Ok((nodes, End::Else(at)));
                }
                "if" | "with" | "range" => {
                    let name = name.to_owned();
                    self.next += 1;
                    nodes.push(self.branch(&name, at)?);
                }
                "break" | "continue" => {
                    if self.loops == 0 {
                        return Err((at, format!("{{{{{name}}}}} outside {{{{range}}}}")));
                    }
                    let is_break = name == "break";
                    self.next += 1;
                    self.right("break or continue")?;
                    nodes.push(if is_break { Node::Break } else { Node::Continue });
                }
                "define" if top => {
                    self.next += 1;
                    self.define()?;
                }
                "define" => return Err((at, "unexpected {{define}}".to_owned())),
                "template" | "block" => {
                    let is_block = name == "block";
                    self.next += 1;
                    nodes.push(self.call(is_block, at)?);
                }
                _ => nodes.push(Node::Action(self.pipe("command", Kind::Right)?)),
            }
        }
        if top && self.fault.is_none() { Ok((nodes, End::File)) } else { Err(self.cut_off()) }
    }

    /// Parses the part after `if`, `with` or `range`, or after `else if` or `else with`.
    fn branch(&mut self, name: &str, at: usize) -> Parsed<Node> {
        self.deeper(at)?;
        let known = self.variables.len();
        let pipe = self.pipe(name, Kind::Right)?;
        let is_loop = usize::from(name == "range");
        self.loops += is_loop;
        let (then, end) = self.list(false)?;
        self.loops -= is_loop;
        let mut otherwise = Vec::new();
        if let End::Else(at) = end {
            let chained = self.peek_word().filter(|word| word.kind == Kind::Word);
            let chained = chained.map(|word| self.text(word).to_owned());
            match chained {
                Some(word) if word == name && name != "range" => {
                    self.next += 1;
                    otherwise.push(self.branch(name, at)?);
                }
                _ => {
                    self.right("else")?;
                    let (nodes, end) = self.list(false)?;
                    if let End::Else(at) = end {
                        return Err((at, "expected end; found {{else}}".to_owned()));
                    }
                    otherwise = nodes;
                }
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        let branch = Branch { pipe, then, otherwise };
        Ok(match name {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn name(&mut self, context: &str) -> Parsed<String> {
        match self.peek_word() {
            Some(token) if matches!(token.kind, Kind::Quoted | Kind::Raw) => {
                self.next += 1;
                unquote(self.text(token)).ok_or((token.start, "invalid syntax".to_owned()))
            }
            token => self.unexpected(token, context),
        }
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.right("define clause")?;
        self.body(name)
    }

    /// Parses the tree of a `define` or `block`, up to its `end`.
    fn body(&mut self, name: String) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (nodes, end) = self.list(false)?;
        if let End::Else(at) = end {
            return Err((at, "unexpected {{else}} in define clause".to_owned()));
        }
        self.variables = outer;
        self.loops = loops;
        self.trees.push((name, nodes));
        Ok(())
    }

    fn call(&mut self, is_block: bool, at: usize) -> Parsed<Node> {
        let context = if is_block { "block clause" } else { "template clause" };
        // As in Go, an error states the line and column of the name.
        let mark = self.peek_word().map_or(at, |token| token.start);
        let name = self.name(context)?;
        let argument = if self.is_next(Kind::Right) && !is_block {
            self.right(context)?;
            None
        } else {
            Some(self.pipe(context, Kind::Right)?)
        };
        let end = self.tokens.get(self.next.saturating_sub(1)).map_or(at, |token| token.start);
        if is_block {
            self.deeper(at)?;
            self.body(name.clone())?;
            self.depth -= 1;
        }
        let start = self.source[..at].rfind("{{").unwrap_or(at) + 2;
        Ok(Node::Call { at: Span { start, end, mark }, name, argument })
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let start = self.peek_word().map_or(self.source.len(), |token| token.start);
        let mut pipe = Pipe {
            at: Span { start, end: start, mark: start },
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(context, &mut pipe)?;
        loop {
            match self.peek_word() {
                Some(token) if token.kind == end => {
                    self.next += 1;
                    break;
                }
                Some(token) if !matches!(token.kind, Kind::Right | Kind::Close | Kind::Other) => {
                    let command = self.command(token)?;
                    if !pipe.commands.is_empty()
                        && matches!(
                            command.words.first().map(|word| (&word.kind, word.fields.len())),
                            Some((WordKind::Literal(_) | WordKind::Nil | WordKind::Dot, 0))
                        )
                    {
                        let stage = pipe.commands.len() + 1;
                        let message = format!("non executable command in pipeline stage {stage}");
                        return Err((token.start, message));
                    }
                    pipe.at.end = command.at.end;
                    pipe.commands.push(command);
                }
                token => return self.unexpected(token, context),
            }
        }
        if pipe.commands.is_empty() {
            return Err((start, format!("missing value for {context}")));
        }
        Ok(pipe)
    }

    /// Parses `$x :=`, `$x =`, and with `range` also `$i, $x :=`.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Parsed<()> {
        let started = self.next;
        while let Some(token) = self.peek_word().filter(|token| token.kind == Kind::Variable) {
            let name = self.text(token).to_owned();
            self.next += 1;
            pipe.variables.push(name);
            match self.peek_word() {
                Some(next) if matches!(next.kind, Kind::Declare | Kind::Assign) => {
                    self.next += 1;
                    pipe.assigns = next.kind == Kind::Assign;
                    for name in &pipe.variables {
                        if !pipe.assigns {
                            self.variables.push(name.clone());
                        } else if !self.variables.contains(name) {
                            return Err((token.start, format!("undefined variable {name:?}")));
                        }
                    }
                    return Ok(());
                }
                Some(next) if self.text(next) == "," => {
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err((token.start, format!("too many declarations in {context}")));
                    }
                    self.next += 1;
                }
                // Without `:=` or `=`, the variable is an operand.
                _ => break,
            }
        }
        if pipe.variables.len() > 1 {
            let at = self.tokens.get(started).map_or(0, |token| token.start);
            return Err((at, "range can only initialize variables".to_owned()));
        }
        pipe.variables.clear();
        self.next = started;
        Ok(())
    }

    fn command(&mut self, first: Token) -> Parsed<Command> {
        let start = first.start;
        let mut words: Vec<Word> = Vec::new();
        loop {
            self.skip_space();
            if let Some(word) = self.operand()? {
                words.push(word);
            }
            match self.peek().map(|token| token.kind) {
                Some(Kind::Space) => {}
                Some(Kind::Right | Kind::Close) => break,
                Some(Kind::Pipe) => {
                    // As in Go, the last `|` may have nothing after it.
                    self.next += 1;
                    break;
                }
                _ => return self.unexpected(self.peek(), "operand"),
            }
        }
        match words.last() {
            None => Err((start, "empty command".to_owned())),
            Some(last) => Ok(Command { at: Span { start, end: last.at.end, mark: start }, words }),
        }
    }

    fn operand(&mut self) -> Parsed<Option<Word>> {
        let Some(token) = self.peek() else { return Ok(None) };
        let text = self.text(token).to_owned();
        let mut fields = Vec::new();
        let fault = |message: String| Err((token.start, message));
        let invalid = || (token.start, format!("invalid syntax: {text}"));
        self.next += 1;
        let kind = match token.kind {
            Kind::Dot => WordKind::Dot,
            Kind::Field => {
                fields.push(text[1..].to_owned());
                WordKind::Dot
            }
            Kind::Variable if self.variables.contains(&text) => WordKind::Variable(text.clone()),
            Kind::Variable => return fault(format!("undefined variable {text:?}")),
            Kind::Quoted | Kind::Raw => {
                let content = unquote(&text).ok_or_else(invalid)?;
                WordKind::Literal(Value::Text(Rc::from(content)))
            }
            Kind::Character | Kind::Number => {
                let message = match token.kind {
                    Kind::Character => format!("malformed character constant: {text}"),
                    _ => format!("bad number syntax: {text:?}"),
                };
                let bad = (token.start, message);
                WordKind::Literal(number(&text).ok_or(bad)?)
            }
            Kind::Word => match text.as_str() {
                "true" | "false" => WordKind::Literal(Value::Bool(text == "true")),
                "nil" => WordKind::Nil,
                _ => match functions::find(&text) {
                    Some(function) => WordKind::Function(function),
                    None => return fault(format!("function {text:?} not defined")),
                },
            },
            Kind::Open => {
                self.deeper(token.start)?;
                let pipe = self.pipe("parenthesized pipeline", Kind::Close)?;
                self.depth -= 1;
                WordKind::Pipe(Box::new(pipe))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        // As in Go, an error in a chain states the column of the first field after the operand.
        let mut mark = token.start;
        while let Some(next) = self.peek().filter(|next| next.kind == Kind::Field) {
            if matches!(kind, WordKind::Literal(_) | WordKind::Nil) || token.kind == Kind::Dot {
                return fault(format!("unexpected . after term {text:?}"));
            }
            if mark == token.start {
                mark = next.start;
            }
            fields.push(self.text(next)[1..].to_owned());
            self.next += 1;
        }
        let end = self.tokens.get(self.next - 1).map_or(token.end, |last| last.end);
        Ok(Some(Word { at: Span { start: token.start, end, mark }, kind, fields }))
    }
}
