//! What the server has: `/version`, `/api`, `/apis`, resource lists, aggregated discovery; [`openapi`] has the rest.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
};
use serde_json::{Value, json};

use super::{
    kinds::{Facts, KINDS, VERBS, VERSION},
    openapi,
    reviews::{REVIEWS, Review},
    status::{ApiError, json_response},
};

/// Version that the server claims; its objects are those of Kubernetes 1.33.
pub(crate) const KUBERNETES: &str = "v1.33.0";

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub(super) const GROUPS: [&str; 4] =
    ["authentication.k8s.io", "authorization.k8s.io", "discovery.k8s.io", "networking.k8s.io"];

/// Answers discovery paths; `None` for any other path.
pub(crate) fn respond(segments: &[&str], headers: &HeaderMap) -> Option<Result<Response<Body>, ApiError>> {
    let body = match segments {
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]})
        }
        ["version"] => version(),
        ["api"] if aggregated(headers) => return Some(Ok(aggregated_response(&[""]))),
        ["apis"] if aggregated(headers) => return Some(Ok(aggregated_response(&GROUPS))),
        ["api"] => json!({"kind": "APIVersions", "versions": [VERSION], "serverAddressByClientCIDRs": []}),
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": GROUPS.iter().map(|g| group(g)).collect::<Vec<_>>(),
        }),
        ["api", VERSION] => resources(""),
        ["apis", name] if GROUPS.contains(name) => {
            let mut body = group(name);
            body["kind"] = json!("APIGroup");
            body["apiVersion"] = json!("v1");
            body
        }
        ["apis", name, VERSION] if GROUPS.contains(name) => resources(name),
        ["openapi", "v2"] => return Some(Ok(openapi::v2(headers))),
        ["openapi", "v3"] => openapi::v3_index(),
        ["openapi", "v3", "api", VERSION] => openapi::v3(""),
        ["openapi", "v3", "apis", name, VERSION] if GROUPS.contains(name) => openapi::v3(name),
        _ => return None,
    };
    Some(Ok(json_response(200, &body)))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": format!("{KUBERNETES}+verdikt-sandbox"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", std::env::consts::ARCH),
    })
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{VERSION}"), "version": VERSION});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn group_version(group: &str) -> String {
    if group.is_empty() { VERSION.to_owned() } else { format!("{group}/{VERSION}") }
}

pub(super) fn kinds(group: &str) -> impl Iterator<Item = &'static Facts> {
    KINDS.iter().filter(move |f| f.group == group)
}

fn reviews(group: &str) -> impl Iterator<Item = &'static Review> {
    REVIEWS.iter().filter(move |review| review.group == group)
}

fn resources(group: &str) -> Value {
    let mut list = vec![];
    for facts in kinds(group) {
        let mut entry = json!({
            "name": facts.plural,
            "singularName": facts.singular,
            "namespaced": facts.namespaced,
            "kind": facts.kind,
            "verbs": VERBS,
        });
        if !facts.short.is_empty() {
            entry["shortNames"] = json!(facts.short);
        }
        if facts.in_all {
            entry["categories"] = json!(["all"]);
        }
        list.push(entry);
        for sub in facts.subresources {
            list.push(json!({
                "name": format!("{}/{}", facts.plural, sub.name),
                "singularName": "",
                "namespaced": facts.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            }));
        }
    }
    for review in reviews(group) {
        list.push(json!({
            "name": review.plural,
            "singularName": review.singular,
            "namespaced": false,
            "kind": review.kind,
            "verbs": ["create"],
        }));
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group), "resources": list})
}

fn aggregated(headers: &HeaderMap) -> bool {
    headers.get("accept").and_then(|v| v.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|m| m.contains("as=APIGroupDiscoveryList") && m.contains("v=v2;"))
    })
}

fn aggregated_response(groups: &[&str]) -> Response<Body> {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            json!({
                "metadata": {"name": group, "creationTimestamp": Value::Null},
                "versions": [{"version": VERSION, "freshness": "Current", "resources": aggregated_resources(group)}],
            })
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let mut response = json_response(200, &body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}

fn aggregated_resources(group: &str) -> Vec<Value> {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let response_kind = |kind: &str| json!({"group": group, "version": VERSION, "kind": kind});
    let mut list: Vec<Value> = kinds(group)
        .map(|facts| {
            let subresources: Vec<Value> = facts
                .subresources
                .iter()
                .map(|sub| json!({"subresource": sub.name, "responseKind": response_kind(sub.kind), "verbs": sub.verbs}))
                .collect();
            json!({
                "resource": facts.plural,
                "responseKind": response_kind(facts.kind),
                "scope": scope(facts.namespaced),
                "singularResource": facts.singular,
                "verbs": VERBS,
                "shortNames": facts.short,
                "categories": if facts.in_all { json!(["all"]) } else { json!([]) },
                "subresources": subresources,
            })
        })
        .collect();
    list.extend(reviews(group).map(|review| {
        json!({
            "resource": review.plural,
            "responseKind": response_kind(review.kind),
            "scope": "Cluster",
            "singularResource": review.singular,
            "verbs": ["create"],
        })
    }));
    list
}
