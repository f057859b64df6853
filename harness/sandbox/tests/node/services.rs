//! ClusterIPs and node ports.

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Test, lab::Lab, plan, wire::Place};

pub(crate) const TESTS: &[Test] = &[
    ("services::a_cluster_ip_leads_to_every_backend", cluster_ip),
    ("services::policies_judge_the_pod_behind_a_service", policy),
    ("services::without_endpoints_is_refused", closed),
    ("services::node_ports_cluster_and_local", node_ports),
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

fn node_ports(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let external = lab.add_host("external", Place::External).await;
        let one = lab.add_host("one", Place::Node(0)).await;
        lab.service("s", 20, (80, Some(30080)), &[&a]);
        lab.sync().await;
        for node in 0..2 {
            for ip in plan::node_ips(node) {
                for from in [&external, &one, &a] {
                    let who = lab.who(from, ip, 30080).await;
                    let seen = ip.to_string();
                    assert!(who.contains("x/a") && who.contains(&seen), "{} -> {ip}: {who}", from.uid);
                }
            }
        }
        lab.state.services[0].local = true;
        lab.sync().await;
        for ip in plan::node_ips(0) {
            let who = lab.who(&external, ip, 30080).await;
            let seen = external.ips[usize::from(ip.is_ipv6())].to_string();
            assert!(who.contains("x/a") && who.contains(&seen), "{who}");
        }
        for ip in plan::node_ips(1) {
            assert_eq!(lab.probe(&external, ip, 30080, "tcp").await, "dropped");
            assert_eq!(
                lab.probe(&a, ip, 30080, "tcp").await,
                "dropped",
                "it comes to node 1 from outside of it"
            );
        }
        lab.stop().await;
    });
}
