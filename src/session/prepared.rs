//! A client's prepared statements.
//!
//! The client's statement ids are lagwise's own. Which server connection has prepared a statement,
//! and under which id, the connection knows; here is what is needed to prepare and execute it on
//! another one. Pure.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::backend::parse_state::ParseState;
use crate::protocol::execute::{self, Execute};
use crate::protocol::prepare::PrepareOk;
use crate::protocol::reader::Malformed;
use crate::route::Side;
use crate::sql::Statement;

/// MariaDB: the statement that was prepared last.
pub const LAST_PREPARED: u32 = u32::MAX;

/// One prepared statement of a client.
#[derive(Debug)]
pub struct ClientStatement {
    /// Its text.
    pub text: Box<[u8]>,
    /// What routing knows of it.
    pub statement: Statement,
    /// What its text was read under.
    pub parse_state: Arc<ParseState>,
    /// Number of parameters.
    pub num_params: u16,
    /// Number of result columns that the client was told last; 0 for a statement without a result
    /// set.
    pub num_columns: u16,
    /// Long data was sent since it was last executed or reset: only the connection that has it may
    /// execute the statement.
    pub long_data_on: Option<Side>,
    /// The last execution asked for a cursor, which only the connection that ran it has.
    pub has_cursor: bool,
    /// Where it was executed last, which is where its cursor is.
    pub last_side: Side,
    /// Types of the parameters as last sent, and how often they have changed.
    types: Vec<u8>,
    types_version: u32,
}

/// How an execution must be sent on one connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Sending {
    /// As it came, with the statement id exchanged.
    AsItIs,
    /// With the types put in that this connection has not seen: the whole payload.
    WithTypes(Vec<u8>),
}

impl ClientStatement {
    /// A statement that a server on `side` has prepared.
    pub fn new(
        text: Box<[u8]>,
        statement: Statement,
        parse_state: Arc<ParseState>,
        ok: PrepareOk,
        side: Side,
    ) -> Self {
        Self {
            text,
            statement,
            parse_state,
            num_params: ok.num_params,
            num_columns: ok.num_columns,
            long_data_on: None,
            has_cursor: false,
            last_side: side,
            types: Vec::new(),
            types_version: 0,
        }
    }

    /// Takes note of the types that an execution carries.
    ///
    /// # Errors
    /// The payload is malformed.
    pub fn note_types(&mut self, payload: &[u8], query_attributes: bool) -> Result<(), Malformed> {
        let execute = Execute::parse(payload, self.num_params, query_attributes)?;
        if let Some(types) = execute.types {
            self.note(types);
        }
        Ok(())
    }

    /// As [`ClientStatement::note_types`], for MariaDB's COM_STMT_BULK_EXECUTE.
    pub fn note_bulk_types(&mut self, payload: &[u8]) {
        if bulk_flags(payload).is_none_or(|flags| flags & SEND_TYPES == 0) {
            return;
        }
        let end = BULK_TYPES + 2 * usize::from(self.num_params);
        if let Some(types) = payload.get(BULK_TYPES..end) {
            self.note(types);
        }
    }

    fn note(&mut self, types: &[u8]) {
        if self.types_version == 0 || self.types != types {
            self.types = types.to_vec();
            self.types_version += 1;
        }
    }

    /// Version of the types after [`ClientStatement::note_types`]; 0 while none were sent.
    pub fn types_version(&self) -> u32 {
        self.types_version
    }

    /// How to send this execution to a connection that saw version `seen` of the types last.
    ///
    /// # Errors
    /// The payload is malformed.
    pub fn sending(
        &self,
        payload: &[u8],
        query_attributes: bool,
        seen: u32,
    ) -> Result<Sending, Malformed> {
        let execute = Execute::parse(payload, self.num_params, query_attributes)?;
        match execute.bind_flag_at {
            Some(at) if execute.types.is_none() && seen != self.types_version => {
                let whole = execute::with_types(payload, at, &self.types);
                whole.map(Sending::WithTypes).ok_or(Malformed("COM_STMT_EXECUTE"))
            }
            _ => Ok(Sending::AsItIs),
        }
    }

    /// As [`ClientStatement::sending`], for COM_STMT_BULK_EXECUTE.
    pub fn sending_bulk(&self, payload: &[u8], seen: u32) -> Sending {
        match (bulk_flags(payload), payload.split_at_checked(BULK_TYPES)) {
            (Some(flags), Some((head, values)))
                if flags & SEND_TYPES == 0 && seen != self.types_version =>
            {
                let mut whole = head.get(..BULK_FLAGS).unwrap_or_default().to_vec();
                whole.extend_from_slice(&(flags | SEND_TYPES).to_le_bytes());
                whole.extend_from_slice(&self.types);
                whole.extend_from_slice(values);
                Sending::WithTypes(whole)
            }
            _ => Sending::AsItIs,
        }
    }
}

/// Where the flags of COM_STMT_BULK_EXECUTE are: int<1> command, int<4> statement id, int<2> flags
/// (MariaDB, "COM_STMT_BULK_EXECUTE").
const BULK_FLAGS: usize = 5;

/// Where its parameters' types are, if it has them.
const BULK_TYPES: usize = 7;

/// SEND_TYPES_TO_SERVER
const SEND_TYPES: u16 = 128;

fn bulk_flags(payload: &[u8]) -> Option<u16> {
    let field = payload.get(BULK_FLAGS..BULK_TYPES)?;
    field.try_into().ok().map(u16::from_le_bytes)
}

/// All prepared statements of a client, by the ids that it knows.
#[derive(Debug, Default)]
pub struct Prepared {
    statements: FxHashMap<u32, ClientStatement>,
    /// The id that was given last.
    last_id: u32,
    /// That of the last PREPARE, unless it failed.
    last_prepared: Option<u32>,
}

impl Prepared {
    /// The id that the next statement gets.
    pub fn next_id(&self) -> u32 {
        let mut id = self.last_id.wrapping_add(1);
        while id == 0 || id == LAST_PREPARED || self.statements.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        id
    }

    /// Keeps a statement under [`Prepared::next_id`].
    pub fn insert(&mut self, statement: ClientStatement) -> u32 {
        let id = self.next_id();
        self.last_id = id;
        self.last_prepared = Some(id);
        self.statements.insert(id, statement);
        id
    }

    /// The id that MariaDB's -1 means: the statement that was prepared last, if that
    /// succeeded and the statement is still open; otherwise none.
    pub fn last_prepared(&self) -> u32 {
        let open = self.last_prepared.filter(|id| self.statements.contains_key(id));
        open.unwrap_or(LAST_PREPARED)
    }

    /// A PREPARE failed.
    pub fn failed(&mut self) {
        self.last_prepared = None;
    }

    /// The statement of an id.
    pub fn get(&self, id: u32) -> Option<&ClientStatement> {
        self.statements.get(&id)
    }

    /// The statement of an id, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut ClientStatement> {
        self.statements.get_mut(&id)
    }

    /// Forgets a statement; false if there is none.
    pub fn remove(&mut self, id: u32) -> bool {
        let known = self.statements.remove(&id).is_some();
        if known && self.statements.is_empty() {
            self.statements.shrink_to(8);
        }
        known
    }

    /// Forgets all statements (COM_RESET_CONNECTION, COM_CHANGE_USER).
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::StatementKind;

    const OK: PrepareOk = PrepareOk { statement_id: 9, num_columns: 1, num_params: 1, warnings: 0 };
    const WITH_TYPES: &[u8] = b"\x17\x01\0\0\0\x00\x01\0\0\0\x00\x01\x08\x0012345678";
    const WITHOUT: &[u8] = b"\x17\x01\0\0\0\x00\x01\0\0\0\x00\x0012345678";

    fn prepared() -> (Prepared, u32) {
        let mut prepared = Prepared::default();
        let statement = Statement::of_kind(StatementKind::Read);
        let text = b"SELECT ?"[..].into();
        let new = ClientStatement::new(text, statement, Arc::default(), OK, Side::Replica);
        let id = prepared.insert(new);
        (prepared, id)
    }

    #[test]
    fn ids_are_our_own_and_not_reused_at_once() {
        let (mut prepared, first) = prepared();
        assert_eq!((first, prepared.last_prepared()), (1, 1));
        assert!(prepared.remove(first) && !prepared.remove(first));
        assert_eq!(prepared.next_id(), 2);
        prepared.last_id = LAST_PREPARED - 1;
        assert_eq!(prepared.next_id(), 1, "neither -1 nor 0");
    }

    #[test]
    fn types_are_put_in_for_a_connection_that_has_not_seen_them() {
        let (mut prepared, id) = prepared();
        let statement = prepared.get_mut(id).unwrap();
        statement.note_types(WITH_TYPES, false).unwrap();
        assert_eq!(statement.types_version(), 1);
        assert_eq!(statement.sending(WITH_TYPES, false, 0), Ok(Sending::AsItIs));
        statement.note_types(WITHOUT, false).unwrap();
        assert_eq!(statement.sending(WITHOUT, false, 1), Ok(Sending::AsItIs));
        let whole = Sending::WithTypes(WITH_TYPES.to_vec());
        assert_eq!(statement.sending(WITHOUT, false, 0), Ok(whole));
        assert!(statement.note_types(b"\x17\x01", false).is_err());
    }

    #[test]
    fn types_of_a_bulk_execution() {
        let (mut prepared, id) = prepared();
        let statement = prepared.get_mut(id).unwrap();
        let (with, without) = (b"\xfa\x01\0\0\0\x80\0\x08\0\0v", b"\xfa\x01\0\0\0\0\0\0v");
        statement.note_bulk_types(without);
        assert_eq!(statement.types_version(), 0);
        statement.note_bulk_types(b"\xfa\x01\0\0\0\x80\0\x08");
        assert_eq!(statement.types_version(), 0, "cut short");
        statement.note_bulk_types(with);
        assert_eq!(statement.types_version(), 1);
        assert_eq!(statement.sending_bulk(with, 0), Sending::AsItIs);
        assert_eq!(statement.sending_bulk(without, 1), Sending::AsItIs);
        assert_eq!(statement.sending_bulk(without, 0), Sending::WithTypes(with.to_vec()));
        let single = statement.sending(WITHOUT, false, 0);
        assert_eq!(single, Ok(Sending::WithTypes(WITH_TYPES.to_vec())), "for either command");
    }
}
