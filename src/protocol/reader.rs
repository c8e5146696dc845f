//! Checked reading of the protocol's basic types from a payload.

/// The bytes are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(
    /// The packet or field that could not be read, by its protocol name.
    pub &'static str,
);

/// A cursor over one payload. Every read either succeeds or leaves the caller with `None`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True if everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `string[n]`: exactly `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }

    /// `int<1>`
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// `int<2>`
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// `int<3>`
    pub fn u24(&mut self) -> Option<u32> {
        self.array::<3>().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// `int<4>`
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// `int<8>`
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// `int<lenenc>`; NULL (0xfb) and the reserved 0xff are refused.
    pub fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=0xfa => Some(u64::from(small)),
            0xfc => self.u16().map(u64::from),
            0xfd => self.u24().map(u64::from),
            0xfe => self.u64(),
            _ => None,
        }
    }

    /// `string<lenenc>`
    pub fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.lenenc()?).ok()?;
        self.take(len)
    }

    /// A text-protocol value: `string<lenenc>` or NULL (0xfb), which is `Some(None)`.
    pub fn lenenc_or_null(&mut self) -> Option<Option<&'a [u8]>> {
        if self.rest.first() == Some(&0xfb) {
            self.take(1)?;
            return Some(None);
        }
        self.lenenc_bytes().map(Some)
    }

    /// `string<NUL>`: up to a NUL byte, which is read but not returned.
    pub fn nul_bytes(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == 0)?;
        let bytes = self.take(end)?;
        self.take(1)?;
        Some(bytes)
    }

    /// `string<EOF>`: everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::writer;

    fn check(bytes: &[u8], want: Option<u64>) {
        assert_eq!(Reader::new(bytes).lenenc(), want, "{bytes:x?}");
    }

    #[test]
    fn lenenc_integers() {
        check(&[], None);
        check(&[0], Some(0));
        check(&[0xfa], Some(0xfa));
        check(&[0xfb], None);
        check(&[0xfc, 1], None);
        check(&[0xfc, 1, 2], Some(0x0201));
        check(&[0xfd, 1, 2, 3], Some(0x03_0201));
        check(&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0x80], Some(0x8000_0000_0000_0001));
        check(&[0xff], None);
    }

    #[test]
    fn a_length_beyond_the_payload_is_refused() {
        for bytes in [&[5, b'a'][..], &[0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]] {
            assert_eq!(Reader::new(bytes).lenenc_bytes(), None);
        }
        assert_eq!(Reader::new(b"abc").nul_bytes(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            writer::lenenc(&mut out, value);
            writer::lenenc_bytes(&mut out, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.lenenc(), Some(value));
            prop_assert_eq!(reader.lenenc_bytes(), Some(&bytes[..]));
            prop_assert!(reader.is_empty());
        }
    }
}
