//! The name server, asked as pods ask it.

use std::net::SocketAddr;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    Test,
    handle::Begun,
    lab::{Lab, container},
    plan,
    wire::ServiceState,
};

pub(crate) const TESTS: &[Test] = &[
    ("names::services_are_found_over_udp_and_tcp", dns),
    ("names::headless_services_aliases_and_large_answers", headless),
];

fn dns(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let server = lab.pod("kube-system", "kube-dns", 0);
        let started =
            lab.node.add_pod(&server.uid, server.place, server.ips.clone(), container(&["kube-dns"]));
        assert_eq!(started.await, Ok(Begun::Ready));
        lab.service("web", 20, (80, None), &[&b]);
        lab.service("kube-dns", plan::DNS_SERVICE, (53, None), &[&server]);
        let dns = lab.state.services.last_mut().unwrap();
        dns.ports[0].backends.iter_mut().for_each(|backend| backend.1 = 53);
        let mut udp = dns.ports[0].clone();
        udp.protocol = "UDP".into();
        dns.ports.push(udp);
        lab.sync().await;

        let mut servers: Vec<String> = vec![String::new()];
        let ips = server.ips.iter().copied().chain(plan::service_ips(plan::DNS_SERVICE));
        servers.extend(ips.map(|ip| SocketAddr::new(ip, 53).to_string()));
        for protocol in ["udp", "tcp"] {
            for server in &servers {
                // Without a server: the one that resolv.conf names.
                let mut argv =
                    vec!["verdikt-probe", "query", "web.x.svc.cluster.local", "--protocol", protocol];
                if !server.is_empty() {
                    argv.extend(["--server", server]);
                }
                let said = lab.exec(&a, &argv).await;
                let [four, six] = plan::service_ips(20).map(|ip| ip.to_string());
                assert_eq!(said.code, Ok(0), "{server} {protocol}: {said:?}");
                assert!(said.out.contains(&four) && said.out.contains(&six), "{server} {protocol}: {said:?}");
            }
        }
        let said = lab.exec(&a, &["verdikt-probe", "query", "none.x.svc.cluster.local"]).await;
        assert!(
            said.out.to_lowercase().contains("non-existent") || said.out.contains("NXDomain"),
            "{said:?}"
        );
        let said = lab.exec(&a, &["verdikt-probe", "connect", "web.x.svc.cluster.local:80"]).await;
        assert!(said.out.contains("x/b"), "{said:?}");

        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
        lab.sync().await;
        let argv = ["verdikt-probe", "query", "web.x.svc.cluster.local", "--deadline", "300ms"];
        let said = lab.exec(&a, &argv).await;
        assert_eq!(said.code, Ok(1), "{said:?}");
        lab.node.delete_pod(&server.uid).await.unwrap();
        lab.stop().await;
    });
}

fn headless(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let server = lab.pod("kube-system", "kube-dns", 0);
        let started =
            lab.node.add_pod(&server.uid, server.place, server.ips.clone(), container(&["kube-dns"]));
        assert_eq!(started.await, Ok(Begun::Ready));
        lab.service("h", 20, (80, None), &[&a, &b]);
        lab.service("large", 21, (80, None), &[&a]);
        lab.service("alias", 22, (80, None), &[]);
        let [headless, large, alias] = &mut lab.state.services[..] else { panic!() };
        headless.cluster_ips.clear();
        headless.hostnames = b.ips.iter().map(|ip| (*ip, "db-1".to_owned())).collect();
        large.cluster_ips.clear();
        large.pod_ips = (1..=200).map(|n| plan::pod_ips(1, n)[0]).collect();
        alias.cluster_ips.clear();
        alias.external_name = Some("h.x.svc.cluster.local".into());
        lab.sync().await;
        let address = SocketAddr::new(server.ips[0], 53).to_string();
        let ask = async |name: &str, protocol: &str| {
            let argv = ["verdikt-probe", "query", name, "--server", &address, "--protocol", protocol];
            lab.exec(&a, &argv).await
        };
        let dashed = a.ips[0].to_string().replace('.', "-");
        for (name, found) in [
            ("h.x.svc.cluster.local", vec![&a, &b]),
            ("db-1.h.x.svc.cluster.local", vec![&b]),
            (&format!("{dashed}.h.x.svc.cluster.local"), vec![&a]),
            (&format!("{dashed}.x.pod.cluster.local"), vec![&a]),
            ("alias.x.svc.cluster.local", vec![&a, &b]),
        ] {
            for protocol in ["udp", "tcp"] {
                let said = ask(name, protocol).await;
                assert_eq!(said.code, Ok(0), "{name}: {said:?}");
                for pod in [&a, &b] {
                    let there = said.out.contains(&pod.ips[0].to_string());
                    assert_eq!(there, found.iter().any(|p| p.uid == pod.uid), "{name}: {said:?}");
                }
            }
        }
        let last = large_answer(&lab.state.services[1]);
        let over_tcp = ask("large.x.svc.cluster.local", "tcp").await;
        assert!(over_tcp.out.contains(&last), "{over_tcp:?}");
        lab.node.delete_pod(&server.uid).await.unwrap();
        lab.stop().await;
    });
}

/// The last of a Service's addresses.
fn large_answer(service: &ServiceState) -> String {
    service.pod_ips.last().map(ToString::to_string).unwrap_or_default()
}
