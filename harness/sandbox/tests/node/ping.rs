//! Echo requests by unprivileged ping sockets, in every kind of network.

use tokio::runtime::Runtime;

use crate::{Test, commands::PING, lab::Lab, wire::Place};

pub(crate) const TESTS: &[Test] = &[("ping::every_network_may_send_echo_requests", everywhere)];

fn everywhere(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let all = [
            lab.add("x", "a", 0).await,
            lab.add("x", "b", 1).await,
            lab.add_host("one", Place::Node(0)).await,
            lab.add_host("two", Place::Node(1)).await,
            lab.add_host("external", Place::External).await,
        ];
        lab.sync().await;
        for from in &all {
            for to in &all {
                for ip in &to.ips {
                    let said = lab.exec(from, &["verdikt-probe", PING, &ip.to_string()]).await;
                    assert_eq!(said.code, Ok(0), "{} -> {}: {said:?}", from.uid, to.uid);
                }
            }
        }
        let said = lab.exec(&all[0], &["verdikt-probe", PING, "10.244.0.200"]).await;
        assert_eq!(said.code, Ok(1), "nobody is there: {said:?}");
        lab.stop().await;
    });
}
