//! Values that the server fills in, as a real API server does.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    kinds::Kind,
    object::{as_map, items, map_at, text},
    status::{ApiError, Cause},
    store::Transaction,
};
use crate::plan;

/// Range of node ports.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// The first automatic cluster IP; those below are for the sandbox's own Services.
const FIRST_SERVICE: u16 = 100;

/// Fills in what a new or changed object leaves out. `old` is the object before a change.
///
/// # Errors
/// 422 when addresses or node ports are used up, or asked for and taken.
pub(crate) fn fill(
    tx: &Transaction<'_>,
    kind: Kind,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    match kind {
        Kind::Namespace => namespace(object),
        Kind::Pod => pod(object),
        Kind::NetworkPolicy => policy(object),
        Kind::Service => return service(tx, object, old),
        Kind::EndpointSlice => slice(object),
        _ => {}
    }
    Ok(())
}

fn default(object: &mut Value, key: &str, value: Value) {
    let slot = as_map(object).entry(key.to_owned()).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

/// Statement N36: every namespace carries its name as a label.
fn namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    let metadata = object.get_mut("metadata").expect("every object has metadata by now");
    map_at(metadata, "labels").insert("kubernetes.io/metadata.name".into(), json!(name));
    default(object, "spec", json!({"finalizers": ["kubernetes"]}));
    default(object, "status", json!({"phase": "Active"}));
}

fn policy(object: &mut Value) {
    default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    default(spec, "podSelector", json!({}));
    let egress = !items(spec, "/egress").is_empty();
    if items(spec, "/policyTypes").is_empty() {
        spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
    for direction in ["ingress", "egress"] {
        for rule in spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                default(port, "protocol", json!("TCP"));
            }
        }
    }
}

fn pod(object: &mut Value) {
    default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    let host = spec.get("hostNetwork") == Some(&json!(true));
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("serviceAccountName", json!("default")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
        ("enableServiceLinks", json!(true)),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        ("priority", json!(0)),
        (
            "tolerations",
            json!([
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ]),
        ),
    ] {
        default(spec, key, value);
    }
    let lists = spec.as_object_mut().into_iter().flatten();
    let containers = lists.filter(|(key, _)| matches!(key.as_str(), "containers" | "initContainers"));
    for container in containers.filter_map(|(_, list)| list.as_array_mut()).flatten() {
        let latest = !text(container, "/image").rsplit('/').next().unwrap_or_default().contains([':', '@']);
        for (key, value) in [
            ("imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" })),
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
        ] {
            default(container, key, value);
        }
        for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            default(port, "protocol", json!("TCP"));
            if host && let Some(number) = port.get("containerPort").cloned() {
                default(port, "hostPort", number);
            }
        }
    }
    default(object, "status", json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

fn slice(object: &mut Value) {
    for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, "name", json!(""));
        default(port, "protocol", json!("TCP"));
    }
}

fn service(tx: &Transaction<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), ApiError> {
    default(object, "spec", json!({}));
    default(object, "status", json!({"loadBalancer": {}}));
    let spec = &mut object["spec"];
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    let nodes = matches!(text(spec, "/type"), "NodePort" | "LoadBalancer");
    if nodes {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        default(port, "targetPort", number);
        if !nodes && old.is_some() {
            as_map(port).remove("nodePort");
        }
    }
    if text(spec, "/type") == "ExternalName" {
        // A Service that was of another type gives its addresses back.
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            as_map(spec).remove(key);
        }
        return Ok(());
    }
    let name = text(object, "/metadata/name").to_owned();
    cluster_ips(tx, &name, &mut object["spec"], old)?;
    if nodes { node_ports(tx, object, old) } else { Ok(()) }
}

/// Two cluster IPs, one of each family, unless the Service is headless or asks for fewer families.
fn cluster_ips(
    tx: &Transaction<'_>,
    name: &str,
    spec: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if let Some(old) = old {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if let Some(value) = old["spec"].get(key) {
                default(spec, key, value.clone());
            }
        }
    }
    let single = !tx.dual_stack || text(spec, "/ipFamilyPolicy") == "SingleStack";
    let mut families: Vec<String> =
        items(spec, "/ipFamilies").iter().filter_map(|f| Some(f.as_str()?.to_owned())).collect();
    if !tx.dual_stack {
        families.retain(|family| family == "IPv4");
    }
    if families.is_empty() {
        families.push("IPv4".into());
    }
    if families.len() == 1 && !single {
        families.push(if families[0] == "IPv4" { "IPv6".into() } else { "IPv4".into() });
    }
    default(
        spec,
        "ipFamilyPolicy",
        json!(if families.len() == 2 { "PreferDualStack" } else { "SingleStack" }),
    );
    spec["ipFamilies"] = json!(families);

    let wanted = text(spec, "/clusterIP").to_owned();
    if !items(spec, "/clusterIPs").is_empty() && !wanted.is_empty() {
        return Ok(());
    }
    if wanted == "None" {
        spec["clusterIPs"] = json!(["None"]);
        return Ok(());
    }
    let taken: BTreeSet<String> = tx
        .list(Kind::Service, None)
        .iter()
        .flat_map(|service| items(&service.value, "/spec/clusterIPs"))
        .filter_map(|ip| Some(ip.as_str()?.to_owned()))
        .collect();
    let numbers = || (FIRST_SERVICE..=u16::MAX).chain(1..FIRST_SERVICE);
    let number = if wanted.is_empty() {
        numbers().find(|n| plan::service_ips(*n).iter().all(|ip| !taken.contains(&ip.to_string())))
    } else {
        let first: Option<IpAddr> = wanted.parse().ok();
        let number = numbers().find(|n| plan::service_ips(*n).iter().any(|ip| Some(*ip) == first));
        if number.is_none() || taken.contains(&wanted) {
            let why = if number.is_some() {
                "provided IP is already allocated".to_owned()
            } else {
                format!(
                    "provided IP is not in the valid range. The range of valid IPs is {}",
                    plan::SERVICE_CIDRS[0]
                )
            };
            return Err(invalid_service(
                name,
                "spec.clusterIPs",
                format!("Invalid value: [{wanted:?}]: failed to allocate IP {wanted}: {why}"),
            ));
        }
        number
    };
    let number = number.ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?;
    let ips: Vec<String> = families
        .iter()
        .map(|family| plan::service_ips(number)[usize::from(family == "IPv6")].to_string())
        .collect();
    spec["clusterIP"] = json!(ips[0]);
    spec["clusterIPs"] = json!(ips);
    Ok(())
}

fn node_ports(tx: &Transaction<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), ApiError> {
    let me = (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned());
    let number =
        |port: &Value| port.get("nodePort").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
    let mut taken: BTreeSet<u16> = tx
        .list(Kind::Service, None)
        .iter()
        .filter(|s| (s.namespace(), s.name()) != (&me.0, &me.1))
        .flat_map(|s| items(&s.value, "/spec/ports").iter().filter_map(number).collect::<Vec<_>>())
        .collect();
    let before = old.map(|old| items(old, "/spec/ports").to_vec()).unwrap_or_default();
    let Some(list) = object["spec"].get_mut("ports").and_then(Value::as_array_mut) else { return Ok(()) };
    // What is asked for goes before what is handed out.
    for (i, port) in list.iter().enumerate() {
        let Some(wanted) = number(port).filter(|n| *n != 0) else { continue };
        let why = if !NODE_PORTS.contains(&wanted) {
            "not in the valid range. The range of valid ports is 30000-32767"
        } else if !taken.insert(wanted) {
            "already allocated"
        } else {
            continue;
        };
        let message = format!("Invalid value: {wanted}: provided port is {why}");
        return Err(invalid_service(&me.1, format!("spec.ports[{i}].nodePort"), message));
    }
    for port in list.iter_mut().filter(|port| number(port).unwrap_or(0) == 0) {
        let kept = before.iter().find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"]);
        let kept = kept.and_then(number).filter(|n| !taken.contains(n));
        let free = kept.or_else(|| NODE_PORTS.clone().find(|n| !taken.contains(n)));
        let free = free.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
        taken.insert(free);
        port["nodePort"] = json!(free);
    }
    Ok(())
}

fn invalid_service(name: &str, field: impl Into<String>, message: String) -> ApiError {
    let cause = Cause { reason: "FieldValueInvalid", message, field: field.into() };
    ApiError::invalid(Kind::Service.facts(), name, &[cause])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::store::Store;

    fn filled(kind: Kind, mut object: Value) -> Value {
        Store::new(true).write(|tx| fill(tx, kind, &mut object, None)).unwrap();
        object
    }

    #[test]
    fn policy_types_follow_from_the_rules() {
        let types = |spec: Value| {
            filled(Kind::NetworkPolicy, json!({"metadata": {}, "spec": spec}))["spec"]["policyTypes"].clone()
        };
        assert_eq!(types(json!({"podSelector": {}})), json!(["Ingress"]));
        assert_eq!(types(json!({"egress": []})), json!(["Ingress"]));
        assert_eq!(types(json!({"egress": [{}]})), json!(["Ingress", "Egress"]));
        assert_eq!(types(json!({"egress": [{}], "policyTypes": ["Egress"]})), json!(["Egress"]));
    }

    #[test]
    fn services_get_addresses_of_both_families_and_node_ports() {
        let object =
            json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        let spec = &filled(Kind::Service, object)["spec"];
        assert_eq!(spec["clusterIPs"], json!(["10.96.0.100", "fd00:10:96::64"]));
        assert_eq!(
            spec["ports"][0],
            json!({"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000})
        );
        let headless = filled(Kind::Service, json!({"metadata": {}, "spec": {"clusterIP": "None"}}));
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
        let single =
            json!({"metadata": {}, "spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}});
        assert_eq!(filled(Kind::Service, single)["spec"]["clusterIPs"], json!(["fd00:10:96::64"]));
    }

    #[test]
    fn a_namespace_is_labelled_with_its_name() {
        let ns = filled(Kind::Namespace, json!({"metadata": {"name": "x"}}));
        assert_eq!(ns["metadata"]["labels"]["kubernetes.io/metadata.name"], "x");
        assert_eq!(ns["spec"]["finalizers"], json!(["kubernetes"]));
    }
}
