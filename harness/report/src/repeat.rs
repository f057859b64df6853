//! The command that repeats one probe.

use verdikt_model::{CellPattern, Matrix, Row, ScenarioRecord};

use crate::escape::is_harmful;

/// A shell command that runs one scenario and probes just one of its cells.
///
/// `target` holds the flags with which the same cluster and the same files are reached again, unquoted (see
/// [`target_flags`]). Everything is quoted for a POSIX shell where it has to be.
pub fn repeat_command(scenario: &ScenarioRecord, matrix: &Matrix, row: &Row, target: &[String]) -> String {
    let cell = CellPattern {
        from: matrix.name(row.cell.from).to_owned(),
        to: matrix.name(row.cell.to).to_owned(),
        port: Some(row.cell.port),
        protocol: Some(row.cell.protocol),
        via: row.cell.via,
        family: Some(row.cell.family),
    };
    format!("{} {}", repeat_head(scenario, target), quote(&cell.to_string()))
}

/// The command up to the cell: `verdikt run … --exact NAME --cell`.
pub(crate) fn repeat_head(scenario: &ScenarioRecord, target: &[String]) -> String {
    let mut words = vec!["verdikt".to_owned(), "run".to_owned()];
    words.extend(target.iter().map(|flag| quote(flag)));
    words.extend(["--exact".to_owned(), quote(&scenario.name), "--cell".to_owned()]);
    words.join(" ")
}

/// A piece of a word that stands between single quotes.
pub(crate) fn within_quotes(piece: &str) -> String {
    if piece.chars().any(is_harmful) {
        return format!("'{}'", quote(piece));
    }
    piece.replace('\'', r"'\''")
}

/// The flags of a recorded command line (`run.command`) that say which cluster, which files and how pods get there:
/// what [`repeat_command`] needs when only the record is at hand.
pub fn target_flags(command: &[String]) -> Vec<String> {
    const ALONE: [&str; 2] = ["--in-cluster", "--allow-cluster-scoped"];
    const WITH_VALUE: &[&str] = &[
        "-f",
        "--filename",
        "--allow-kind",
        "--context",
        "--dataplane",
        "--external",
        "--kubeconfig",
        "--namespace-prefix",
        "--image",
        "--image-pull-policy",
        "--image-pull-secret",
        "--toleration",
        "--node-selector",
        "--spread",
        "--ready-timeout",
    ];
    // Passed over together with their values, which may look like paths.
    const OTHERS_WITH_VALUE: &[&str] = &[
        "--cell",
        "--color",
        "--deadline",
        "--export-junit",
        "--export-html",
        "--export-markdown",
        "--ip-family",
        "--keep",
        "--known-deviations",
        "--lanes",
        "-l",
        "--output",
        "-o",
        "--partition",
        "--record",
        "--repeat",
        "--resume",
        "--retries",
        "--selector",
        "--settle",
        "--skip",
    ];
    let mut flags = Vec::new();
    let mut names_only = false;
    let mut args = command.iter().skip(1).peekable();
    while let Some(arg) = args.next() {
        let name = arg.split_once('=').map_or(arg.as_str(), |(name, _)| name);
        let attached_file = arg.starts_with("-f") && !arg.starts_with("--") && arg.len() > 2;
        if names_only || arg == "-" || !arg.starts_with('-') {
            if is_path(arg) {
                flags.extend(["-f".to_owned(), arg.clone()]);
            }
        } else if arg == "--" {
            names_only = true;
        } else if OTHERS_WITH_VALUE.contains(&arg.as_str()) {
            args.next();
        } else if WITH_VALUE.contains(&arg.as_str()) {
            flags.push(arg.clone());
            flags.extend(args.next().cloned());
        } else if arg == "--sandbox" {
            flags.push(arg.clone());
            flags.extend(args.next_if(|value| !value.starts_with('-')).cloned());
        } else if ALONE.contains(&arg.as_str())
            || name == "--sandbox"
            || WITH_VALUE.contains(&name)
            || attached_file
        {
            flags.push(arg.clone());
        }
    }
    flags
}

/// Whether a NAME of the command line can only be a file, a folder or standard input, and so is read as `-f` is. The word alone
/// decides, so that a record is shown alike on every machine: a run records the folder `basics/` as `./basics/`.
pub fn is_path(name: &str) -> bool {
    name == "-"
        || ["/", "./", "../"].iter().any(|start| name.starts_with(start))
        || [".yaml", ".yml"].iter().any(|end| name.ends_with(end))
}

/// One word for a POSIX shell. Characters that a terminal must not see are written as `$'\x1b'`.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_harmful) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        if is_harmful(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                quoted.push_str(&format!("\\x{byte:02x}"));
            }
        } else {
            if c == '\'' || c == '\\' {
                quoted.push('\\');
            }
            quoted.push(c);
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_command_names_one_cell_and_the_same_target() {
        let record = sample::failed();
        let matrix = &record.steps[0].cells;
        let target = ["--sandbox".to_owned(), "flannel".to_owned(), "-f".to_owned(), "my files/".to_owned()];
        assert_eq!(
            repeat_command(&record, matrix, &matrix.rows[0], &target),
            "verdikt run --sandbox flannel -f 'my files/' --exact selectors/and-versus-or --cell 'x/a -> x/a:80/tcp over ipv4'"
        );
    }

    #[test]
    fn words_survive_a_shell() {
        for word in
            ["plain", "two words", "it's", "$HOME `id` \"x\"", "", "\u{1b}[31m'\\", "a\u{202e}b", "*", "ü"]
        {
            for quoted in [quote(word), format!("'{}'", within_quotes(word))] {
                let script = format!("printf %s {quoted}");
                let out = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
                assert_eq!(String::from_utf8(out.stdout).unwrap(), word, "{script}");
                assert!(!script.chars().any(is_harmful));
            }
        }
    }

    #[test]
    fn the_target_is_read_from_the_command() {
        let flags =
            |line: &str| target_flags(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(flags("verdikt run --sandbox flannel -o wide ipblock"), "--sandbox flannel");
        assert_eq!(flags("verdikt run --sandbox --lanes 3"), "--sandbox");
        assert_eq!(
            flags("verdikt run --context=kind --kubeconfig k -f a.yaml --exact n"),
            "--context=kind --kubeconfig k -f a.yaml"
        );
        assert_eq!(
            flags(
                "verdikt run --in-cluster --allow-cluster-scoped --image i --toleration=* --node-selector a=b"
            ),
            "--in-cluster --allow-cluster-scoped --image i --toleration=* --node-selector a=b"
        );
        // Tests run in the crate's folder, which has a `src`; that is no matter.
        assert_eq!(flags("verdikt run src/ ./src/ --fail-fast b.yml"), "-f ./src/ -f b.yml");
        assert_eq!(flags("verdikt run ports basics/"), "");
        assert_eq!(flags("verdikt run ./a ../b /c - -- ./d e"), "-f ./a -f ../b -f /c -f - -f ./d");
        assert_eq!(flags("verdikt run --record /r.json --export-junit ./j.xml --resume ./r.json"), "");
    }
}
