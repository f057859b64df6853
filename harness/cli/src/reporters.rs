//! The reporters that were asked for, and how they are fed.

use std::{io::IsTerminal, path::PathBuf};

use tokio::sync::mpsc;
use verdikt_model::{Event, Record};
use verdikt_report::{
    Format, JsonReporter, JsonlReporter, LibtestReporter, ProgressOptions, ProgressReporter, RecordBuilder,
    RecordFile, Reporter, TerminalOptions, TerminalReporter,
};

use crate::{
    args::Reports,
    failure::Failure,
    terminal::Stdout,
    ui::Ui,
    written::{Output, cannot_write, each_in_its_place},
};

/// Everything that listens to a run.
pub(crate) struct Reporters {
    /// On standard error; none where the user wants quiet.
    progress: Option<ProgressReporter>,
    /// On standard output.
    results: Box<dyn Reporter + Send>,
    record: Option<RecordOnDisk>,
    exports: Exports,
}

/// The record, written as the run goes on.
struct RecordOnDisk {
    path: PathBuf,
    file: RecordFile,
    /// Whether it is not on disk as far as the run has come.
    behind: bool,
}

/// What became of the files.
pub(crate) struct Written {
    /// Those that could not be written.
    pub(crate) failures: Vec<Failure>,
    /// Whether the run was stopped at its start, because its record could not be begun.
    pub(crate) refused: bool,
}

/// Files that are written when the run is over, each with how it is drawn from the record.
struct Exports {
    files: Vec<(Output, Draw)>,
    /// The record so far, where there is such a file.
    record: Option<RecordBuilder>,
}

type Draw = fn(&Record) -> String;

impl Reporters {
    /// Finds and tries what is written to. `command` is the command line that reached the cluster. None of `inputs` is
    /// overwritten, and none of `records` but by a record.
    pub(crate) fn new(
        args: &Reports,
        command: &[String],
        inputs: &[PathBuf],
        records: &[PathBuf],
        ui: &Ui,
    ) -> Result<Self, Failure> {
        let record = args.record.as_ref().map(|path| Output::new("--record", path)).transpose()?;
        if let Some(record) = &record {
            record.is_none_of(inputs)?;
        }
        let mut exports = Vec::new();
        let chosen: [(&'static str, &Option<PathBuf>, Draw); 3] = [
            ("--export-junit", &args.export_junit, verdikt_report::junit),
            ("--export-markdown", &args.export_markdown, verdikt_report::markdown),
            ("--export-html", &args.export_html, |record| {
                verdikt_report::html(&[(record.run.id.clone(), record.clone())])
            }),
        ];
        for (option, path, draw) in chosen {
            if let Some(path) = path {
                let output = Output::new(option, path)?;
                output.is_none_of(inputs)?;
                output.is_none_of(records)?;
                exports.push((output, draw));
            }
        }
        let all: Vec<&Output> = record.iter().chain(exports.iter().map(|(output, _)| output)).collect();
        each_in_its_place(&all)?;

        let mut stdout: Box<dyn std::io::Write + Send> = Box::new(Stdout);
        let progress = (!ui.quiet).then(|| {
            ProgressReporter::new(ProgressOptions {
                terminal: std::io::stderr().is_terminal(),
                color: ui.color_stderr,
                // The human form prints a line for each scenario itself.
                lines: !matches!(args.output, Format::Human | Format::Wide),
            })
        });
        if let Some(progress) = &progress {
            stdout = progress.guard(stdout);
        }
        let results: Box<dyn Reporter + Send> = match args.output {
            Format::Human | Format::Wide => Box::new(TerminalReporter::new(
                stdout,
                TerminalOptions {
                    wide: args.output == Format::Wide,
                    quiet: ui.quiet,
                    color: ui.color_stdout,
                    width: ui.width,
                    target_flags: verdikt_report::target_flags(command),
                },
            )),
            Format::Json => Box::new(JsonReporter::new(stdout)),
            Format::Jsonl => Box::new(JsonlReporter::new(stdout)),
            Format::Libtest => Box::new(LibtestReporter::new(stdout)),
        };
        let record = record.map(Output::into_parts).map(|(path, place)| RecordOnDisk {
            path,
            file: RecordFile::new(place),
            behind: false,
        });
        let builder = (!exports.is_empty()).then(RecordBuilder::new);
        Ok(Self { progress, results, record, exports: Exports { files: exports, record: builder } })
    }

    /// Hands every event to every reporter until the run is over. Calls `stop` when the record cannot be begun: a run of
    /// which nothing is kept need not be made.
    pub(crate) fn consume(mut self, mut inbox: mpsc::UnboundedReceiver<Event>, stop: impl Fn()) -> Written {
        let mut refused: Option<Failure> = None;
        // What fails on standard output and standard error, the terminal tells; it must not take the files with it.
        while let Some(event) = inbox.blocking_recv() {
            if let Some(progress) = &mut self.progress {
                let _ = progress.event(&event);
            }
            let _ = self.results.event(&event);
            if let Some(record) = &mut self.record
                && let Some(failure) = record.event(&event)
            {
                let message = format!("{}; it is tried again with each scenario that ends", failure.message);
                if matches!(event, Event::RunStarted { .. }) {
                    refused = Some(failure);
                    stop();
                } else if let Some(progress) = &mut self.progress {
                    let _ = progress.event(&Event::Warning { message });
                }
            }
            if let Some(builder) = &mut self.exports.record {
                let _ = builder.event(&event);
            }
        }
        if let Some(progress) = &mut self.progress {
            let _ = progress.finish();
        }
        let _ = self.results.finish();
        let unfinished = self.record.and_then(RecordOnDisk::finish);
        let stopped = refused.is_some();
        let mut failures: Vec<Failure> = refused.or(unfinished).into_iter().collect();
        failures.extend(self.exports.write());
        Written { failures, refused: stopped }
    }
}

impl RecordOnDisk {
    /// Writes what has happened; tells the first time that this does not work. What is missing is written with what comes
    /// next.
    fn event(&mut self, event: &Event) -> Option<Failure> {
        let error = self.file.event(event).err()?;
        let first = !std::mem::replace(&mut self.behind, true);
        first.then(|| cannot_write(&self.path, &error))
    }

    fn finish(mut self) -> Option<Failure> {
        // All of it is written here, whatever failed before.
        match self.file.finish() {
            Ok(()) => None,
            Err(error) => Some(cannot_write(&self.path, &error)),
        }
    }
}

impl Exports {
    fn write(self) -> Vec<Failure> {
        let Some(record) = self.record.and_then(RecordBuilder::build) else { return Vec::new() };
        let written = self.files.into_iter().map(|(mut file, draw)| file.write(draw(&record).as_bytes()));
        written.filter_map(Result::err).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use clap::Parser;
    use verdikt_model::{Environment, RunInfo};

    use super::*;
    use crate::args::{Cli, Verb};

    #[test]
    fn a_record_that_cannot_be_begun_stops_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("gone");
        std::fs::create_dir(&place).unwrap();
        let (record, page) = (place.join("r.json"), place.join("r.html"));
        let words = ["verdikt", "run", "-q", "-o", "json", "--record"].map(std::ffi::OsStr::new);
        let cli = Cli::parse_from(words.into_iter().chain([
            record.as_os_str(),
            "--export-html".as_ref(),
            page.as_os_str(),
        ]));
        let Verb::Run(args) = &cli.verb else { unreachable!("it is a run") };
        let reporters = Reporters::new(&args.reports, &[], &[], &[], &Ui::new(&cli.global)).unwrap();
        std::fs::remove_dir(&place).unwrap();
        let (tell, inbox) = mpsc::unbounded_channel();
        let run = RunInfo { id: "r1".into(), ..RunInfo::default() };
        let environment = Box::new(Environment::default());
        tell.send(Event::RunStarted { run, environment, scenarios: 1, lanes: 1 }).unwrap();
        drop(tell);
        let stopped = Cell::new(0);
        let written = reporters.consume(inbox, || stopped.set(stopped.get() + 1));
        assert_eq!((stopped.get(), written.refused), (1, true));
        let told: Vec<&str> = written.failures.iter().map(|failure| failure.message.as_str()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("r.json") && told[1].contains("r.html"), "{told:?}");
    }
}
