//! Rules of EndpointSlices.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{Causes, syntax};
use crate::api::object::{items, text};

/// Most addresses of one endpoint.
const ADDRESSES: usize = 100;
/// Most endpoints of one slice.
const ENDPOINTS: usize = 1000;
/// Most ports of one slice.
const PORTS: usize = 20_000;

/// Checks a slice, and that an update keeps its address type.
pub(super) fn check(slice: &Value, old: Option<&Value>, causes: &mut Causes) {
    const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
    let kind = text(slice, "/addressType");
    if kind.is_empty() {
        causes.required("addressType", "");
    } else if !TYPES.contains(&kind) {
        causes.unsupported("addressType", &json!(kind), TYPES);
    }
    if old.is_some_and(|old| text(old, "/addressType") != kind) {
        causes.invalid("addressType", &json!(kind), "field is immutable");
    }
    let all = items(slice, "/endpoints");
    if all.len() > ENDPOINTS {
        too_many("endpoints", all.len(), ENDPOINTS, causes);
    }
    for (i, one) in all.iter().enumerate() {
        endpoint(one, kind, &format!("endpoints[{i}]"), causes);
    }
    ports(items(slice, "/ports"), causes);
}

fn endpoint(endpoint: &Value, kind: &str, path: &str, causes: &mut Causes) {
    let addresses = items(endpoint, "/addresses");
    if addresses.is_empty() {
        causes.required(format!("{path}.addresses"), "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES {
        too_many(&format!("{path}.addresses"), addresses.len(), ADDRESSES, causes);
    }
    for (i, value) in addresses.iter().enumerate() {
        let found = value.as_str().unwrap_or_default();
        let wrong = match kind {
            "IPv4" => match found.parse() {
                Ok(ip @ IpAddr::V4(_)) => special(ip),
                _ => Some("must be a valid IPv4 address".to_owned()),
            },
            "IPv6" => match found.parse() {
                Ok(ip @ IpAddr::V6(_)) => special(ip),
                _ => Some("must be a valid IPv6 address".to_owned()),
            },
            "FQDN" => syntax::dns_subdomain(found).err(),
            _ => None,
        };
        if let Some(why) = wrong {
            causes.invalid(format!("{path}.addresses[{i}]"), value, &why);
        }
    }
    let hostname = text(endpoint, "/hostname");
    if !hostname.is_empty()
        && let Err(why) = syntax::dns_label(hostname)
    {
        causes.invalid(format!("{path}.hostname"), &json!(hostname), &why);
    }
}

/// Addresses that no endpoint may have.
fn special(ip: IpAddr) -> Option<String> {
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] == 0xff02),
    };
    let why = if ip.is_unspecified() {
        return Some(format!("may not be unspecified ({ip})"));
    } else if ip.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    } else if link_local_multicast {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    } else {
        return None;
    };
    Some(why.to_owned())
}

fn ports(ports: &[Value], causes: &mut Causes) {
    const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
    if ports.len() > PORTS {
        too_many("ports", ports.len(), PORTS, causes);
    }
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = format!("ports[{i}]");
        let name = text(port, "/name");
        if !names.insert(name) {
            causes.duplicate(format!("{path}.name"), &json!(name));
        }
        if !name.is_empty()
            && let Err(why) = syntax::dns_label(name)
        {
            causes.invalid(format!("{path}.name"), &json!(name), &why);
        }
        if !PROTOCOLS.contains(&text(port, "/protocol")) {
            causes.unsupported(format!("{path}.protocol"), &port["protocol"], PROTOCOLS);
        }
        if let Some(number) = port.get("port").and_then(Value::as_i64)
            && let Some(why) = syntax::port_number(number)
        {
            causes.invalid(format!("{path}.port"), &json!(number), why);
        }
    }
}

fn too_many(field: &str, found: usize, most: usize, causes: &mut Causes) {
    causes.add("FieldValueTooMany", field, format!("Too many: {found}: must have at most {most} items"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(slice: &Value, old: Option<&Value>) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        check(slice, old, &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn addresses_fit_their_type_and_are_nothing_special() {
        let slice =
            |kind: &str, address: &str| json!({"addressType": kind, "endpoints": [{"addresses": [address]}]});
        for (kind, address, why) in [
            ("IPv4", "10.0.0.256", "must be a valid IPv4 address"),
            ("IPv4", "::1", "must be a valid IPv4 address"),
            ("IPv6", "10.0.0.1", "must be a valid IPv6 address"),
            ("IPv4", "0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("IPv4", "127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("IPv6", "fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ] {
            let message = format!("Invalid value: {address:?}: {why}");
            assert_eq!(
                causes(&slice(kind, address), None),
                [("endpoints[0].addresses[0]".to_owned(), message)]
            );
        }
        for (kind, address) in [("IPv4", "10.0.0.1"), ("IPv6", "fd00::1"), ("FQDN", "a.example.com")] {
            assert_eq!(causes(&slice(kind, address), None), []);
        }
    }

    #[test]
    fn types_ports_and_what_must_be_there() {
        let one = |slice: Value, old: Option<&Value>| {
            let all = causes(&slice, old);
            assert_eq!(all.len(), 1, "{all:?}");
            all[0].clone()
        };
        assert_eq!(one(json!({}), None), ("addressType".into(), "Required value".into()));
        let old = json!({"addressType": "IPv4"});
        assert_eq!(
            one(json!({"addressType": "IPv6"}), Some(&old)).1,
            "Invalid value: \"IPv6\": field is immutable"
        );
        let with = |key: &str, value: Value| {
            let mut slice = old.clone();
            slice[key] = value;
            one(slice, None)
        };
        assert_eq!(
            with("endpoints", json!([{"addresses": []}])),
            ("endpoints[0].addresses".into(), "Required value: must contain at least 1 address".into())
        );
        let port = json!({"name": "", "protocol": "TCP", "port": 80});
        assert_eq!(with("ports", json!([port, port])).0, "ports[1].name");
        assert_eq!(with("ports", json!([{"protocol": "ICMP"}])).0, "ports[0].protocol");
        assert_eq!(with("ports", json!([{"protocol": "TCP", "port": 70000}])).0, "ports[0].port");
        assert_eq!(with("endpoints", json!(vec![json!({"addresses": ["10.0.0.1"]}); 1001])).0, "endpoints");
    }
}
