//! Cells of each kind's table.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{
    kinds::Kind,
    object::{items, strings, text},
};

/// The cells of an object, in the order of its kind's columns.
pub(super) fn of(kind: Kind, object: &Value) -> Vec<Value> {
    let name = json!(text(object, "/metadata/name"));
    let age = json!(age(text(object, "/metadata/creationTimestamp")));
    let or = |pointer: &str, none: &str| {
        let found = text(object, pointer);
        json!(if found.is_empty() { none } else { found })
    };
    match kind {
        Kind::Namespace => vec![name, or("/status/phase", ""), age],
        Kind::Node => vec![
            name,
            json!(node_status(object)),
            json!(node_roles(object)),
            age,
            or("/status/nodeInfo/kubeletVersion", "<unknown>"),
            json!(node_address(object, "InternalIP")),
            json!(node_address(object, "ExternalIP")),
            or("/status/nodeInfo/osImage", "<unknown>"),
            or("/status/nodeInfo/kernelVersion", "<unknown>"),
            or("/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
        ],
        Kind::Pod => {
            let (ready, total, status) = super::pod::summary(object);
            let restarts: u64 = items(object, "/status/containerStatuses")
                .iter()
                .filter_map(|c| c["restartCount"].as_u64())
                .sum();
            vec![
                name,
                json!(format!("{ready}/{total}")),
                json!(status),
                json!(restarts.to_string()),
                age,
                or("/status/podIP", "<none>"),
                or("/spec/nodeName", "<none>"),
                json!("<none>"),
                json!("<none>"),
            ]
        }
        Kind::Service => vec![
            name,
            or("/spec/type", ""),
            or("/spec/clusterIP", "<none>"),
            or("/spec/externalName", "<none>"),
            json!(service_ports(object)),
            age,
            json!(pairs(object, "/spec/selector")),
        ],
        Kind::ConfigMap => {
            let count =
                |pointer| object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len);
            vec![name, json!(count("/data") + count("/binaryData")), age]
        }
        Kind::Event => event(object, name),
        Kind::ServiceAccount => vec![name, age],
        Kind::EndpointSlice => vec![
            name,
            or("/addressType", ""),
            json!(some(items(object, "/ports").iter().filter_map(|p| Some(p.get("port")?.to_string())))),
            json!(some(items(object, "/endpoints").iter().map(|e| text(e, "/addresses/0").to_owned()))),
            age,
        ],
        Kind::NetworkPolicy => vec![name, json!(selector(&object["spec"]["podSelector"])), age],
        Kind::ServiceCIDR => {
            let cidrs: Vec<&str> =
                items(object, "/spec/cidrs").iter().filter_map(serde_json::Value::as_str).collect();
            vec![name, json!(cidrs.join(",")), age]
        }
    }
}

/// At most three of a list, as kubectl shows them.
fn some(list: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = list.collect();
    match all.len() {
        0 => "<unset>".into(),
        1..=3 => all.join(","),
        n => format!("{} + {} more...", all[..3].join(","), n - 3),
    }
}

fn pairs(object: &Value, pointer: &str) -> String {
    let list: Vec<String> = strings(object, pointer).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    if list.is_empty() { "<none>".into() } else { list.join(",") }
}

/// A label selector in the grammar of `-l`.
fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> =
        strings(selector, "/matchLabels").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    for expression in items(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values: Vec<&str> = items(expression, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    if parts.is_empty() { "<none>".into() } else { parts.join(",") }
}

fn node_status(node: &Value) -> &'static str {
    let ready =
        items(node, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    if ready { "Ready" } else { "NotReady" }
}

fn node_roles(node: &Value) -> String {
    let roles: Vec<String> = strings(node, "/metadata/labels")
        .keys()
        .filter_map(|key| Some(key.strip_prefix("node-role.kubernetes.io/")?.to_owned()))
        .collect();
    if roles.is_empty() { "<none>".into() } else { roles.join(",") }
}

fn node_address<'a>(node: &'a Value, kind: &str) -> &'a str {
    items(node, "/status/addresses")
        .iter()
        .find(|a| a["type"] == kind)
        .map_or("<none>", |a| text(a, "/address"))
}

fn service_ports(service: &Value) -> String {
    let list: Vec<String> = items(service, "/spec/ports")
        .iter()
        .map(|port| match port.get("nodePort") {
            Some(node) => format!("{}:{node}/{}", port["port"], text(port, "/protocol")),
            None => format!("{}/{}", port["port"], text(port, "/protocol")),
        })
        .collect();
    if list.is_empty() { "<none>".into() } else { list.join(",") }
}

fn event(event: &Value, name: Value) -> Vec<Value> {
    let time = |keys: [&str; 2]| {
        let found = keys.iter().map(|key| text(event, key)).find(|t| !t.is_empty());
        json!(age(found.unwrap_or_default()))
    };
    let source = match (text(event, "/source/component"), text(event, "/source/host")) {
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let object = format!(
        "{}/{}",
        text(event, "/involvedObject/kind").to_lowercase(),
        text(event, "/involvedObject/name")
    );
    vec![
        time(["/lastTimestamp", "/eventTime"]),
        json!(text(event, "/type")),
        json!(text(event, "/reason")),
        json!(object),
        json!(text(event, "/involvedObject/fieldPath")),
        json!(source),
        json!(text(event, "/message").trim()),
        time(["/firstTimestamp", "/eventTime"]),
        json!(event.get("count").and_then(Value::as_i64).unwrap_or(1)),
        name,
    ]
}

/// How long ago a time was, in kubectl's short form.
fn age(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => duration(Timestamp::now().as_second() - time.as_second()),
        Err(_) => "<unknown>".into(),
    }
}

fn duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{sub}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..=0 => "0s".into(),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (121, "2m1s"),
            (600, "10m"),
            (10_860, "3h1m"),
            (90_000, "25h"),
            (176_400, "2d1h"),
            (864_000, "10d"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn selectors_are_written_as_for_dash_l() {
        let value = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d", "e"]}]});
        assert_eq!(selector(&value), "a=b,c notin (d,e)");
        assert_eq!(selector(&json!({})), "<none>");
    }
}
