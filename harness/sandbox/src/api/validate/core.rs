//! Rules of Pods and Services, as far as the sandbox looks at their fields.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Causes, meta, syntax};
use crate::api::object::{items, text};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Checks a Pod, and that an update changes nothing that is fixed.
pub(super) fn pod(pod: &Value, old: Option<&Value>, causes: &mut Causes) {
    if items(pod, "/spec/containers").is_empty() {
        causes.required("spec.containers", "");
    }
    let mut names = BTreeSet::new();
    let all = ["initContainers", "containers"].into_iter().flat_map(|list| {
        let containers = items(pod, &format!("/spec/{list}")).iter().enumerate();
        containers.map(move |(i, container)| (format!("spec.{list}[{i}]"), list, container))
    });
    for (path, list, container) in all {
        if let Some(policy) = container.get("restartPolicy") {
            if list == "containers" {
                causes.forbidden(format!("{path}.restartPolicy"), "may not be set for non-init containers");
            } else if policy != "Always" {
                causes.unsupported(format!("{path}.restartPolicy"), policy, &["Always"]);
            }
        }
        let name = text(container, "/name");
        if name.is_empty() {
            causes.required(format!("{path}.name"), "");
        } else if let Err(why) = syntax::dns_label(name) {
            causes.invalid(format!("{path}.name"), &json!(name), &why);
        } else if !names.insert(name) {
            causes.duplicate(format!("{path}.name"), &json!(name));
        }
        if text(container, "/image").is_empty() {
            causes.required(format!("{path}.image"), "");
        }
        let mut port_names = BTreeSet::new();
        for (i, port) in items(container, "/ports").iter().enumerate() {
            let path = format!("{path}.ports[{i}]");
            let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
            if number == 0 {
                causes.required(format!("{path}.containerPort"), "");
            } else if let Some(why) = syntax::port_number(number) {
                causes.invalid(format!("{path}.containerPort"), &json!(number), why);
            }
            protocol(port, &path, causes);
            if let Some(name) = port.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                for why in syntax::port_name(name) {
                    causes.invalid(format!("{path}.name"), &json!(name), why);
                }
                if !port_names.insert(name) {
                    causes.duplicate(format!("{path}.name"), &json!(name));
                }
            }
        }
    }
    restart_policy(pod, causes);
    if let Some(grace) = pod.pointer("/spec/terminationGracePeriodSeconds")
        && grace.as_i64().is_some_and(|grace| grace < 0)
    {
        let why = "must be greater than or equal to 0";
        causes.invalid("spec.terminationGracePeriodSeconds", grace, why);
    }
    for name in ["hostname", "subdomain"] {
        let value = text(pod, &format!("/spec/{name}"));
        if !value.is_empty()
            && let Err(why) = syntax::dns_label(value)
        {
            causes.invalid(format!("spec.{name}"), &json!(value), &why);
        }
    }
    if let Some(old) = old
        && fixed(old) != fixed(pod)
    {
        causes.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        );
    }
}

fn restart_policy(pod: &Value, causes: &mut Causes) {
    if let Some(policy) = pod.pointer("/spec/restartPolicy")
        && !matches!(policy.as_str(), Some("Always" | "OnFailure" | "Never"))
    {
        causes.unsupported("spec.restartPolicy", policy, &["Always", "OnFailure", "Never"]);
    }
}

/// The part of a Pod's spec that an update must leave alone.
fn fixed(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Some(map) = spec.as_object_mut() {
        for key in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            map.remove(key);
        }
        for list in ["containers", "initContainers"] {
            for container in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("image");
                }
            }
        }
    }
    spec
}

/// Checks a Service, and that an update keeps its addresses.
pub(super) fn service(service: &Value, old: Option<&Value>, causes: &mut Causes) {
    let kind = text(service, "/spec/type");
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        causes.unsupported(
            "spec.type",
            &service["spec"]["type"],
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        );
    }
    if kind == "ExternalName" {
        // A final dot may say that the name is complete.
        let name = text(service, "/spec/externalName");
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            causes.required("spec.externalName", "");
        } else if let Err(why) = syntax::dns_subdomain(name) {
            causes.invalid("spec.externalName", &json!(name), &why);
        }
    }
    let headless = text(service, "/spec/clusterIP") == "None";
    let ports = items(service, "/spec/ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.required("spec.ports", "");
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        causes.invalid(
            "spec.clusterIPs[0]",
            &json!("None"),
            &format!("may not be set to 'None' for {kind} services"),
        );
    }
    meta::labels(service.pointer("/spec/selector"), "spec.selector", causes);
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let name = text(port, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
                causes.required(format!("{path}.name"), "");
            }
        } else if let Err(why) = syntax::dns_label(name) {
            causes.invalid(format!("{path}.name"), &json!(name), &why);
        } else if !names.insert(name) {
            causes.duplicate(format!("{path}.name"), &json!(name));
        }
        let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
        if let Some(why) = syntax::port_number(number) {
            causes.invalid(format!("{path}.port"), &json!(number), why);
        }
        protocol(port, &path, causes);
        if !numbers.insert((text(port, "/protocol"), number)) {
            causes.duplicate(&*path, &json!({"port": number, "protocol": port["protocol"]}));
        }
        match port.get("targetPort") {
            Some(Value::String(name)) => {
                for why in syntax::port_name(name) {
                    causes.invalid(format!("{path}.targetPort"), &json!(name), why);
                }
            }
            Some(target) => {
                if let Some(why) = syntax::port_number(target.as_i64().unwrap_or_default()) {
                    causes.invalid(format!("{path}.targetPort"), target, why);
                }
            }
            None => {}
        }
    }
    if let Some(old) = old
        && text(old, "/spec/type") == kind
        && !text(old, "/spec/clusterIP").is_empty()
        && text(old, "/spec/clusterIP") != text(service, "/spec/clusterIP")
    {
        causes.invalid(
            "spec.clusterIPs[0]",
            &json!([text(service, "/spec/clusterIP")]),
            "may not change once set",
        );
    }
}

fn protocol(port: &Value, path: &str, causes: &mut Causes) {
    if let Some(protocol) = port.get("protocol")
        && !protocol.as_str().is_some_and(|p| PROTOCOLS.contains(&p))
    {
        causes.unsupported(format!("{path}.protocol"), protocol, PROTOCOLS);
    }
}
