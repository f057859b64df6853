//! `verdikt doctor`: what works, what does not, and the mend.

mod check;
mod cluster;
mod machine;
mod rights;
mod trial;

use verdikt_model::ExitCode;
use verdikt_report::json_text;
use verdikt_runner::Stop;

use crate::{
    args::{Doctor, ShortFormat},
    failure::Outcome,
    signals, target, terminal,
    ui::Ui,
};
use check::Status;

pub(super) async fn doctor(args: Doctor, ui: Ui) -> Outcome {
    let stop = Stop::new();
    let stopper = stop.clone();
    let clean = "stopped at once: `verdikt clean` with the same target removes what is left";
    signals::watch(move || stopper.stop(), move || clean.to_owned())?;
    let checks = match target::named(&args.cluster) {
        // Its trial removes what it has made when it is stopped.
        Some(named) => cluster::cluster(&named, &args, &ui, &stop).await,
        None => tokio::select! {
            checks = machine::machine() => checks,
            () = stop.stopped() => Vec::new(),
        },
    };
    if stop.is_stopped() {
        return Ok(ExitCode::Interrupted);
    }
    terminal::print(&match args.output {
        ShortFormat::Json => json_text(&serde_json::json!({ "checks": checks })) + "\n",
        ShortFormat::Human => check::human(&checks),
    });
    let failed = checks.iter().any(|check| check.status == Status::Failed);
    Ok(if failed { ExitCode::Setup } else { ExitCode::Ok })
}

/// `--print-rbac`
pub(super) fn print_rbac(with_crds: bool) -> Outcome {
    terminal::print(&verdikt_cluster::rbac(with_crds));
    Ok(ExitCode::Ok)
}
