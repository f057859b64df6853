//! How long things take, printed, with bounds that only a regression of the algorithm breaks.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Test, lab::Lab, wire::PodState};

pub(crate) const TESTS: &[Test] =
    &[("speed::nine_pods", nine), ("speed::two_hundred_pods_rules_and_connects", two_hundred)];

async fn pods(lab: &mut Lab, count: u16) -> (Vec<PodState>, Duration) {
    let pods: Vec<PodState> = (0..count).map(|n| lab.pod("x", &n.to_string(), n % 2)).collect();
    let start = Instant::now();
    join_all(pods.iter().map(|pod| lab.start(pod))).await;
    let time = start.elapsed();
    println!("{count} pods: {time:?}");
    (pods, time)
}

fn nine(runtime: &Runtime) {
    runtime.block_on(async {
        let start = Instant::now();
        let mut lab = Lab::new().await;
        println!("a node: {:?}", start.elapsed());
        let (_, time) = pods(&mut lab, 9).await;
        assert!(time < Duration::from_secs(5));
        lab.stop().await;
    });
}

fn two_hundred(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let (pods, time) = pods(&mut lab, 200).await;
        assert!(time < Duration::from_secs(20));

        lab.sync().await;
        let measure = async |lab: &Lab, what: &str| {
            let start = Instant::now();
            lab.sync().await;
            let time = start.elapsed();
            println!("{what}: {time:?}");
            time
        };
        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        let time = measure(&lab, "deny-all for 200 pods").await;
        assert!(time < Duration::from_secs(2));
        lab.expect(&pods[0], &pods[199], 80, "dropped").await;
        for n in 0..50 {
            lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": n.to_string()}}, "ingress": [{
                "from": [{"podSelector": {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["1"]}]}}],
                "ports": [{"port": 80}, {"port": 90, "endPort": 99, "protocol": "UDP"}]}]}));
        }
        let time = measure(&lab, "and 50 policies with 199 peers each").await;
        assert!(time < Duration::from_secs(2));
        lab.state.policies.clear();
        measure(&lab, "back to no policy").await;

        let start = Instant::now();
        let said = join_all(pods.iter().map(|pod| lab.exec(pod, &["verdikt-probe", "version"]))).await;
        assert!(said.iter().all(|said| said.code == Ok(0)), "{said:?}");
        println!("200 execs: {:?}", start.elapsed());

        let sources: Vec<String> = pods.iter().map(|pod| pod.uid.clone()).collect();
        for family in 0..2 {
            let targets = pods.iter().map(|pod| (pod.ips[family], 80)).collect();
            let result = lab.node.connect_loop(sources.clone(), targets).await.unwrap();
            assert_eq!(result.connects, 40_000);
            println!("connect loop 200 x 200, IPv{}: {:?}", [4, 6][family], result.time);
        }

        let start = Instant::now();
        join_all(pods.iter().map(|pod| lab.node.delete_pod(&pod.uid))).await;
        println!("200 pods deleted: {:?}", start.elapsed());
        lab.stop().await;
    });
}
