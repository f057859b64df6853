//! EndpointSlices of Services that name their pods. They follow those pods as an endpoint controller has it: a pod is in
//! them from when it is ready until it is gone or has ended, under the address that it has then, and is not ready any
//! more once it has been told to end.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use verdikt_model::{EndpointName, Family, PodPhase, PodSpec, ServiceSpec, TargetPort, Topology};

use crate::{
    client::Cluster,
    deploy::Deployment,
    error::ClusterError,
    scope::Scope,
    services::{labels, port_name},
};

/// A pod by its logical namespace and name.
type PodName<'a> = (&'a str, &'a str);

impl Cluster {
    /// Makes the EndpointSlices of Services that name their pods, and brings those that are there up to date.
    /// `of`: only of Services that name this pod.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn write_slices(
        &self,
        scope: &Scope,
        topology: &Topology,
        deployment: &mut Deployment,
        of: Option<&EndpointName>,
    ) -> Result<(), ClusterError> {
        let concerns = |spec: &ServiceSpec| match of {
            None => !spec.pods.is_empty(),
            Some(pod) => spec.pods.contains(pod),
        };
        for (namespace, service, spec) in topology.services().filter(|(.., spec)| concerns(spec)) {
            let real = deployment.real(namespace)?;
            for slice in slices(scope, topology, deployment, (&real, service), spec) {
                self.write_slice(deployment, &real, slice).await?;
            }
        }
        Ok(())
    }

    async fn write_slice(
        &self,
        deployment: &mut Deployment,
        namespace: &str,
        slice: EndpointSlice,
    ) -> Result<(), ClusterError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let name = slice.metadata.name.clone().unwrap_or_default();
        let key = (namespace.to_owned(), name.clone());
        if deployment.slices.contains(&key) {
            let (what, params) = (format!("update endpointslice {namespace}/{name}"), PatchParams::default());
            let patch = Patch::Merge(json!({"endpoints": slice.endpoints}));
            return self.change(what, || async { api.patch(&name, &params, &patch).await }).await.map(drop);
        }
        // Of an IP family that nobody has, there is none.
        if slice.endpoints.is_empty() {
            return Ok(());
        }
        let (what, params) = (format!("create endpointslice {namespace}/{name}"), PostParams::default());
        match self.call(&what, || async { api.create(&params, &slice).await }).await {
            // The namespace is new and ours, so what is there already is from an attempt whose answer was lost.
            Ok(_) | Err(ClusterError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        deployment.slices.insert(key);
        Ok(())
    }
}

/// The slices of a Service: for each IP family one of all pods on which its ports have the same numbers.
fn slices(
    scope: &Scope,
    topology: &Topology,
    deployment: &Deployment,
    (real, service): (&str, &str),
    spec: &ServiceSpec,
) -> Vec<EndpointSlice> {
    let mut groups: BTreeMap<Vec<Option<u16>>, Vec<PodName<'_>>> = BTreeMap::new();
    for pod in &spec.pods {
        let EndpointName::Pod { namespace, name } = pod else { continue };
        let Some(made) = topology.namespaces.get(namespace).and_then(|spec| spec.pods.get(name)) else {
            continue;
        };
        let numbers = spec.ports.iter().map(|port| number(made, &port.target)).collect();
        groups.entry(numbers).or_default().push((namespace, name));
    }
    let mut labels = labels(scope, &deployment.lane);
    labels.insert("kubernetes.io/service-name".into(), service.to_owned());
    labels.insert("endpointslice.kubernetes.io/managed-by".into(), "verdikt.dev".into());
    let mut made = Vec::new();
    for (index, (numbers, pods)) in groups.iter().enumerate() {
        // A pod without a port of that name is not led to over it.
        let ports = spec.ports.iter().zip(numbers).enumerate().filter_map(|(index, (port, number))| {
            Some(EndpointPort {
                name: Some(port_name(index)),
                port: Some(i32::from((*number)?)),
                protocol: Some(port.port.protocol.kubernetes().to_owned()),
                ..EndpointPort::default()
            })
        });
        let ports: Vec<EndpointPort> = ports.collect();
        for family in Family::ALL {
            let name = match index {
                0 => format!("{service}-{family}"),
                _ => format!("{service}-{family}-{}", index + 1),
            };
            made.push(EndpointSlice {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: Some(real.to_owned()),
                    labels: Some(labels.clone()),
                    ..ObjectMeta::default()
                },
                address_type: if *family == Family::Ipv4 { "IPv4" } else { "IPv6" }.into(),
                endpoints: pods.iter().filter_map(|pod| endpoint(deployment, *pod, *family)).collect(),
                ports: Some(ports.clone()),
            });
        }
    }
    made
}

/// The number of a target port on a pod.
fn number(pod: &PodSpec, target: &TargetPort) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(port) => {
            let named = pod.serve.names.get(port).or_else(|| pod.sidecar.names.get(port));
            named.map(|port| port.port)
        }
    }
}

fn endpoint(deployment: &Deployment, (namespace, name): PodName<'_>, family: Family) -> Option<Endpoint> {
    let pod = deployment.pods.get(&(namespace.to_owned(), name.to_owned()))?;
    let terminating = match pod.phase {
        PodPhase::Absent => return None,
        PodPhase::Running => false,
        PodPhase::Terminating => true,
    };
    let ip = pod.ips.iter().find(|ip| Family::of(**ip) == family)?;
    Some(Endpoint {
        addresses: vec![ip.to_string()],
        node_name: Some(pod.node.clone()),
        conditions: Some(EndpointConditions {
            ready: Some(!terminating),
            serving: Some(true),
            terminating: Some(terminating),
        }),
        ..Endpoint::default()
    })
}

#[cfg(test)]
mod tests {
    use verdikt_model::{NamespaceSpec, PortProtocol, Protocol, Serve, ServiceKind, ServicePortSpec};

    use super::*;
    use crate::{deploy::DeployedPod, scope::Names};

    fn named(port: u16) -> PodSpec {
        let port = PortProtocol { port, protocol: Protocol::Tcp };
        let names = [("http".to_owned(), port)].into();
        PodSpec { serve: Serve { ports: [port].into(), names, ..Serve::default() }, ..PodSpec::default() }
    }

    /// A Service to the port `http` of three pods, which have it at two numbers.
    fn service() -> (Topology, ServiceSpec) {
        let spec = ServiceSpec {
            selector: BTreeMap::new(),
            pods: ["a", "b", "c"].map(|name| EndpointName::pod("x", name)).into(),
            alias: None,
            ports: vec![ServicePortSpec {
                port: PortProtocol { port: 80, protocol: Protocol::Tcp },
                target: TargetPort::Name("http".into()),
            }],
            kind: ServiceKind::ClusterIp,
            via: [verdikt_model::Via::ClusterIp].into(),
        };
        let pods = [("a", 8080), ("b", 9090), ("c", 8080)].map(|(name, port)| (name.to_owned(), named(port)));
        let namespace = NamespaceSpec { pods: pods.into(), ..NamespaceSpec::default() };
        (Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() }, spec)
    }

    /// A slice's name, its port, and each endpoint's address and whether it is ready.
    type Shown = (String, i32, Vec<(String, bool)>);

    /// The IPv4 slices of [`service`] with these pods.
    fn shown(pods: &[(&str, &str, PodPhase)]) -> Vec<Shown> {
        let (topology, spec) = service();
        let pods = pods.iter().map(|(name, ip, phase)| {
            let pod = DeployedPod {
                node: "n1".into(),
                ips: vec![ip.parse().unwrap()],
                uid: "u".into(),
                phase: *phase,
            };
            (("x".to_owned(), (*name).to_owned()), pod)
        });
        let deployment = Deployment {
            names: Names::from([("x", "verdikt-r1-x")]),
            pods: pods.collect(),
            ..Deployment::default()
        };
        let scope =
            Scope { run: "r1".into(), prefix: "verdikt".into(), user: "u".into(), started: "t".into() };
        let all = slices(&scope, &topology, &deployment, ("verdikt-r1-x", "s"), &spec);
        let ipv4 = all.into_iter().filter(|slice| slice.address_type == "IPv4");
        ipv4.map(|slice| {
            let port = slice.ports.unwrap()[0].port.unwrap();
            let endpoints = slice.endpoints.into_iter().map(|endpoint| {
                let ready = endpoint.conditions.and_then(|conditions| conditions.ready);
                (endpoint.addresses[0].clone(), ready.unwrap())
            });
            (slice.metadata.name.unwrap(), port, endpoints.collect())
        })
        .collect()
    }

    #[test]
    fn each_pod_is_in_the_slice_of_its_numbers_under_the_address_that_it_has() {
        let all = shown(&[
            ("a", "10.0.0.1", PodPhase::Running),
            ("b", "10.0.0.2", PodPhase::Running),
            ("c", "10.0.0.3", PodPhase::Running),
        ]);
        let on = |ip: &str| (ip.to_owned(), true);
        assert_eq!(
            all,
            [
                ("s-ipv4".to_owned(), 8080, vec![on("10.0.0.1"), on("10.0.0.3")]),
                ("s-ipv4-2".to_owned(), 9090, vec![on("10.0.0.2")]),
            ]
        );
    }

    #[test]
    fn pods_that_end_are_not_ready_and_those_that_are_gone_are_not_in_it() {
        let all = shown(&[("a", "10.0.0.1", PodPhase::Terminating), ("c", "10.0.0.3", PodPhase::Absent)]);
        assert_eq!(
            all,
            [
                ("s-ipv4".to_owned(), 8080, vec![("10.0.0.1".to_owned(), false)]),
                ("s-ipv4-2".to_owned(), 9090, Vec::new()),
            ]
        );
    }
}
