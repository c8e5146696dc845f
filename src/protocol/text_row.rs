//! A row of the text protocol, for the result sets that lagwise itself asks for.
//!
//! MySQL Internals, "Text Resultset Row".

use super::reader::{Malformed, Reader};

/// One row: a value or NULL a column.
pub type Row = Vec<Option<Vec<u8>>>;

/// Reads a row of `columns` values.
///
/// # Errors
/// The payload is not such a row.
pub fn parse(payload: &[u8], columns: usize) -> Result<Row, Malformed> {
    let mut r = Reader::new(payload);
    let row: Option<Row> =
        (0..columns).map(|_| r.lenenc_or_null().map(|value| value.map(<[u8]>::to_vec))).collect();
    row.filter(|_| r.is_empty()).ok_or(Malformed("text row"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_nulls() {
        assert_eq!(parse(b"\x01a\xfb\x00", 3), Ok(vec![Some(b"a".to_vec()), None, Some(vec![])]));
        for (payload, columns) in [(&b"\x01a"[..], 2), (b"\x01a\x01b", 1), (b"\x05a", 1)] {
            assert!(parse(payload, columns).is_err(), "{payload:x?}");
        }
    }
}
