//! Client commands: the first byte of a payload with sequence id 0.

use super::reader::{Malformed, Reader};

/// One client command (MySQL Internals, "Command Phase").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// COM_QUIT
    Quit,
    /// COM_INIT_DB: the schema.
    InitDb(&'a [u8]),
    /// COM_QUERY: what follows the command byte (query attributes first where negotiated).
    Query(&'a [u8]),
    /// COM_FIELD_LIST
    FieldList,
    /// COM_REFRESH: FLUSH of what its flags say. MySQL 8.4 and later have none; `mariadb-admin` sends it.
    Refresh,
    /// COM_SHUTDOWN, as COM_REFRESH.
    Shutdown,
    /// COM_STATISTICS
    Statistics,
    /// COM_PROCESS_INFO
    ProcessInfo,
    /// COM_PROCESS_KILL: the connection id.
    ProcessKill(u32),
    /// COM_DEBUG
    Debug,
    /// COM_PING
    Ping,
    /// COM_CHANGE_USER: what follows the command byte.
    ChangeUser(&'a [u8]),
    /// COM_STMT_PREPARE: the statement.
    StmtPrepare(&'a [u8]),
    /// COM_STMT_EXECUTE: statement id, and what follows it.
    StmtExecute(u32, &'a [u8]),
    /// COM_STMT_SEND_LONG_DATA: statement id. No response.
    StmtSendLongData(u32),
    /// COM_STMT_CLOSE: statement id. No response.
    StmtClose(u32),
    /// COM_STMT_RESET: statement id.
    StmtReset(u32),
    /// COM_SET_OPTION: 0 turns multi-statements on, 1 off.
    SetOption(u16),
    /// COM_STMT_FETCH: statement id.
    StmtFetch(u32),
    /// COM_RESET_CONNECTION
    ResetConnection,
    /// MariaDB's COM_STMT_BULK_EXECUTE: statement id, and what follows it.
    StmtBulkExecute(u32, &'a [u8]),
    /// A replication command (COM_BINLOG_DUMP and kin): the command byte.
    Replication(u8),
    /// A command that lagwise does not know or that servers no longer take: the command byte.
    Unknown(u8),
}

/// Command bytes that lagwise itself sends or compares.
pub mod code {
    #![allow(missing_docs)]
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const RESET_CONNECTION: u8 = 0x1f;
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

impl<'a> Command<'a> {
    /// Names of all kinds of command for metrics, by [`Command::index`].
    pub const NAMES: &'static [&'static str] = &[
        "quit",
        "init_db",
        "query",
        "field_list",
        "statistics",
        "process_info",
        "process_kill",
        "debug",
        "ping",
        "change_user",
        "stmt_prepare",
        "stmt_execute",
        "stmt_send_long_data",
        "stmt_close",
        "stmt_reset",
        "set_option",
        "stmt_fetch",
        "reset_connection",
        "stmt_bulk_execute",
        "replication",
        "unknown",
        "refresh",
        "shutdown",
    ];

    /// The command in `payload`. Only the head of the payload need be there for the commands that
    /// are told apart by a statement id.
    ///
    /// # Errors
    /// An empty payload, or one too short for the command's fixed fields.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed("command packet");
        let mut reader = Reader::new(payload);
        let command = reader.u8().ok_or(SHORT)?;
        let id = |reader: &mut Reader<'a>| reader.u32().ok_or(SHORT);
        Ok(match command {
            code::QUIT => Self::Quit,
            code::INIT_DB => Self::InitDb(reader.rest()),
            code::QUERY => Self::Query(reader.rest()),
            code::FIELD_LIST => Self::FieldList,
            0x07 => Self::Refresh,
            0x08 => Self::Shutdown,
            0x09 => Self::Statistics,
            0x0a => Self::ProcessInfo,
            code::PROCESS_KILL => Self::ProcessKill(id(&mut reader)?),
            0x0d => Self::Debug,
            code::PING => Self::Ping,
            code::CHANGE_USER => Self::ChangeUser(reader.rest()),
            code::STMT_PREPARE => Self::StmtPrepare(reader.rest()),
            code::STMT_EXECUTE => Self::StmtExecute(id(&mut reader)?, reader.rest()),
            code::STMT_SEND_LONG_DATA => Self::StmtSendLongData(id(&mut reader)?),
            code::STMT_CLOSE => Self::StmtClose(id(&mut reader)?),
            code::STMT_RESET => Self::StmtReset(id(&mut reader)?),
            code::SET_OPTION => Self::SetOption(reader.u16().ok_or(SHORT)?),
            code::STMT_FETCH => Self::StmtFetch(id(&mut reader)?),
            code::RESET_CONNECTION => Self::ResetConnection,
            code::STMT_BULK_EXECUTE => Self::StmtBulkExecute(id(&mut reader)?, reader.rest()),
            // COM_BINLOG_DUMP, COM_TABLE_DUMP, COM_CONNECT_OUT, COM_REGISTER_REPLICA,
            // COM_BINLOG_DUMP_GTID, COM_CLONE, COM_SUBSCRIBE_GROUP_REPLICATION_STREAM
            0x12..=0x15 | 0x1e | 0x20 | 0x21 => Self::Replication(command),
            other => Self::Unknown(other),
        })
    }

    /// Position of this kind of command in [`Command::NAMES`].
    pub fn index(&self) -> usize {
        match self {
            Self::Quit => 0,
            Self::InitDb(_) => 1,
            Self::Query(_) => 2,
            Self::FieldList => 3,
            Self::Statistics => 4,
            Self::ProcessInfo => 5,
            Self::ProcessKill(_) => 6,
            Self::Debug => 7,
            Self::Ping => 8,
            Self::ChangeUser(_) => 9,
            Self::StmtPrepare(_) => 10,
            Self::StmtExecute(..) => 11,
            Self::StmtSendLongData(_) => 12,
            Self::StmtClose(_) => 13,
            Self::StmtReset(_) => 14,
            Self::SetOption(_) => 15,
            Self::StmtFetch(_) => 16,
            Self::ResetConnection => 17,
            Self::StmtBulkExecute(..) => 18,
            Self::Replication(_) => 19,
            Self::Unknown(_) => 20,
            Self::Refresh => 21,
            Self::Shutdown => 22,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &[u8], want: Result<Command<'_>, ()>, name: &str) {
        let got = Command::parse(payload);
        assert_eq!(got.map_err(|_| ()), want, "{payload:x?}");
        if let Ok(command) = got {
            assert_eq!(Command::NAMES[command.index()], name, "{payload:x?}");
        }
    }

    #[test]
    fn commands() {
        check(&[], Err(()), "");
        check(&[1], Ok(Command::Quit), "quit");
        check(b"\x02shop", Ok(Command::InitDb(b"shop")), "init_db");
        check(&[0x07, 4], Ok(Command::Refresh), "refresh");
        check(&[0x08], Ok(Command::Shutdown), "shutdown");
        check(b"\x03SELECT 1", Ok(Command::Query(b"SELECT 1")), "query");
        check(&[0x0c, 1, 0, 0, 0], Ok(Command::ProcessKill(1)), "process_kill");
        check(&[0x0c, 1, 0, 0], Err(()), "");
        check(b"\x16SELECT ?", Ok(Command::StmtPrepare(b"SELECT ?")), "stmt_prepare");
        check(&[0x17, 9, 0, 0, 0, 7], Ok(Command::StmtExecute(9, &[7])), "stmt_execute");
        check(&[0x17, 9, 0], Err(()), "");
        check(&[0x18, 9, 0, 0, 0, 0, 0], Ok(Command::StmtSendLongData(9)), "stmt_send_long_data");
        check(&[0x1b, 1, 0], Ok(Command::SetOption(1)), "set_option");
        check(&[0x12, 1, 0], Ok(Command::Replication(0x12)), "replication");
        check(&[0x1f], Ok(Command::ResetConnection), "reset_connection");
        check(&[0xfa, 1, 0, 0, 0], Ok(Command::StmtBulkExecute(1, &[])), "stmt_bulk_execute");
        check(&[0x77], Ok(Command::Unknown(0x77)), "unknown");
    }
}
