//! YAML text to nodes with places, and back. The only module that names the YAML crate.
//!
//! Text is read into [`Node`]s first, not straight into structs: a decoder over nodes can go on after a mistake,
//! so a file's mistakes are all reported at once, and it sees both places of a duplicate key.
//! Plain scalars keep their spelling. What `kubectl` would read as a boolean, number or null is marked as such, so
//! that an unquoted `yes` or `010` where a string is meant can be refused with its place.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_yaml::{Spanned, options::DuplicateKeyPolicy};

use crate::span::Span;

/// At most so many nodes in a file. A topology of 5,000 pods has about 100,000.
const MAX_NODES: usize = 500_000;
/// At most so many documents in a file.
const MAX_DOCUMENTS: usize = 1024;
/// At most so many nodes may come from aliases. Generous for hand-written files, and soon reached by a bomb.
const MAX_REPLAYED: usize = 20_000;
/// Nesting; a NetworkPolicy inside a scenario needs 14.
const MAX_DEPTH: usize = 48;

/// A YAML node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its place: a scalar's text, a container's first key or item.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A scalar: its text, and what a plain scalar of that spelling means.
    Scalar(String, Kind),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file; duplicates included.
    Map(Vec<(Node, Node)>),
}

/// How `kubectl` reads a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Quoted, or a plain word that is nothing else.
    Str,
    /// `y` or `n`: a boolean for kubectl, a string here (they are names in many policies).
    Letter,
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, …
    Bool(bool),
    /// An integer in any notation.
    Int,
    /// A floating-point number.
    Float,
}

/// A text that is no YAML.
#[derive(Debug, Clone)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) span: Option<Span>,
    /// Whether a limit on size or aliases was reached.
    pub(crate) limit: bool,
}

/// What a file may have at most, in words.
fn limits() -> String {
    format!(
        "a file has at most {MAX_DOCUMENTS} documents, {MAX_NODES} nodes, {MAX_REPLAYED} more from aliases, and {MAX_DEPTH} levels"
    )
}

/// Reads all documents of a text; empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let documents: Vec<Spanned<Inner>> = serde_yaml::from_multiple_with_options(text, options())
        .map_err(|error| syntax_error(&error, text))?;
    Ok(documents.into_iter().map(|document| node(document, text)).collect())
}

/// Reads all documents of a text for their values alone; empty ones are left out.
pub(crate) fn values(text: &str) -> Result<Vec<serde_json::Value>, SyntaxError> {
    serde_yaml::from_multiple_with_options(text, options()).map_err(|error| syntax_error(&error, text))
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_depth: MAX_DEPTH,
            max_recorded_anchor_events: MAX_REPLAYED,
            // What aliases cost is limited already; many of one anchor are how a long list is written shortly.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: serde_yaml::options::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Writes a value as one YAML document.
pub(crate) fn to_string(value: &impl Serialize) -> Result<String, String> {
    let options = serde_yaml::ser_options! { compact_list_indent: false, no_lang_directive: true };
    serde_yaml::to_string_with_options(value, options).map_err(|error| error.to_string())
}

fn syntax_error(error: &serde_yaml::Error, text: &str) -> SyntaxError {
    let span = error.location().map(|location| place(location, text));
    let limit = is_limit(error.without_snippet());
    let message = if limit { limits() } else { error.without_snippet().to_string() };
    // The place is told apart from the message; the crate appends it.
    let message = match message.rsplit_once(" at line ") {
        Some((head, _)) if span.is_some() => head.to_owned(),
        _ => message,
    };
    SyntaxError { message, span, limit }
}

fn is_limit(error: &serde_yaml::Error) -> bool {
    use serde_yaml::Error as E;
    match error {
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. } => true,
        E::AliasError { error, .. } | E::WithSnippet { error, .. } => is_limit(error),
        _ => false,
    }
}

fn place(location: serde_yaml::Location, text: &str) -> Span {
    let span = location.span();
    let start = span
        .byte_offset()
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|start| text.is_char_boundary(*start))
        .unwrap_or_else(|| line_start(text, location.line()));
    let length = span.byte_len().and_then(|len| usize::try_from(len).ok()).unwrap_or_default();
    let end = start.saturating_add(length).min(text.len());
    Span { start, end: if text.is_char_boundary(end) { end.max(start) } else { start } }
}

fn line_start(text: &str, line: u64) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(end) => start += end + 1,
            None => break,
        }
    }
    start
}

fn node(raw: Spanned<Inner>, text: &str) -> Node {
    let span = place(raw.referenced, text);
    match raw.value {
        Inner::Str(value) => {
            let plain = text.get(span.range()) == Some(value.as_str());
            let kind = if plain && is_letter(&value) { Kind::Letter } else { Kind::Str };
            Node { span, value: Value::Scalar(value, kind) }
        }
        Inner::Typed(kind, shown) => {
            // The spelling stands where the value is defined; an alias only refers to it.
            let spelling = text.get(place(raw.defined, text).range()).map(str::trim).unwrap_or_default();
            let spelling = match kind {
                Kind::Null => String::new(),
                _ if spelling.is_empty() || spelling.contains('\n') => shown,
                _ => spelling.to_owned(),
            };
            let kind = if is_letter(&spelling) { Kind::Letter } else { kind };
            Node {
                span: if kind == Kind::Null { one_line(span, text) } else { span },
                value: Value::Scalar(spelling, kind),
            }
        }
        Inner::Seq(items) => {
            let items: Vec<Node> = items.into_iter().map(|item| node(item, text)).collect();
            let span = items.first().map_or(span, |item| item.span);
            Node { span, value: Value::Seq(items) }
        }
        Inner::Map(entries) => {
            let entries: Vec<(Node, Node)> =
                entries.into_iter().map(|(key, value)| (node(key, text), node(value, text))).collect();
            let span = entries.first().map_or(span, |(key, _)| key.span);
            Node { span, value: Value::Map(entries) }
        }
    }
}

fn is_letter(text: &str) -> bool {
    matches!(text, "y" | "Y" | "n" | "N")
}

fn one_line(span: Span, text: &str) -> Span {
    let end = text[span.range()].find('\n').map_or(span.end, |n| span.start + n);
    Span { start: span.start, end }
}

/// What the YAML crate finds, before spellings are looked up.
enum Inner {
    Str(String),
    Typed(Kind, String),
    Seq(Vec<Spanned<Inner>>),
    Map(Vec<(Spanned<Inner>, Spanned<Inner>)>),
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InnerVisitor)
    }
}

struct InnerVisitor;

impl<'de> de::Visitor<'de> for InnerVisitor {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML node")
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Inner, E> {
        Ok(Inner::Str(value.to_owned()))
    }
    fn visit_string<E: de::Error>(self, value: String) -> Result<Inner, E> {
        Ok(Inner::Str(value))
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Bool(value), value.to_string()))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Int, value.to_string()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Int, value.to_string()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Float, value.to_string()))
    }
    fn visit_unit<E: de::Error>(self) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Null, String::new()))
    }
    fn visit_none<E: de::Error>(self) -> Result<Inner, E> {
        Ok(Inner::Typed(Kind::Null, String::new()))
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inner, D::Error> {
        Inner::deserialize(deserializer)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Inner, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Inner::Seq(items))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Inner, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Inner::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node, text: &str) -> String {
        let at = text[node.span.range()].to_owned();
        match &node.value {
            Value::Scalar(value, kind) => format!("{value:?}:{kind:?}@{at:?}"),
            Value::Seq(items) => format!("{:?}", items.iter().map(|i| show(i, text)).collect::<Vec<_>>()),
            Value::Map(entries) => entries
                .iter()
                .map(|(k, v)| format!("{} = {}", show(k, text), show(v, text)))
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn scalars_keep_their_spelling_and_place() {
        for (text, expected) in [
            ("a: yes", r#""a":Str@"a" = "yes":Bool(true)@"yes""#),
            ("a: 'yes'", r#""a":Str@"a" = "yes":Str@"'yes'""#),
            ("a: 010", r#""a":Str@"a" = "010":"#),
            ("a: 1.0", r#""a":Str@"a" = "1.0":Float@"1.0""#),
            ("y: n", r#""y":Letter@"y" = "n":Letter@"n""#),
            ("a: 'y'", r#""a":Str@"a" = "y":Str@"'y'""#),
            ("1: 80", r#""1":Int@"1" = "80":Int@"80""#),
            ("ä: ü", r#""ä":Str@"ä" = "ü":Str@"ü""#),
            ("a: # none", r#""a":Str@"a" = "":Null@"#),
        ] {
            let nodes = parse(text).unwrap();
            let shown = show(&nodes[0], text);
            assert!(shown.starts_with(expected), "{text}: {shown}");
        }
    }

    #[test]
    fn duplicates_are_both_seen() {
        let text = "a: 1\nb: 2\na: 3\n";
        let nodes = parse(text).unwrap();
        let Value::Map(entries) = &nodes[0].value else { panic!("no map") };
        assert_eq!(entries.iter().map(|(k, _)| k.span.start).collect::<Vec<_>>(), [0, 5, 10]);
    }

    #[test]
    fn documents_keep_their_places() {
        let text = "a: 1\n---\n# nothing\n---\nb: {c: d}\n";
        let nodes = parse(text).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(show(&nodes[1], text), r#""b":Str@"b" = "c":Str@"c" = "d":Str@"d""#);
    }

    #[test]
    fn one_anchor_may_have_hundreds_of_aliases() {
        let text = format!("- &a {{b: c, d: e}}\n{}", "- {<<: *a, d: f}\n".repeat(400));
        let documents = parse(&text).unwrap();
        let Value::Seq(items) = &documents[0].value else { panic!("{documents:?}") };
        assert_eq!(items.len(), 401);
    }

    #[test]
    fn an_alias_bomb_is_stopped() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        let start = std::time::Instant::now();
        let error = parse(&text).unwrap_err();
        assert!(error.limit, "{error:?}");
        assert!(start.elapsed().as_secs() < 5);
    }
}
