//! What a statement is, read from its bytes: kind, side effects, use of session state.
//!
//! Routing must never send a write to a replica and never miss state that lives on one connection,
//! so this module answers "what might it do?", not "what does it mean?". There is no grammar and no
//! tree: a lexer that cuts the text as the server would, a table of words, a table of built-in
//! functions, and a classifier that reads leading words and watches every token. Unclear is a result
//! ([`StatementKind::Unknown`], [`Flags::AMBIGUOUS`]), and the router sends it to the primary.
//!
//! Deliberately absent: values (the server's trackers report what a SET did) and any allocation. [`classify`] and [`kill_target`] take any bytes.
//!
//! Reading order: `mode` (what changes the meaning of bytes), `bytes`, `lexer`, `names` and `comment`,
//! `words`, `functions`, `variables`, `statement` (the result), `classify`, `observe`, `seek` and `plain`, and the
//! families `query`, `family` and `set`; `hint` reads what an application asks in a comment,
//! `diagnostics` what GET DIAGNOSTICS sets, `table_names` which tables it may be about, `session_key` the key of a session, `digest` which statements are the same but for their values, `prefix` what an operator's rule begins with.

mod bytes;
mod classify;
mod comment;
mod diagnostics;
mod digest;
mod family;
mod functions;
mod hint;
mod lexer;
mod mode;
mod names;
mod observe;
mod plain;
mod prefix;
mod query;
mod seek;
mod session_key;
mod set;
mod statement;
mod table_names;
mod text_prepare;
mod variables;
mod words;

#[cfg(test)]
mod tests;

pub use classify::{classify, kill_target};
pub use diagnostics::{DiagnosticsItem, diagnostics_targets};
pub use digest::{digest_keywords, digest_text, fingerprint, shape};
pub use hint::{Hint, HintTarget, Span};
pub use mode::{ClientCharset, LexMode, Make};
pub use prefix::{BadPrefix, Prefix, PrefixTree};
pub use session_key::session_key;
pub use set::{NamesCollation, names_collation, unreported_variables};
pub use statement::{Flags, FunctionName, FunctionSet, KillKind, Statement, StatementKind};
pub use table_names::{NameHash, Unclear, read_tables, table_names, words, written_table};
#[cfg(test)]
pub(crate) use tests::{check_dressed, without_allocation};
pub use text_prepare::{TextPrepare, text_prepare};
