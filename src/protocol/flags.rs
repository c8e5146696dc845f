//! Capability and status flags.

use bitflags::bitflags;

bitflags! {
    /// What client and server agree to use; both halves of the handshake carry them.
    ///
    /// MySQL Internals, "Capabilities Flags"; the bits from 32 up are MariaDB's extended
    /// capabilities (MariaDB Knowledge Base, "Connecting"), which its greeting carries in the
    /// filler when `LONG_PASSWORD` (there called `CLIENT_MYSQL`) is not set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Always set by MySQL; MariaDB clears it to announce extended capabilities.
        const LONG_PASSWORD = 1;
        /// Affected rows count matched rows, not changed ones.
        const FOUND_ROWS = 1 << 1;
        /// Column definitions carry two bytes of flags.
        const LONG_FLAG = 1 << 2;
        /// The handshake response names a schema.
        const CONNECT_WITH_DB = 1 << 3;
        /// `schema.table.column` is refused.
        const NO_SCHEMA = 1 << 4;
        /// The compressed protocol with zlib.
        const COMPRESS = 1 << 5;
        /// An ODBC client; without effect since MySQL 3.22.
        const ODBC = 1 << 6;
        /// LOAD DATA LOCAL INFILE may ask the client for a file.
        const LOCAL_FILES = 1 << 7;
        /// White space between a function's name and its parenthesis is ignored.
        const IGNORE_SPACE = 1 << 8;
        /// The protocol since MySQL 4.1.
        const PROTOCOL_41 = 1 << 9;
        /// `interactive_timeout` applies instead of `wait_timeout`.
        const INTERACTIVE = 1 << 10;
        /// The connection changes to TLS before the handshake response.
        const SSL = 1 << 11;
        /// The client does not want SIGPIPE; without effect on the wire.
        const IGNORE_SIGPIPE = 1 << 12;
        /// Status flags are understood.
        const TRANSACTIONS = 1 << 13;
        /// Old name of `PROTOCOL_41`.
        const RESERVED = 1 << 14;
        /// Authentication with a 20-byte scramble (in MySQL's headers RESERVED2).
        const SECURE_CONNECTION = 1 << 15;
        /// COM_QUERY may hold several statements.
        const MULTI_STATEMENTS = 1 << 16;
        /// COM_QUERY may return several result sets.
        const MULTI_RESULTS = 1 << 17;
        /// COM_STMT_EXECUTE may return several result sets.
        const PS_MULTI_RESULTS = 1 << 18;
        /// Authentication plugins are named.
        const PLUGIN_AUTH = 1 << 19;
        /// The handshake response carries connection attributes.
        const CONNECT_ATTRS = 1 << 20;
        /// The authentication data has a length-encoded length.
        const PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21;
        /// A login with an expired password is let in to change it.
        const CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22;
        /// OK packets carry session state changes.
        const SESSION_TRACK = 1 << 23;
        /// Result sets end with an OK packet; column definitions with nothing.
        const DEPRECATE_EOF = 1 << 24;
        /// The client may ask for result sets without metadata.
        const OPTIONAL_RESULTSET_METADATA = 1 << 25;
        /// The compressed protocol with zstd.
        const ZSTD_COMPRESSION = 1 << 26;
        /// COM_QUERY and COM_STMT_EXECUTE carry named query attributes.
        const QUERY_ATTRIBUTES = 1 << 27;
        /// Authentication by several factors.
        const MULTI_FACTOR_AUTHENTICATION = 1 << 28;
        /// Reserved for an extension of the capabilities.
        const CAPABILITY_EXTENSION = 1 << 29;
        /// The client verifies the server's certificate; never sent to a server.
        const SSL_VERIFY_SERVER_CERT = 1 << 30;
        /// The client keeps options after a failed connect; never sent to a server.
        const REMEMBER_OPTIONS = 1 << 31;
        /// MariaDB: long statements report their progress in ERR packets of code 0xffff.
        const MARIADB_PROGRESS = 1 << 32;
        /// MariaDB: COM_MULTI, never released.
        const MARIADB_COM_MULTI = 1 << 33;
        /// MariaDB: COM_STMT_BULK_EXECUTE.
        const MARIADB_STMT_BULK_OPERATIONS = 1 << 34;
        /// MariaDB: column definitions carry extended type information.
        const MARIADB_EXTENDED_METADATA = 1 << 35;
        /// MariaDB: COM_STMT_EXECUTE may leave unchanged metadata out.
        const MARIADB_CACHE_METADATA = 1 << 36;
        /// MariaDB 11.5: bulk execution returns a result set of unit results.
        const MARIADB_BULK_UNIT_RESULTS = 1 << 37;
    }
}

impl Capabilities {
    /// Client capabilities that change what the server says or how it reads a statement: a server
    /// connection must have been opened with the same ones to serve a session.
    pub const SEMANTIC: Self = Self::FOUND_ROWS
        .union(Self::NO_SCHEMA)
        .union(Self::ODBC)
        .union(Self::LOCAL_FILES)
        .union(Self::IGNORE_SPACE)
        .union(Self::INTERACTIVE)
        .union(Self::MULTI_STATEMENTS)
        .union(Self::MULTI_RESULTS)
        .union(Self::PS_MULTI_RESULTS)
        .union(Self::CAN_HANDLE_EXPIRED_PASSWORDS)
        .union(Self::DEPRECATE_EOF)
        .union(Self::QUERY_ATTRIBUTES)
        .union(Self::MARIADB_PROGRESS)
        .union(Self::MARIADB_STMT_BULK_OPERATIONS)
        .union(Self::MARIADB_EXTENDED_METADATA);

    /// Capabilities that lagwise offers to clients where the primary has them. Absent: factors
    /// beyond the first, and MariaDB's metadata cache, whose state is bound to one connection.
    pub const OFFERED: Self = Self::SEMANTIC
        .union(Self::LONG_PASSWORD)
        .union(Self::LONG_FLAG)
        .union(Self::CONNECT_WITH_DB)
        .union(Self::PROTOCOL_41)
        .union(Self::IGNORE_SIGPIPE)
        .union(Self::TRANSACTIONS)
        .union(Self::RESERVED)
        .union(Self::SECURE_CONNECTION)
        .union(Self::PLUGIN_AUTH)
        .union(Self::CONNECT_ATTRS)
        .union(Self::PLUGIN_AUTH_LENENC_CLIENT_DATA)
        .union(Self::SESSION_TRACK);
}

bitflags! {
    /// What an OK or EOF packet says of the connection after a statement.
    ///
    /// MySQL Internals, "SERVER_STATUS_flags_enum".
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct StatusFlags: u16 {
        /// A transaction is open.
        const IN_TRANS = 1;
        /// Autocommit is on.
        const AUTOCOMMIT = 1 << 1;
        /// Another result follows this one.
        const MORE_RESULTS_EXISTS = 1 << 3;
        /// The statement used no good index.
        const NO_GOOD_INDEX_USED = 1 << 4;
        /// The statement used no index.
        const NO_INDEX_USED = 1 << 5;
        /// A cursor is open; rows come by COM_STMT_FETCH.
        const CURSOR_EXISTS = 1 << 6;
        /// The last row of a cursor was sent.
        const LAST_ROW_SENT = 1 << 7;
        /// A schema was dropped.
        const DB_DROPPED = 1 << 8;
        /// Strings know no backslash escapes.
        const NO_BACKSLASH_ESCAPES = 1 << 9;
        /// The metadata of a prepared statement changed.
        const METADATA_CHANGED = 1 << 10;
        /// The statement was slow.
        const QUERY_WAS_SLOW = 1 << 11;
        /// The result set holds the OUT parameters of a procedure.
        const PS_OUT_PARAMS = 1 << 12;
        /// The open transaction is read-only.
        const IN_TRANS_READONLY = 1 << 13;
        /// Session state changed; the OK packet says how.
        const SESSION_STATE_CHANGED = 1 << 14;
        /// MariaDB: ANSI_QUOTES is in the session's sql_mode.
        const ANSI_QUOTES = 1 << 15;
    }
}
