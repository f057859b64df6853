//! Traits of time: what comes first, and that what is told later comes later. Upper bounds are wide, for machines are
//! busy; how near the times are is printed.

use std::{
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Test, lab::Lab, traits::Traits, wire::PodState};

pub(crate) const TESTS: &[Test] = &[
    ("timing::policies_take_force_after_the_delay", policy_delay),
    ("timing::labels_wait_and_new_pods_do_not", labels_and_pods),
    ("timing::a_new_pod_is_isolated_after_its_delay", start_delay),
    ("timing::existing_connections_survive_or_are_cut", cuts),
    ("timing::a_connection_that_is_allowed_again_is_not_cut", grace),
    ("timing::replies_pass_while_tables_change", replies),
];

/// How much later than told something may come on a busy machine.
const LATE: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_millis(800);

fn traits(change: impl FnOnce(&mut Traits)) -> Traits {
    let mut traits = Traits::default();
    change(&mut traits);
    traits
}

/// Pods a and b of namespace x, one on each node.
async fn lab(traits: Traits) -> (Lab, PodState, PodState) {
    let mut lab = Lab::new().await;
    lab.state.traits = traits;
    let a = lab.add("x", "a", 0).await;
    let b = lab.add("x", "b", 1).await;
    lab.sync().await;
    (lab, a, b)
}

fn deny(lab: &mut Lab) {
    lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Ingress"]}));
}

/// Probes until the verdict is this; a time before the change, and one after it: when the last probe with another
/// verdict began, and when the first with this one did. One that is allowed may have been so only at its end.
async fn until(lab: &Lab, from: &PodState, to: &PodState, verdict: &str) -> (Instant, Instant) {
    let end = Instant::now() + LONG + LATE;
    let mut before = Instant::now();
    loop {
        let now = Instant::now();
        if lab.probe(from, to.ips[0], 80, "tcp").await == verdict {
            return (before, if verdict == "allowed" { Instant::now() } else { now });
        }
        assert!(now < end, "{} -> {} is not {verdict} after {:?}", from.uid, to.uid, LONG + LATE);
        before = now;
    }
}

/// That a change came no earlier than told, and not much later.
fn check(what: &str, told: Instant, delay: Duration, (before, after): (Instant, Instant)) {
    println!("{what}: told {delay:?}, between {:?} and {:?}", before - told, after - told);
    // A probe that begins shortly before the change and is sent after it sees the change.
    assert!(after - told + Duration::from_millis(100) >= delay, "{what} is too early");
    assert!(before - told < delay + LATE, "{what} is too late");
}

fn policy_delay(runtime: &Runtime) {
    runtime.block_on(async {
        let (mut lab, a, b) = lab(traits(|traits| traits.policy_delay = LONG)).await;
        deny(&mut lab);
        let told = Instant::now();
        lab.sync().await;
        lab.expect(&b, &a, 80, "allowed").await;
        check("a policy", told, LONG, until(&lab, &b, &a, "dropped").await);
        lab.state.policies.clear();
        let told = Instant::now();
        lab.sync().await;
        check("its end", told, LONG, until(&lab, &b, &a, "allowed").await);

        // The API had it for some time already: that counts.
        deny(&mut lab);
        lab.node.sync(lab.state.clone(), LONG).await.unwrap();
        lab.expect(&b, &a, 80, "dropped").await;
        lab.stop().await;
    });
}

fn labels_and_pods(runtime: &Runtime) {
    runtime.block_on(async {
        let (mut lab, a, b) = lab(traits(|traits| traits.policy_delay = LONG)).await;
        let by_label = json!([{"from": [{"podSelector": {"matchLabels": {"role": "client"}}}]}]);
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": by_label}));
        lab.sync().await;
        until(&lab, &b, &a, "dropped").await;
        // A new pod's labels are no change, and its address is right at once, while b's label waits.
        lab.state.pods[1].labels.insert("role".into(), "client".into());
        let told = Instant::now();
        lab.sync().await;
        let c = lab.pod("x", "c", 1);
        lab.state.pods[2].labels.insert("role".into(), "client".into());
        lab.sync().await;
        lab.start(&c).await;
        // The first packets over a new link may be lost.
        let (_, allowed) = until(&lab, &c, &a, "allowed").await;
        assert!(allowed < told + LONG, "c has to wait for b's label");
        check("a label", told, LONG, until(&lab, &b, &a, "allowed").await);
        lab.stop().await;
    });
}

fn start_delay(runtime: &Runtime) {
    runtime.block_on(async {
        let (mut lab, a, b) = lab(traits(|traits| traits.start_delay = LONG)).await;
        deny(&mut lab);
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "c"}}, "policyTypes": ["Ingress"]}));
        lab.sync().await;
        until(&lab, &b, &a, "dropped").await;
        let c = lab.pod("x", "c", 0);
        lab.sync().await;
        let told = Instant::now();
        lab.start(&c).await;
        until(&lab, &b, &c, "allowed").await;
        assert_eq!(lab.probe(&b, a.ips[0], 80, "tcp").await, "dropped", "a is older");
        check("isolation", told, LONG, until(&lab, &b, &c, "dropped").await);

        lab.state.traits = Traits::default();
        let d = lab.pod("x", "d", 0);
        lab.policy("x", json!({"podSelector": {"matchLabels": {"pod": "d"}}, "policyTypes": ["Ingress"]}));
        lab.sync().await;
        lab.start(&d).await;
        lab.expect(&b, &d, 80, "dropped").await;
        lab.stop().await;
    });
}

/// Holds connections of both families for `time`, and does something once they are open. When the last echo of each
/// came, and when the first line was sent that did not come back: a cut is between the two.
async fn hold<T>(
    lab: &Lab,
    (from, to): (&PodState, &PodState),
    time: Duration,
    change: impl Future<Output = T>,
) -> (Vec<[SystemTime; 2]>, T) {
    let millis = time.as_millis().to_string();
    // Pods are nobody's, and write there all the same.
    let marks = tempfile::tempdir().unwrap();
    std::fs::set_permissions(marks.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mark = |ip: &IpAddr| marks.path().join(format!("open-{}", if ip.is_ipv4() { 4 } else { 6 }));
    let each = to.ips.iter().map(async |ip| {
        let (to, mark) = (SocketAddr::new(*ip, 80).to_string(), mark(ip));
        let argv = ["verdikt-probe", "test-hold", &to, &millis, mark.to_str().unwrap()];
        let said = lab.exec(from, &argv).await;
        let micros: Vec<u64> = said.out.lines().filter_map(|line| line.parse().ok()).collect();
        let [last, sent] = micros[..] else { panic!("{said:?}") };
        [last, sent].map(|micros| UNIX_EPOCH + Duration::from_micros(micros))
    });
    let changed = async {
        while to.ips.iter().any(|ip| !mark(ip).exists()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        change.await
    };
    // A client that fails panics before the other side could wait for ever.
    tokio::join!(futures::future::join_all(each), changed)
}

fn cuts(runtime: &Runtime) {
    runtime.block_on(async {
        let policy_delay = Duration::from_millis(200);
        let held = 2 * LONG + LATE;
        for (text, cut) in [
            ("reference", None),
            ("reference+cuts-established", Some(policy_delay)),
            ("reference+cuts-established+rejects", Some(policy_delay)),
            ("reference+cuts-established=800ms", Some(policy_delay + LONG)),
        ] {
            let profile: crate::profile::Profile = text.parse().unwrap();
            let mut traits = profile.traits().clone();
            traits.policy_delay = policy_delay;
            let (mut lab, a, b) = lab(traits).await;
            // The other side's connections stay as they are, whatever becomes of these.
            lab.policy(
                "x",
                json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"]}),
            );
            lab.sync().await;
            until(&lab, &a, &b, if profile.traits().rejects { "rejected" } else { "dropped" }).await;
            let mut change = lab.state.clone();
            change.policies.push(json!({"metadata": {"name": "late", "namespace": "x"},
                "spec": {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Ingress"]}}));
            let (lasts, told) = hold(&lab, (&b, &a), held, async {
                let told = SystemTime::now();
                lab.node.sync(change, Duration::ZERO).await.unwrap();
                told
            })
            .await;
            for times in lasts {
                let [last, sent] = times.map(|time| time.duration_since(told).unwrap_or_default());
                println!("{text}: answered at {last:?}, not at {sent:?}, told {cut:?}");
                match cut {
                    None => assert!(last > policy_delay + 2 * LONG, "{text}: cut after {last:?}"),
                    Some(cut) => {
                        assert!(sent + Duration::from_millis(20) > cut, "{text}: no answer at {sent:?}");
                        assert!(last < cut + LATE, "{text}: an answer at {last:?}");
                    }
                }
            }
            lab.stop().await;
        }
    });
}

fn grace(runtime: &Runtime) {
    runtime.block_on(async {
        let (mut lab, a, b) = lab(traits(|traits| traits.cuts_established = Some(LONG))).await;
        let open = lab.state.clone();
        deny(&mut lab);
        let closed = lab.state.clone();
        let (lasts, end) = hold(&lab, (&b, &a), 4 * LONG, async {
            lab.node.sync(closed, Duration::ZERO).await.unwrap();
            tokio::time::sleep(LONG / 2).await;
            lab.node.sync(open, Duration::ZERO).await.unwrap();
            SystemTime::now()
        })
        .await;
        for [last, _] in lasts {
            assert!(last.duration_since(end).unwrap() > LONG, "it was cut though it was allowed in time");
        }
        lab.stop().await;
    });
}

fn replies(runtime: &Runtime) {
    runtime.block_on(async {
        for cuts in [None, Some(Duration::ZERO), Some(LONG)] {
            let (mut lab, a, b) = lab(traits(|traits| traits.cuts_established = cuts)).await;
            // b is isolated now and then: what it begins is answered all the same.
            lab.policy(
                "x",
                json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"]}),
            );
            let isolated = lab.state.clone();
            lab.state.policies.clear();
            let connects = async {
                let targets: Vec<_> = a.ips.iter().map(|ip| (*ip, 80)).cycle().take(200).collect();
                let mut connects = 0;
                for _ in 0..10 {
                    connects +=
                        lab.node.connect_loop(vec![b.uid.clone()], targets.clone()).await.unwrap().connects;
                }
                connects
            };
            let change = async {
                for state in [&isolated, &lab.state].into_iter().cycle() {
                    lab.node.sync(state.clone(), Duration::ZERO).await.unwrap();
                }
            };
            tokio::select! {
                connects = connects => assert_eq!(connects, 2000),
                () = change => {}
            }
            lab.stop().await;
        }
    });
}
