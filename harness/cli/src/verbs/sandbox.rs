//! `verdikt sandbox up|down|status|kubeconfig`: a sandbox in the background, for kubectl; `profiles`: what sandboxes
//! there are.
//!
//! `up` starts `verdikt sandbox serve` in a session of its own. The server writes a state file when it is
//! ready and removes it when it ends; the state file is the only tie between the two.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use verdikt_model::ExitCode;
use verdikt_report::escape;
use verdikt_sandbox::Profile;

use super::block_on;
use crate::{
    args::SandboxVerb,
    failure::{Failure, Outcome},
    signals::{self, interruptible},
    target, terminal,
    ui::Ui,
};

/// How long `up` waits for the server, and `down` for its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a server that is not up yet may take to remove what it has made.
const END: Duration = Duration::from_secs(5);

/// What a running server says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    pid: i32,
    /// Start time of the process in clock ticks, so that a reused pid is not mistaken for it.
    start_ticks: u64,
    profile: String,
    url: String,
    kubeconfig: String,
}

pub(super) fn sandbox(verb: &SandboxVerb, ui: &Ui) -> Outcome {
    match verb {
        SandboxVerb::Up { profile } => block_on(interruptible(up(profile, ui))),
        SandboxVerb::Down => down(ui),
        SandboxVerb::Status => status(),
        SandboxVerb::Kubeconfig => {
            let state = running()?.ok_or_else(none_is_up)?;
            terminal::print(&state.kubeconfig);
            Ok(ExitCode::Ok)
        }
        SandboxVerb::Serve { profile } => block_on(serve(profile.clone())),
        SandboxVerb::Profiles { base, output } => super::profiles::profiles(*base, *output),
    }
}

async fn up(profile: &Profile, ui: &Ui) -> Outcome {
    let folder = folder()?;
    if let Some(state) = running()? {
        if state.profile == profile.to_string() {
            ui.remark(&format!("a sandbox with profile {} is already up", state.profile));
            return announce(&state);
        }
        return Err(Failure::usage(format!("a sandbox with profile {} is up already", state.profile))
            .help("`verdikt sandbox down` first"));
    }
    let log_path = folder.join("sandbox.log");
    let log = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(|e| Failure::setup(format!("cannot write {}: {e}", log_path.display())))?;
    let exe = std::env::current_exe()
        .map_err(|e| Failure::setup(format!("cannot find verdikt's executable: {e}")))?;
    let mut command = Command::new(exe);
    command
        .args(["sandbox", "serve", &profile.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0);
    let child = command.spawn().map_err(|e| Failure::setup(format!("cannot start the sandbox: {e}")))?;
    let mut starting = Starting(Some(child));
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(state) = running()? {
            starting.0 = None;
            return announce(&state);
        }
        let said = || {
            let text = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if lines.is_empty() {
                let log = log_path.display();
                return format!(
                    "it left no word in {log}; is that disk full? set TMPDIR to a folder on another one"
                );
            }
            lines.join("; ")
        };
        if let Some(Ok(Some(status))) = starting.0.as_mut().map(Child::try_wait) {
            return Err(Failure::setup(format!("the sandbox ended at its start ({status}): {}", said())));
        }
        if Instant::now() > limit {
            return Err(Failure::setup(format!("the sandbox was not ready within {PATIENCE:?}: {}", said())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A sandbox that is not up yet; dropped, it is ended, and removes what it has made.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child, END);
        }
    }
}

/// Asks a child to end, and kills it when it has not ended after `patience`.
fn end(child: &mut Child, patience: Duration) {
    // Fails only when it has ended already.
    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    let limit = Instant::now() + patience;
    while let Ok(None) = child.try_wait() {
        if Instant::now() > limit {
            // Its node goes with it; the next start removes its temporary folder.
            let _ = child.kill();
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.wait();
}

fn none_is_up() -> Failure {
    Failure::setup("no sandbox is up").help("`verdikt sandbox up` starts one")
}

fn announce(state: &State) -> Outcome {
    let path = folder()?.join("kubeconfig");
    terminal::print(&format!(
        "sandbox is up: profile {} (emulated), {}, pid {}\nexport KUBECONFIG={}\n",
        state.profile,
        state.url,
        state.pid,
        escape(&path.to_string_lossy())
    ));
    Ok(ExitCode::Ok)
}

fn down(ui: &Ui) -> Outcome {
    let Some(state) = running()? else {
        ui.remark("no sandbox is up");
        return Ok(ExitCode::Ok);
    };
    let pid = Pid::from_raw(state.pid);
    kill(pid, Signal::SIGTERM).map_err(|e| Failure::setup(format!("cannot stop pid {}: {e}", state.pid)))?;
    let limit = Instant::now() + PATIENCE;
    while start_ticks(state.pid) == Some(state.start_ticks) {
        if Instant::now() > limit {
            // Its node goes with it; nothing of the sandbox outlives the process.
            kill(pid, Signal::SIGKILL)
                .map_err(|e| Failure::setup(format!("cannot stop pid {}: {e}", state.pid)))?;
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    forget()?;
    ui.remark("sandbox is down");
    Ok(ExitCode::Ok)
}

fn status() -> Outcome {
    match running()? {
        Some(state) => announce(&state),
        None => {
            terminal::print("no sandbox is up\n");
            Ok(ExitCode::Setup)
        }
    }
}

/// The server: runs until it is told to end.
async fn serve(profile: Profile) -> Outcome {
    let (end, mut ended) = oneshot::channel::<()>();
    signals::watch(move || drop(end), || "stopped at once".to_owned())?;
    // The sender is dropped by the first signal, which ends a wait for it with an error: that is the message.
    let sandbox = tokio::select! {
        started = target::start_sandbox(profile.clone()) => started?,
        _ = &mut ended => return Ok(ExitCode::Interrupted),
    };
    let pid = i32::try_from(std::process::id()).map_err(Failure::internal)?;
    let state = State {
        pid,
        start_ticks: start_ticks(pid).ok_or_else(|| Failure::setup("cannot read /proc/self/stat"))?,
        profile: profile.to_string(),
        url: sandbox.url(),
        kubeconfig: sandbox.kubeconfig(),
    };
    let folder = folder()?;
    write_private(&folder.join("kubeconfig"), state.kubeconfig.as_bytes())?;
    write_private(&folder.join("state.json"), &serde_json::to_vec(&state).map_err(Failure::internal)?)?;
    let _ = ended.await;
    sandbox.stop().await;
    forget()?;
    Ok(ExitCode::Ok)
}

/// The running server, if there is one. A state file whose process is gone is removed.
fn running() -> Result<Option<State>, Failure> {
    let path = folder()?.join("state.json");
    let Ok(text) = fs::read(&path) else { return Ok(None) };
    let state: Option<State> = serde_json::from_slice(&text).ok();
    match state {
        Some(state) if start_ticks(state.pid) == Some(state.start_ticks) => Ok(Some(state)),
        _ => {
            forget()?;
            Ok(None)
        }
    }
}

fn forget() -> Result<(), Failure> {
    for name in ["state.json", "kubeconfig"] {
        match fs::remove_file(folder()?.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::setup(format!("cannot remove the sandbox's {name}: {e}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A folder that only this user can read: it holds the token.
fn folder() -> Result<PathBuf, Failure> {
    let uid = Uid::effective();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if !runtime.is_empty() => PathBuf::from(runtime).join("verdikt"),
        _ => std::env::temp_dir().join(format!("verdikt-{uid}")),
    };
    let cannot = |e: std::io::Error| Failure::setup(format!("cannot use {}: {e}", folder.display()));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        // The umask may have taken away rights of our own.
        Ok(()) => fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(cannot)?,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(cannot(e)),
    }
    // In a shared temporary folder somebody else may have made it first.
    let meta = fs::symlink_metadata(&folder).map_err(cannot)?;
    if !meta.is_dir() || meta.uid() != uid.as_raw() || meta.mode() & 0o077 != 0 {
        return Err(Failure::setup(format!(
            "{} is not a folder that only this user can read",
            folder.display()
        ))
        .help("remove it, or set XDG_RUNTIME_DIR"));
    }
    Ok(folder)
}

fn write_private(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::setup(format!("cannot write {}: {e}", path.display()));
    let folder = path.parent().ok_or_else(|| Failure::internal("a state file has no folder"))?;
    // Renamed into place, so that nobody reads half of it; temporary files are made with mode 600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    std::io::Write::write_all(&mut file, bytes).map_err(cannot)?;
    file.persist(path).map_err(|e| cannot(e.error))?;
    Ok(())
}

/// Field 22 of /proc/PID/stat; `None` when there is no such process or it is a zombie.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::process::ExitStatusExt};

    use super::*;

    #[test]
    fn a_child_that_does_not_end_when_asked_is_killed() {
        let script = "trap '' TERM; echo; exec sleep 60";
        let mut child = Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        end(&mut child, Duration::from_millis(50));
        let status = child.try_wait().unwrap().unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn a_living_process_has_a_start_time() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_ticks(own).is_some());
        assert_eq!(start_ticks(i32::MAX), None);
    }
}
