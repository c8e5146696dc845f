//! Sockets that systemd holds.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::Newcomers;
use crate::raw::{self, APP, Client};
use crate::support::{Lab, eventually_some, free_ports, signal, target_dir, unique_name};

/// What systemd gives and is told: sockets by LISTEN_FDS, messages by NOTIFY_SOCKET.
struct Activated {
    child: Child,
    dir: PathBuf,
    manager: UnixDatagram,
}

impl Activated {
    /// lagwise with two sockets from outside: `tcp` and `unix`.
    fn start(lab: &Lab, listen: &str, tcp: &TcpListener, unix: &UnixListener) -> Self {
        let dir = target_dir().join("lab").join(format!("activated-{}", unique_name()));
        std::fs::create_dir_all(&dir).unwrap();
        let manager = UnixDatagram::bind(dir.join("notify")).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let config = format!(
            "listen = {listen}\nprimary = {:?}\nreplicas = [{:?}]\n\
             [monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n",
            lab.address(0),
            lab.address(1)
        );
        std::fs::write(dir.join("proxy.toml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        // The descriptors where systemd has them, which std cannot put there.
        let script = "exec 3<&0 4>&1 0</dev/null 1>&2; \
                      export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b; exec \"$@\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_lagwise"), "run", "--config"])
            .arg(dir.join("proxy.toml"))
            .env("NOTIFY_SOCKET", dir.join("notify"))
            .stdin(OwnedFd::from(tcp.try_clone().unwrap()))
            .stdout(OwnedFd::from(unix.try_clone().unwrap()))
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir, manager }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The messages of sd_notify(3) until one has a line that begins so: that line.
    fn wait_message(&self, wanted: &str) -> String {
        eventually_some(&format!("systemd is told {wanted}"), || {
            let mut message = [0; 4096];
            let count = self.manager.recv(&mut message).unwrap_or(0);
            let text = String::from_utf8_lossy(&message[..count]).into_owned();
            text.lines().find(|line| line.starts_with(wanted)).map(str::to_owned)
        })
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of lagwise\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn works(port: u16, socket: &Path) {
    assert_eq!(Client::app(port).value("SELECT COUNT(*) > 0 FROM items"), "1");
    let mut client = Client::connect_unix(socket, APP).unwrap_or_else(|fail| panic!("{fail}"));
    assert_eq!(client.value("SELECT 1"), "1");
}

/// Sockets of systemd's, which are passed on to the next process, and stay when the last has ended.
pub fn socket_activation(lab: &Lab) {
    let dir = target_dir().join("lab").join(format!("sockets-{}", unique_name()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("mysql.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let [own] = free_ports();
    let listen =
        format!("[\"127.0.0.1:{own}\", \"unix:{}\", \"127.0.0.1:{port}\"]", path.display());
    // One comes before lagwise does.
    let early = raw::tcp(port);
    let mut lagwise = Activated::start(lab, &listen, &tcp, &unix);
    lagwise.wait_message("READY=1");
    assert_eq!(Client::login(Box::new(early), APP).unwrap().value("SELECT 5"), "5");
    works(port, &path);
    works(own, &path);
    let newcomers = Newcomers::default();
    signal(lagwise.child.id(), "USR2");
    let told = lagwise.wait_message("MAINPID=");
    let pid: u32 = told.trim_start_matches("MAINPID=").parse().unwrap();
    newcomers.0.lock().unwrap().push(pid);
    let status = eventually_some("the first ends", || lagwise.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    works(port, &path);
    works(own, &path);
    newcomers.end(pid);
    assert!(!lagwise.log().contains("panicked"), "{}", lagwise.log());
    assert!(path.exists(), "it is systemd's");
    drop(lagwise);

    // A socket that the configuration does not name would have clients wait for ever.
    let mut lagwise = Activated::start(lab, &format!("\"127.0.0.1:{own}\""), &tcp, &unix);
    let status = eventually_some("lagwise refuses", || lagwise.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let log = lagwise.log();
    assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("mysql.sock"), "{log}");
    drop(lagwise);
    let _ = std::fs::remove_dir_all(&dir);
}
