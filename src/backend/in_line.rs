//! Bringing a connection into a session's state.

use std::sync::Arc;

use super::connection::Connection;
use super::error::Error;
use super::image::{Image, Switch, Unreachable};
use crate::protocol::command::code;
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::build_packet;
use crate::protocol::response::ResponseKind;

impl Connection {
    /// Whether [`Connection::bring_in_line`] can do it.
    pub fn can_be(&self, wanted: &Arc<Image>) -> bool {
        Arc::ptr_eq(&self.image, wanted) || self.switch_to(wanted).is_ok()
    }

    fn switch_to(&self, wanted: &Image) -> Result<Switch, Unreachable> {
        let switch = self.image.switch(wanted, self.initial_state())?;
        // Where a session begins with what `init_connect` does, that is not what DEFAULT gives.
        let unlike = self.at_login.as_ref().is_some_and(|at_login| at_login.has_init_connect);
        if unlike && switch.has_default { Err(Unreachable) } else { Ok(switch) }
    }

    /// Sends what differs, in one go, and reads what the server says to it. Nothing is sent where
    /// nothing differs. `insert_id` is what LAST_INSERT_ID() must be, if it is needed.
    ///
    /// `with_next`: it goes out with the next command, which does no harm in a wrong state, and the
    /// server is heard when that command is answered ([`Connection::finish_owed`]). LAST_INSERT_ID()
    /// alone goes out with any command: a server refuses it only to one that is killed.
    ///
    /// # Errors
    /// The server's error, [`Error::State`], or the connection breaks: in each case it is in no known
    /// state, and to be closed.
    pub async fn bring_in_line(
        &mut self,
        wanted: &Arc<Image>,
        insert_id: Option<u64>,
        with_next: bool,
    ) -> Result<(), Error> {
        let insert_id = insert_id.filter(|_| self.insert_id != insert_id);
        if Arc::ptr_eq(&self.image, wanted) && insert_id.is_none() {
            return Ok(());
        }
        let switch = self.switch_to(wanted).map_err(|Unreachable| Error::State)?;
        let mut packets = Vec::new();
        let mut responses = self.build_switch(&mut packets, &switch);
        self.image = Arc::clone(wanted);
        if let Some(id) = insert_id {
            self.build_query(&mut packets, format!("SET SESSION last_insert_id={id}").as_bytes());
            self.insert_id = Some(id);
            self.owes_insert_id = true;
            responses += 1;
        }
        if responses == 0 {
            return Ok(());
        }
        self.owed += responses;
        if with_next || switch.is_empty() {
            self.pending.extend_from_slice(&packets);
            return Ok(());
        }
        self.send(&packets).await?;
        let warnings = self.finish_owed().await?;
        self.mark_ready();
        self.forget_warnings(warnings).await
    }

    /// Reads the responses to what brought the connection in line, if there are any outstanding that
    /// were sent; returns the number of warnings of the last.
    ///
    /// # Errors
    /// The server's error or the connection breaks: in each case it is in no known state, and Broken.
    pub async fn finish_owed(&mut self) -> Result<u16, Error> {
        let mut warnings = 0;
        while self.owed > 0 {
            self.owed -= 1;
            match self.read_response(ResponseKind::Results, &mut |_, _| Ok(())).await {
                Ok(summary) => {
                    self.status = summary.status & !StatusFlags::SESSION_STATE_CHANGED;
                    warnings = summary.warnings;
                }
                // What follows may have run: its answer counts, and nobody else gets the connection.
                Err(Error::Server(_)) if self.owed == 0 && self.owes_insert_id => {
                    self.is_tainted = true;
                }
                Err(error) => {
                    self.mark_broken();
                    return Err(error);
                }
            }
        }
        self.owes_insert_id = false;
        Ok(warnings)
    }

    /// Appends what a switch takes; returns how many responses that has.
    pub(super) fn build_switch(&self, out: &mut Vec<u8>, switch: &Switch) -> usize {
        if let Some(schema) = &switch.schema {
            build_packet(out, 0, |out| {
                out.push(code::INIT_DB);
                out.extend_from_slice(schema);
            });
        }
        if let Some(set) = &switch.set {
            self.build_query(out, set);
        }
        usize::from(switch.schema.is_some()) + usize::from(switch.set.is_some())
    }
}
