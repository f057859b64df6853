//! The one way to write markup.
//!
//! Tags, attributes' names and ready markup are `&'static str`: what a record says cannot become any of them. Whatever
//! else is written goes through [`escape()`] (control characters and marks of direction become visible) and through
//! HTML's own escaping.

use serde::Serialize;

use crate::{
    escape::{cut, escape, escape_lines},
    json_text::json_line,
};

/// Attributes: constant names, any values.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// What was written.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Markup of the program's own.
    pub(super) fn constant(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// A template of the program's own; `slot` writes what belongs in the place of each `{{name}}`.
    pub(super) fn template(&mut self, template: &'static str, mut slot: impl FnMut(&mut Self, &'static str)) {
        let mut rest = template;
        while let Some((before, (name, after))) =
            rest.split_once("{{").and_then(|(before, tail)| Some((before, tail.split_once("}}")?)))
        {
            self.constant(before);
            slot(self, name);
            rest = after;
        }
        self.constant(rest);
    }

    /// An element with whatever `body` writes.
    pub(super) fn el(&mut self, tag: &'static str, attributes: Attributes<'_>, body: impl FnOnce(&mut Self)) {
        self.open(tag, attributes);
        body(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element with text alone.
    pub(super) fn tag(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.el(tag, attributes, |w| w.text(text));
    }

    /// An element that has no end.
    pub(super) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.entities(&escape(value));
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Text for one line.
    pub(super) fn text(&mut self, text: &str) {
        self.entities(&escape(text));
    }

    /// Text whose line breaks stay.
    pub(super) fn lines(&mut self, text: &str) {
        self.entities(&escape_lines(text));
    }

    /// Text, from `max` characters on behind a fold.
    pub(super) fn long(&mut self, text: &str, max: usize) {
        let short = cut(text, max);
        if !short.ends_with('…') || text.ends_with('…') && text.chars().count() <= max {
            return self.text(text);
        }
        self.el("details", &[("class", "long")], |w| {
            w.tag("summary", &[], &short);
            w.tag("div", &[], text);
        });
    }

    /// A link, where the address is one of the web and reads as it is; otherwise its text.
    pub(super) fn link(&mut self, address: &str) {
        let web = address.starts_with("https://") || address.starts_with("http://");
        let plain = address.len() <= 500 && address.chars().all(|c| c.is_ascii_graphic());
        if web && plain {
            self.tag("a", &[("href", address), ("rel", "noreferrer noopener")], address);
        } else {
            self.long(address, crate::escape::NAME);
        }
    }

    /// A block of data for scripts.
    pub(super) fn json(&mut self, id: &'static str, value: &impl Serialize) {
        // Strings, numbers and lists of these: nothing here can fail to be JSON.
        let json = json_line(value).unwrap_or_else(|_| "null".to_owned());
        self.open("script", &[("type", "application/json"), ("id", id)]);
        for c in json.chars() {
            // Only within strings, where JSON has another spelling for them.
            match c {
                '<' => self.0.push_str("\\u003c"),
                '>' => self.0.push_str("\\u003e"),
                '&' => self.0.push_str("\\u0026"),
                c => self.0.push(c),
            }
        }
        self.0.push_str("</script>");
    }

    fn entities(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::escape::is_harmful;

    fn written(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::default();
        write(&mut html);
        html.finish()
    }

    #[test]
    fn foreign_text_is_text() {
        assert_eq!(
            written(|w| w.tag("p", &[("title", "\"><b onclick='x'>")], "</p><script>\u{1b}&amp;\u{202e}")),
            "<p title=\"&quot;&gt;&lt;b onclick=&#39;x&#39;&gt;\">\
             &lt;/p&gt;&lt;script&gt;\\u{1b}&amp;amp;\\u{202e}</p>"
        );
    }

    #[test]
    fn data_cannot_end_its_block() {
        let text = written(|w| w.json("d", &["</script><!-- <script>&"]));
        assert_eq!(text.matches("</script>").count(), 1, "{text}");
        let json = text.split_once('>').unwrap().1.strip_suffix("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Vec<String>>(json).unwrap(), ["</script><!-- <script>&"]);
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        for address in
            ["javascript:alert(1)", "data:text/html,x", "https://a\u{202e}b", "//x", "HTTPS://x", ""]
        {
            assert!(!written(|w| w.link(address)).contains("<a"), "{address}");
        }
        assert_eq!(
            written(|w| w.link("https://x.io/?a=\"&b")),
            "<a href=\"https://x.io/?a=&quot;&amp;b\" rel=\"noreferrer noopener\">https://x.io/?a=&quot;&amp;b</a>"
        );
    }

    #[test]
    fn long_text_is_folded_and_whole() {
        let text = "n".repeat(10_000);
        let shown = written(|w| w.long(&text, 20));
        assert!(shown.starts_with("<details class=\"long\"><summary>nnnnnnnnnnnnnnnnnnn…</summary>"));
        assert!(shown.contains(&text));
        assert_eq!(written(|w| w.long("as it is…", 20)), "as it is…");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_no_markup_goes_out(text in any::<String>()) {
            let shown = written(|w| { w.text(&text); w.lines(&text); });
            prop_assert!(!shown.contains(['<', '>', '"', '\'']));
            prop_assert!(!shown.chars().any(|c| c != '\n' && is_harmful(c)));
        }
    }
}
