//! What a pod's containers are and run: their part in the pod's life, command and environment.

use std::collections::BTreeMap;

use serde_json::Value;

use super::state::pod_ips;
use crate::{
    api::object::{items, text},
    wire::Container,
};

/// A container's part in the life of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An init container: runs to its end before the next one starts.
    Init,
    /// An init container with restartPolicy Always: the next one starts once it is ready, and it stays.
    Sidecar,
    /// One of the containers proper.
    Main,
}

/// A pod's containers with their roles, in the order in which they start.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (Role, &Value)> {
    let early = items(pod, "/spec/initContainers").iter().map(|container| {
        let stays = text(container, "/restartPolicy") == "Always";
        (if stays { Role::Sidecar } else { Role::Init }, container)
    });
    early.chain(items(pod, "/spec/containers").iter().map(|container| (Role::Main, container)))
}

/// The containers whose ports are the pod's: those that stay. A name is looked for in the containers proper first.
pub(super) fn serving(pod: &Value) -> impl Iterator<Item = &Value> {
    of_role(pod, Role::Main).chain(of_role(pod, Role::Sidecar))
}

/// Containers that have this role.
pub(super) fn of_role(pod: &Value, wanted: Role) -> impl Iterator<Item = &Value> {
    containers(pod).filter(move |(role, _)| *role == wanted).map(|(_, container)| container)
}

/// A container as the node is told to start it.
///
/// # Errors
/// What of it the sandbox cannot run.
pub(super) fn command(pod: &Value, container: &Value) -> Result<Container, String> {
    let name = text(container, "/name").to_owned();
    Ok(Container { name, argv: argv(container), env: environment(pod, container)? })
}

/// Pulls a container's image: every one is taken for the probe's, but those of registries in the domain `invalid` (RFC 2606),
/// which no cluster can reach. So what happens then can be tried here, too.
///
/// # Errors
/// Why it cannot be pulled, in a kubelet's words.
pub(super) fn pull(container: &Value) -> Result<(), String> {
    let image = text(container, "/image");
    let registry = image.split(['/', ':']).next().unwrap_or_default();
    if registry.ends_with(".invalid") {
        return Err(format!("Back-off pulling image \"{image}\": dial tcp: lookup {registry}: no such host"));
    }
    Ok(())
}

/// The command of a container. The image's entry point is `verdikt-probe`; without arguments it serves the
/// ports that the container declares, so that a pod made for another image answers, too.
fn argv(container: &Value) -> Vec<String> {
    let list = |pointer| {
        items(container, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut argv, mut args) = (list("/command"), list("/args"));
    if argv.is_empty() {
        argv.push("verdikt-probe".into());
        if args.is_empty() {
            args.push("serve".into());
            for (protocol, flag) in [("TCP", "--tcp"), ("UDP", "--udp"), ("SCTP", "--sctp")] {
                let ports: Vec<String> = items(container, "/ports")
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

/// The environment of a container.
fn environment(pod: &Value, container: &Value) -> Result<BTreeMap<String, String>, String> {
    // The probe's identity is by default its host name, which is the pod's name in a real cluster.
    let mut env: BTreeMap<String, String> =
        [(verdikt_protocol::IDENTITY_VARIABLE.to_owned(), text(pod, "/metadata/name").to_owned())].into();
    for variable in items(container, "/env") {
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
    fn sidecars_serve_beside_the_containers_proper() {
        let pod = json!({"spec": {
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        }});
        let roles: Vec<Role> = containers(&pod).map(|(role, _)| role).collect();
        assert_eq!(roles, [Role::Init, Role::Sidecar, Role::Main, Role::Main]);
        let names: Vec<&str> = serving(&pod).map(|container| text(container, "/name")).collect();
        assert_eq!(names, ["a", "b", "s"]);
    }

    #[test]
    fn the_images_entry_point_is_the_probe() {
        let argv_of = |container: Value| argv(&container);
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
        let pull = |image: &str| pull(&json!({"image": image}));
        assert_eq!(pull("ghcr.io/verdikt/verdikt-probe:1"), Ok(()));
        assert_eq!(
            pull("x.invalid"),
            Err("Back-off pulling image \"x.invalid\": dial tcp: lookup x.invalid: no such host".into())
        );
        assert!(pull("registry.invalid:5000/a/b:1").unwrap_err().contains("lookup registry.invalid:"));
    }

    #[test]
    fn environment_comes_from_values_and_the_pods_own_fields() {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "x"}, "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}]},
        });
        let environment = |env: Value| environment(&pod, &json!({ "env": env }));
        let env = environment(json!([
            {"name": "A", "value": "1"},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        ]))
        .unwrap();
        assert_eq!(env["A"], "1");
        assert_eq!(env["N"], "a");
        assert_eq!(env["I"], "10.0.0.1,::1");
        let secret = json!([{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        assert!(environment(secret).unwrap_err().contains("variable S"));
    }
}
