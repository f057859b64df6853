//! Progress and talk, on standard error: bars on a terminal, plain lines elsewhere.
//!
//! ```text
//!         selectors/and-versus-or: step and: 81 cells, 9 not yet as expected
//!         ports/named: deploying
//!      Running [00:00:12] ━━━━━━━━━━━╸            12/42  1 failed
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use verdikt_model::{Event, ScenarioOutcome};

use crate::{
    deviations,
    escape::{NAME, SENTENCE, cut, escape},
    output::Output,
    reporter::Reporter,
    status,
    style::{self, Paint},
};

/// Most scenarios that have a line of their own at once.
const SHOWN: usize = 8;
/// How often the clock of the bar moves on.
const TICK: Duration = Duration::from_millis(250);

/// How progress is shown.
#[derive(Debug, Clone, Copy)]
pub struct ProgressOptions {
    /// Whether standard error is a terminal: bars then.
    pub terminal: bool,
    /// Colours.
    pub color: bool,
    /// Whether to write a line for each scenario that ends: when the results go elsewhere, or are for machines.
    pub lines: bool,
}

/// Shows progress, warnings and interruption on standard error.
pub struct ProgressReporter {
    err: Output,
    options: ProgressOptions,
    multi: MultiProgress,
    bars: Option<Bars>,
    planned: usize,
    ended: usize,
    failed: usize,
    flaky: usize,
    errored: usize,
}

impl ProgressReporter {
    /// On the process's standard error.
    pub fn new(options: ProgressOptions) -> Self {
        let target =
            if options.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self::with(options, target, Box::new(io::stderr()))
    }

    /// Draws bars on `target` and writes lines to `err`, which must be the same stream if both are seen.
    fn with(options: ProgressOptions, target: ProgressDrawTarget, err: Box<dyn Write + Send>) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        Self {
            err: Output::new(err),
            options,
            // indicatif hides its bars on a dumb terminal.
            bars: (options.terminal && !multi.is_hidden()).then(|| Bars::new(multi.clone(), options.color)),
            multi,
            planned: 0,
            ended: 0,
            failed: 0,
            flaky: 0,
            errored: 0,
        }
    }

    /// Wraps a stream that may show on the same terminal: the bars step aside while it is written to.
    pub fn guard(&self, out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        Box::new(Guard { multi: self.multi.clone(), out })
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        let err = &mut self.err;
        self.multi.suspend(|| err.print(text.as_bytes()))
    }
}

impl Reporter for ProgressReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let ProgressOptions { lines, color, .. } = self.options;
        let paint = Paint { color };
        match event {
            Event::RunStarted { run, environment, scenarios, lanes } => {
                self.planned = *scenarios;
                if let Some(bars) = &self.bars {
                    bars.start(*scenarios);
                }
                if lines {
                    self.print(&status::starting(run, environment, *scenarios, *lanes, paint))?;
                }
            }
            Event::Checking { what } => {
                let verb = paint.paint(style::PASS, "    Checking");
                self.print(&format!("{verb} {}\n", escape(what)))?;
            }
            Event::ScenarioStarted { name } => {
                if let Some(bars) = &mut self.bars {
                    bars.add(name);
                }
            }
            Event::Progress { name, what } => {
                if let Some(bars) = &self.bars {
                    bars.message(name, what);
                }
            }
            Event::Swept { .. } => {}
            Event::ScenarioFinished { record } => {
                self.ended += 1;
                self.failed += usize::from(record.outcome == ScenarioOutcome::Failed);
                self.flaky += usize::from(record.outcome == ScenarioOutcome::Flaky);
                self.errored += usize::from(record.outcome == ScenarioOutcome::Errored);
                if let Some(bars) = &mut self.bars {
                    bars.remove(
                        &record.name,
                        [(self.failed, "failed"), (self.flaky, "flaky"), (self.errored, "errored")],
                    );
                }
                if lines {
                    let total = self.planned.max(self.ended);
                    self.print(&status::scenario(record, self.ended, total, paint))?;
                }
            }
            Event::Warning { message } => {
                let verb = paint.paint(style::SKIP, "     warning");
                self.print(&format!("{verb}: {}\n", escape(message)))?;
            }
            Event::Interrupted => {
                let verb = paint.paint(style::FAIL, " interrupted");
                self.print(&format!(
                    "{verb}: removing what this run has made; interrupt again to stop at once\n"
                ))?;
            }
            Event::RunFinished { run, summary, deviations } => {
                self.clear()?;
                if lines {
                    self.print(&status::summary(run, self.planned, summary, paint))?;
                    self.print(&deviations::deviations(deviations, false, paint))?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.clear()
    }
}

impl ProgressReporter {
    fn clear(&mut self) -> io::Result<()> {
        match self.bars.take() {
            Some(bars) => bars.clear(),
            None => Ok(()),
        }
    }
}

/// Writes to a stream while the bars are away.
struct Guard {
    multi: MultiProgress,
    out: Box<dyn Write + Send>,
}

impl Write for Guard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { multi, out } = self;
        multi.suspend(|| out.write_all(bytes).and_then(|()| out.flush())).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One bar for the run, and a line for each of the first few running scenarios.
struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<String, ProgressBar>,
    /// Running, but without a line so far.
    waiting: VecDeque<String>,
}

impl Bars {
    fn new(multi: MultiProgress, color: bool) -> Self {
        let total = ProgressBar::hidden();
        let template = match color {
            true => "{prefix:>12.green.bold} [{elapsed_precise}] {bar:24.cyan/dim} {pos}/{len} {wide_msg}",
            false => "{prefix:>12} [{elapsed_precise}] {bar:24} {pos}/{len} {wide_msg}",
        };
        total.set_style(style(template).progress_chars("━╸ "));
        total.set_prefix("Running");
        Self { multi, total, running: BTreeMap::new(), waiting: VecDeque::new() }
    }

    fn start(&self, scenarios: usize) {
        self.total.set_length(scenarios as u64);
        self.multi.add(self.total.clone());
        self.total.enable_steady_tick(TICK);
    }

    fn add(&mut self, name: &str) {
        if self.running.len() == SHOWN {
            self.waiting.push_back(name.to_owned());
            return;
        }
        let line = ProgressBar::hidden();
        line.set_style(style("        {prefix}: {wide_msg}"));
        line.set_prefix(cut(name, NAME).into_owned());
        let line = self.multi.insert_before(&self.total, line);
        line.tick();
        self.running.insert(name.to_owned(), line);
    }

    fn message(&self, name: &str, what: &str) {
        if let Some(line) = self.running.get(name) {
            line.set_message(cut(what, SENTENCE).into_owned());
        }
    }

    fn remove(&mut self, name: &str, words: [(usize, &str); 3]) {
        if let Some(line) = self.running.remove(name) {
            line.finish_and_clear();
            self.multi.remove(&line);
            if let Some(next) = self.waiting.pop_front() {
                self.add(&next);
            }
        } else {
            self.waiting.retain(|waiting| waiting != name);
        }
        self.total.inc(1);
        let words: Vec<_> =
            words.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        self.total.set_message(words.join(", "));
    }

    fn clear(self) -> io::Result<()> {
        self.total.disable_steady_tick();
        for line in self.running.values() {
            line.finish_and_clear();
        }
        self.total.finish_and_clear();
        self.multi.clear()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a constant template parses")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use indicatif::TermLike;

    use super::*;
    use crate::sample::{self, Sink};

    /// A terminal that keeps what was written to it, cursor movements left out.
    #[derive(Debug, Clone, Default)]
    struct Screen(Sink);

    impl Screen {
        /// What was drawn, once it holds all of `words`: the bar's own clock draws.
        fn until(&self, words: &[&str]) -> String {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                let drawn = self.0.text();
                if words.iter().all(|word| drawn.contains(word)) {
                    return drawn;
                }
                assert!(Instant::now() < deadline, "{words:?} in {drawn}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            writeln!(self.0.clone(), "{text}")
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            write!(self.0.clone(), "{text}")
        }
        fn clear_line(&self) -> io::Result<()> {
            write!(self.0.clone(), "<clear>")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(lines: bool) -> String {
        let sink = Sink::default();
        let options = ProgressOptions { terminal: false, color: false, lines };
        let mut reporter =
            ProgressReporter::with(options, ProgressDrawTarget::hidden(), Box::new(sink.clone()));
        sample::events().iter().for_each(|event| reporter.event(event).unwrap());
        reporter.event(&Event::Interrupted).unwrap();
        reporter.finish().unwrap();
        sink.text()
    }

    #[test]
    fn without_a_terminal_lines_are_plain() {
        insta::assert_snapshot!(lines(true));
    }

    #[test]
    fn beside_the_human_form_only_talk_remains() {
        assert_eq!(
            lines(false),
            "     warning: node/2 does not answer; it is left out\n \
             interrupted: removing what this run has made; interrupt again to stop at once\n"
        );
    }

    #[test]
    fn bars_show_what_runs_and_step_aside_for_results() {
        let screen = Screen::default();
        let options = ProgressOptions { terminal: true, color: false, lines: false };
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut reporter = ProgressReporter::with(options, target, Box::new(screen.0.clone()));
        let mut out = reporter.guard(Box::new(screen.0.clone()));
        let events = sample::events();
        reporter.event(&events[0]).unwrap();
        for i in 0..20 {
            reporter.event(&Event::ScenarioStarted { name: format!("s/{i}") }).unwrap();
        }
        let drawn = screen.until(&["s/7: ", "     Running [00:00:0"]);
        assert!(!drawn.contains("s/8: "), "{drawn}");

        let before = screen.0.text().len();
        out.write_all(b"RESULT LINE\n").unwrap();
        let after = screen.0.text().split_off(before);
        let (cleared, redrawn) = after.split_once("RESULT LINE\n").unwrap();
        assert!(cleared.contains("<clear>") && !cleared.contains("Running"), "{after}");
        assert!(redrawn.contains("Running"), "{after}");

        let mut record = sample::failed();
        record.name = "s/3".into();
        reporter.event(&Event::ScenarioFinished { record: Box::new(record) }).unwrap();
        screen.until(&["s/8: ", "1/5", "1 failed"]);

        reporter.finish().unwrap();
        let before = screen.0.text().len();
        out.write_all(b"LAST\n").unwrap();
        assert!(!screen.0.text().split_off(before).contains("Running"));
    }
}
