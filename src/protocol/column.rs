//! ColumnDefinition41, for the few result sets that lagwise itself makes or reads.
//!
//! MySQL Internals, "Protocol::ColumnDefinition41".

use super::reader::{Malformed, Reader};

/// The name of a column (its alias where it has one).
///
/// # Errors
/// Not a column definition.
pub fn name(payload: &[u8]) -> Result<&[u8], Malformed> {
    let mut r = Reader::new(payload);
    // string<lenenc> catalog, schema, table, org_table, name
    (0..5).map(|_| r.lenenc_bytes()).last().flatten().ok_or(Malformed("column definition"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_columns_name_is_its_fifth_string() {
        let payload = b"\x03def\x01s\x01t\x01o\x02id\x01x";
        assert_eq!(super::name(payload), Ok(&b"id"[..]));
        assert!(super::name(&payload[..8]).is_err());
    }
}
