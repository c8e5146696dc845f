//! A server as it is, but for answers that it cannot be made to give when they are wanted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// COM_STMT_EXECUTE
const EXECUTE: u8 = 0x17;

/// Stands between lagwise and a server. Ends with the connections that it has.
pub struct Forwarder {
    port: u16,
    refusals: Arc<AtomicU32>,
}

impl Forwarder {
    /// Before the server on `port` of 127.0.0.1. Whoever connects must not use TLS.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let refusals = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&refusals);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let refusals = Arc::clone(&shared);
                std::thread::spawn(move || copy(from, to));
                std::thread::spawn(move || forward(client, server, &refusals));
            }
        });
        Self { port: own, refusals }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next so many COM_STMT_EXECUTE do not reach the server: ER_NEED_REPREPARE answers them.
    pub fn refuse_executions(&self, count: u32) {
        self.refusals.store(count, Ordering::SeqCst);
    }

    /// How many of these are still to come.
    pub fn refusals_left(&self) -> u32 {
        self.refusals.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}

/// Passes packets on, one after the other; those of the login and of commands are alike.
fn forward(mut client: TcpStream, mut server: TcpStream, refusals: &AtomicU32) {
    let mut header = [0; 4];
    while client.read_exact(&mut header).is_ok() {
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut payload = vec![0; len];
        if client.read_exact(&mut payload).is_err() {
            break;
        }
        let is_execution = header[3] == 0 && payload.first() == Some(&EXECUTE);
        let take_one = |left: u32| left.checked_sub(1);
        let done = if is_execution
            && refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok()
        {
            let text = b"\xff\x4f\x06#HY000Prepared statement needs to be re-prepared";
            client.write_all(&[&[text.len() as u8, 0, 0, 1], &text[..]].concat())
        } else {
            server.write_all(&[&header[..], &payload].concat())
        };
        if done.is_err() {
            break;
        }
    }
    drop(server.shutdown(Shutdown::Both));
}
