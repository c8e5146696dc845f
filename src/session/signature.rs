//! What of an execution's parameters a server's statement may remember.
//!
//! MySQL derives the types of parameters when it prepares. Where an execution brings others, it
//! resolves the statement anew, and goes on with that: a later execution may be answered otherwise
//! than by a statement that was just prepared. What decides are the types as sent, which of the
//! parameters are NULL, and, where a number or a time is wanted and a string is sent, what that
//! string looks like. So two executions may share a server's statement if all of this is alike. Tried
//! on MySQL 9.7 with 55 strings in 58 places of a query, each pair of a class, against a statement
//! that was prepared anew. MariaDB 10.11 remembers the types alone. Pure.

use crate::protocol::execute::Execute;
use crate::sql::Make;

/// Types whose values are int<lenenc>-prefixed bytes that MySQL may read as a number or a time: DECIMAL,
/// VARCHAR, the ENUM to STRING family.
const STRINGS: [u8; 9] = [0, 15, 246, 247, 248, 249, 252, 253, 254];

/// The signature of an execution with parameters of these `types`; `None` if what the server will
/// remember cannot be told.
pub fn signature(execute: &Execute<'_>, types: &[u8], make: Make) -> Option<Vec<u8>> {
    // At most one byte of a class for each parameter.
    let room = types.len() + execute.null_bitmap.len() + execute.count;
    let mut signature = Vec::with_capacity(room);
    signature.extend_from_slice(types);
    if make == Make::MariaDb || execute.count == 0 {
        return Some(signature);
    }
    // With names: query attributes, whose types stand among them.
    (types.len() == 2 * execute.count).then_some(())?;
    signature.extend_from_slice(execute.null_bitmap);
    let mut rest = execute.values;
    for (at, kind) in types.chunks_exact(2).enumerate() {
        let byte = execute.null_bitmap.get(at / 8).copied().unwrap_or_default();
        if byte & (1 << (at % 8)) != 0 {
            continue;
        }
        let kind = kind.first().copied().unwrap_or_default();
        let value = take_value(&mut rest, kind)?;
        if STRINGS.contains(&kind) {
            signature.push(class(value)? as u8);
        }
    }
    rest.is_empty().then_some(signature)
}

/// Takes a value off the front, without its length.
fn take_value<'a>(rest: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let len = match kind {
        // TINY; SHORT, YEAR; LONG, FLOAT, INT24; DOUBLE, LONGLONG
        1 => 1,
        2 | 13 => 2,
        3 | 4 | 9 => 4,
        5 | 8 => 8,
        // NULL
        6 => 0,
        _ => {
            let mut reader = crate::protocol::reader::Reader::new(rest);
            let value = reader.lenenc_bytes()?;
            *rest = reader.rest();
            return Some(value);
        }
    };
    let (value, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(value)
}

/// What a string looks like to MySQL where it wants a number or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    /// No number and no time begins like this.
    Text = b't',
    /// Empty.
    Empty = b'e',
    /// Digits alone, of no time.
    Natural = b'n',
    /// Digits with a point within.
    Decimal = b'd',
    /// A date.
    Date = b'D',
    /// A date and a time.
    DateTime = b'T',
}

/// `None` for what MySQL may read in more than one way.
fn class(value: &[u8]) -> Option<Class> {
    let Some(&first) = value.first() else { return Some(Class::Empty) };
    if first.is_ascii_alphabetic() || first >= 0x80 || b"_#$/@{[(<*%~|&=?!:;,'\"".contains(&first) {
        return Some(Class::Text);
    }
    let shape: Option<Vec<u8>> = (value.len() <= 19).then(|| {
        let digit = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
        value.iter().map(digit).collect()
    });
    let shape = shape?;
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == b'0');
    let mut parts = shape.splitn(2, |byte| *byte == b'.');
    match (parts.next(), parts.next()) {
        _ if shape == b"0000-00-00" => Some(Class::Date),
        _ if shape == b"0000-00-00 00:00:00" => Some(Class::DateTime),
        // 12 and 14 digits are a date and a time, 19 may be too large.
        (Some(whole), None) if digits(whole) && ![12, 14, 19].contains(&whole.len()) => {
            Some(Class::Natural)
        }
        (Some(whole), Some(rest)) if digits(whole) && digits(rest) => Some(Class::Decimal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        #[track_caller]
        fn check(value: &str, want: Option<Class>) {
            assert_eq!(class(value.as_bytes()), want, "{value}");
        }
        check("", Some(Class::Empty));
        check("abc", Some(Class::Text));
        check("é", Some(Class::Text));
        check("[1]", Some(Class::Text));
        check("5", Some(Class::Natural));
        check("20220102", Some(Class::Natural));
        check("12.50", Some(Class::Decimal));
        check("2022-01-02", Some(Class::Date));
        check("2022-01-02 03:04:05", Some(Class::DateTime));
        for odd in [
            "-5",
            "+7",
            " 5",
            "1e5",
            "12 ",
            "12.",
            ".5",
            "3com",
            "2022-1-2",
            "20220102030405",
            "2022-01-02 03:04:05.123",
            "550e8400-e29b",
            "9223372036854775808",
            "1.2.3",
        ] {
            check(odd, None);
        }
    }

    /// An execution of a statement of `count` parameters.
    fn execution(count: u16, tail: &[u8]) -> Vec<u8> {
        assert!(count > 0);
        [b"\x17\x01\0\0\0\x00\x01\0\0\0", tail].concat()
    }

    #[track_caller]
    fn check(make: Make, count: u16, tail: &[u8], want: Option<&[u8]>) {
        let payload = execution(count, tail);
        let execute = Execute::parse(&payload, count, false).unwrap();
        let types = execute.types.unwrap();
        assert_eq!(signature(&execute, types, make).as_deref(), want);
    }

    #[test]
    fn what_makes_executions_alike() {
        let (my, maria) = (Make::MySql, Make::MariaDb);
        check(my, 1, b"\0\x01\x08\0\x05\0\0\0\0\0\0\0", Some(b"\x08\0\0"));
        check(my, 1, b"\0\x01\xfd\0\x03abc", Some(b"\xfd\0\0t"));
        check(my, 1, b"\0\x01\xfd\0\x017", Some(b"\xfd\0\0n"));
        check(my, 1, b"\0\x01\xfd\0\x02-7", None);
        check(maria, 1, b"\0\x01\xfd\0\x02-7", Some(b"\xfd\0"));
        check(my, 2, b"\x01\x01\xfd\0\xfd\0\x03abc", Some(b"\xfd\0\xfd\0\x01t"));
        check(my, 2, b"\0\x01\x0c\0\x01\0\x04abcd\x01", Some(b"\x0c\0\x01\0\0"));
        // Cut short, and with something behind.
        check(my, 1, b"\0\x01\xfd\0\x03ab", None);
        check(my, 1, b"\0\x01\x08\0\x05", None);
        check(my, 1, b"\0\x01\x01\0\x05\0", None);
    }
}
