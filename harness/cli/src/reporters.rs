//! The reporters that were asked for, and how they are fed.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use tokio::sync::mpsc;
use verdikt_model::{Event, Record};
use verdikt_report::{
    Format, JsonReporter, JsonlReporter, LibtestReporter, ProgressOptions, ProgressReporter, RecordBuilder,
    RecordFile, Reporter, TerminalOptions, TerminalReporter,
};

use crate::{args::Reports, failure::Failure, ui::Ui};

/// Everything that listens to a run.
pub(crate) struct Reporters {
    live: Vec<Box<dyn Reporter + Send>>,
    /// The record so far, where a report needs the whole of it.
    record: Option<RecordBuilder>,
    exports: Vec<Export>,
}

/// A file that is written when the run is over, and how it is drawn from the record.
type Export = (PathBuf, Draw);
type Draw = fn(&Record) -> String;

impl Reporters {
    /// Opens what is written to. `command` is the command line that reached the cluster.
    pub(crate) fn new(args: &Reports, command: &[String], ui: &Ui) -> Result<Self, Failure> {
        let mut live: Vec<Box<dyn Reporter + Send>> = Vec::new();
        let mut stdout: Box<dyn Write + Send> = Box::new(std::io::stdout());
        if !ui.quiet {
            let progress = ProgressReporter::new(ProgressOptions {
                terminal: std::io::stderr().is_terminal(),
                color: ui.color_stderr,
                // The human form prints a line for each scenario itself.
                lines: !matches!(args.output, Format::Human | Format::Wide),
            });
            stdout = progress.guard(stdout);
            live.push(Box::new(progress));
        }
        live.push(match args.output {
            Format::Human | Format::Wide => Box::new(TerminalReporter::new(
                stdout,
                TerminalOptions {
                    wide: args.output == Format::Wide,
                    color: ui.color_stdout,
                    width: ui.width,
                    target_flags: verdikt_report::target_flags(command),
                },
            )),
            Format::Json => Box::new(JsonReporter::new(stdout)),
            Format::Jsonl => Box::new(JsonlReporter::new(stdout)),
            Format::Libtest => Box::new(LibtestReporter::new(stdout)),
        });
        if let Some(path) = &args.record {
            live.push(Box::new(RecordFile::create(path).map_err(|e| cannot_write(path, &e))?));
        }
        let exports = exports(args);
        for (path, _) in &exports {
            // Found out now rather than after an hour of probing.
            std::fs::File::create(path).map_err(|e| cannot_write(path, &e))?;
        }
        let record = (!exports.is_empty()).then(RecordBuilder::new);
        Ok(Self { live, record, exports })
    }

    /// Hands every event to every reporter until the run is over.
    pub(crate) fn consume(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) -> Result<(), Failure> {
        // A report that cannot be written must not take the others with it; the first such error is told at the end.
        let mut broken: Option<std::io::Error> = None;
        let mut note = |written: std::io::Result<()>| match go_on(written) {
            Err(error) if broken.is_none() => broken = Some(error),
            _ => {}
        };
        while let Some(event) = inbox.blocking_recv() {
            for reporter in &mut self.live {
                note(reporter.event(&event));
            }
            if let Some(builder) = &mut self.record {
                note(builder.event(&event));
            }
        }
        for reporter in &mut self.live {
            note(reporter.finish());
        }
        let mut failed: Option<Failure> = None;
        if let Some(record) = self.record.and_then(RecordBuilder::build) {
            for (path, draw) in self.exports {
                if let Err(error) = std::fs::write(&path, draw(&record)) {
                    failed.get_or_insert_with(|| cannot_write(&path, &error));
                }
            }
        }
        match failed.or(broken.map(Failure::from)) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

/// What `--export-*` asks for.
fn exports(args: &Reports) -> Vec<Export> {
    let chosen: &[(&Option<PathBuf>, Draw)] = &[
        (&args.export_junit, verdikt_report::junit),
        (&args.export_markdown, verdikt_report::markdown),
        (&args.export_html, |record| verdikt_report::html(&[(record.run.id.clone(), record.clone())])),
    ];
    chosen.iter().filter_map(|(path, draw)| Some(((*path).clone()?, *draw))).collect()
}

/// Who reads standard output may have seen enough; the run and its files go on.
fn go_on(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}
