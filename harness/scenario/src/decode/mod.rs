//! Nodes to structs, going on after a mistake so that all of a file's mistakes are reported.

mod fields;
mod findings;

use std::str::FromStr;

use crate::{
    clean,
    diagnostic::Finding,
    span::{At, Span},
    yaml::{Kind, Node, Value},
};

pub(crate) use fields::{field, fields, raw_struct, read_fields, strict_struct};
pub(crate) use findings::Findings;

/// What can be read from a node. `None` means that a finding has been pushed.
pub(crate) trait FromNode: Sized {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self>;

    /// The value when the field is not there; `None` when it has to be.
    fn missing() -> Option<Self> {
        None
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        if node.is_null() { Some(None) } else { T::from_node(node, findings).map(Some) }
    }
    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Seq(items) => Some(items.iter().filter_map(|item| T::from_node(item, findings)).collect()),
            Value::Scalar(_, Kind::Null) => Some(Self::new()),
            _ => wrong_type(node, "a list", findings),
        }
    }
    fn missing() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: FromNode> FromNode for Box<T> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        T::from_node(node, findings).map(Box::new)
    }
}

/// A mapping with free keys, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub(crate) Vec<(At<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Entries<T> {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (At<String>, T)> {
        self.0.iter()
    }
}

impl<T: FromNode> FromNode for Entries<T> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        if node.is_null() {
            return Some(Self::default());
        }
        let entries = fields::entries(node, "a mapping", findings)?;
        Some(Self(
            entries
                .into_iter()
                .filter_map(|(key, value)| {
                    let key = At::<String>::from_node(key, findings);
                    let value = T::from_node(value, findings);
                    Some((key?, value?))
                })
                .collect(),
        ))
    }
    fn missing() -> Option<Self> {
        Some(Self::default())
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Entries<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::collections::BTreeMap::<String, T>::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        std::collections::BTreeMap::<String, T>::schema_id()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<String, T>::json_schema(generator)
    }
}

impl FromNode for At<String> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Scalar(text, Kind::Str) => Some(Self::new(text.clone(), node.span)),
            Value::Scalar(text, Kind::Letter) => {
                if findings.in_object {
                    findings.push(
                        Finding::warning(
                            "scenario/ambiguous-string",
                            node.span,
                            format!(
                                "kubectl reads an unquoted `{text}` as a boolean and would refuse this object"
                            ),
                        )
                        .help(format!("quote it: \"{text}\"")),
                    );
                }
                Some(Self::new(text.clone(), node.span))
            }
            Value::Scalar(_, Kind::Null) => wrong_type(node, "a string", findings),
            Value::Scalar(text, kind) => {
                let text = clean::word(text);
                findings.push(
                    Finding::error(
                        "scenario/unquoted-string",
                        node.span,
                        format!("a string is meant here, but an unquoted `{text}` is {}", kind.describe()),
                    )
                    .help(format!("quote it: \"{text}\"")),
                );
                None
            }
            _ => wrong_type(node, "a string", findings),
        }
    }
}

impl FromNode for At<bool> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Scalar(text, Kind::Bool(value)) if matches!(text.as_str(), "true" | "false") => {
                Some(Self::new(*value, node.span))
            }
            Value::Scalar(text, Kind::Bool(value)) => {
                findings.push(
                    Finding::error(
                        "scenario/wrong-type",
                        node.span,
                        format!("`{}` is ambiguous; expected true or false", clean::word(text)),
                    )
                    .help(format!("write {value}")),
                );
                None
            }
            _ => wrong_type(node, "true or false", findings),
        }
    }
}

impl FromNode for At<u16> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        number(node, "a number from 0 to 65535", findings)
    }
}

impl FromNode for At<u32> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        number(node, "a number from 0 to 4294967295", findings)
    }
}

/// Reads a decimal number; `010`, `0x1f` and `1_000` mean different numbers to different readers and are refused.
fn number<T: FromStr>(node: &Node, expected: &str, findings: &mut Findings) -> Option<At<T>> {
    if let Value::Scalar(text, Kind::Int) = &node.value {
        let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
        if let Some(value) = text.parse().ok().filter(|_| plain) {
            return Some(At::new(value, node.span));
        }
    }
    wrong_type(node, expected, findings)
}

/// A port number, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u16);

impl schemars::JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"description": "A port number.", "type": "integer", "minimum": 1, "maximum": 65535})
    }
}

impl FromNode for At<Port> {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        // Readers disagree about leading zeros: an octal integer, a decimal one, or a float.
        if let Value::Scalar(text, Kind::Int | Kind::Float) = &node.value
            && !text.contains(['.', 'e', 'E'])
        {
            let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
            if let Some(port) = text.parse().ok().filter(|port: &u16| plain && *port > 0) {
                return Some(Self::new(Port(port), node.span));
            }
            let help = if text.starts_with('0') && text != "0" {
                "write it in decimal, without leading zeros"
            } else {
                "ports are numbers from 1 to 65535"
            };
            let text = clean::word(text);
            findings.push(
                Finding::error("scenario/invalid-port", node.span, format!("`{text}` is no port")).help(help),
            );
            return None;
        }
        wrong_type(node, "a port number from 1 to 65535", findings)
    }
}

/// A field that is read over, with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored(pub(crate) Span);

impl FromNode for Ignored {
    fn from_node(node: &Node, _: &mut Findings) -> Option<Self> {
        Some(Self(node.span))
    }
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(_, Kind::Null))
    }

    /// The text of a scalar, whatever it means.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The value of a key; the first one where a key is there twice.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn describe(&self) -> &'static str {
        match &self.value {
            Value::Scalar(_, kind) => kind.describe(),
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Str => "a string",
            Self::Letter | Self::Bool(_) => "a boolean",
            Self::Null => "nothing",
            Self::Int => "an integer",
            Self::Float => "a number",
        }
    }
}

/// Reports a node of the wrong type.
pub(crate) fn wrong_type<T>(node: &Node, expected: &str, findings: &mut Findings) -> Option<T> {
    let found = match &node.value {
        Value::Scalar(text, kind) if *kind != Kind::Null => {
            format!("{} (`{}`)", kind.describe(), clean::word(text))
        }
        _ => node.describe().to_owned(),
    };
    findings.push(Finding::error(
        "scenario/wrong-type",
        node.span,
        format!("expected {expected}, found {found}"),
    ));
    None
}
