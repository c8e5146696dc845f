//! One session of lagwise between a client and servers that say what a script has them say: any bytes, in
//! any order. It must end, whatever they do, and leave nothing behind.
//!
//! In one thread and on a clock of its own: as soon as everybody waits, it is later. The script's first
//! byte is how the session is set up; then come its items: a byte of kind, one of length, and as many bytes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use lagwise::auth::RsaKey;
use lagwise::cluster::ClusterHandle;
use lagwise::config::Config;
use lagwise::metrics::Metrics;
use lagwise::net::listen::Accepted;
use lagwise::net::tls::SelfSigned;
use lagwise::net::{PacketStream, Socket, Transport};
use lagwise::protocol::OkPacket;
use lagwise::protocol::flags::{Capabilities, StatusFlags};
use lagwise::protocol::frame::build_packet;
use lagwise::protocol::handshake::{Greeting, HandshakeResponse};
use lagwise::protocol::writer::lenenc_bytes;
use lagwise::server::build;
use lagwise::session::context::Lifecycle;
use lagwise::session::{self, Context};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

static RSA_KEY: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate().unwrap());
static TLS: LazyLock<SelfSigned> = LazyLock::new(|| build::self_signed().unwrap());

/// Longest script, in bytes.
const MAX_SCRIPT: usize = 8 << 10;

/// Everybody has said what there is to say once nothing has come for so long.
const QUIET: Duration = Duration::from_millis(20);

/// A server that has not answered by then is killed: what may write is waited for until it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// By then a session has ended that has lost its client, and all that it waited for.
const END: Duration = Duration::from_secs(3600);

/// How the session is set up, by bits of the first byte.
mod setup {
    pub const MARIADB: u8 = 1;
    pub const ALL_CAPABILITIES: u8 = 2;
    pub const SESSION_POOL: u8 = 4;
    /// The client's handshake response is the script's.
    pub const OWN_LOGIN: u8 = 8;
    /// The servers' answers to logins are the script's.
    pub const SERVERS_LOGIN: u8 = 16;
    /// So are those to what lagwise itself asks first on a connection.
    pub const OWN_COMMANDS: u8 = 32;
    pub const HANDSHAKE: u8 = 64;
}

/// What is said in one go.
enum Words {
    /// Packets, with the sequence ids that they should have.
    Packets(Vec<Vec<u8>>),
    Raw(Vec<u8>),
    Silence,
    /// The connection is closed.
    End,
}

#[derive(Default)]
struct Script {
    setup: u8,
    client: VecDeque<Words>,
    servers: VecDeque<Words>,
}

impl Script {
    fn parse(data: &[u8]) -> Option<Self> {
        let (&setup, mut rest) = data.split_first()?;
        let mut script = Self { setup, ..Self::default() };
        let mut packets = [Vec::new(), Vec::new()];
        while let [kind, length, after @ ..] = rest {
            let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
            rest = after;
            let is_client = kind & 1 == 0;
            let packets = &mut packets[usize::from(is_client)];
            let words = match kind >> 1 & 7 {
                // More packets follow.
                0 => {
                    packets.push(bytes.to_vec());
                    continue;
                }
                5 => Words::Raw(bytes.to_vec()),
                6 => Words::Silence,
                7 => Words::End,
                _ => {
                    packets.push(bytes.to_vec());
                    Words::Packets(std::mem::take(packets))
                }
            };
            let side = if is_client { &mut script.client } else { &mut script.servers };
            side.push_back(words);
        }
        Some(script)
    }

    fn has(&self, bit: u8) -> bool {
        self.setup & bit != 0
    }
}

/// Plays a script; panics if the session does, or if it does not end.
pub fn play(data: &[u8]) {
    let Some(script) = Script::parse(&data[..data.len().min(MAX_SCRIPT)]) else { return };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(meet(script, &folder()));
}

/// Of this thread alone.
fn folder() -> PathBuf {
    let name = format!("lagwise-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn meet(script: Script, folder: &Path) {
    let context = context(&script, folder);
    let Script { setup, client: words, servers } = script;
    let servers = Arc::new(Mutex::new(servers));
    for name in ["primary", "replica"] {
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let servers = Arc::clone(&servers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = server(stream, setup, Arc::clone(&servers));
                tokio::spawn(timeout(PATIENCE, served));
            }
        });
    }
    let (context, lifecycle) = context;
    // The monitors look first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (near, far) = UnixStream::pair().unwrap();
    let session = tokio::spawn(session::serve(Accepted::Unix(far), Arc::clone(&context)));
    client(near, setup, words).await;
    let ended = timeout(END, session).await.expect("the session does not end");
    ended.expect("the session panics");
    assert_eq!(context.sessions(), 0);
    drop(lifecycle);
}

fn context(script: &Script, folder: &Path) -> (Arc<Context>, watch::Sender<Lifecycle>) {
    let mode = if script.has(setup::SESSION_POOL) { "session" } else { "transaction" };
    let folder = folder.display();
    let text = format!(
        "listen = \"127.0.0.1:3307\"\nprimary = \"unix:{folder}/primary\"\n\
         replicas = [\"unix:{folder}/replica\"]\n[monitor]\nuser = \"monitor\"\npassword = \"x\"\n\
         [limits]\nmax_open_statements = 50\n[pool]\nmode = \"{mode}\"\n"
    );
    let nothing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let config = Config::parse(&text, Path::new("proxy.toml"), &|_| None, &nothing).unwrap();
    let servers = build::servers(&config).unwrap();
    let settings = build::settings(&config, &TLS).unwrap();
    let metrics = Metrics::new(build::LABELS, 1, "0", SystemTime::UNIX_EPOCH).unwrap();
    let cluster = ClusterHandle::start(servers, lagwise::cluster::Settings::of(&config)).unwrap();
    let (lifecycle, watching) = watch::channel(Lifecycle::Running);
    (Context::new(Arc::new(cluster), metrics, settings, RSA_KEY.clone(), watching), lifecycle)
}

/// Sends words; false at the end.
async fn say(stream: &mut UnixStream, words: Words, first_seq: u8) -> bool {
    let mut out = Vec::new();
    match words {
        Words::Packets(packets) => {
            let mut seq = first_seq;
            for packet in packets {
                seq = build_packet(&mut out, seq, |out| out.extend_from_slice(&packet));
            }
        }
        Words::Raw(bytes) => out = bytes,
        Words::Silence => {}
        Words::End => return false,
    }
    stream.write_all(&out).await.is_ok()
}

/// Reads until nothing comes any more; false at the end of the stream.
async fn hear(stream: &mut UnixStream) -> bool {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match timeout(QUIET, stream.read(&mut bytes)).await {
            Err(_) => return true,
            Ok(Ok(0) | Err(_)) => return false,
            Ok(Ok(_)) => {}
        }
    }
}

async fn client(mut stream: UnixStream, setup: u8, words: VecDeque<Words>) {
    if !hear(&mut stream).await {
        return;
    }
    if setup & setup::OWN_LOGIN == 0 {
        let mut out = Vec::new();
        build_packet(&mut out, 1, |out| handshake_response(setup).write(out));
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
    for (index, words) in words.into_iter().enumerate() {
        let is_login = index == 0 && setup & setup::OWN_LOGIN != 0;
        if !hear(&mut stream).await || !say(&mut stream, words, u8::from(is_login)).await {
            return;
        }
    }
    hear(&mut stream).await;
}

fn handshake_response(setup: u8) -> HandshakeResponse {
    let mut capabilities = Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | Capabilities::MULTI_STATEMENTS
        | Capabilities::MULTI_RESULTS
        | Capabilities::LOCAL_FILES;
    if setup & setup::HANDSHAKE != 0 {
        capabilities |= Capabilities::OFFERED - Capabilities::SSL;
        capabilities -= Capabilities::CONNECT_WITH_DB | Capabilities::CONNECT_ATTRS;
    }
    HandshakeResponse {
        capabilities,
        max_packet: 1 << 24,
        charset: 45,
        user: b"app".to_vec(),
        auth_data: Vec::new(),
        schema: None,
        auth_plugin: Some(b"caching_sha2_password".to_vec()),
        attributes: None,
        zstd_level: 0,
    }
}

/// One connection to a server. The monitor gets what it wants to hear, a session what the script says, and
/// OK once that is over.
async fn server(stream: UnixStream, setup: u8, script: Arc<Mutex<VecDeque<Words>>>) -> Option<()> {
    const STALL: Duration = Duration::from_secs(5);
    let mut stream = PacketStream::new(Transport::Plain(Socket::Unix(stream)));
    let mut out = Vec::new();
    build_packet(&mut out, 0, |out| greeting(setup).write(out));
    stream.write_all(&out, STALL).await.ok()?;
    let (mut seq, login) = stream.packet(1 << 23).await.ok()?;
    let user = HandshakeResponse::parse(&login).ok()?.user;
    let is_monitor = user == b"monitor";
    let mut is_login = true;
    loop {
        let command = if is_login {
            Vec::new()
        } else {
            let (got, command) = stream.packet(1 << 23).await.ok()?;
            seq = got;
            command
        };
        let is_own = command.starts_with(b"\x03SET SESSION session_track");
        let of_script = !is_monitor
            && (!is_login || setup & setup::SERVERS_LOGIN != 0)
            && (!is_own || setup & setup::OWN_COMMANDS != 0);
        let words = of_script.then(|| script.lock().unwrap().pop_front()).flatten();
        is_login = false;
        out.clear();
        let next = seq.wrapping_add(1);
        match words {
            Some(Words::Packets(packets)) => {
                let mut seq = next;
                for packet in packets {
                    seq = build_packet(&mut out, seq, |out| out.extend_from_slice(&packet));
                }
            }
            Some(Words::Raw(bytes)) => out = bytes,
            Some(Words::Silence) => continue,
            Some(Words::End) => return None,
            None => match command.first() {
                Some(0x01) => return None,
                // No response: COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA
                Some(0x18 | 0x19) => continue,
                Some(_) if is_monitor => positions(&mut out),
                _ => drop(build_packet(&mut out, next, |out| OK.write(out))),
            },
        }
        stream.write_all(&out, STALL).await.ok()?;
    }
}

const OK: OkPacket<'static> = OkPacket {
    header: 0,
    affected_rows: 0,
    last_insert_id: 0,
    status: StatusFlags::AUTOCOMMIT,
    warnings: 0,
    info: b"",
    state: b"",
};

fn greeting(setup: u8) -> Greeting {
    let version: &[u8] = match setup & setup::MARIADB {
        0 => b"9.7.0",
        _ => b"5.5.5-10.11.14-MariaDB",
    };
    let mut capabilities = Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | Capabilities::SESSION_TRACK;
    if setup & setup::ALL_CAPABILITIES != 0 {
        capabilities |= Capabilities::OFFERED - Capabilities::SSL;
    }
    Greeting {
        server_version: version.to_vec(),
        thread_id: 7,
        nonce: vec![b'x'; 20],
        capabilities,
        charset: 45,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: b"caching_sha2_password".to_vec(),
    }
}

/// One row as the monitor's question to MySQL has it, with EOF packets.
fn positions(out: &mut Vec<u8>) {
    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];
    let columns = ["", "0", "0", "ON", &format!("{UUID}:1-7"), UUID];
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
