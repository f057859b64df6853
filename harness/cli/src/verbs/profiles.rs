//! `verdikt sandbox profiles`: what the sandbox's dataplane can be told to be.

use std::io::Write;

use serde_json::json;
use verdikt_model::ExitCode;
use verdikt_sandbox::{Base, Traits};

use crate::{args::ShortFormat, failure::Outcome};

/// The words of profiles, a line each, or as JSON.
pub(super) fn profiles(output: ShortFormat) -> Outcome {
    let mut out = std::io::stdout().lock();
    match output {
        ShortFormat::Human => {
            writeln!(
                out,
                "A profile is BASE[+TRAIT[=VALUE]]…, such as reference+policy-delay=200ms.\n\nBases:"
            )?;
            for base in Base::ALL {
                writeln!(out, "  {:<28} {}", base.as_str(), base.about())?;
            }
            writeln!(out, "\nTraits:")?;
            for known in Traits::ALL {
                writeln!(out, "  {:<28} {}", format!("{}{}", known.word, known.value), known.about)?;
            }
        }
        ShortFormat::Json => {
            let base = |base: &Base| json!({"name": base.as_str(), "about": base.about()});
            let bases: Vec<_> = Base::ALL.iter().map(base).collect();
            let traits: Vec<_> = Traits::ALL
                .iter()
                .map(|known| json!({"name": known.word, "value": known.value, "about": known.about}))
                .collect();
            writeln!(out, "{}", json!({"bases": bases, "traits": traits}))?;
        }
    }
    Ok(ExitCode::Ok)
}
