//! Traits about Services, against real packets: what the reference does, and what the trait makes of it.

use std::net::IpAddr;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    Test,
    lab::Lab,
    plan,
    profile::Profile,
    wire::{Place, PodState},
};

pub(crate) const TESTS: &[Test] = &[
    ("service_traits::egress_sees_addresses_and_ports_of_services", sees_services),
    ("service_traits::a_pod_reaches_itself", own_service),
    ("service_traits::node_ports_are_trusted_at_the_target", node_ports),
    ("service_traits::node_ports_keep_the_address_of_clients", kept_sources),
];

/// Number of the Service, its port, and its node port; its backends listen on port 80.
const NUMBER: u16 = 20;
const PORT: u16 = 8080;
const NODE_PORT: u16 = 30080;

fn pod(name: &str) -> Value {
    json!({"matchLabels": {"pod": name}})
}

/// Probes over TCP in both families with the reference and with a trait: source, target, port, and the verdicts of
/// both.
async fn compare(lab: &mut Lab, word: &str, probes: &[(&PodState, [IpAddr; 2], u16, [&str; 2])]) {
    for (number, profile) in ["reference".to_owned(), format!("reference+{word}")].iter().enumerate() {
        lab.state.traits = profile.parse::<Profile>().unwrap().traits().clone();
        lab.sync().await;
        for (from, to, port, expected) in probes {
            for ip in to {
                let seen = lab.probe(from, *ip, *port, "tcp").await;
                assert_eq!(seen, expected[number], "{profile}: {} -> {ip} port {port}", from.uid);
            }
        }
    }
}

fn of(pod: &PodState) -> [IpAddr; 2] {
    [pod.ips[0], pod.ips[1]]
}

fn sees_services(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let client = lab.add("x", "client", 0).await;
        let server = lab.add("x", "server", 1).await;
        lab.service("s", NUMBER, (PORT, Some(NODE_PORT)), &[&server]);
        let (cluster, [own, other]) = (plan::service_ips(NUMBER), [0, 1].map(plan::node_ips));
        let selected = json!([{"podSelector": pod("server")}]);
        let blocks = |cidrs: [&str; 2]| json!(cidrs.map(|cidr| json!({"ipBlock": {"cidr": cidr}})));
        let nodes = ["172.30.0.0/24", "fd00:172:30::/64"];
        // Peers and ports; verdicts of the pod itself, of the cluster IP, and of the own and another node's port. A selector
        // means the Service's port that leads to the one it names, a block the Service's own; the own node is open.
        let (yes, no) = ("allowed", "dropped");
        let (same, never) = ([yes, yes], [no, no]);
        let cases = [
            (selected.clone(), json!(80), [same, same, same, never]),
            (selected.clone(), json!(PORT), [never, never, [no, yes], never]),
            (selected.clone(), json!("web"), [same, same, same, never]),
            (blocks(plan::SERVICE_CIDRS), json!(PORT), [never, [no, yes], [no, yes], never]),
            (blocks(plan::POD_CIDRS), json!(80), [same, [yes, no], same, never]),
            (blocks(nodes), json!(NODE_PORT), [never, never, [no, yes], same]),
        ];
        for (peers, port, [itself, by_cluster_ip, by_own_node, by_other_node]) in cases {
            lab.state.policies.clear();
            lab.policy(
                "x",
                json!({"podSelector": pod("client"), "policyTypes": ["Egress"],
                    "egress": [{"to": peers, "ports": [{"port": port}]}]}),
            );
            let probes = [
                (&client, of(&server), 80, itself),
                (&client, cluster, PORT, by_cluster_ip),
                (&client, own, NODE_PORT, by_own_node),
                (&client, other, NODE_PORT, by_other_node),
            ];
            compare(&mut lab, "egress-sees-services", &probes).await;
        }
        // The server's own policy sees the pod as ever.
        lab.state.policies.clear();
        lab.policy("x", json!({"podSelector": pod("server"), "ingress": [{"ports": [{"port": 80}]}]}));
        compare(&mut lab, "egress-sees-services", &[(&client, cluster, PORT, [yes, yes])]).await;
        // A Service without a selector is like one without labels, and one of another namespace is nobody's peer.
        let any = json!([{"podSelector": {}}]);
        let cases = [(&any, "x", false, yes), (&selected, "x", false, no), (&selected, "y", true, no)];
        for (peers, namespace, selects, through) in cases {
            lab.state.policies.clear();
            lab.policy(
                "x",
                json!({"podSelector": pod("client"), "policyTypes": ["Egress"], "egress": [{"to": peers}]}),
            );
            let service = &mut lab.state.services[0];
            namespace.clone_into(&mut service.namespace);
            service.selector = if selects { server.labels.clone() } else { [].into() };
            compare(&mut lab, "egress-sees-services", &[(&client, cluster, PORT, [yes, through])]).await;
        }
        lab.stop().await;
    });
}

fn own_service(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let server = lab.add("x", "server", 0).await;
        let near = lab.add("x", "near", 0).await;
        lab.service("s", NUMBER, (PORT, Some(NODE_PORT)), &[&server]);
        let (cluster, [own, other]) = (plan::service_ips(NUMBER), [0, 1].map(plan::node_ips));
        lab.policy("x", json!({"podSelector": pod("server"), "policyTypes": ["Ingress"]}));
        let probes = [
            (&server, cluster, PORT, ["dropped", "allowed"]),
            (&server, own, NODE_PORT, ["dropped", "allowed"]),
            (&server, other, NODE_PORT, ["dropped", "allowed"]),
            (&near, cluster, PORT, ["dropped", "dropped"]),
            (&near, own, NODE_PORT, ["dropped", "dropped"]),
            (&near, other, NODE_PORT, ["dropped", "dropped"]),
        ];
        compare(&mut lab, "allows-own-service", &probes).await;
        lab.policy("x", json!({"podSelector": pod("server"), "policyTypes": ["Egress"]}));
        let probes = [
            (&server, cluster, PORT, ["dropped", "allowed"]),
            (&server, own, NODE_PORT, ["dropped", "allowed"]),
            // Its egress policy sees another node.
            (&server, other, NODE_PORT, ["dropped", "dropped"]),
        ];
        compare(&mut lab, "allows-own-service", &probes).await;
        lab.stop().await;
    });
}

fn node_ports(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let server = lab.add("x", "server", 0).await;
        let far = lab.add("x", "far", 1).await;
        let external = lab.add_host("external", Place::External).await;
        lab.service("s", NUMBER, (PORT, Some(NODE_PORT)), &[&server]);
        lab.policy("x", json!({"podSelector": pod("server"), "policyTypes": ["Ingress"]}));
        for (local, through) in [(false, "allowed"), (true, "dropped")] {
            lab.state.services[0].local = local;
            let mut probes = vec![
                (&far, of(&server), 80, ["dropped", "dropped"]),
                (&far, plan::service_ips(NUMBER), PORT, ["dropped", "dropped"]),
            ];
            for client in [&far, &external] {
                let nodes = [0, 1].map(plan::node_ips);
                probes.extend(nodes.map(|node| (client, node, NODE_PORT, ["dropped", through])));
            }
            compare(&mut lab, "trusts-node-ports", &probes).await;
        }
        // The source's side is policed as ever.
        lab.state.services[0].local = false;
        lab.policy("x", json!({"podSelector": pod("far"), "policyTypes": ["Egress"]}));
        compare(
            &mut lab,
            "trusts-node-ports",
            &[(&far, plan::node_ips(1), NODE_PORT, ["dropped", "dropped"])],
        )
        .await;
        lab.stop().await;
    });
}

/// Every client by every node, to a pod of its node and of the other one, and to one on a node's network.
fn kept_sources(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let near = lab.add("x", "near", 0).await;
        let far = lab.add("x", "far", 1).await;
        let node = lab.add_host("node", Place::Node(0)).await;
        let external = lab.add_host("external", Place::External).await;
        let servers = [
            lab.add("x", "here", 0).await,
            lab.add("x", "there", 1).await,
            lab.add_host("hosted", Place::Node(1)).await,
        ];
        lab.state.traits = "reference+node-ports-keep-source".parse::<Profile>().unwrap().traits().clone();
        let clients = [&near, &far, &node, &external];
        for server in &servers {
            lab.state.services.clear();
            lab.service("s", NUMBER, (PORT, Some(NODE_PORT)), &[server]);
            lab.sync().await;
            for client in clients {
                for entry in [0, 1].into_iter().flat_map(plan::node_ips) {
                    let seen = lab.who(client, entry, NODE_PORT).await;
                    let own = client.ips.iter().find(|ip| ip.is_ipv6() == entry.is_ipv6()).unwrap();
                    let (client, server) = (&client.uid, &server.uid);
                    assert!(seen.contains(&own.to_string()), "{client} -> {entry} -> {server}: {seen}");
                }
            }
        }

        // Policies see the client, and at the source the pod behind the port.
        lab.state.services.clear();
        lab.service("s", NUMBER, (PORT, Some(NODE_PORT)), &[&servers[0]]);
        let only = |name: &str| json!({"podSelector": pod("here"), "ingress": [{"from": [{"podSelector": pod(name)}]}]});
        lab.policy("x", only("far"));
        let nodes = [0, 1].map(plan::node_ips);
        // In the reference the dialled node takes the client's place, but for pods of its own only after they are asked.
        let probes = [
            (&far, nodes[0], NODE_PORT, ["allowed", "allowed"]),
            (&far, nodes[1], NODE_PORT, ["dropped", "allowed"]),
            (&near, nodes[0], NODE_PORT, ["dropped", "dropped"]),
            (&near, nodes[1], NODE_PORT, ["dropped", "dropped"]),
        ];
        compare(&mut lab, "node-ports-keep-source", &probes).await;
        lab.state.policies.clear();
        lab.policy(
            "x",
            json!({"podSelector": pod("near"), "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": pod("here")}]}]}),
        );
        let probes = [
            (&near, nodes[0], NODE_PORT, ["allowed", "allowed"]),
            (&near, nodes[1], NODE_PORT, ["dropped", "allowed"]),
        ];
        compare(&mut lab, "node-ports-keep-source", &probes).await;
        lab.stop().await;
    });
}
