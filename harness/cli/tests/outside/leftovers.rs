//! What a run leaves behind, however it ends.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::binary::{file, said, scenario, verdikt};

/// Processes whose command line names a path, so only those of one test.
fn processes(marker: &str) -> Vec<i32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            // Processes of the sandbox are found by their environment, which they take over.
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(marker))
        })
        .collect()
}

fn interfaces() -> usize {
    std::fs::read_dir("/sys/class/net").unwrap().count()
}

#[track_caller]
fn nothing_is_left(marker: &str, temp: &Path, interfaces_before: usize) {
    let limit = Instant::now() + Duration::from_secs(10);
    // A process has no environment for a moment while it becomes another program: once is not enough.
    let (mut left, mut looks) = (processes(marker), 0);
    while looks < 3 && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(10));
        left = processes(marker);
        looks = if left.is_empty() { looks + 1 } else { 0 };
    }
    assert_eq!(left, Vec::<i32>::new(), "processes are left");
    assert_eq!(interfaces(), interfaces_before, "interfaces are left");
    let outside: Vec<_> = std::fs::read_dir(temp)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("verdikt-sandbox-"))
        .collect();
    assert_eq!(outside, Vec::<String>::new(), "files outside the sandbox's temporary folder are left");
}

#[test]
fn killed_at_any_moment_it_leaves_nothing() {
    let before = interfaces();
    for (round, after) in [0, 20, 60, 120, 250, 500, 900, 1500].into_iter().enumerate() {
        let temp = tempfile::tempdir().unwrap();
        let marker = format!("VERDIKT_TEST_MARK={}-{round}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        let mut child = verdikt(&["run", "basics/"])
            .env("TMPDIR", temp.path())
            .env(name, value)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        nothing_is_left(&marker, temp.path(), before);
        // The next start sweeps what a killed one could not remove.
        let path = file(temp.path(), "s.yaml", &scenario("", ""));
        let said = said(
            verdikt(&["run", "-f", path.to_str().unwrap()]).env("TMPDIR", temp.path()).output().unwrap(),
        );
        assert_eq!(said.code, 0, "{}", said.stderr);
        let left: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["s.yaml"], "killed after {after} ms");
    }
}

/// Whether a process has a handler for SIGINT; before, in its first instant, it ends as any program does.
fn handles_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(caught, 16).unwrap() & 1 << (Signal::SIGINT as u32 - 1) != 0
}

#[test]
fn an_interrupt_in_any_phase_cleans_up_and_exits_130() {
    let before = interfaces();
    for (round, after) in [0, 30, 100, 200, 400, 800, 1600].into_iter().enumerate() {
        let temp = tempfile::tempdir().unwrap();
        let marker = format!("VERDIKT_TEST_MARK=i{}-{round}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        let child = verdikt(&["run", "--sandbox", "flannel", "--settle", "60s", "--lanes", "2"])
            .env("TMPDIR", temp.path())
            .env(name, value)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !handles_interrupts(child.id()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(after));
        let started = Instant::now();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let said = said(child.wait_with_output().unwrap());
        assert_eq!(said.code, 130, "after {after} ms: {}", said.stderr);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "after {after} ms it took {:?}",
            started.elapsed()
        );
        nothing_is_left(&marker, temp.path(), before);
    }
}

#[test]
fn an_interrupt_does_not_wait_for_standard_input() {
    let mut child = verdikt(&["run", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !handles_interrupts(child.id()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Held open, so that reading never comes to an end.
    let stdin = child.stdin.take();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let limit = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().unwrap();
    drop(stdin);
    let said = said(child.wait_with_output().unwrap());
    assert!(ended.is_some(), "it waited for its input: {} {}", said.code, said.stderr);
    assert_eq!(said.code, 130, "{}", said.stderr);
}

#[test]
fn an_interrupt_of_other_verbs_leaves_nothing_either() {
    let before = interfaces();
    for (round, (args, after)) in [
        (&["bench", "--pods", "20"][..], 0),
        (&["bench", "--pods", "20"], 700),
        (&["doctor"], 20),
        (&["sandbox", "up"], 0),
        (&["sandbox", "serve", "reference"], 0),
    ]
    .into_iter()
    .enumerate()
    {
        let (temp, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let marker = format!("VERDIKT_TEST_MARK=o{}-{round}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        let child = verdikt(args)
            .env("TMPDIR", temp.path())
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env(name, value)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !handles_interrupts(child.id()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(after));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let said = said(child.wait_with_output().unwrap());
        assert_eq!(said.code, 130, "{args:?} after {after} ms: {}", said.stderr);
        nothing_is_left(&marker, temp.path(), before);
    }
}

#[test]
fn a_start_sweeps_only_what_no_living_process_holds() {
    let temp = tempfile::tempdir().unwrap();
    let path = file(temp.path(), "s.yaml", &scenario("", ""));
    let users = temp.path().join("verdikt-sandbox-notes");
    std::fs::create_dir(&users).unwrap();
    let thesis = file(&users, "thesis.txt", "three years");
    // With the most generous umask.
    let binary = verdikt(&[]).get_program().to_owned();
    let mut first = std::process::Command::new("/bin/sh")
        .args(["-c", "umask 0; exec \"$@\"", "sh"])
        .arg(binary)
        .args(["run", "basics/", "--sandbox", "flannel", "--settle", "30s"])
        .env_clear()
        .env("TMPDIR", temp.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let scratch = || {
        let entries = std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().path());
        entries.filter(|path| path.is_dir() && *path != users).collect::<Vec<_>>()
    };
    let logs = |folder: &Path| std::fs::read_dir(folder.join("pods")).map_or(0, Iterator::count);
    while scratch().first().is_none_or(|folder| logs(folder) < 3) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let own = scratch();
    only_for_its_user(&own[0]);
    let second = verdikt(&["run", "-f", path.to_str().unwrap()]).env("TMPDIR", temp.path()).output().unwrap();
    assert_eq!(said(second).code, 0);
    assert_eq!(scratch(), own);
    kill(Pid::from_raw(first.id() as i32), Signal::SIGKILL).unwrap();
    first.wait().unwrap();
    let third = verdikt(&["run", "-f", path.to_str().unwrap()]).env("TMPDIR", temp.path()).output().unwrap();
    assert_eq!(said(third).code, 0);
    assert_eq!(scratch(), Vec::<std::path::PathBuf>::new());
    assert_eq!(std::fs::read_to_string(thesis).unwrap(), "three years");
}

/// Nobody else can enter a folder, nor read or write anything in it.
#[track_caller]
fn only_for_its_user(folder: &Path) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => only_for_its_user(&path),
            false => assert_eq!(mode(&path), 0o600, "{}", path.display()),
        }
    }
}
