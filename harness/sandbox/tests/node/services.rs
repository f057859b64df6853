//! ClusterIPs and node ports.

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    Test,
    lab::Lab,
    plan,
    wire::{Place, ServicePortState},
};

pub(crate) const TESTS: &[Test] = &[
    ("services::a_cluster_ip_leads_to_every_backend", cluster_ip),
    ("services::policies_judge_the_pod_behind_a_service", policy),
    ("services::without_endpoints_is_refused", closed),
    ("services::node_ports_cluster_and_local", node_ports),
    ("services::a_local_node_port_with_a_backend_on_each_node_always_answers", local_on_both),
    ("services::an_endpoint_may_be_outside_of_the_cluster", foreign),
];

fn cluster_ip(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("x", "c", 0).await;
        let host = lab.add_host("one", Place::Node(0)).await;
        lab.service("s", 20, (8080, None), &[&a, &b]);
        lab.service("own", 21, (80, None), &[&c]);
        lab.sync().await;
        for ip in plan::service_ips(20) {
            for from in [&c, &host] {
                let mut seen = std::collections::BTreeSet::new();
                for _ in 0..40 {
                    let who = lab.who(from, ip, 8080).await;
                    let backend = ["x/a", "x/b"].into_iter().find(|id| who.contains(id));
                    seen.insert(backend.unwrap_or_else(|| panic!("{who}")));
                    assert!(
                        who.contains(&format!("saw {}", from.ips[usize::from(ip.is_ipv6())]))
                            || who.contains(&format!("saw [{}", from.ips[usize::from(ip.is_ipv6())])),
                        "{who}"
                    );
                    if seen.len() == 2 {
                        break;
                    }
                }
                assert_eq!(seen.len(), 2, "both backends are used");
            }
            assert_eq!(
                lab.probe(&c, ip, 80, "tcp").await,
                "dropped",
                "a port that the Service does not have"
            );
        }
        // A pod that reaches itself: its own address could not answer it.
        for ip in plan::service_ips(21) {
            let who = lab.who(&c, ip, 80).await;
            assert!(
                who.contains("x/c")
                    && who.contains(&plan::node_ips(0)[usize::from(ip.is_ipv6())].to_string()),
                "{who}"
            );
        }
        lab.stop().await;
    });
}

fn policy(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("y", "c", 1).await;
        lab.service("s", 20, (8080, None), &[&a]);
        lab.policy(
            "x",
            json!({"podSelector": {"matchLabels": {"pod": "a"}},
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]}),
        );
        lab.sync().await;
        for ip in plan::service_ips(20) {
            assert_eq!(lab.probe(&b, ip, 8080, "tcp").await, "allowed");
            assert_eq!(lab.probe(&c, ip, 8080, "tcp").await, "dropped");
        }
        lab.stop().await;
    });
}

fn closed(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let host = lab.add_host("one", Place::Node(0)).await;
        lab.service("s", 20, (80, Some(30080)), &[]);
        lab.sync().await;
        for from in [&a, &host] {
            for ip in plan::service_ips(20) {
                assert_eq!(lab.probe(from, ip, 80, "tcp").await, "rejected");
            }
            for ip in plan::node_ips(0) {
                assert_eq!(lab.probe(from, ip, 30080, "tcp").await, "rejected");
            }
        }
        lab.stop().await;
    });
}

/// What a client sees of a node port: the address that the server sees, or silence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sees {
    /// The client's own address.
    Client,
    /// The address of the node that was asked.
    Node,
    Silence,
}

fn node_ports(runtime: &Runtime) {
    use Sees::{Client, Node, Silence};
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let backend = lab.add("x", "backend", 0).await;
        let near = lab.add("x", "near", 0).await;
        let far = lab.add("x", "far", 1).await;
        let own = lab.add_host("own", Place::Node(0)).await;
        let other = lab.add_host("other", Place::Node(1)).await;
        let external = lab.add_host("external", Place::External).await;
        lab.service("s", 20, (80, Some(30080)), &[&backend]);
        // For each client: at the backend's node and at the other node, with Cluster; the same with Local.
        let table = [
            (&near, [Node, Node], [Client, Silence]),
            (&far, [Node, Node], [Client, Client]),
            (&own, [Node, Node], [Node, Silence]),
            (&other, [Node, Node], [Client, Node]),
            (&external, [Node, Node], [Client, Silence]),
            // A pod that reaches itself could not answer itself, whichever node sends it back.
            (&backend, [Node, Node], [Node, Silence]),
        ];
        for local in [false, true] {
            lab.state.services[0].local = local;
            lab.sync().await;
            for (from, cluster, with_local) in &table {
                let expected = if local { with_local } else { cluster };
                for (node, expected) in (0..2).zip(expected) {
                    for ip in plan::node_ips(node) {
                        let what = format!("local: {local}, {} -> {ip}", from.uid);
                        if *expected == Silence {
                            assert_eq!(lab.probe(from, ip, 30080, "tcp").await, "dropped", "{what}");
                            continue;
                        }
                        let who = lab.who(from, ip, 30080).await;
                        let seen = if *expected == Node { ip } else { from.ips[usize::from(ip.is_ipv6())] };
                        let client = std::net::SocketAddr::new(seen, 0).to_string();
                        let client = client.trim_end_matches('0');
                        assert!(
                            who.contains("x/backend") && who.contains(client),
                            "{what}: {client} in {who}"
                        );
                    }
                }
            }
        }
        lab.stop().await;
    });
}

/// Nobody may be sent to a backend whose answers go around the node that was asked: not once in many connections.
fn local_on_both(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let backends = [lab.add("x", "a", 0).await, lab.add("x", "b", 1).await];
        let pods = [lab.add("x", "near", 0).await, lab.add("x", "far", 1).await];
        let hosts = [lab.add_host("one", Place::Node(0)).await, lab.add_host("two", Place::Node(1)).await];
        let external = lab.add_host("external", Place::External).await;
        lab.service("s", 20, (80, Some(30080)), &[&backends[0], &backends[1]]);
        let service = &mut lab.state.services[0];
        service.local = true;
        let udp = ServicePortState { protocol: "UDP".into(), name: "udp".into(), ..service.ports[0].clone() };
        service.ports.push(udp);
        lab.sync().await;
        let clients = backends.iter().chain(&pods).chain(&hosts).chain([&external]);
        for (from, node) in clients.flat_map(|from| [(from, 0), (from, 1)]) {
            let inside = from.place == Place::Pod(node) || from.place == Place::Node(node);
            for ip in plan::node_ips(node) {
                let what = format!("{} -> {ip}", from.uid);
                for _ in 0..8 {
                    let who = lab.who(from, ip, 30080).await;
                    let own = format!("x/{}", backends[usize::from(node)].name);
                    assert!(who.contains(&own) || inside && who.contains("x/"), "{what}: {who}");
                    assert_eq!(lab.probe(from, ip, 30080, "udp").await, "allowed", "{what} over UDP");
                }
            }
        }
        lab.stop().await;
    });
}

fn foreign(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let outside = lab.add_host("external", Place::External).await;
        // As a slice that somebody has written for the external host: it is on no node.
        lab.service("s", 20, (8080, Some(30080)), &[&outside]);
        for backend in &mut lab.state.services[0].ports[0].backends {
            backend.2 = plan::NODES;
        }
        lab.sync().await;
        for ip in plan::service_ips(20) {
            assert!(lab.who(&a, ip, 8080).await.contains("host/external"));
        }
        assert!(lab.who(&a, plan::node_ips(1)[0], 30080).await.contains("host/external"));
        lab.stop().await;
    });
}
