//! The record on disk while the run goes on.
//!
//! After each scenario the file is replaced as a whole (see [`crate::replace`]), so it is valid JSON up to the last
//! scenario that has ended at every moment, also after `kill -9`. The alternative, to overwrite the file's tail in
//! place, saves the copy but can tear: a kill between two pages of one `write` leaves half a scenario, and a reader
//! can see it at any time.
//!
//! The copy is made in the kernel (`copy_file_range`, which shares blocks where the file system can). It would still
//! make a long run quadratic, so records beyond [`COPY_FREELY`] are replaced only as often as takes a tenth of the
//! time; the end of the run always writes what is missing. Up to that size, nothing is ever missing.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use verdikt_model::Event;

use crate::{
    layout,
    place::{Place, through},
    record_builder::Tally,
    reporter::Reporter,
};

/// Size in bytes up to which the record is replaced after every scenario; copying this much takes some 10 ms.
const COPY_FREELY: u64 = 32 << 20;

/// Writes the record of a run to a file, scenario by scenario.
#[derive(Debug)]
pub struct RecordFile {
    place: Place,
    tally: Tally,
    /// Scenarios that are on disk, and where they lie in the file that is in place.
    written: Option<Written>,
    /// Scenarios that are not, with separators.
    pending: Vec<u8>,
    scenarios: usize,
    copy_freely: u64,
    last_took: Duration,
    last_end: Option<Instant>,
}

#[derive(Debug)]
struct Written {
    file: File,
    start: u64,
    end: u64,
}

impl RecordFile {
    /// Prepares to write to `path`. A file that is there is kept until the run has started; a pipe or device gets the
    /// record at the end.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Place::new(path.as_ref()).map(Self::new)
    }

    /// Writes to a place: a file after each scenario, a stream at the end.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            tally: Tally::default(),
            written: None,
            pending: Vec::new(),
            scenarios: 0,
            copy_freely: COPY_FREELY,
            last_took: Duration::ZERO,
            last_end: None,
        }
    }

    /// Whether replacing the file now keeps the cost of it small.
    fn is_due(&self) -> bool {
        let size = self.written.as_ref().map_or(0, |w| w.end);
        size <= self.copy_freely || self.last_end.is_none_or(|end| end.elapsed() >= self.last_took * 10)
    }

    /// Replaces the file by one with everything so far.
    fn replace(&mut self) -> io::Result<()> {
        let Some(mut fresh) = self.place.fresh()? else { return Ok(()) };
        let Some(head) = self.head()? else { return Ok(()) };
        let start = Instant::now();
        fresh.file.write_all(&head)?;
        let begin = head.len() as u64;
        let mut end = begin;
        if let Some(written) = &mut self.written {
            written.file.seek(SeekFrom::Start(written.start))?;
            let length = written.end - written.start;
            let copied = io::copy(&mut (&written.file).take(length), &mut fresh.file)?;
            if copied != length {
                return Err(io::Error::other(
                    "the record on disk has become shorter; does something else write to it?",
                ));
            }
            end += length;
        }
        fresh.file.write_all(&self.pending)?;
        end += self.pending.len() as u64;
        fresh.file.write_all(layout::TAIL)?;
        let file = self.place.replace(fresh)?;
        self.written = Some(Written { file, start: begin, end });
        self.pending.clear();
        self.last_took = start.elapsed();
        self.last_end = Some(Instant::now());
        Ok(())
    }

    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        match (self.tally.run(), self.tally.environment()) {
            (Some(run), Some(environment)) => {
                layout::head(&run, environment, self.tally.summary(), self.tally.deviations()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Reporter for RecordFile {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tally.event(event);
        match event {
            Event::RunStarted { .. } => self.replace(),
            Event::ScenarioFinished { record } => {
                if self.scenarios > 0 {
                    self.pending.extend_from_slice(layout::BETWEEN);
                }
                self.scenarios += 1;
                self.pending.extend(layout::scenario(record)?);
                if self.is_due() { self.replace() } else { Ok(()) }
            }
            // The counts may have changed since the last scenario, the duration has.
            Event::RunFinished { .. } => self.replace(),
            Event::ScenarioStarted { .. }
            | Event::Progress { .. }
            | Event::Swept { .. }
            | Event::Warning { .. }
            | Event::Checking { .. }
            | Event::Interrupted => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.replace()?;
        let head = self.head()?;
        match (self.place.stream(), head) {
            (Some(out), Some(head)) => through(out, &[head.as_slice(), &self.pending, layout::TAIL].concat()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use verdikt_model::Record;

    use super::*;
    use crate::sample;

    fn read(path: &Path) -> Record {
        let text = fs::read(path).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn the_file_is_whole_after_every_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        let mut file = RecordFile::create(&path).unwrap();
        assert!(!path.exists());
        let mut ended = 0;
        for event in sample::events() {
            file.event(&event).unwrap();
            ended += usize::from(matches!(event, Event::ScenarioFinished { .. }));
            // What a process that is killed now leaves behind.
            let record = read(&path);
            assert_eq!(record.scenarios.len(), ended);
            assert_eq!(record.summary.scenarios.total() as usize, ended);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        file.finish().unwrap();
        let mut whole = Vec::new();
        layout::write_record(&sample::record(), &mut whole).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), String::from_utf8(whole).unwrap());
    }

    #[test]
    fn a_killed_process_leaves_a_whole_file() {
        // The test runs itself as the process that is killed.
        const FILE: &str = "VERDIKT_TEST_RECORD";
        if let Some(path) = std::env::var_os(FILE) {
            let mut file = RecordFile::create(path).unwrap();
            file.event(&sample::events()[0]).unwrap();
            let finished = Event::ScenarioFinished { record: Box::new(sample::failed()) };
            // Ends by itself if nobody kills it.
            let end = Instant::now() + Duration::from_secs(20);
            while Instant::now() < end {
                file.event(&finished).unwrap();
            }
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for round in 0..8_u64 {
            let path = folder.path().join(format!("{round}.json"));
            let name = "record_writer::tests::a_killed_process_leaves_a_whole_file";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env(FILE, &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + Duration::from_secs(15);
            while !path.exists() || read(&path).scenarios.len() < 3 {
                assert!(Instant::now() < deadline, "nothing was written");
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(700 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            let record = read(&path);
            assert_eq!(record.scenarios.len(), record.summary.scenarios.total() as usize);
            assert!(record.scenarios.len() >= 3);
        }
        // The next start sweeps what a kill in the wrong moment may have left.
        RecordFile::create(folder.path().join("next.json")).unwrap();
        let leftovers = fs::read_dir(folder.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".verdikt"));
        assert_eq!(leftovers.count(), 0);
    }

    #[test]
    fn large_records_are_replaced_seldom_and_end_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        let mut file = RecordFile::create(&path).unwrap();
        file.copy_freely = 0;
        let events = sample::events();
        file.event(&events[0]).unwrap();
        file.last_took = Duration::from_secs(3600);
        let record = Box::new(sample::failed());
        for _ in 0..20 {
            file.event(&Event::ScenarioFinished { record: record.clone() }).unwrap();
        }
        assert_eq!(read(&path).scenarios.len(), 0);
        file.last_took = Duration::ZERO;
        file.event(&Event::ScenarioFinished { record: record.clone() }).unwrap();
        assert_eq!(read(&path).scenarios.len(), 21);
        file.last_took = Duration::from_secs(3600);
        file.event(&Event::ScenarioFinished { record }).unwrap();
        file.finish().unwrap();
        assert_eq!(read(&path).scenarios.len(), 22);
    }

    #[test]
    fn a_stream_gets_the_record_at_the_end() {
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut file = RecordFile::create(path).unwrap();
        drop(writer);
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        sample::events().iter().for_each(|event| file.event(event).unwrap());
        file.finish().unwrap();
        drop(file);
        let text = reading.join().unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap().scenarios.len(), 5);
    }

    #[test]
    fn what_cannot_be_written_is_known_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RecordFile::create(folder.path()).is_err());
        assert!(RecordFile::create(folder.path().join("missing/record.json")).is_err());
    }

    #[test]
    fn a_symbolic_link_stays_one_and_a_run_that_never_starts_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target.json"), folder.path().join("link.json"));
        fs::write(&target, "before").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        RecordFile::create(&link).unwrap().finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "before");
        let mut file = RecordFile::create(&link).unwrap();
        sample::events().iter().for_each(|event| file.event(event).unwrap());
        assert!(link.is_symlink());
        assert_eq!(read(&target).scenarios.len(), 5);
    }
}
