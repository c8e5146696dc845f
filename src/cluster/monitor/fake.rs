//! A server that speaks just enough of the protocol for a monitor, and misbehaves on demand.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::backend::Endpoint;
use crate::cluster::settings::Server;
use crate::config::{Role, ServerAddress, ServerConfig};
use crate::net::{PacketStream, Socket, Transport};
use crate::pool::Limits;
use crate::protocol::command::code;
use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::frame::build_packet;
use crate::protocol::handshake::Greeting;
use crate::protocol::writer::lenenc_bytes;
use crate::protocol::{ErrPacket, OkPacket};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const STALL: Duration = Duration::from_secs(5);

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Good,
    /// Refuses new connections with this error; old ones work.
    Refuse(u16),
    /// Refuses the question with this error.
    RefuseQuestion(u16),
    /// Has GTIDs off, and does not answer SHOW.
    HangAtShow,
    /// Says nothing.
    Hang,
}

/// What the connections share.
#[derive(Debug)]
struct State {
    mode: Mutex<Mode>,
    last_transaction: AtomicU64,
    logins: AtomicU32,
    quits: AtomicU32,
    /// Raised to cut every connection.
    killed: watch::Sender<u32>,
}

/// The server; it ends with the runtime.
#[derive(Debug, Clone)]
pub(super) struct Fake {
    state: Arc<State>,
    port: u16,
}

impl Fake {
    pub(super) async fn start(last_transaction: u64) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mode: Mutex::new(Mode::Good),
            last_transaction: AtomicU64::new(last_transaction),
            logins: AtomicU32::new(0),
            quits: AtomicU32::new(0),
            killed: watch::Sender::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut killed = state.killed.subscribe();
                    tokio::select! {
                        _ = serve(stream, &state) => {}
                        _ = killed.changed() => {}
                    }
                });
            }
        });
        Fake { state, port }
    }

    pub(super) fn server(&self, name: &str, role: Role) -> Server {
        let address = ServerAddress::Tcp { host: "127.0.0.1".into(), port: self.port };
        let dead_after = Duration::from_secs(3);
        let endpoint =
            Endpoint { address: address.clone(), tls: None, dead_after, proxy_protocol: false };
        let config = ServerConfig { name: name.into(), ..ServerConfig::new(address, role) };
        Server { config, endpoint, limits: Limits::default() }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    pub(super) fn commit(&self, last_transaction: u64) {
        self.state.last_transaction.store(last_transaction, Ordering::SeqCst);
    }

    pub(super) fn kill_connections(&self) {
        self.state.killed.send_modify(|killed| *killed += 1);
    }

    pub(super) fn logins(&self) -> u32 {
        self.state.logins.load(Ordering::SeqCst)
    }

    pub(super) fn quits(&self) -> u32 {
        self.state.quits.load(Ordering::SeqCst)
    }
}

impl State {
    /// The mode; does not return while that is Hang.
    async fn mode(&self) -> Mode {
        loop {
            let mode = *self.mode.lock().unwrap();
            if mode != Mode::Hang {
                return mode;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn serve(stream: TcpStream, state: &State) -> io::Result<()> {
    let socket = Socket::tcp(stream, STALL)?;
    let mut stream = PacketStream::new(Transport::Plain(socket));
    let mut out = Vec::new();
    if let Mode::Refuse(code) = state.mode().await {
        error(&mut out, 0, code);
        return stream.write_all(&out, STALL).await;
    }
    build_packet(&mut out, 0, |out| greeting().write(out));
    stream.write_all(&out, STALL).await?;
    let (seq, _) = stream.packet(1 << 16).await.map_err(io::Error::other)?;
    out.clear();
    build_packet(&mut out, seq + 1, |out| ok().write(out));
    stream.write_all(&out, STALL).await?;
    state.logins.fetch_add(1, Ordering::SeqCst);
    loop {
        let (_, command) = stream.packet(1 << 16).await.map_err(io::Error::other)?;
        if command.first() == Some(&code::QUIT) {
            state.quits.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        out.clear();
        let last = state.last_transaction.load(Ordering::SeqCst);
        match state.mode().await {
            Mode::RefuseQuestion(code) => error(&mut out, 1, code),
            Mode::HangAtShow if command.starts_with(b"\x03SHOW") => std::future::pending().await,
            Mode::HangAtShow => answer(&mut out, "OFF", last),
            _ => answer(&mut out, "ON", last),
        }
        stream.write_all(&out, STALL).await?;
    }
}

fn greeting() -> Greeting {
    Greeting {
        server_version: b"9.7.0-fake".to_vec(),
        thread_id: 1,
        nonce: vec![b'x'; 20],
        capabilities: Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::LONG_PASSWORD,
        charset: 255,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: b"mysql_native_password".to_vec(),
    }
}

fn ok() -> OkPacket<'static> {
    let status = StatusFlags::AUTOCOMMIT;
    OkPacket {
        header: 0,
        affected_rows: 0,
        last_insert_id: 0,
        status,
        warnings: 0,
        info: b"",
        state: b"",
    }
}

fn error(out: &mut Vec<u8>, seq: u8, code: u16) {
    build_packet(out, seq, |out| ErrPacket::new(code, b"HY000", "as told").write(out));
}

/// One row of six columns, with the EOF packets of a client without DEPRECATE_EOF.
fn answer(out: &mut Vec<u8>, gtid_mode: &str, last_transaction: u64) {
    let columns = ["", "0", "0", gtid_mode, &format!("{UUID}:1-{last_transaction}"), UUID];
    const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];
    let mut seq = build_packet(out, 1, |out| out.push(6));
    for _ in columns {
        seq = build_packet(out, seq, |out| {
            for text in ["def", "", "", "", "c", ""] {
                lenenc_bytes(out, text.as_bytes());
            }
            out.extend([0x0c, 45, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
        });
    }
    seq = build_packet(out, seq, |out| out.extend(EOF));
    seq = build_packet(out, seq, |out| {
        columns.iter().for_each(|text| lenenc_bytes(out, text.as_bytes()));
    });
    build_packet(out, seq, |out| out.extend(EOF));
}
