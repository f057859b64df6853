//! Random worlds and policies: the oracle against the naive one, and what must hold for every answer.

use proptest::prelude::*;
use serde_json::{Value, json};
use verdikt_model::{
    EndpointName, ExtraEndpoint, Family, NamespaceSpec, Placement, PodSpec, PortProtocol, Protocol, Serve,
    ServiceKind, ServicePortSpec, ServiceSpec, TargetPort, Topology, Via, World, cells,
};
use verdikt_oracle::Oracle;

use crate::{
    common::{assert_well_formed, labels, pod_mut, policy, serve},
    naive,
};

fn role() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![("role", "a")]),
        Just(vec![("role", "b")]),
        Just(vec![("role", "b"), ("env", "p")])
    ]
}

#[derive(Debug, Clone)]
struct PodShape {
    labels: Vec<(&'static str, &'static str)>,
    node: u16,
    host_network: bool,
    node_known: bool,
    web: Option<u16>,
    /// What a second container of the pod gives the same name.
    web_again: Option<u16>,
}

fn pod() -> impl Strategy<Value = PodShape> {
    let chance = |p| prop::bool::weighted(p);
    let number = |p| prop::option::weighted(p, 80..=81_u16);
    (role(), 1..=2_u16, chance(0.1), chance(0.95), number(0.8), number(0.2)).prop_map(
        |(labels, node, host_network, node_known, web, web_again)| PodShape {
            labels,
            node,
            host_network,
            node_known,
            web,
            web_again,
        },
    )
}

fn service() -> impl Strategy<Value = ServiceSpec> {
    let target = prop_oneof![
        Just(TargetPort::Number(80)),
        Just(TargetPort::Number(81)),
        Just(TargetPort::Name("web".into()))
    ];
    let kind = prop_oneof![
        3 => Just(ServiceKind::ClusterIp),
        1 => Just(ServiceKind::Headless),
        1 => Just(ServiceKind::NodePort { local: false })
    ];
    (role(), target, kind).prop_map(|(selector, target, kind)| ServiceSpec {
        selector: labels(&selector),
        pods: Vec::new(),
        alias: None,
        ports: vec![ServicePortSpec { port: PortProtocol { port: 80, protocol: Protocol::Tcp }, target }],
        kind,
        via: match kind {
            ServiceKind::ClusterIp => [Via::ClusterIp, Via::Dns].into(),
            ServiceKind::Headless => [Via::Headless].into(),
            ServiceKind::NodePort { .. } => [Via::ClusterIp, Via::NodePort].into(),
            ServiceKind::ExternalName => unreachable!("none is made"),
        },
    })
}

fn selector(key: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let expression = |operator: &'static str| {
        prop::sample::select(values).prop_map(move |value| {
            let values = if operator.ends_with("In") { json!([value]) } else { json!([]) };
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        })
    };
    prop_oneof![
        2 => Just(json!({})),
        3 => prop::sample::select(values).prop_map(move |value| json!({"matchLabels": {key: value}})),
        1 => expression("In"),
        1 => expression("NotIn"),
        1 => expression("Exists"),
        1 => expression("DoesNotExist"),
    ]
}

fn pods() -> impl Strategy<Value = Value> {
    selector("role", &["a", "b"])
}

fn namespaces() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector("env", &["p", "t"]),
        prop::sample::select(&["x", "y", "z", "kube-system"][..])
            .prop_map(|name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}})),
    ]
}

const CIDRS: [&str; 14] = [
    "0.0.0.0/0",
    "::/0",
    "10.244.0.0/16",
    "10.244.0.0/20",
    "fd00:10:244::/48",
    "172.30.0.1/32",
    "172.30.0.0/24",
    "198.51.100.10/32",
    "198.51.100.0/24",
    "198.51.100.10/24",
    "2001:db8::/32",
    "10.96.0.0/16",
    "fd00:10:96::/112",
    "bad",
];

fn peer() -> impl Strategy<Value = Value> {
    let cidr = || prop::sample::select(&CIDRS[..]);
    prop_oneof![
        2 => pods().prop_map(|p| json!({"podSelector": p})),
        3 => namespaces().prop_map(|n| json!({"namespaceSelector": n})),
        3 => (namespaces(), pods()).prop_map(|(n, p)| json!({"namespaceSelector": n, "podSelector": p})),
        3 => (cidr(), prop::collection::vec(cidr(), 0..2)).prop_map(|(c, e)| json!({"ipBlock": {"cidr": c, "except": e}})),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let number = prop_oneof![Just(json!(80)), Just(json!(81)), Just(json!("web")), Just(json!("nosuch"))];
    prop_oneof![
        4 => number.prop_map(|port| json!({"port": port})),
        1 => Just(json!({"port": 80, "endPort": 81})),
        1 => Just(json!({"port": 30000, "endPort": 32767})),
        1 => Just(json!({"port": 53, "protocol": "UDP"})),
        1 => Just(json!({"protocol": "UDP"})),
        1 => Just(json!({"protocol": "TCP"})),
    ]
}

fn rule(peers: &'static str) -> impl Strategy<Value = Value> {
    let list =
        |element: BoxedStrategy<Value>| prop::option::weighted(0.7, prop::collection::vec(element, 0..3));
    (list(peer().boxed()), list(port().boxed())).prop_map(move |(have, ports)| {
        let mut rule = json!({});
        if let Some(have) = have {
            rule[peers] = json!(have);
        }
        if let Some(ports) = ports {
            rule["ports"] = json!(ports);
        }
        rule
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let rules = |peers| prop::option::weighted(0.7, prop::collection::vec(rule(peers), 0..3));
    let types = prop::option::weighted(
        0.7,
        prop::sample::select(vec![
            json!(["Ingress"]),
            json!(["Egress"]),
            json!(["Ingress", "Egress"]),
            json!([]),
        ]),
    );
    (pods(), types, rules("from"), rules("to")).prop_map(|(pods, types, ingress, egress)| {
        let mut spec = json!({"podSelector": pods});
        for (key, value) in [
            ("policyTypes", types),
            ("ingress", ingress.map(|r| json!(r))),
            ("egress", egress.map(|r| json!(r))),
        ] {
            if let Some(value) = value {
                spec[key] = value;
            }
        }
        spec
    })
}

/// What is known of the cluster's DNS.
#[derive(Debug, Clone, Copy)]
enum Dns {
    Endpoint,
    PodsOnly,
    Unknown,
}

fn world() -> impl Strategy<Value = World> {
    let namespace = || (role(), prop::collection::vec(pod(), 1..3));
    let policies =
        prop::collection::vec((prop::sample::select(&["x", "x", "y", "z", "kube-system"][..]), spec()), 0..5);
    let dns = prop_oneof![3 => Just(Dns::Endpoint), 1 => Just(Dns::PodsOnly), 1 => Just(Dns::Unknown)];
    (prop::collection::vec(namespace(), 3), service(), policies, dns).prop_map(
        |(namespaces, service, policies, dns)| {
            let mut topology = Topology::default();
            let mut shapes = Vec::new();
            for (name, (labelled, pods)) in ["x", "y", "z"].into_iter().zip(namespaces) {
                let mut spec = NamespaceSpec { labels: labels(&labelled), ..NamespaceSpec::default() };
                for (pod, shape) in ["a", "b"].into_iter().zip(pods) {
                    let mut serve = serve();
                    let names = |number: Option<u16>| {
                        let web = |port| ("web".to_owned(), PortProtocol { port, protocol: Protocol::Tcp });
                        number.map(web).into_iter().collect()
                    };
                    serve.names = names(shape.web);
                    let placed = PodSpec {
                        labels: labels(&shape.labels),
                        serve,
                        sidecar: Serve { names: names(shape.web_again), ..Serve::default() },
                        placement: Placement::Node(shape.node),
                        host_network: shape.host_network,
                        ..PodSpec::default()
                    };
                    spec.pods.insert(pod.into(), placed);
                    shapes.push((format!("{name}/{pod}"), shape));
                }
                topology.namespaces.insert(name.into(), spec);
            }
            topology.namespaces.get_mut("x").unwrap().services.insert("web".into(), service);
            let extra = ExtraEndpoint { serve: serve() };
            for name in
                [EndpointName::Node(1), EndpointName::Node(2), EndpointName::External(1), EndpointName::Dns]
            {
                topology.endpoints.insert(name, extra.clone());
            }
            let mut world = World::synthetic(&topology);
            for (name, shape) in shapes {
                if !shape.node_known {
                    pod_mut(&mut world, &name).node = None;
                }
            }
            match dns {
                Dns::Endpoint => {}
                Dns::PodsOnly => world.endpoints.retain(|endpoint| endpoint.name != EndpointName::Dns),
                Dns::Unknown => world.other_pods.clear(),
            }
            world.policies = policies
                .into_iter()
                .enumerate()
                .map(|(i, (namespace, spec))| policy(&format!("{namespace}/p{i}"), spec))
                .collect();
            world
        },
    )
}

proptest! {
    #[test]
    fn the_oracle_is_the_naive_oracle(world in world(), picks in prop::collection::vec(any::<prop::sample::Index>(), 48)) {
        let oracle = Oracle::new(&world);
        let all = cells(&world, Family::ALL);
        for pick in picks {
            let cell = pick.get(&all);
            let answer = oracle.explain(cell);
            let naive = naive::expect(&world, cell);
            prop_assert_eq!(
                answer.expectation, naive,
                "{} -> {}:{} via {} over {}\n{:#?}\n{}",
                world.name(cell.from), world.name(cell.to), cell.port_protocol(), cell.via, cell.family,
                &answer.reasons, serde_json::to_string_pretty(&world.policies).unwrap(),
            );
        }
    }

    #[test]
    fn expect_is_explain_and_every_answer_has_a_reason(world in world()) {
        let oracle = Oracle::new(&world);
        for cell in cells(&world, Family::ALL) {
            assert_well_formed(&oracle, &cell, &oracle.explain(&cell));
        }
    }
}
