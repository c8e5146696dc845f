//! Where clients come: sockets that this process binds, or that it was given.

use std::io;
use std::os::fd::OwnedFd;

use super::RunError;
use super::handover::{Estate, SocketNote};
use crate::config::{Config, ListenAddress};
use crate::net::inherited::Inherited;
use crate::net::listen::{Bound, Listener};

/// See the module's documentation.
#[derive(Debug)]
pub struct Sockets {
    /// Of MySQL clients.
    pub clients: Vec<Bound>,
    /// Of the HTTP endpoints.
    http: Option<Bound>,
    /// Of the SQL console.
    console: Option<Bound>,
}

/// Opens all that the configuration names, or takes them from the process before or from systemd.
pub fn open(config: &Config, estate: Option<&mut Estate>) -> Result<Sockets, RunError> {
    let Some(estate) = estate else {
        let passed = Inherited::from_systemd();
        let mut passed = passed.map_err(|error| RunError::Passed(error.to_string()))?;
        let sockets = take(config, &mut passed)?;
        let left_over = passed.left_over();
        if !left_over.is_empty() {
            return Err(RunError::Passed(format!(
                "there are some that neither listen nor http.listen nor \
                 console.listen names, and clients would wait \
                 there for ever: {}",
                left_over.join(", ")
            )));
        }
        return Ok(sockets);
    };
    take(config, &mut estate.inherited)
}

fn take(config: &Config, inherited: &mut Inherited) -> Result<Sockets, RunError> {
    let mut take = |address: &ListenAddress, what: &str| {
        inherited
            .take_or_bind(address)
            .map_err(|source| RunError::Listen { address: format!("{what}{address}"), source })
    };
    let clients: Result<_, _> = config.listen.iter().map(|address| take(address, "")).collect();
    let http = config.http.as_ref().map(|http| take(&ListenAddress::Tcp(http.listen), "http "));
    let (clients, http) = (clients?, http.transpose()?);
    let console = config.console.listen.as_ref().map(|address| take(address, "console "));
    let console = console.transpose()?;
    if let Some(console) = &console {
        console.restrict_file()?;
    }
    Ok(Sockets { clients, http, console })
}

impl Sockets {
    /// The addresses of clients, with the ports that were really bound.
    pub fn addresses(&self) -> Vec<String> {
        let shown = |bound: &Bound| match bound.local_address() {
            Some(address) => address.to_string(),
            None => bound.address().to_string(),
        };
        self.clients.iter().map(shown).collect()
    }

    /// To accept from the socket of the HTTP endpoints, if there is one.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn http(&self) -> io::Result<Option<tokio::net::TcpListener>> {
        self.http.as_ref().map(Bound::tcp_listener).transpose()
    }

    /// To accept from the socket of the SQL console, if there is one.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn console(&self) -> io::Result<Option<Listener>> {
        self.console.as_ref().map(Bound::listener).transpose()
    }

    /// All that may have a file.
    pub fn with_files(&mut self) -> impl Iterator<Item = &mut Bound> {
        self.clients.iter_mut().chain(&mut self.console)
    }

    /// All of them, to be passed on, and what there is to say of each.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn to_pass_on(&self) -> io::Result<(Vec<SocketNote>, Vec<OwnedFd>)> {
        let all = || self.clients.iter().chain(&self.http).chain(&self.console);
        let descriptors: io::Result<_> =
            all().map(|bound| bound.socket().try_clone_to_owned()).collect();
        Ok((all().map(SocketNote::of).collect(), descriptors?))
    }

    /// Closes them. The files of Unix sockets are removed.
    pub fn close(&mut self) {
        self.clients.clear();
        self.http = None;
        self.console = None;
    }

    /// Leaves them to another process, with their files.
    pub fn leave(&mut self) {
        self.clients.iter_mut().chain(&mut self.console).for_each(Bound::leave_file);
        self.close();
    }
}
