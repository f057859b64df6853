//! Files and documents that are not verdikt's: what they most likely are, and what to do with them.

use verdikt_model::policy_kind::{self, Standing};

use crate::{
    clean,
    yaml::{Node, Value},
};

/// Lists that only a kustomization has at its top; the values of a chart may have mappings of these names.
const KUSTOMIZATION: [&str; 9] = [
    "resources",
    "bases",
    "components",
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "configMapGenerator",
    "secretGenerator",
    "images",
];
/// Objects whose place is the topology, by kind.
const TOPOLOGY: [&str; 12] = [
    "Pod",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Service",
    "Endpoints",
    "EndpointSlice",
    "Namespace",
    "PodTemplate",
];
/// Items of a list that are named one by one.
const MOST_ITEMS: usize = 4;
/// How to turn a policy into a scenario.
const SCENARIO: &str = "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata: {name: my/first}\nspec:\n  summary: What it \
                        shows\n  topology: three-by-three\n  steps:\n    - apply: [ … ]";

/// What something is, and what to do with it.
pub(crate) struct Foreign {
    /// Completes "this is ".
    pub(crate) what: String,
    pub(crate) help: String,
}

impl Foreign {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    fn template() -> Self {
        Self::new(
            "a template, which is not YAML before it is rendered",
            "render it (`helm template RELEASE CHART`), and put the policies that come out under `spec.steps[0].apply` of a \
             scenario",
        )
    }
}

/// What a text is that is not YAML, and the byte at which that shows.
pub(crate) fn of_text(text: &str) -> Option<(Foreign, usize)> {
    if let Some(at) = placeholder(text) {
        return Some((Foreign::template(), at));
    }
    Some((of_plain_text(text)?, 0))
}

/// What a text is that has no placeholders.
pub(crate) fn of_plain_text(text: &str) -> Option<Foreign> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with("<?xml")
        || start.starts_with("<!")
        || start.starts_with("<html")
        || start.starts_with("<testsuite")
    {
        return Some(Foreign::new(
            "XML or HTML, such as a report of a run",
            "give the scenario file; reports are drawn from a record, with `verdikt report RECORD --format html`",
        ));
    }
    let mut lines = start.lines().filter(|line| !line.trim().is_empty());
    let is_json = |line: Option<&str>| {
        line.is_some_and(|line| {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok()
        })
    };
    if is_json(lines.next()) && is_json(lines.next()) {
        return Some(Foreign::new(
            "JSON with a document a line, such as the events of a run (`-o jsonl`)",
            "give the scenario file; documents of JSON must stand in a file of their own, or have `---` between them",
        ));
    }
    None
}

/// What a document without `kind` is.
pub(crate) fn of_no_kind(document: &Node) -> Foreign {
    let has = |key: &str| document.get(key).is_some();
    let is_object = |key: &str| matches!(document.get(key).map(|node| &node.value), Some(Value::Map(_)));
    if text_of(document, "schema").is_some_and(|schema| schema.starts_with("verdikt.dev/record/")) {
        return Foreign::new(
            "the record of a run",
            "`verdikt report RECORD --format html` draws it, `verdikt compare` and `verdikt run --resume` take it",
        );
    }
    if has("$schema") {
        return Foreign::new(
            "a JSON Schema",
            "`verdikt schema scenario` is for editors; give the scenario file",
        );
    }
    let is_list = |key: &&str| matches!(document.get(key).map(|node| &node.value), Some(Value::Seq(_)));
    if KUSTOMIZATION.iter().any(is_list) && !has("spec") {
        return kustomization();
    }
    if has("apiVersion") && has("name") && has("version") && !has("metadata") {
        return Foreign::new("the Chart.yaml of a chart", Foreign::template().help);
    }
    let start = "a scenario starts with `apiVersion: verdikt.dev/v1alpha1` and `kind: Scenario`";
    if has("apiVersion") || is_object("metadata") || has("spec") {
        return Foreign::new("a document without `kind`", start);
    }
    Foreign::new(
        "a document without `apiVersion` and `kind`, such as the values of a chart",
        format!(
            "leave it out, and give what the chart renders to (`helm template RELEASE CHART`) inside a scenario; {start}"
        ),
    )
}

/// What a document of a kind that is not verdikt's is, and what to do with it.
pub(crate) fn of_kind(document: &Node, kind: &str) -> Foreign {
    if placeholder_in(document) {
        return Foreign::template();
    }
    let api = text_of(document, "apiVersion").unwrap_or_default();
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let shown = clean::word(kind);
    let apply = |what: &str, more: &str| {
        Foreign::new(
            what,
            format!(
                "policies are tested inside a scenario. Put {more} under `spec.steps[0].apply` of\n{SCENARIO}"
            ),
        )
    };
    if kind == "List" || kind.ends_with("List") && document.get("items").is_some() {
        return apply(
            &format!("a `{shown}`{}", items(document)),
            "the policies among its items, one by one,",
        );
    }
    match kind {
        "Kustomization" | "Component" if group.is_empty() || group.starts_with("kustomize") => {
            kustomization()
        }
        "CustomResourceDefinition" => Foreign::new(
            format!("a `{shown}`"),
            "`verdikt lint PATH --crds THIS-FILE` checks the objects of scenarios against it",
        ),
        "Config" if api == "v1" => Foreign::new(
            "a kubeconfig",
            "`verdikt run --kubeconfig FILE --context NAME` takes it; give the scenario file",
        ),
        "NetworkPolicy" if group == "networking.k8s.io" => apply(&format!("a `{shown}`"), "this object"),
        _ if TOPOLOGY.contains(&kind) => Foreign::new(
            format!("a `{shown}`"),
            "namespaces, pods and services are described by `spec.topology` of a scenario: their labels and ports are enough. \
             Leave this object out",
        ),
        _ => match policy_kind::standing(group, kind) {
            Standing::Policy(_) => apply(
                &format!("a `{shown}`"),
                "this object (and the name of its definition under `spec.requires.crd`)",
            ),
            Standing::Other | Standing::BuiltIn => Foreign::new(
                format!("a `{shown}`"),
                "it has no part in a scenario, whose steps apply policies; leave it out",
            ),
        },
    }
}

fn kustomization() -> Foreign {
    Foreign::new(
        "a kustomization, which only names other files",
        "`kubectl kustomize FOLDER` prints the objects; put the policies among them under `spec.steps[0].apply` of a scenario",
    )
}

/// The items of a list, by kind.
fn items(document: &Node) -> String {
    let Some(Value::Seq(items)) = document.get("items").map(|items| &items.value) else {
        return String::new();
    };
    let mut counts: Vec<(String, usize)> = Vec::new();
    for item in items {
        let kind = text_of(item, "kind").map_or_else(|| "no kind".to_owned(), clean::word);
        match counts.iter_mut().find(|(have, _)| *have == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let mut words: Vec<String> =
        counts.iter().take(MOST_ITEMS).map(|(kind, count)| format!("{count} {kind}")).collect();
    if counts.len() > MOST_ITEMS {
        words.push("…".to_owned());
    }
    if words.is_empty() { " of nothing".to_owned() } else { format!(" of {}", words.join(", ")) }
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key)?.text()
}

/// Where a text has a placeholder as Helm, Go templates and Jinja write them, which a flow mapping never looks like.
fn placeholder(text: &str) -> Option<usize> {
    let closed = |(open, close): (&str, &str)| {
        text.match_indices(open).map(|(at, _)| at).find(|at| {
            let rest = text[at + open.len()..].lines().next().unwrap_or_default();
            rest.split_once(close).is_some_and(|(inner, _)| !inner.trim().is_empty() && !inner.contains(": "))
        })
    };
    [("{{", "}}"), ("{%", "%}")].into_iter().filter_map(closed).min()
}

/// Whether any value of a document has one.
fn placeholder_in(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(text, _) => placeholder(text).is_some(),
        Value::Seq(items) => items.iter().any(placeholder_in),
        // `{{ .Values.name }}` without quotes is a mapping whose key is a mapping.
        Value::Map(entries) => entries.iter().any(|(key, value)| {
            matches!(key.value, Value::Map(_)) || placeholder_in(key) || placeholder_in(value)
        }),
    }
}
