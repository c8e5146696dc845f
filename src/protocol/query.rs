//! COM_QUERY's payload: finding the statement behind the query attributes.
//!
//! MySQL Internals, "COM_QUERY"; binary values by "Binary Protocol Value".

use super::reader::{Malformed, Reader};

/// Query attributes that a packet of lagwise's own carries on a connection that negotiated
/// `QUERY_ATTRIBUTES`: none, in one set.
pub const NO_ATTRIBUTES: [u8; 2] = [0, 1];

/// The statement's text in the body of a COM_QUERY (what follows the command byte).
///
/// # Errors
/// The attributes are malformed.
pub fn text(body: &[u8], query_attributes: bool) -> Result<&[u8], Malformed> {
    if !query_attributes {
        return Ok(body);
    }
    let mut r = Reader::new(body);
    skip_attributes(&mut r).map(|()| r.rest()).ok_or(Malformed("query attributes"))
}

fn skip_attributes(r: &mut Reader<'_>) -> Option<()> {
    let count = usize::try_from(r.lenenc()?).ok()?; // int<lenenc> parameter_count
    r.lenenc()?; // int<lenenc> parameter_set_count, always 1
    if count == 0 {
        return Some(());
    }
    let nulls = r.take(count.checked_add(7)? / 8)?; // null_bitmap
    r.u8()?; // int<1> new_params_bind_flag, always 1
    let mut types = Vec::new();
    for _ in 0..count {
        types.push(r.u16()? as u8); // int<2> type and sign
        r.lenenc_bytes()?; // string<lenenc> name
    }
    for (index, kind) in types.into_iter().enumerate() {
        let null = nulls.get(index / 8).is_some_and(|bits| bits & (1 << (index % 8)) != 0);
        if !null {
            skip_value(r, kind)?;
        }
    }
    Some(())
}

/// Skips one binary value by its type (MySQL Internals, "enum_field_types").
fn skip_value(r: &mut Reader<'_>, kind: u8) -> Option<()> {
    match kind {
        0x06 => {}                              // NULL
        0x01 | 0xf4 => drop(r.take(1)?),        // TINY, BOOL
        0x02 | 0x0d => drop(r.take(2)?),        // SHORT, YEAR
        0x03 | 0x04 | 0x09 => drop(r.take(4)?), // LONG, FLOAT, INT24
        0x05 | 0x08 => drop(r.take(8)?),        // DOUBLE, LONGLONG
        0x07 | 0x0a | 0x0b | 0x0c => {
            let len = r.u8()?; // DATE, TIME, DATETIME, TIMESTAMP: int<1> length
            r.take(usize::from(len))?;
        }
        _ => drop(r.lenenc_bytes()?), // strings, blobs, decimals, JSON …
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &[u8], want: Option<&[u8]>) {
        assert_eq!(text(body, true).ok(), want);
    }

    #[test]
    fn statements_behind_attributes() {
        assert_eq!(text(b"SELECT 1", false), Ok(&b"SELECT 1"[..]));
        check(b"\x00\x01SELECT 1", Some(b"SELECT 1"));
        // Two attributes: a string, and a NULL.
        check(b"\x02\x01\x02\x01\xfe\x00\x01a\xfe\x00\x01b\x03xyzSELECT 1", Some(b"SELECT 1"));
        check(b"\x01\x01\x00\x01\x08\x00\x01n12345678DO 0", Some(b"DO 0"));
        check(b"\x01\x01\x00\x01\x0c\x00\x01t\x04abcdDO 0", Some(b"DO 0"));
        check(b"\x01\x01\x00\x01\x08\x00\x01n1234567", None);
        check(b"", None);
        check(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = text(&bytes, true);
        }
    }
}
