//! Rules of a NetworkPolicy (`pkg/apis/networking/validation` of Kubernetes).

use ipnet::IpNet;
use serde_json::Value;

use super::{Causes, meta, syntax};
use crate::api::object::items;

/// Checks the spec.
pub(super) fn check(policy: &Value, causes: &mut Causes) {
    let Some(spec) = policy.get("spec") else { return };
    if let Some(selector) = spec.get("podSelector") {
        meta::selector(selector, "spec.podSelector", causes);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(spec, &format!("/{direction}")).iter().enumerate() {
            let path = format!("spec.{direction}[{i}]");
            for (i, entry) in items(rule, "/ports").iter().enumerate() {
                port(entry, &format!("{path}.ports[{i}]"), causes);
            }
            for (i, entry) in items(rule, &format!("/{peers}")).iter().enumerate() {
                peer(entry, &format!("{path}.{peers}[{i}]"), causes);
            }
        }
    }
    let types = items(spec, "/policyTypes");
    if types.len() > 2 {
        causes.invalid("spec.policyTypes", &types.into(), "may not specify more than two policyTypes");
        return;
    }
    for (i, word) in types.iter().enumerate() {
        if !matches!(word.as_str(), Some("Ingress" | "Egress")) {
            causes.unsupported(format!("spec.policyTypes[{i}]"), word, &["Ingress", "Egress"]);
        }
    }
}

fn port(port: &Value, path: &str, causes: &mut Causes) {
    if let Some(protocol) = port.get("protocol")
        && !matches!(protocol.as_str(), Some("TCP" | "UDP" | "SCTP"))
    {
        causes.unsupported(format!("{path}.protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let end = port.get("endPort");
    let end_path = format!("{path}.endPort");
    match (port.get("port"), end) {
        (Some(Value::String(name)), _) => {
            if let Some(end) = end {
                causes.invalid(end_path, end, "may not be specified when `port` is non-numeric");
            }
            for why in syntax::port_name(name) {
                causes.invalid(format!("{path}.port"), &port["port"], why);
            }
        }
        (Some(number), _) => {
            let first = number.as_i64().unwrap_or_default();
            if let Some(why) = syntax::port_number(first) {
                causes.invalid(format!("{path}.port"), number, why);
            }
            if let Some(end) = end {
                let last = end.as_i64().unwrap_or_default();
                if last < first {
                    causes.invalid(end_path.clone(), end, "must be greater than or equal to `port`");
                }
                if let Some(why) = syntax::port_number(last) {
                    causes.invalid(end_path, end, why);
                }
            }
        }
        (None, Some(end)) => {
            causes.invalid(end_path, end, "may not be specified when `port` is not specified")
        }
        (None, None) => {}
    }
}

fn peer(peer: &Value, path: &str, causes: &mut Causes) {
    let mut kinds = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = peer.get(key) {
            kinds += 1;
            meta::selector(selector, &format!("{path}.{key}"), causes);
        }
    }
    match peer.get("ipBlock") {
        Some(block) => {
            ip_block(block, &format!("{path}.ipBlock"), causes);
            if kinds > 0 {
                causes.forbidden(path, "may not specify both ipBlock and another peer");
            }
        }
        None if kinds == 0 => causes.required(path, "must specify a peer"),
        None => {}
    }
}

fn ip_block(block: &Value, path: &str, causes: &mut Causes) {
    const WRONG: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let cidr = block.get("cidr").and_then(Value::as_str).unwrap_or_default();
    if cidr.is_empty() {
        causes.required(format!("{path}.cidr"), "");
        return;
    }
    let Some(outer) = parse_cidr(cidr) else {
        causes.invalid(format!("{path}.cidr"), &block["cidr"], WRONG);
        return;
    };
    for (i, except) in items(block, "/except").iter().enumerate() {
        let path = format!("{path}.except[{i}]");
        match parse_cidr(except.as_str().unwrap_or_default()) {
            None => causes.invalid(path, except, WRONG),
            Some(inner) if outer.contains(&inner.network()) && outer.prefix_len() < inner.prefix_len() => {}
            Some(_) => causes.invalid(path, except, "must be a strict subset of `cidr`"),
        }
    }
}

/// A CIDR as the API reads it: zeros before a number are allowed (`010.0.0.0/8` is decimal).
fn parse_cidr(text: &str) -> Option<IpNet> {
    if text.contains(':') {
        return text.parse().ok();
    }
    let (address, length) = text.split_once('/')?;
    let decimal: Option<Vec<String>> =
        address.split('.').map(|part| part.parse::<u8>().ok().map(|n| n.to_string())).collect();
    format!("{}/{length}", decimal?.join(".")).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn causes(spec: Value) -> Vec<(&'static str, String, String)> {
        let mut causes = Causes::default();
        check(&json!({ "spec": spec }), &mut causes);
        causes.0.into_iter().map(|c| (c.reason, c.field, c.message)).collect()
    }

    fn one(spec: Value) -> (String, String) {
        let all = causes(spec);
        assert_eq!(all.len(), 1, "{all:?}");
        (all[0].1.clone(), all[0].2.clone())
    }

    fn one_port(port: Value) -> (String, String) {
        one(json!({"podSelector": {}, "ingress": [{"ports": [port]}]}))
    }

    fn one_peer(peer: Value) -> (String, String) {
        one(json!({"podSelector": {}, "egress": [{"to": [peer]}]}))
    }

    #[test]
    fn ports() {
        let at =
            |field: &str, message: &str| (format!("spec.ingress[0].ports[0].{field}"), message.to_owned());
        assert_eq!(
            one_port(json!({"port": 70000})),
            at("port", "Invalid value: 70000: must be between 1 and 65535, inclusive")
        );
        assert_eq!(
            one_port(json!({"port": 90, "endPort": 80})),
            at("endPort", "Invalid value: 80: must be greater than or equal to `port`")
        );
        assert_eq!(
            one_port(json!({"port": "web", "endPort": 80})),
            at("endPort", "Invalid value: 80: may not be specified when `port` is non-numeric")
        );
        assert_eq!(
            one_port(json!({"endPort": 80})),
            at("endPort", "Invalid value: 80: may not be specified when `port` is not specified")
        );
        assert_eq!(
            one_port(json!({"protocol": "ICMP"})),
            at("protocol", r#"Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP""#)
        );
        assert_eq!(
            one_port(json!({"port": "80"})),
            at("port", r#"Invalid value: "80": must contain at least one letter (a-z)"#)
        );
        assert!(
            causes(json!({"ingress": [{"ports": [{"port": 80, "endPort": 80, "protocol": "SCTP"}]}]}))
                .is_empty()
        );
    }

    #[test]
    fn peers() {
        assert_eq!(one_peer(json!({})).1, "Required value: must specify a peer");
        assert_eq!(
            one_peer(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
            (
                "spec.egress[0].to[0]".into(),
                "Forbidden: may not specify both ipBlock and another peer".into()
            )
        );
        for (block, field, message) in [
            (json!({}), "cidr", "Required value"),
            (
                json!({"cidr": "10.0.0.0"}),
                "cidr",
                r#"Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
            ),
            (
                json!({"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}),
                "except[0]",
                "Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
            ),
            (
                json!({"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}),
                "except[0]",
                "Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            ),
            (
                json!({"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}),
                "except[0]",
                "Invalid value: \"fd00::/64\": must be a strict subset of `cidr`",
            ),
        ] {
            assert_eq!(
                one_peer(json!({"ipBlock": block})),
                (format!("spec.egress[0].to[0].ipBlock.{field}"), message.into())
            );
        }
        assert!(
            causes(json!({"egress": [{"to": [{"ipBlock": {"cidr": "::/0", "except": ["fd00::/8"]}}]}]}))
                .is_empty()
        );
    }

    #[test]
    fn selectors_and_types() {
        assert_eq!(
            one(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
            (
                "spec.podSelector.matchExpressions[0].values".into(),
                "Required value: must be specified when `operator` is 'In' or 'NotIn'".into()
            )
        );
        assert_eq!(
            one(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}})).1,
            "Invalid value: \"Near\": not a valid selector operator"
        );
        assert_eq!(
            one(json!({"policyTypes": ["Sideways"]})),
            (
                "spec.policyTypes[0]".into(),
                r#"Unsupported value: "Sideways": supported values: "Ingress", "Egress""#.into()
            )
        );
        assert_eq!(one(json!({"policyTypes": ["Ingress", "Egress", "Egress"]})).0, "spec.policyTypes");
    }
}
