use super::html;
use crate::sample;

#[test]
fn the_same_record_gives_the_same_bytes() {
    let records = [("run.json".to_owned(), sample::record())];
    assert_eq!(html(&records), html(&records));
}
