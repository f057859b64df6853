//! What a pod's container runs: its command and environment.

use std::collections::BTreeMap;

use serde_json::Value;

use super::state::pod_ips;
use crate::api::object::{items, text};

/// Name of the pod's container.
pub(super) fn container_name(pod: &Value) -> &str {
    text(pod, "/spec/containers/0/name")
}

/// Pulls the pod's image: every one is taken for the probe's, but those of registries in the domain `invalid` (RFC 2606),
/// which no cluster can reach. So what happens then can be tried here, too.
///
/// # Errors
/// Why it cannot be pulled, in a kubelet's words.
pub(super) fn pull(pod: &Value) -> Result<(), String> {
    let image = text(pod, "/spec/containers/0/image");
    let registry = image.split(['/', ':']).next().unwrap_or_default();
    if registry.ends_with(".invalid") {
        return Err(format!("Back-off pulling image \"{image}\": dial tcp: lookup {registry}: no such host"));
    }
    Ok(())
}

/// The command of the pod's container. The image's entry point is `verdikt-probe`; without arguments it serves the
/// ports that the container declares, so that a pod made for another image answers, too.
pub(super) fn argv(pod: &Value) -> Vec<String> {
    let list =
        |pointer| items(pod, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let (mut argv, mut args) = (list("/spec/containers/0/command"), list("/spec/containers/0/args"));
    if argv.is_empty() {
        argv.push("verdikt-probe".into());
        if args.is_empty() {
            args.push("serve".into());
            for (protocol, flag) in [("TCP", "--tcp"), ("UDP", "--udp"), ("SCTP", "--sctp")] {
                let ports: Vec<String> = items(pod, "/spec/containers/0/ports")
                    .iter()
                    .filter(|port| port["protocol"].as_str().unwrap_or("TCP") == protocol)
                    .filter_map(|port| Some(port.get("containerPort")?.as_u64()?.to_string()))
                    .collect();
                if !ports.is_empty() {
                    args.extend([flag.to_owned(), ports.join(",")]);
                }
            }
        }
    }
    argv.append(&mut args);
    argv
}

/// The environment of the pod's container.
///
/// # Errors
/// What of the pod the sandbox cannot run.
pub(super) fn command_env(pod: &Value) -> Result<BTreeMap<String, String>, String> {
    if items(pod, "/spec/containers").len() > 1 || !items(pod, "/spec/initContainers").is_empty() {
        return Err("the sandbox runs one container in a pod, and no init containers".into());
    }
    // The probe's identity is by default its host name, which is the pod's name in a real cluster.
    let mut env: BTreeMap<String, String> =
        [(verdikt_protocol::IDENTITY_VARIABLE.to_owned(), text(pod, "/metadata/name").to_owned())].into();
    for variable in items(pod, "/spec/containers/0/env") {
        let name = text(variable, "/name");
        let value = match (variable.get("valueFrom"), text(variable, "/valueFrom/fieldRef/fieldPath")) {
            (None, _) => text(variable, "/value").to_owned(),
            (Some(_), "metadata.name") => text(pod, "/metadata/name").to_owned(),
            (Some(_), "metadata.namespace") => text(pod, "/metadata/namespace").to_owned(),
            (Some(_), "metadata.uid") => text(pod, "/metadata/uid").to_owned(),
            (Some(_), "spec.nodeName") => text(pod, "/spec/nodeName").to_owned(),
            (Some(_), "spec.serviceAccountName") => text(pod, "/spec/serviceAccountName").to_owned(),
            (Some(_), "status.hostIP") => text(pod, "/status/hostIP").to_owned(),
            (Some(_), "status.podIP") => text(pod, "/status/podIP").to_owned(),
            (Some(_), "status.podIPs") => {
                pod_ips(pod).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            (Some(_), _) => {
                return Err(format!(
                    "environment variable {name}: the sandbox knows plain values and fieldRef of a pod's own \
                     name, namespace, uid, node and addresses"
                ));
            }
        };
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_images_entry_point_is_the_probe() {
        let argv_of = |container: Value| argv(&json!({"spec": {"containers": [container]}}));
        assert_eq!(argv_of(json!({})), ["verdikt-probe", "serve"]);
        let ports =
            json!([{"containerPort": 80}, {"containerPort": 81}, {"containerPort": 53, "protocol": "UDP"}]);
        assert_eq!(
            argv_of(json!({"ports": ports})),
            ["verdikt-probe", "serve", "--tcp", "80,81", "--udp", "53"]
        );
        assert_eq!(
            argv_of(json!({"args": ["serve", "--tcp", "80"]})),
            ["verdikt-probe", "serve", "--tcp", "80"]
        );
        assert_eq!(argv_of(json!({"command": ["kube-dns"]})), ["kube-dns"]);
    }

    #[test]
    fn only_an_invalid_registry_refuses() {
        let pull = |image: &str| pull(&json!({"spec": {"containers": [{"image": image}]}}));
        assert_eq!(pull("ghcr.io/verdikt/verdikt-probe:1"), Ok(()));
        assert_eq!(
            pull("x.invalid"),
            Err("Back-off pulling image \"x.invalid\": dial tcp: lookup x.invalid: no such host".into())
        );
        assert!(pull("registry.invalid:5000/a/b:1").unwrap_err().contains("lookup registry.invalid:"));
    }

    #[test]
    fn environment_comes_from_values_and_the_pods_own_fields() {
        let pod = |env: Value| {
            json!({
                "metadata": {"name": "a", "namespace": "x"}, "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}]},
                "spec": {"containers": [{"env": env}]},
            })
        };
        let env = command_env(&pod(json!([
            {"name": "A", "value": "1"},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        ])))
        .unwrap();
        assert_eq!(env["A"], "1");
        assert_eq!(env["N"], "a");
        assert_eq!(env["I"], "10.0.0.1,::1");
        let secret = json!([{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        assert!(command_env(&pod(secret)).unwrap_err().contains("variable S"));
    }
}
