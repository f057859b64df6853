//! Which characters act on a terminal or hide from the reader.

/// Whether a character would act on a terminal, change the order in which text is read, or hide from the reader. Who
/// prints foreign text shows it as a code instead.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'      // soft hyphen, Arabic letter mark, Mongolian separator
            | '\u{200b}'..='\u{200f}'               // zero width, marks of direction
            | '\u{2028}'..='\u{202e}'               // line and paragraph separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'               // joiners, isolates, deprecated controls
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'  // byte order mark, interlinear annotation
            | '\u{fffe}' | '\u{ffff}'               // no characters; not allowed in XML
            | '\u{e0000}'..='\u{e007f}') // tags
}
