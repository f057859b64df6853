//! What Ant's schema asks for beyond junit-report: properties, a count of skipped tests, times without a zone.

use std::io;

use quick_xml::{
    Reader, Writer,
    events::{BytesEnd, BytesStart, BytesText, Event, attributes::Attribute},
};

/// A report of junit-report, completed and indented.
pub(super) fn complete(report: &[u8], skipped: usize, properties: &[(&str, String)]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    copy(report, &mut writer, skipped, properties)
        .expect("what junit-report writes is XML, and memory takes it");
    let mut xml = String::from_utf8(writer.into_inner()).expect("the report is made of strings");
    xml.push('\n');
    xml
}

fn copy(
    report: &[u8],
    writer: &mut Writer<Vec<u8>>,
    skipped: usize,
    properties: &[(&str, String)],
) -> io::Result<()> {
    let mut reader = Reader::from_reader(report);
    loop {
        match reader.read_event().map_err(io::Error::other)? {
            Event::Eof => return Ok(()),
            Event::Start(tag) if tag.name().as_ref() == b"testsuite" => {
                let mut suite = without_zone(&tag);
                suite.push_attribute(("skipped", skipped.to_string().as_str()));
                writer.write_event(Event::Start(suite))?;
                writer.create_element("properties").write_inner_content(|writer| {
                    for (name, value) in properties {
                        let value = crate::escape::escape(value);
                        let property = [("name", *name), ("value", &*value)];
                        writer.create_element("property").with_attributes(property).write_empty()?;
                    }
                    Ok(())
                })?;
            }
            Event::Start(tag) if tag.name().as_ref() == b"skipped" => {
                writer.write_event(Event::Start(without(&tag, "type")))?;
            }
            Event::Empty(tag) if tag.name().as_ref() == b"skipped" => {
                writer.write_event(Event::Start(without(&tag, "type")))?;
                writer.write_event(Event::End(BytesEnd::new("skipped")))?;
            }
            // As text it needs no second section where it holds the end of one.
            Event::CData(data) => {
                let text = data.decode().map_err(io::Error::other)?;
                writer.write_event(Event::Text(BytesText::new(&text)))?;
            }
            event => writer.write_event(event)?,
        }
    }
}

/// The schema's times have no zone; ours are of UTC.
fn without_zone(tag: &BytesStart<'_>) -> BytesStart<'static> {
    let mut suite = BytesStart::new("testsuite");
    for attribute in tag.attributes().flatten() {
        let zoned = attribute.key.as_ref() == b"timestamp";
        let value = if zoned { attribute.value.strip_suffix(b"Z") } else { None };
        suite.push_attribute(Attribute {
            key: attribute.key,
            value: value.unwrap_or(&attribute.value).into(),
        });
    }
    suite
}

fn without(tag: &BytesStart<'_>, name: &str) -> BytesStart<'static> {
    let mut kept = BytesStart::new("skipped");
    let others = tag.attributes().flatten().filter(|attribute| attribute.key.as_ref() != name.as_bytes());
    others.for_each(|attribute| kept.push_attribute(attribute));
    kept
}
