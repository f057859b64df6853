//! Nothing outlives the program, however it ends.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::runtime::Runtime;

use crate::{Test, lab::Lab};

pub(crate) const TESTS: &[Test] = &[
    ("death::kill_9_at_any_moment_leaves_no_process", any_moment),
    ("death::the_node_notices_the_death_of_a_part_of_it", parts),
    ("death::a_program_without_namespaces_is_told_what_to_do", refused),
];

/// Makes this program a victim that keeps a lab until it is killed.
const VICTIM: &str = "VERDIKT_TEST_VICTIM";

/// Plays the victim, if this process is to.
pub(crate) fn victim() -> Option<ExitCode> {
    std::env::var_os(VICTIM)?;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!("begun");
        let mut lab = Lab::new().await;
        println!("node");
        for n in 0..6u16 {
            let pod = lab.add("x", &n.to_string(), n % 2).await;
            println!("pod {}", pod.uid);
        }
        lab.sync().await;
        println!("synced");
        std::future::pending::<()>().await;
    });
    None
}

/// Processes that belong to a victim: those with its mark in their environment, their command or the name of
/// their working directory.
fn kin(mark: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = std::process::id() as i32;
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let has = |text: &[u8]| text.windows(mark.len()).any(|part| part == mark.as_bytes());
            has(&environment) || has(&command) || folder.to_string_lossy().contains(mark)
        })
        .collect()
}

fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    done()
}

/// Names of network namespaces, of this machine's other users too.
fn named_networks() -> BTreeSet<OsString> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

fn any_moment(_: &Runtime) {
    let networks = named_networks();
    // After each thing it says, and at odd times in between.
    let mut most = 0;
    for (round, stop) in ["begun", "node", "pod x-0", "pod x-3", "synced"].into_iter().enumerate() {
        for delay in [0, 3, 17] {
            // The scratch directory's name is an argument of the node: it marks all that belongs to this victim.
            let scratch =
                tempfile::Builder::new().prefix(&format!("victim-{round}-{delay}-")).tempdir().unwrap();
            let mark = scratch.path().to_str().unwrap().to_owned();
            let mut child = Command::new("/proc/self/exe")
                .env(VICTIM, "1")
                .env("TMPDIR", &mark)
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap();
            // Kept open: a victim that cannot speak would end by itself.
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let seen = lines.any(|line| line == stop);
            assert!(seen, "the victim never said {stop:?}");
            std::thread::sleep(Duration::from_millis(delay));
            most = most.max(kin(&mark).len());
            kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            let gone = until(Duration::from_secs(3), || kin(&mark).is_empty());
            assert!(gone, "killed after {stop:?} + {delay} ms; these are left: {:?}", kin(&mark));
        }
    }
    assert!(most >= 3, "the test saw victims with a node at most: {most} processes");
    assert_eq!(named_networks(), networks, "network namespaces with names are left");
}

fn parts(runtime: &Runtime) {
    runtime.block_on(async {
        for inner in [false, true] {
            let mut lab = Lab::new().await;
            lab.add("x", "a", 0).await;
            let mark = lab.scratch.path().to_str().unwrap().to_owned();
            let nodes: Vec<i32> = kin(&mark)
                .into_iter()
                .filter(|pid| {
                    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                    String::from_utf8_lossy(&command).contains(crate::spawn::ARGUMENT)
                })
                .collect();
            assert_eq!(nodes.len(), 2, "{nodes:?}");
            let victim = if inner { nodes.iter().max() } else { nodes.iter().min() };
            kill(Pid::from_raw(*victim.unwrap()), Signal::SIGKILL).unwrap();
            let why = tokio::time::timeout(Duration::from_secs(3), lab.node.ended()).await.unwrap();
            assert!(!why.is_empty());
            let why = lab.node.sync(lab.state.clone(), Duration::ZERO).await.unwrap_err();
            assert!(why.contains("the sandbox's node has ended"), "{why}");
            let scratch = lab.scratch;
            drop(lab.node);
            assert!(until(Duration::from_secs(3), || kin(&mark).is_empty()), "left: {:?}", kin(&mark));
            drop(scratch);
        }
    });
}

fn refused(runtime: &Runtime) {
    runtime.block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let script = scratch.path().join("without-namespaces");
        let exe = fs::read_link("/proc/self/exe").unwrap();
        fs::write(&script, format!("#!/bin/sh\n{REFUSED}=1 exec {} \"$@\"\n", exe.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let error = match crate::spawn::spawn_node(&script, scratch.path()).await {
            Ok(_) => panic!("there is a node"),
            Err(error) => error,
        };
        if error.to_string().contains(&format!("exit status: {NOT_POSSIBLE}")) {
            println!("skipped: there are no user namespaces here, with which their absence could be shown");
            return;
        }
        let crate::spawn::NodeError::Setup { cause, mend, .. } = &error else { panic!("{error}") };
        assert_eq!(*cause, crate::wire::Cause::UserNamespaces);
        assert!(mend.contains("user.max_user_namespaces") && error.to_string().contains(mend), "{error}");
    });
}

/// Makes this program run where user namespaces are refused.
const REFUSED: &str = "VERDIKT_TEST_WITHOUT_NAMESPACES";

/// Exit code of a program that cannot make such a machine.
const NOT_POSSIBLE: i32 = 77;

/// Makes a machine that refuses user namespaces out of this one, for this process: an outer one in which no other may
/// be made, and of which it is not root.
pub(crate) fn refuse() {
    if std::env::var_os(REFUSED).is_none() {
        return;
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).is_err() {
        std::process::exit(NOT_POSSIBLE);
    }
    fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    fs::write("/proc/self/uid_map", format!("1000 {uid} 1")).expect("uid_map");
    fs::write("/proc/self/gid_map", format!("1000 {gid} 1")).expect("gid_map");
    fs::write("/proc/sys/user/max_user_namespaces", "0").expect("max_user_namespaces");
}
