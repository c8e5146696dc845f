//! Names and types of a client's statements.

use super::*;
use crate::backend::parse_state::ParseState;
use crate::sql::{LexMode, classify};

const OK: PrepareOk = PrepareOk { statement_id: 9, num_columns: 1, num_params: 1, warnings: 0 };
const WITH_TYPES: &[u8] = b"\x17\x01\0\0\0\x00\x01\0\0\0\x00\x01\x08\x0012345678";
const WITHOUT: &[u8] = b"\x17\x01\0\0\0\x00\x01\0\0\0\x00\x0012345678";

fn statement(known: &KnownStatements, text: &str) -> ClientStatement {
    let (mode, state) = (LexMode::default(), Arc::new(ParseState::default()));
    let shared = known.get(text.as_bytes(), &mode, state, || classify(text.as_bytes(), &mode));
    ClientStatement::new(shared, OK, Side::Replica)
}

fn prepared() -> (Prepared, u32) {
    let mut prepared = Prepared::default();
    let id = prepared.insert(statement(&KnownStatements::default(), "SELECT ?"));
    (prepared, id)
}

#[test]
fn ids_are_our_own_and_not_reused_at_once() {
    let (mut prepared, first) = prepared();
    assert_eq!((first, prepared.last_prepared()), (1, 1));
    assert!(prepared.remove(first).is_some() && prepared.remove(first).is_none());
    assert_eq!(prepared.next_id(), 2);
    prepared.last_id = LAST_PREPARED - 1;
    assert_eq!(prepared.next_id(), 1, "neither -1 nor 0");
}

#[test]
fn types_are_put_in_for_a_connection_that_has_not_seen_them() {
    let (mut prepared, id) = prepared();
    let statement = prepared.get_mut(id).unwrap();
    assert_eq!(statement.sending(WITHOUT, false, None), Ok(Sending::AsItIs), "none were sent");
    statement.note_types(WITH_TYPES, false).unwrap();
    let seen = statement.types().cloned();
    assert_eq!(seen.as_deref(), Some(&b"\x08\0"[..]));
    assert_eq!(statement.sending(WITH_TYPES, false, None), Ok(Sending::AsItIs));
    statement.note_types(WITHOUT, false).unwrap();
    assert_eq!(statement.sending(WITHOUT, false, seen.as_ref()), Ok(Sending::AsItIs));
    let whole = Sending::WithTypes(WITH_TYPES.to_vec());
    assert_eq!(statement.sending(WITHOUT, false, None).as_ref(), Ok(&whole));
    let others: Arc<[u8]> = b"\xfd\0"[..].into();
    assert_eq!(statement.sending(WITHOUT, false, Some(&others)).as_ref(), Ok(&whole));
    assert!(statement.note_types(b"\x17\x01", false).is_err());
}

#[test]
fn types_of_a_bulk_execution() {
    let (mut prepared, id) = prepared();
    let statement = prepared.get_mut(id).unwrap();
    let (with, without) = (b"\xfa\x01\0\0\0\x80\0\x08\0\0v", b"\xfa\x01\0\0\0\0\0\0v");
    statement.note_bulk_types(without);
    assert_eq!(statement.types(), None);
    statement.note_bulk_types(b"\xfa\x01\0\0\0\x80\0\x08");
    assert_eq!(statement.types(), None, "cut short");
    statement.note_bulk_types(with);
    let seen = statement.types().cloned();
    assert!(seen.is_some());
    assert_eq!(statement.sending_bulk(with, None), Sending::AsItIs);
    assert_eq!(statement.sending_bulk(without, seen.as_ref()), Sending::AsItIs);
    assert_eq!(statement.sending_bulk(without, None), Sending::WithTypes(with.to_vec()));
    let single = statement.sending(WITHOUT, false, None);
    assert_eq!(single, Ok(Sending::WithTypes(WITH_TYPES.to_vec())), "for either command");
}

#[test]
fn a_name_is_shared_as_long_as_all_executions_are_alike() {
    let known = KnownStatements::default();
    let [mut one, mut two, mut three] = [(); 3].map(|()| statement(&known, "SELECT ?"));
    assert_eq!(one.id(), two.id());
    let text = one.id();
    let int = || Some(b"int".to_vec());
    for statement in [&mut one, &mut two] {
        statement.begin_execution(int(), &known);
        assert_eq!(statement.id_before(), Some(text), "what was prepared will do");
    }
    assert!(one.id() == two.id() && one.id() != text && !one.is_own());
    let variant = one.id();
    one.begin_execution(int(), &known);
    assert_eq!(one.id(), variant);
    three.begin_execution(Some(b"string".to_vec()), &known);
    assert!(![text, variant].contains(&three.id()) && !three.is_own());
    // What it has executed so far goes with it.
    one.begin_execution(Some(b"string".to_vec()), &known);
    assert!(one.is_own() && ![variant, three.id()].contains(&one.id()));
    assert_eq!(one.id_before(), Some(variant));
    let own = one.id();
    one.begin_execution(int(), &known);
    assert_eq!(one.id(), own);
    two.begin_execution(None, &known);
    assert!(two.is_own() && two.id() != own);
}

#[test]
fn a_name_without_parameters_or_of_one_session() {
    let known = KnownStatements::default();
    let mut plain = statement(&known, "SELECT 1");
    let text = plain.id();
    plain.begin_execution(Some(Vec::new()), &known);
    assert!(plain.id() == text && !plain.is_own());
    plain.begin_execution(None, &known);
    assert!(plain.id() != text && plain.is_own());
    let mut own = statement(&known, "SELECT @a");
    assert!(own.is_own());
    let id = own.id();
    own.begin_execution(Some(Vec::new()), &known);
    assert_eq!(own.id(), id);
}
