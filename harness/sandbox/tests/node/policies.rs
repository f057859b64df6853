//! NetworkPolicies against real packets.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Test, commands::TALK, lab::Lab, profile::Profile, wire::Place};

pub(crate) const TESTS: &[Test] = &[
    ("policies::deny_all_drops_and_selectors_let_through", deny_and_allow),
    ("policies::egress_and_ingress_must_both_allow", both_ends),
    ("policies::ip_blocks_and_their_exceptions", ip_blocks),
    ("policies::named_ports_ranges_and_protocols", ports),
    ("policies::nodes_reach_their_own_pods_only", own_node),
    ("policies::an_address_does_not_bring_its_last_owners_connections", new_owner),
    ("policies::tables_change_without_a_gap", no_gap),
    ("policies::a_change_is_in_force_when_sync_returns", toggles),
    ("policies::without_enforcement_nothing_is_denied", flannel),
    ("policies::a_table_too_large_for_one_batch_is_applied", large),
];

fn deny_and_allow(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("y", "c", 0).await;
        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        lab.sync().await;
        lab.expect(&b, &a, 80, "dropped").await;
        lab.expect(&c, &a, 80, "dropped").await;
        assert_eq!(lab.probe(&c, a.ips[0], 80, "udp").await, "dropped");
        // To itself, and out.
        lab.expect(&a, &a, 80, "allowed").await;
        lab.expect(&a, &c, 80, "allowed").await;
        lab.policy(
            "x",
            json!({"podSelector": {"matchLabels": {"pod": "a"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}]}),
        );
        lab.sync().await;
        lab.expect(&b, &a, 80, "allowed").await;
        assert_eq!(lab.probe(&b, a.ips[0], 80, "udp").await, "allowed");
        lab.expect(&c, &a, 80, "dropped").await;
        lab.expect(&a, &b, 80, "dropped").await;
        lab.state.policies.clear();
        lab.sync().await;
        lab.expect(&c, &a, 80, "allowed").await;
        lab.stop().await;
    });
}

fn both_ends(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 0).await;
        let c = lab.add("x", "c", 1).await;
        lab.policy(
            "x",
            json!({"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"pod": "b"}}},
                               {"podSelector": {"matchLabels": {"pod": "c"}}}]}]}),
        );
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"]}));
        lab.sync().await;
        // Egress lets both through; ingress of b, on the same node, still stops it.
        lab.expect(&a, &b, 80, "dropped").await;
        lab.expect(&a, &c, 80, "allowed").await;
        lab.expect(&c, &a, 80, "allowed").await;
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "c"}}, "policyTypes": ["Egress"]}));
        lab.sync().await;
        lab.expect(&c, &a, 80, "dropped").await;
        // Answers pass all the same.
        lab.expect(&a, &c, 80, "allowed").await;
        lab.stop().await;
    });
}

fn ip_blocks(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("x", "c", 1).await;
        let external = lab.add_host("external", Place::External).await;
        let four = json!({"cidr": "10.244.0.0/16", "except": [format!("{}/32", c.ips[0])]});
        let six = json!({"cidr": "fd00:10:244::/48", "except": [format!("{}/128", c.ips[1])]});
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"ipBlock": four}, {"ipBlock": six}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]}]}));
        lab.sync().await;
        lab.expect(&b, &a, 80, "allowed").await;
        lab.expect(&c, &a, 80, "dropped").await;
        lab.expect(&external, &a, 80, "dropped").await;
        lab.expect(&a, &external, 80, "allowed").await;
        lab.expect(&a, &b, 80, "dropped").await;
        lab.stop().await;
    });
}

fn ports(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let mut b = lab.pod("x", "b", 1);
        b.ports = vec![("web".into(), "TCP".into(), 81)];
        *lab.state.pods.last_mut().unwrap() = b.clone();
        lab.start(&b).await;
        let c = lab.add("x", "c", 1).await;
        let allow = |ports| json!({"podSelector": {}, "ingress": [{"ports": ports}]});
        lab.policy("x", allow(json!([{"port": "web"}])));
        lab.sync().await;
        lab.expect(&c, &a, 80, "allowed").await;
        lab.expect(&c, &a, 81, "dropped").await;
        lab.expect(&c, &b, 80, "dropped").await;
        lab.expect(&c, &b, 81, "allowed").await;
        assert_eq!(lab.probe(&c, a.ips[0], 80, "udp").await, "dropped");

        lab.state.policies.clear();
        lab.policy("x", allow(json!([{"port": 79, "endPort": 80, "protocol": "UDP"}, {"port": 81}])));
        lab.sync().await;
        lab.expect(&c, &a, 80, "dropped").await;
        lab.expect(&c, &a, 81, "allowed").await;
        assert_eq!(lab.probe(&c, a.ips[1], 80, "udp").await, "allowed");

        lab.state.policies.clear();
        lab.policy(
            "x",
            json!({"podSelector": {"matchLabels": {"pod": "c"}}, "policyTypes": ["Egress"],
            "egress": [{"ports": [{"port": "web"}]}]}),
        );
        lab.sync().await;
        lab.expect(&c, &a, 80, "allowed").await;
        lab.expect(&c, &a, 81, "dropped").await;
        lab.expect(&c, &b, 80, "dropped").await;
        lab.expect(&c, &b, 81, "allowed").await;
        lab.stop().await;
    });
}

fn own_node(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let one = lab.add_host("one", Place::Node(0)).await;
        let two = lab.add_host("two", Place::Node(1)).await;
        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        lab.sync().await;
        lab.expect(&one, &a, 80, "allowed").await;
        lab.expect(&a, &one, 80, "allowed").await;
        lab.expect(&two, &a, 80, "dropped").await;
        lab.expect(&a, &two, 80, "dropped").await;
        lab.stop().await;
    });
}

fn new_owner(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        lab.sync().await;
        for (index, source) in a.ips.iter().enumerate() {
            // The same source port before and after: to the node the two are one connection, but for the pod.
            let talk = async |deadline: &str| {
                let to = SocketAddr::new(b.ips[index], 80).to_string();
                let from = SocketAddr::new(*source, 40_000).to_string();
                lab.exec(&a, &["verdikt-probe", TALK, &from, &to, deadline]).await.code
            };
            assert_eq!(talk("2000").await, Ok(0));
            lab.node.delete_pod(&a.uid).await.unwrap();
            let mut state = lab.state.clone();
            state.policies.push(json!({
                "metadata": {"name": "p", "namespace": "x"},
                "spec": {"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"]},
            }));
            lab.node.sync(state, Duration::ZERO).await.unwrap();
            lab.start(&a).await;
            assert_eq!(
                talk("300").await,
                Ok(1),
                "{source}: the connection of the address's last owner is known"
            );
            lab.sync().await;
            assert_eq!(talk("2000").await, Ok(0));
        }
        lab.stop().await;
    });
}

/// Batches of denied probes while tables change.
const STORM: usize = 100;

fn no_gap(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("x", "c", 1).await;
        let deny = json!({"podSelector": {"matchLabels": {"pod": "c"}}, "policyTypes": ["Ingress"]});
        lab.policy("x", deny.clone());
        lab.sync().await;
        // Tables come and go under a stream of connects: what both allow is never lost, what both deny never passes.
        let allowed = async {
            let mut connects = 0;
            for _ in 0..10 {
                let targets = b.ips.iter().map(|ip| (*ip, 80)).cycle().take(200).collect();
                connects += lab.node.connect_loop(vec![a.uid.clone()], targets).await.unwrap().connects;
            }
            connects
        };
        let denied = async {
            let verdicts = lab.storm(&a, &c.ips, 80, STORM).await;
            assert_eq!(verdicts, BTreeMap::from([("dropped".to_owned(), STORM * 2 * 64)]));
        };
        let probes = async { tokio::join!(allowed, denied).0 };
        let mut state = lab.state.clone();
        let mut changes = 0;
        let change = async {
            loop {
                state.policies.truncate(1);
                if changes % 2 == 0 {
                    let other = json!({"podSelector": {"matchLabels": {"pod": "b"}}, "ingress": [{}]});
                    state.policies.push(json!({"metadata": {"name": "q", "namespace": "x"}, "spec": other}));
                }
                lab.node.sync(state.clone(), Duration::ZERO).await.unwrap();
                changes += 1;
            }
        };
        tokio::select! {
            connects = probes => assert_eq!(connects, 2000),
            () = change => {}
        }
        assert!(changes > 10, "the table was only replaced {changes} times");
        lab.stop().await;
    });
}

fn toggles(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        for round in 0..30 {
            lab.state.policies.clear();
            let denied = round % 2 == 0;
            if denied {
                lab.policy(
                    "x",
                    json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"]}),
                );
            }
            lab.sync().await;
            let expected = if denied { "dropped" } else { "allowed" };
            assert_eq!(lab.probe(&a, b.ips[0], 80, "tcp").await, expected, "round {round}");
        }
        lab.stop().await;
    });
}

fn flannel(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        lab.state.traits = "flannel".parse::<Profile>().unwrap().traits().clone();
        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        lab.sync().await;
        lab.expect(&a, &b, 80, "allowed").await;
        lab.stop().await;
    });
}

fn large(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 0).await;
        let c = lab.add("x", "c", 1).await;
        // Nine thousand rules, and c's address is in the last of them.
        let mut blocks: Vec<_> = (0..9000u32)
            .map(|n| json!({"ipBlock": {"cidr": format!("11.{}.{}.0/24", n >> 8, n & 255)}}))
            .collect();
        blocks.extend(
            c.ips.iter().map(
                |ip| json!({"ipBlock": {"cidr": format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })}}),
            ),
        );
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": blocks}]}));
        for _ in 0..2 {
            lab.sync().await;
            lab.expect(&c, &a, 80, "allowed").await;
            lab.expect(&b, &a, 80, "dropped").await;
            lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "c"}}}));
        }
        lab.state.policies.clear();
        lab.sync().await;
        lab.expect(&b, &a, 80, "allowed").await;
        lab.stop().await;
    });
}
