//! COM_STMT_EXECUTE's payload: the parameter types that a later execution may leave out.
//!
//! A client sends the types of its parameters with the first execution and may then only say
//! "as before". A server remembers them for each statement of each connection; so lagwise must
//! remember them too, to be able to execute on another connection.
//!
//! MySQL Internals, "COM_STMT_EXECUTE".

use super::reader::{Malformed, Reader};

/// Flag: a cursor is asked for (any of read-only, for update, scrollable).
pub const CURSOR_TYPES: u8 = 0x07;
/// Flag: the number of parameters is in the packet (with query attributes).
pub const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;

/// Bytes before the flags: command, statement id.
const HEAD: usize = 5;

/// Where things are in a COM_STMT_EXECUTE payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Cursor type and whether the parameter count is there.
    pub flags: u8,
    /// Offset of new_params_bind_flag in the payload; `None` without parameters.
    pub bind_flag_at: Option<usize>,
    /// The types (with names under query attributes) if the packet has them.
    pub types: Option<&'a [u8]>,
    /// Number of parameters, query attributes among them.
    pub count: usize,
    /// A bit for each parameter that is NULL.
    pub null_bitmap: &'a [u8],
    /// What follows the types, or where they would be: the values.
    pub values: &'a [u8],
}

impl<'a> Execute<'a> {
    /// Reads a payload (command byte included) for a statement of `num_params` parameters.
    ///
    /// # Errors
    /// Malformed, or cut short before the end of the types.
    pub fn parse(
        payload: &'a [u8],
        num_params: u16,
        query_attributes: bool,
    ) -> Result<Self, Malformed> {
        Self::read(payload, num_params, query_attributes).ok_or(Malformed("COM_STMT_EXECUTE"))
    }

    fn read(payload: &'a [u8], num_params: u16, query_attributes: bool) -> Option<Self> {
        let mut r = Reader::new(payload);
        r.take(HEAD)?; // int<1> command, int<4> statement id
        let flags = r.u8()?; // int<1>
        r.u32()?; // int<4> iteration count, always 1
        let named = query_attributes && flags & PARAMETER_COUNT_AVAILABLE != 0;
        let mut count = usize::from(num_params);
        if named {
            count = usize::try_from(r.lenenc()?).ok()?; // int<lenenc> parameter_count
        }
        if count == 0 {
            let (bind_flag_at, types, null_bitmap) = (None, None, &[][..]);
            return Some(Self { flags, bind_flag_at, types, count, null_bitmap, values: r.rest() });
        }
        let null_bitmap = r.take(count.checked_add(7)? / 8)?;
        let bind_flag_at = Some(payload.len() - r.rest().len());
        if r.u8()? != 1 {
            let (types, values) = (None, r.rest());
            return Some(Self { flags, bind_flag_at, types, count, null_bitmap, values });
        }
        let start = payload.len() - r.rest().len();
        for _ in 0..count {
            r.take(2)?; // int<2> type and sign
            if named {
                r.lenenc_bytes()?; // string<lenenc> name
            }
        }
        let types = Some(payload.get(start..payload.len() - r.rest().len())?);
        Some(Self { flags, bind_flag_at, types, count, null_bitmap, values: r.rest() })
    }

    /// True if the execution opens a cursor.
    pub fn opens_cursor(&self) -> bool {
        self.flags & CURSOR_TYPES != 0
    }
}

/// The same payload with `types` put in, for a connection that has not seen them.
pub fn with_types(payload: &[u8], bind_flag_at: usize, types: &[u8]) -> Option<Vec<u8>> {
    let (head, tail) = payload.split_at_checked(bind_flag_at)?;
    let values = tail.get(1..)?;
    let mut out = Vec::with_capacity(payload.len() + types.len());
    out.extend_from_slice(head);
    out.push(1);
    out.extend_from_slice(types);
    out.extend_from_slice(values);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"\x17\x01\0\0\0\x00\x01\0\0\0";

    fn payload(tail: &[u8]) -> Vec<u8> {
        [HEAD, tail].concat()
    }

    #[test]
    fn types_are_found_and_put_back() {
        let first = payload(b"\x00\x01\x08\x00\x05\x0012345678ABCDEFGH");
        let execute = Execute::parse(&first, 2, false).unwrap();
        assert_eq!(execute.types, Some(&b"\x08\x00\x05\x00"[..]));
        assert_eq!((execute.count, execute.null_bitmap), (2, &b"\0"[..]));
        assert_eq!(execute.values, b"12345678ABCDEFGH");
        let again = payload(b"\x00\x0012345678ABCDEFGH");
        let execute = Execute::parse(&again, 2, false).unwrap();
        assert_eq!((execute.types, execute.bind_flag_at), (None, Some(11)));
        assert_eq!(execute.values, b"12345678ABCDEFGH");
        assert_eq!(with_types(&again, 11, b"\x08\x00\x05\x00"), Some(first));
    }

    #[test]
    fn query_attributes_bring_count_and_names() {
        let mut bytes = payload(b"\x01\x00\x01\x08\x00\x02id12345678");
        bytes[5] = PARAMETER_COUNT_AVAILABLE;
        let execute = Execute::parse(&bytes, 1, true).unwrap();
        assert_eq!(execute.types, Some(&b"\x08\x00\x02id"[..]));
        assert!(!execute.opens_cursor());
    }

    #[test]
    fn no_parameters() {
        let execute = Execute::parse(HEAD, 0, false).unwrap();
        assert_eq!((execute.types, execute.bind_flag_at), (None, None));
        assert!(Execute::parse(&HEAD[..9], 0, false).is_err());
        assert!(Execute::parse(HEAD, 1, false).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, params: u16, attributes: bool) {
            let execute = Execute::parse(&bytes, params, attributes);
            if let Some(at) = execute.ok().and_then(|execute| execute.bind_flag_at) {
                prop_assert!(with_types(&bytes, at, b"").is_some());
            }
        }
    }
}
