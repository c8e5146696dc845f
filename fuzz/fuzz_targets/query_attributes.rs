//! COM_QUERY with attributes: the statement is what is left at the end, or nothing is believed.
#![no_main]

use lagwise::protocol::query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(query::text(data, false), Ok(data));
    if let Ok(text) = query::text(data, true) {
        assert!(data.ends_with(text) && text.len() < data.len());
    }
    // Attributes that are whole stay whole, whatever statement follows.
    let longer = [data, b"SELECT 1"].concat();
    if let (Ok(short), Ok(long)) = (query::text(data, true), query::text(&longer, true)) {
        assert_eq!([short, b"SELECT 1"].concat(), long);
    }
});
