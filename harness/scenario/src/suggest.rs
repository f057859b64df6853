//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to a word, if it is near enough to be meant.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    // A word of one or two letters is near to every other; only a slip in its case or order is recognised.
    let reach = (lower.chars().count() / 3).min(4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

/// A help text: the nearest word if there is one, else what is known.
pub(crate) fn help<'c>(
    word: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<String> {
    let known = list(candidates.clone());
    match nearest(word, candidates) {
        Some(near) if known.is_empty() => Some(format!("did you mean `{near}`?")),
        Some(near) => Some(format!("did you mean `{near}`? {what}: {known}")),
        None if known.is_empty() => None,
        None => Some(format!("{what}: {known}")),
    }
}

/// Words in one line, the first dozen of them.
pub(crate) fn list<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    const MOST: usize = 16;
    let words: Vec<&str> = words.into_iter().collect();
    let mut out = words.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if words.len() > MOST {
        out.push_str(&format!(", … ({} in all)", words.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_recognised_and_strangers_are_not() {
        let fields = ["podSelector", "ingress", "egress", "policyTypes"];
        assert_eq!(nearest("podSelectors", fields), Some("podSelector"));
        assert_eq!(nearest("ingres", fields), Some("ingress"));
        assert_eq!(nearest("policytypes", fields), Some("policyTypes"));
        assert_eq!(nearest("replicas", fields), None);
        assert_eq!(nearest("q", ["x", "y"]), None);
    }
}
