//! Pods: started, connected, executed in, removed.

use std::{collections::BTreeMap, time::Duration};

use tokio::runtime::Runtime;
use verdikt_protocol::{IDENTITY_VARIABLE, RESOLV_CONF_VARIABLE};

use crate::{
    Test,
    handle::Begun,
    lab::{Lab, MAIN, container},
    plan,
    wire::{Container, Exit, Place, ToNode},
};

pub(crate) const TESTS: &[Test] = &[
    ("pods::a_node_starts_and_stops", starts_and_stops),
    ("pods::pods_talk_across_nodes_and_families", talk),
    ("pods::hosts_talk_with_pods", hosts),
    ("pods::only_the_probe_can_be_executed", only_the_probe),
    ("pods::processes_are_nobody_and_get_no_variables_of_the_loader", bare),
    ("pods::a_pod_that_fails_says_why", failing),
    ("pods::an_exec_can_be_killed", killed),
    ("pods::deleted_pods_are_gone_and_their_addresses_free", deleted),
    ("pods::a_pod_can_be_deleted_while_it_starts", deleted_while_starting),
    ("pods::containers_of_a_pod_share_its_network", containers),
    ("pods::a_container_ends_when_it_is_asked_to", terminated),
];

fn starts_and_stops(runtime: &Runtime) {
    runtime.block_on(async {
        let lab = Lab::new().await;
        assert!(!lab.node.kernel().is_empty());
        lab.stop().await;
    });
}

fn bare(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.pod("x", "a", 0);
        // Each makes a C library's program load, read or write a file; the last is the probe's own.
        let names = [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_DEBUG_OUTPUT",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            RESOLV_CONF_VARIABLE,
        ];
        let mut env: BTreeMap<String, String> =
            names.map(|name| (name.to_owned(), "/tmp/evil".to_owned())).into();
        env.insert(IDENTITY_VARIABLE.into(), "x/a".into());
        let container = Container { env, ..container(&["verdikt-probe", "serve", "--tcp", "80"]) };
        let started = lab.node.add_pod(&a.uid, a.place, a.ips.clone(), container).await;
        assert_eq!(started, Ok(Begun::Ready));
        let folder = lab.scratch.path().join("pods");
        let pids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let pods: Vec<_> =
            pids.filter(|path| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder)).collect();
        // The two of the node, and the pod's.
        assert!(pods.len() >= 3, "{pods:?}");
        let (mut probes, me) = (0, nix::unistd::geteuid().as_raw());
        for path in pods {
            let status = std::fs::read_to_string(path.join("status")).unwrap();
            let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
            let uids: Vec<u32> = uids.split_whitespace().map(|uid| uid.parse().unwrap()).collect();
            let expected = if me == 0 { 65534 } else { me };
            assert_eq!(uids, [expected; 4], "{status}");
            let command = std::fs::read_to_string(path.join("cmdline")).unwrap();
            if command.contains("serve") {
                probes += 1;
                let environment = std::fs::read_to_string(path.join("environ")).unwrap();
                let mut names: Vec<&str> =
                    environment.split_terminator('\0').filter_map(|one| one.split('=').next()).collect();
                names.sort_unstable();
                assert_eq!(names, ["PATH", IDENTITY_VARIABLE, RESOLV_CONF_VARIABLE]);
                assert!(!environment.contains("evil"), "{environment}");
            }
        }
        assert_eq!(probes, 1);
        lab.stop().await;
    });
}

fn talk(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let c = lab.add("x", "c", 0).await;
        lab.sync().await;
        for (from, to) in [(&a, &b), (&b, &a), (&a, &c), (&a, &a)] {
            lab.expect(from, to, 80, "allowed").await;
            assert_eq!(lab.probe(from, to.ips[0], 80, "udp").await, "allowed");
            assert_eq!(lab.probe(from, to.ips[0], 82, "tcp").await, "rejected");
            assert_eq!(lab.probe(from, to.ips[0], 82, "udp").await, "rejected");
        }
        let who = lab.who(&a, b.ips[0], 80).await;
        assert!(who.contains("x/b") && who.contains(&a.ips[0].to_string()), "{who}");
        let log = std::fs::read_to_string(lab.scratch.path().join("pods/x-a.c.log")).unwrap();
        assert!(log.starts_with("ready"), "{log}");
        lab.stop().await;
    });
}

fn hosts(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let pods = [lab.add("x", "a", 0).await, lab.add("x", "b", 1).await];
        let hosts = [
            lab.add_host("one", Place::Node(0)).await,
            lab.add_host("two", Place::Node(1)).await,
            lab.add_host("external", Place::External).await,
        ];
        lab.sync().await;
        for host in &hosts {
            for other in pods.iter().chain(&hosts) {
                lab.expect(host, other, 80, "allowed").await;
                lab.expect(other, host, 80, "allowed").await;
                let who = lab.who(host, other.ips[0], 80).await;
                assert!(who.contains(&format!("saw {}", host.ips[0])), "{who}");
            }
        }
        lab.expect(
            &pods[0],
            &crate::wire::PodState { ips: plan::external_ips(2).to_vec(), ..hosts[2].clone() },
            80,
            "allowed",
        )
        .await;
        // What does not exist is silent, whoever asks.
        for nobody in ["203.0.113.1", "2001:db8:ffff::1", "10.244.0.200", "fd00:10:244:1::200", "10.96.9.9"] {
            for from in pods.iter().chain(&hosts) {
                let seen = lab.probe(from, nobody.parse().unwrap(), 80, "tcp").await;
                assert_eq!(seen, "dropped", "{} -> {nobody}", from.uid);
            }
        }
        lab.stop().await;
    });
}

fn only_the_probe(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let why = lab.exec(&a, &["sh", "-c", "true"]).await.code.unwrap_err();
        assert!(why.contains("exec: \"sh\": executable file not found in the sandbox"), "{why}");
        let said = lab.exec(&a, &["/usr/bin/verdikt-probe", "version"]).await;
        assert_eq!((said.code, said.out.starts_with("verdikt-probe ")), (Ok(0), true));
        let said = lab.exec(&a, &["verdikt-probe", "nonsense"]).await;
        assert_eq!((said.code, said.err.is_empty()), (Ok(2), false));
        let (_, pipe) = nix::unistd::pipe().unwrap();
        let stdio = [pipe.try_clone().unwrap(), pipe.try_clone().unwrap(), pipe];
        let argv = vec!["verdikt-probe".into(), "version".into()];
        let mut exec = lab.node.exec(("nobody", MAIN), argv, stdio).unwrap();
        assert!(exec.wait().await.unwrap_err().contains("no such pod"));
        lab.stop().await;
    });
}

fn failing(runtime: &Runtime) {
    runtime.block_on(async {
        let lab = Lab::new().await;
        let ips = plan::pod_ips(0, 1).to_vec();
        let bad = container(&["verdikt-probe", "serve", "--tcp", "x"]);
        match lab.node.add_pod("u", Place::Pod(0), ips.clone(), bad).await {
            Ok(Begun::Ended(Exit { code: 2, said: Some(said) })) => assert!(said.contains("--tcp"), "{said}"),
            other => panic!("{other:?}"),
        }
        let why = lab.node.add_pod("v", Place::Pod(0), ips, container(&["nginx"])).await.unwrap_err();
        assert!(why.contains("not found in the sandbox"), "{why}");
        lab.node.delete_pod("u").await.unwrap();
        lab.node.delete_pod("v").await.unwrap();
        lab.node.delete_pod("never-there").await.unwrap();
        lab.stop().await;
    });
}

fn killed(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let mut exits = lab.node.on_exit();
        let (stdin, keep) = nix::unistd::pipe().unwrap();
        let null = || std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap().into();
        let argv = vec!["verdikt-probe".into(), "agent".into()];
        let mut exec = lab.node.exec((&a.uid, MAIN), argv, [stdin, null(), null()]).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(300), exec.wait()).await;
        assert!(early.is_err(), "the agent ended by itself: {early:?}");
        exec.kill();
        assert_eq!(exec.wait().await, Ok(137));
        drop(keep);
        for _ in 0..20 {
            // At once: most likely before it has started.
            let (stdin, keep) = nix::unistd::pipe().unwrap();
            let argv = vec!["verdikt-probe".into(), "agent".into()];
            let mut exec = lab.node.exec((&a.uid, MAIN), argv, [stdin, null(), null()]).unwrap();
            exec.kill();
            assert_eq!(exec.wait().await, Ok(137));
            drop(keep);
        }
        assert!(exits.try_recv().is_err(), "an exec is not the pod");
        lab.expect(&a, &a, 80, "allowed").await;
        lab.stop().await;
    });
}

fn deleted(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        for _ in 0..3 {
            lab.expect(&a, &b, 80, "allowed").await;
            lab.node.delete_pod(&b.uid).await.unwrap();
            lab.expect(&a, &b, 80, "dropped").await;
            lab.start(&b).await;
        }
        lab.expect(&a, &b, 80, "allowed").await;
        lab.stop().await;
    });
}

fn deleted_while_starting(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let pods: Vec<_> = (0..20).map(|n| lab.pod("x", &n.to_string(), n % 2)).collect();
        for pod in &pods {
            let container = container(&["verdikt-probe", "serve", "--tcp", "80"]);
            let (uid, place, ips) = (pod.uid.clone(), pod.place, pod.ips.clone());
            lab.node.send(ToNode::AddPod { uid, place, ips, container }, vec![]).unwrap();
        }
        for pod in &pods {
            lab.node.delete_pod(&pod.uid).await.unwrap();
        }
        for pod in &pods {
            lab.start(pod).await;
        }
        lab.expect(&pods[0], &pods[19], 80, "allowed").await;
        lab.stop().await;
    });
}

fn containers(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.pod("x", "a", 0);
        let b = lab.add("x", "b", 1).await;
        let named = |name: &str, argv: &[&str]| Container { name: name.into(), ..container(argv) };
        let init = named("init", &["verdikt-probe", "version"]);
        let begun = lab.node.add_pod(&a.uid, a.place, a.ips.clone(), init).await;
        assert!(matches!(&begun, Ok(Begun::Ended(Exit { code: 0, said: Some(_) }))), "{begun:?}");
        for (name, port) in [("side", "90"), (MAIN, "80")] {
            let argv = ["verdikt-probe", "serve", "--tcp", port, "--identity", name];
            assert_eq!(lab.node.add_container(&a.uid, named(name, &argv)).await, Ok(Begun::Ready));
        }
        for ip in &a.ips {
            assert!(lab.who(&b, *ip, 90).await.contains("side"));
            // Beside each other they reach each other as themselves.
            assert!(lab.who(&a, *ip, 90).await.contains("side"));
        }
        let why = lab.node.add_container("nobody", container(&["verdikt-probe"])).await.unwrap_err();
        assert!(why.contains("no such pod"), "{why}");
        lab.stop().await;
    });
}

fn terminated(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let side = Container { name: "side".into(), ..container(&["verdikt-probe", "serve", "--tcp", "90"]) };
        assert_eq!(lab.node.add_container(&a.uid, side).await, Ok(Begun::Ready));
        let mut exits = lab.node.on_exit();
        lab.node.terminate(&a.uid, MAIN).unwrap();
        let exit = exits.recv().await.unwrap();
        assert_eq!((&*exit.uid, &*exit.container, exit.exit), (&*a.uid, MAIN, Exit { code: 0, said: None }));
        // The pod's network is still there, and so is what else runs in it.
        lab.expect(&b, &a, 80, "rejected").await;
        lab.expect(&b, &a, 90, "allowed").await;
        lab.expect(&a, &b, 80, "allowed").await;
        lab.node.delete_pod(&a.uid).await.unwrap();
        lab.expect(&b, &a, 90, "dropped").await;
        assert!(exits.try_recv().is_err(), "what was killed is not told");
        let dns = lab.pod("kube-system", "kube-dns", 0);
        let argv = container(&["kube-dns"]);
        assert_eq!(lab.node.add_pod(&dns.uid, dns.place, dns.ips.clone(), argv).await, Ok(Begun::Ready));
        lab.node.terminate(&dns.uid, MAIN).unwrap();
        assert_eq!(exits.recv().await.unwrap().exit.code, 0);
        lab.node.delete_pod(&dns.uid).await.unwrap();
        lab.stop().await;
    });
}
