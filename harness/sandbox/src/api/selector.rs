//! Label and field selectors: query parameters and `metav1.LabelSelector` objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    kinds::{Facts, Kind},
    object::{items, strings, text},
    status::ApiError,
};

/// A condition on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// Conditions on labels, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

/// Conditions on fields, all of which must hold: (pointer, wanted value, whether it must be equal).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<(&'static str, String, bool)>);

impl LabelSelector {
    /// Reads the grammar of `labelSelector=`: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// 400 with what could not be read.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let bad = |part: &str| {
            ApiError::bad_request(format!(
                "unable to parse requirement: found '{part}' in label selector '{query}'"
            ))
        };
        split(query)
            .into_iter()
            .map(|part| Requirement::parse(part.trim()).ok_or_else(|| bad(part)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads a `LabelSelector` object; an unknown operator matches nothing.
    pub(crate) fn from_object(selector: &Value) -> Self {
        let equal = strings(selector, "/matchLabels").into_iter().map(|(key, value)| Requirement {
            key,
            operator: Operator::In,
            values: vec![value],
        });
        let expressions = items(selector, "/matchExpressions").iter().map(Requirement::from_expression);
        Self(equal.chain(expressions).collect())
    }

    /// Whether labels meet it.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|r| r.holds(labels.get(&r.key)))
    }

    /// Whether every object meets it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits at commas that are not inside parentheses.
fn split(query: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (vec![], 0, 0_usize);
    for (i, c) in query.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&query[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&query[start..]);
    if query.trim().is_empty() { vec![] } else { parts }
}

impl Requirement {
    fn parse(part: &str) -> Option<Self> {
        let new = |key: &str, operator, values: Vec<String>| {
            let key = key.trim();
            (is_key(key) && values.iter().all(|v| is_value(v))).then(|| Self {
                key: key.to_owned(),
                operator,
                values,
            })
        };
        if let Some(key) = part.strip_prefix('!') {
            return new(key, Operator::DoesNotExist, vec![]);
        }
        if let Some((key, value)) = part.split_once("!=") {
            return new(key, Operator::NotIn, vec![value.trim().to_owned()]);
        }
        if let Some((key, value)) = part.split_once('=') {
            return new(key, Operator::In, vec![value.trim_start_matches('=').trim().to_owned()]);
        }
        let Some((head, list)) = part.split_once('(') else { return new(part, Operator::Exists, vec![]) };
        let values = list.trim_end().strip_suffix(')')?.split(',').map(|v| v.trim().to_owned()).collect();
        match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => new(key, Operator::In, values),
            [key, "notin"] => new(key, Operator::NotIn, values),
            _ => None,
        }
    }

    fn from_expression(expression: &Value) -> Self {
        let values: Vec<String> =
            items(expression, "/values").iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect();
        let (operator, values) = match text(expression, "/operator") {
            "In" => (Operator::In, values),
            "NotIn" => (Operator::NotIn, values),
            "Exists" => (Operator::Exists, values),
            "DoesNotExist" => (Operator::DoesNotExist, values),
            // Refused by validation; an empty list matches nothing.
            _ => (Operator::In, vec![]),
        };
        Self { key: text(expression, "/key").to_owned(), operator, values }
    }

    fn holds(&self, value: Option<&String>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl FieldSelector {
    /// Reads `fieldSelector=`: `metadata.name=a,status.phase!=Running`.
    ///
    /// # Errors
    /// 400 when a field is not one that the kind can be selected by.
    pub(crate) fn parse(facts: &Facts, query: &str) -> Result<Self, ApiError> {
        let mut fields = vec![];
        for part in query.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value, equal) = match part.split_once("!=") {
                Some((key, value)) => (key, value, false),
                None => match part.split_once('=') {
                    Some((key, value)) => (key, value.trim_start_matches('='), true),
                    None => {
                        return Err(ApiError::bad_request(format!(
                            "invalid selector: '{query}'; can't understand '{part}'"
                        )));
                    }
                },
            };
            let pointer = pointer(facts, key.trim()).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "Unable to find {:?} that match label selector \"\", field selector {query:?}: field label not supported: {key}",
                    facts.api_version() + ", Resource=" + facts.plural
                ))
            })?;
            fields.push((pointer, value.trim().to_owned(), equal));
        }
        Ok(Self(fields))
    }

    /// Whether an object meets it.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, wanted, equal)| {
            let found = match object.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(flag)) => flag.to_string(),
                _ => String::new(),
            };
            (found == *wanted) == *equal
        })
    }

    /// The name that an object must have, if the selector says one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(pointer, _, equal)| *equal && *pointer == "/metadata/name")
            .map(|(_, name, _)| &**name)
    }
}

fn pointer(facts: &Facts, field: &str) -> Option<&'static str> {
    Some(match (facts.id, field) {
        (_, "metadata.name") => "/metadata/name",
        (_, "metadata.namespace") if facts.namespaced => "/metadata/namespace",
        (Kind::Pod, "spec.nodeName") => "/spec/nodeName",
        (Kind::Pod, "spec.restartPolicy") => "/spec/restartPolicy",
        (Kind::Pod, "spec.schedulerName") => "/spec/schedulerName",
        (Kind::Pod, "spec.serviceAccountName") => "/spec/serviceAccountName",
        (Kind::Pod, "spec.hostNetwork") => "/spec/hostNetwork",
        (Kind::Pod, "status.podIP") => "/status/podIP",
        (Kind::Pod | Kind::Namespace, "status.phase") => "/status/phase",
        (Kind::Service, "spec.clusterIP") => "/spec/clusterIP",
        (Kind::Service, "spec.type") => "/spec/type",
        (Kind::Node, "spec.unschedulable") => "/spec/unschedulable",
        (Kind::Event, "involvedObject.kind") => "/involvedObject/kind",
        (Kind::Event, "involvedObject.namespace") => "/involvedObject/namespace",
        (Kind::Event, "involvedObject.name") => "/involvedObject/name",
        (Kind::Event, "involvedObject.uid") => "/involvedObject/uid",
        (Kind::Event, "involvedObject.apiVersion") => "/involvedObject/apiVersion",
        (Kind::Event, "involvedObject.resourceVersion") => "/involvedObject/resourceVersion",
        (Kind::Event, "involvedObject.fieldPath") => "/involvedObject/fieldPath",
        (Kind::Event, "reason") => "/reason",
        (Kind::Event, "reportingComponent") => "/reportingComponent",
        (Kind::Event, "source") => "/source/component",
        (Kind::Event, "type") => "/type",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn every_operator_of_the_query_grammar() {
        let a = labels(&[("app", "web"), ("tier", "front")]);
        for (query, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (web, db)", true),
            ("app in (db)", false),
            ("app notin (db),tier", true),
            ("missing notin (db)", true),
            ("!app", false),
            ("!missing", true),
            ("missing", false),
        ] {
            assert_eq!(LabelSelector::parse(query).unwrap().matches(&a), expected, "{query}");
        }
        for query in ["app in web)", "a b", "=x", "app=a b", "in (x)"] {
            assert_eq!(LabelSelector::parse(query).unwrap_err().code(), 400, "{query}");
        }
    }

    #[test]
    fn a_selector_object_joins_labels_and_expressions() {
        let selector = LabelSelector::from_object(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}],
        }));
        assert!(selector.matches(&labels(&[("app", "web")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("env", "dev")])));
    }

    #[test]
    fn fields_are_known_per_kind() {
        let pod = Kind::Pod.facts();
        let selector = FieldSelector::parse(pod, "spec.nodeName=n,status.phase!=Failed").unwrap();
        assert!(selector.matches(&json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}})));
        assert!(!selector.matches(&json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}})));
        assert_eq!(FieldSelector::parse(pod, "spec.image=x").unwrap_err().code(), 400);
    }
}
