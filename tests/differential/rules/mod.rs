//! The rules of the grammar: names, and the alternatives for each.

mod data;
mod objects;
mod session;

/// Rules of one part.
pub type Rules = &'static [(&'static str, &'static [&'static str])];

/// The alternatives of a rule.
pub fn alternatives(name: &str) -> &'static [&'static str] {
    let mut all = [data::RULES, objects::RULES, session::RULES].into_iter().flatten();
    let rule = all.find(|(known, _)| *known == name);
    rule.unwrap_or_else(|| panic!("no rule <{name}>")).1
}
