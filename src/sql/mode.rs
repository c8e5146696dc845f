//! How a statement's bytes are to be lexed.
//!
//! The same bytes are different statements under another `sql_mode`, another client character set or
//! another server version. Everything that changes the meaning is gathered here, so that the
//! classifier reads what the server would read. `PIPES_AS_CONCAT`, `HIGH_NOT_PRECEDENCE` and their
//! kin are absent: they change what an expression means, never whether it writes.

/// Which of the two servers reads the statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Make {
    /// MySQL and its forks (Percona Server, Aurora MySQL).
    #[default]
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What the classifier must know of `character_set_client`.
///
/// In most character sets no byte below 0x80 is ever part of a longer character, so quotes and
/// backslashes can be found byte by byte. In the others the second byte of a character may look like
/// a backslash or a backtick (MySQL manual, "Character String Literals"; the classic injection by
/// `0xbf 0x5c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCharset {
    /// ASCII bytes always mean themselves, and which bytes above 0x7f are white space is not known
    /// (`latin1` takes 0xa0 as a space). The strict choice for latin1, cp1251, euckr and so on, and
    /// right, if now and then too careful, for utf8mb4.
    #[default]
    AsciiSafe,
    /// utf8mb4 or utf8mb3: as [`ClientCharset::AsciiSafe`], and no byte above 0x7f is white space.
    Utf8,
    /// GBK: lead 0x81..=0xfe, second byte 0x40..=0x7e or 0x80..=0xfe.
    Gbk,
    /// GB18030: as GBK, and four-byte characters.
    Gb18030,
    /// Shift JIS: lead 0x81..=0x9f or 0xe0..=0xfc, second byte 0x40..=0x7e or 0x80..=0xfc.
    Sjis,
    /// CP932, the same shape as Shift JIS.
    Cp932,
    /// Big5: lead 0xa1..=0xf9, second byte 0x40..=0x7e or 0xa1..=0xfe.
    Big5,
}

impl ClientCharset {
    /// By the value of `character_set_client`; unknown names are [`ClientCharset::AsciiSafe`]
    /// because every other character set that a server accepts from a client is.
    pub fn from_name(name: &[u8]) -> Self {
        const NAMES: &[(&str, ClientCharset)] = &[
            ("utf8mb4", ClientCharset::Utf8),
            ("utf8mb3", ClientCharset::Utf8),
            ("utf8", ClientCharset::Utf8),
            ("gbk", ClientCharset::Gbk),
            ("gb18030", ClientCharset::Gb18030),
            ("sjis", ClientCharset::Sjis),
            ("cp932", ClientCharset::Cp932),
            ("big5", ClientCharset::Big5),
        ];
        NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map_or(ClientCharset::AsciiSafe, |&(_, charset)| charset)
    }

    /// By a collation id, as in the handshake response and COM_CHANGE_USER
    /// (`information_schema.COLLATIONS.ID` of MySQL 9.7 and MariaDB 10.11; MariaDB adds 1024 for its
    /// NOPAD collations).
    pub fn from_collation(id: u16) -> Self {
        match id {
            28 | 87 | 1052 | 1111 => ClientCharset::Gbk,
            248..=250 => ClientCharset::Gb18030,
            13 | 88 | 1037 | 1112 => ClientCharset::Sjis,
            95 | 96 | 1119 | 1120 => ClientCharset::Cp932,
            1 | 84 | 1025 | 1108 => ClientCharset::Big5,
            33 | 45 | 46 | 76 | 83 | 192..=247 | 255..=323 => ClientCharset::Utf8,
            _ => ClientCharset::AsciiSafe,
        }
    }

    /// Whether the second byte of a character may look like ASCII.
    pub(crate) const fn is_multi_byte(self) -> bool {
        !matches!(self, ClientCharset::AsciiSafe | ClientCharset::Utf8)
    }

    /// Length in bytes of the character at the start of `bytes`: 1 for ASCII and for bytes that stand
    /// alone, `None` for a lead byte without its second byte (servers disagree on what follows it).
    pub(crate) fn character_length(self, bytes: &[u8]) -> Option<usize> {
        let &first = bytes.first()?;
        let lead = match self {
            ClientCharset::AsciiSafe | ClientCharset::Utf8 => false,
            ClientCharset::Gbk | ClientCharset::Gb18030 => matches!(first, 0x81..=0xfe),
            ClientCharset::Sjis | ClientCharset::Cp932 => {
                matches!(first, 0x81..=0x9f | 0xe0..=0xfc)
            }
            ClientCharset::Big5 => matches!(first, 0xa1..=0xf9),
        };
        if !lead {
            return Some(1);
        }
        let &second = bytes.get(1)?;
        let pair = match self {
            ClientCharset::Gbk | ClientCharset::Gb18030 => {
                matches!(second, 0x40..=0x7e | 0x80..=0xfe)
            }
            ClientCharset::Sjis | ClientCharset::Cp932 => {
                matches!(second, 0x40..=0x7e | 0x80..=0xfc)
            }
            _ => matches!(second, 0x40..=0x7e | 0xa1..=0xfe),
        };
        if pair {
            return Some(2);
        }
        let four = self == ClientCharset::Gb18030
            && second.is_ascii_digit()
            && matches!(bytes.get(2), Some(0x81..=0xfe))
            && matches!(bytes.get(3), Some(b'0'..=b'9'));
        four.then_some(4)
    }
}

/// How the session's text is to be lexed: what the server itself would see.
///
/// The default is a MySQL session with the default `sql_mode`, an unknown character set and an
/// unknown server version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LexMode {
    /// `ANSI_QUOTES` is in the session's `sql_mode`: `"` quotes identifiers.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES` is in the session's `sql_mode`.
    pub no_backslash_escapes: bool,
    /// `IGNORE_SPACE` is in the session's `sql_mode`: `COUNT (x)` is the built-in function.
    pub ignore_space: bool,
    /// Which server reads the text; decides `/*M! … */`, and which functions are built in.
    pub make: Make,
    /// Version as the servers write it in version comments: 90700 for 9.7.0, 101114 for 10.11.14.
    /// 0 for unknown: a versioned comment is then read as code and its statement counts as unclear.
    pub server_version: u32,
    /// `character_set_client` of the session.
    pub charset: ClientCharset,
}

impl LexMode {
    /// A session over utf8mb4 with the default `sql_mode`, on a server of this make and version (as in
    /// [`LexMode::server_version`]).
    pub const fn utf8(make: Make, server_version: u32) -> Self {
        LexMode {
            ansi_quotes: false,
            no_backslash_escapes: false,
            ignore_space: false,
            make,
            server_version,
            charset: ClientCharset::Utf8,
        }
    }
}
