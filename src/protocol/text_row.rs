//! A row of the text protocol, for the result sets that lagwise itself asks for.
//!
//! MySQL Internals, "Text Resultset Row".

use super::reader::{Malformed, Reader};

/// One row: a value or NULL a column.
pub type Row = Vec<Option<Vec<u8>>>;

/// A whole result set, for statements whose columns differ from version to version (SHOW).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<Vec<u8>>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// The value of a row in the first of these columns that there is: a column that was renamed has
    /// several names. `None` for NULL as well, and for what is no UTF-8.
    pub fn text<'a>(&self, row: &'a Row, names: &[&str]) -> Option<&'a str> {
        let is_named = |column: &Vec<u8>, name: &str| column.eq_ignore_ascii_case(name.as_bytes());
        let place = |name: &&str| self.columns.iter().position(|column| is_named(column, name));
        let value = row.get(names.iter().find_map(place)?)?.as_deref()?;
        std::str::from_utf8(value).ok()
    }
}

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
    fn columns_are_found_by_any_of_their_names() {
        let row = vec![Some(b"x".to_vec()), None, Some(vec![0xff])];
        let columns = ["Source_Host", "B", "C"].map(|name| name.as_bytes().to_vec()).to_vec();
        let table = Table { columns, rows: vec![row.clone()] };
        for (names, expected) in [
            (&["Source_Host"][..], Some("x")),
            (&["Master_Host", "SOURCE_HOST"], Some("x")),
            (&["Master_Host"], None),
            (&["B"], None),
            (&["C"], None),
        ] {
            assert_eq!(table.text(&row, names), expected, "{names:?}");
        }
        assert_eq!(table.text(&vec![], &["Source_Host"]), None);
    }

    #[test]
    fn values_and_nulls() {
        assert_eq!(parse(b"\x01a\xfb\x00", 3), Ok(vec![Some(b"a".to_vec()), None, Some(vec![])]));
        for (payload, columns) in [(&b"\x01a"[..], 2), (b"\x01a\x01b", 1), (b"\x05a", 1)] {
            assert!(parse(payload, columns).is_err(), "{payload:x?}");
        }
    }
}
