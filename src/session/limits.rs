//! How many clients there are of each account and from each address.
//!
//! Everybody is counted, so that a limit that a reload brings holds for those who are there already.
//! Bounded by the number of clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What clients are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The address that they come from.
    Address(IpAddr),
    /// The user that they are logged in as.
    Account(Vec<u8>),
}

/// Clients of each.
#[derive(Debug, Default)]
pub struct Clients(Mutex<HashMap<Who, usize>>);

impl Clients {
    /// Counts a client until the place is dropped; `None` if there are `max` already. 0: no limit.
    pub fn take(self: &Arc<Self>, who: Who, max: usize) -> Option<Place> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(who.clone()).or_default();
        if max > 0 && *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(self), who })
    }
}

/// A client's place among those like it.
#[derive(Debug)]
pub struct Place {
    clients: Arc<Clients>,
    who: Who,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_for_itself_until_it_leaves() {
        let clients = Arc::<Clients>::default();
        let account = |user: &str| Who::Account(user.into());
        let address = |last| Who::Address([10, 0, 0, last].into());
        let first = clients.take(account("app"), 2).unwrap();
        let _second = clients.take(account("app"), 2).unwrap();
        assert!(clients.take(account("app"), 2).is_none());
        let _other = clients.take(account("other"), 2).unwrap();
        let _here = clients.take(address(1), 1).unwrap();
        assert!(clients.take(address(1), 1).is_none());
        let there = clients.take(address(2), 1).unwrap();
        drop(first);
        let _again = clients.take(account("app"), 2).unwrap();
        let unlimited = clients.take(account("app"), 0).unwrap();
        assert!(clients.take(account("app"), 3).is_none(), "they are counted without a limit, too");
        drop((unlimited, there));
        assert!(clients.take(account("app"), 3).is_some());
        assert_eq!(clients.0.lock().unwrap().len(), 3, "nothing is kept of who has left");
    }
}
