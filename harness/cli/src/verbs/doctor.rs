//! `verdikt doctor`: what works, what does not, and the mend.

use std::{fs, io::Write, time::Instant};

use serde::Serialize;
use verdikt_cluster::Cluster;
use verdikt_model::ExitCode;
use verdikt_sandbox::Profile;

use crate::{
    args::{Doctor, ShortFormat},
    failure::Outcome,
    target,
    ui::Ui,
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What to do; empty when nothing is to be done.
    mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Something is missing that verdikt can do without.
    Missing,
    Failed,
}

pub(super) async fn doctor(args: Doctor, _ui: Ui) -> Outcome {
    let checks = match target::named(&args.cluster) {
        Some(named) => cluster(&named).await,
        None => machine().await,
    };
    let mut out = anstream::stdout().lock();
    match args.output {
        ShortFormat::Json => writeln!(out, "{:#}", serde_json::json!({ "checks": checks }))?,
        ShortFormat::Human => {
            for check in &checks {
                let word = match check.status {
                    Status::Ok => "ok",
                    Status::Missing => "missing",
                    Status::Failed => "FAILED",
                };
                writeln!(out, "{word:>8}  {:<16} {}", check.name, check.found)?;
                if !check.mend.is_empty() {
                    writeln!(out, "{:>26} help: {}", "", check.mend)?;
                }
            }
        }
    }
    Ok(if checks.iter().any(|c| c.status == Status::Failed) { ExitCode::Setup } else { ExitCode::Ok })
}

/// What the sandbox needs of this machine. The last check does it all: it starts a sandbox.
async fn machine() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let mut checks = vec![Check {
        name: "kernel",
        status: Status::Ok,
        found: read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into()),
        mend: String::new(),
    }];
    checks.push(user_namespaces(read));
    checks.push(match std::net::UdpSocket::bind("[::1]:0") {
        Ok(_) => Check { name: "IPv6", status: Status::Ok, found: "there".into(), mend: String::new() },
        Err(e) => Check {
            name: "IPv6",
            status: Status::Missing,
            found: format!("no IPv6 socket on this machine: {e}"),
            mend: "boot without ipv6.disable=1 to probe IPv6 cells".into(),
        },
    });
    checks.push(match verdikt_probe::sctp_available() {
        Ok(()) => Check { name: "SCTP", status: Status::Ok, found: "there".into(), mend: String::new() },
        Err(why) => Check {
            name: "SCTP",
            status: Status::Missing,
            found: format!("{why}; SCTP cells are skipped"),
            mend: "load the kernel module sctp, if this kernel has it".into(),
        },
    });
    let started = Instant::now();
    checks.push(match target::start_sandbox(Profile::Reference).await {
        Ok(sandbox) => {
            sandbox.stop().await;
            Check {
                name: "sandbox",
                status: Status::Ok,
                found: format!("starts and stops ({} ms)", started.elapsed().as_millis()),
                mend: String::new(),
            }
        }
        Err(failure) => Check {
            name: "sandbox",
            status: Status::Failed,
            found: failure.message,
            mend: "see above, or use a real cluster with --context".into(),
        },
    });
    checks
}

fn user_namespaces(read: impl Fn(&str) -> Option<String>) -> Check {
    let root = nix::unistd::Uid::effective().is_root();
    let mut check =
        Check { name: "user namespaces", status: Status::Ok, found: "allowed".into(), mend: String::new() };
    let off = |path: &str, value: &str| read(path).as_deref() == Some(value);
    let problem = if off("/proc/sys/user/max_user_namespaces", "0") {
        Some(("user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"))
    } else if off("/proc/sys/kernel/unprivileged_userns_clone", "0") && !root {
        Some(("kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"))
    } else if off("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") && !root {
        Some((
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for verdikt",
        ))
    } else {
        None
    };
    if let Some((found, mend)) = problem {
        check.found = found.to_owned();
        check.mend = format!("{mend} (as root), or run verdikt as root");
        // Root gets on without; whether this is fatal the sandbox's own start shows.
        check.status = if root { Status::Missing } else { Status::Failed };
    }
    check
}

/// What a real cluster says of itself.
async fn cluster(named: &verdikt_cluster::Target) -> Vec<Check> {
    let cluster = match Cluster::connect(named).await {
        Ok(cluster) => cluster,
        Err(e) => {
            return vec![Check {
                name: "connection",
                status: Status::Failed,
                found: e.to_string(),
                mend: String::new(),
            }];
        }
    };
    match cluster.environment().await {
        Err(e) => {
            vec![Check {
                name: "environment",
                status: Status::Failed,
                found: e.to_string(),
                mend: String::new(),
            }]
        }
        Ok(environment) => {
            let families: Vec<&str> = environment.ip_families.iter().map(|f| f.as_str()).collect();
            let plane = &environment.dataplane;
            [
                ("connection", format!("Kubernetes {}", environment.kubernetes)),
                ("nodes", format!("{}, kernel {}", environment.nodes, environment.kernel)),
                ("IP families", families.join(", ")),
                ("dataplane", format!("{} {} {}", plane.name, plane.version, plane.mode).trim().to_owned()),
            ]
            .map(|(name, found)| Check { name, status: Status::Ok, found, mend: String::new() })
            .into()
        }
    }
}
