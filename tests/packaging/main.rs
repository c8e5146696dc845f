//! The Debian package: the same bytes whoever makes it, and installed it serves a query. The examples for
//! Kubernetes and keepalived: they fit together, and do what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kubernetes;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use raw::{APP, Client};
use support::{Lab, Make, eventually_some, free_port, package_dir, target_dir};

/// A folder of a test's own, gone at the end of it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = target_dir().join(format!("packaging-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a program prints that must succeed.
fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{command:?}:\n{printed}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    printed
}

/// Packages this build; `umask` and the time zone are what a machine may have of its own.
fn package(folder: &Path, umask: &str, zone: &str) -> PathBuf {
    let script = package_dir().join("scripts/package.sh");
    let mut command = Command::new("bash");
    command
        .args(["-c", "umask \"$1\"; shift; exec bash \"$@\"", "bash", umask])
        .arg(script)
        .args(["--program", env!("CARGO_BIN_EXE_lagwise")])
        .arg("--output")
        .arg(folder)
        .arg("--fast")
        .env("CARGO_TARGET_DIR", target_dir())
        .env("TZ", zone);
    PathBuf::from(run(&mut command).trim_end())
}

/// lagwise in a copy of this system; ends with this value.
struct Installed {
    child: Child,
    log: PathBuf,
    _root: Folder,
}

impl Installed {
    fn start(package: &Path, config: &str) -> Self {
        let root = Folder::new("root");
        let path = package.with_file_name("log");
        let log = std::fs::File::create(&path).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash"])
            .arg(package_dir().join("tests/packaging/installed.sh"))
            .arg(package)
            .arg(config)
            .arg(&root.0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, log: path, _root: root }
    }

    /// Ends it; all must have gone as the script expects.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        assert!(self.log().ends_with("all as expected\n"));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // The script ends lagwise at the end of its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the installation\n{}---- end of log", self.log());
        }
    }
}

#[test]
fn the_package_is_the_same_each_time_and_serves_a_query() {
    let folders = [Folder::new("one"), Folder::new("two")];
    let one = package(&folders[0].0, "022", "UTC");
    let two = package(&folders[1].0, "077", "Asia/Tokyo");
    assert_eq!(one.file_name(), two.file_name());
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap(), "two builds differ");
    holds_all(&one);

    let lab = Lab::start(Make::MariaDb, 1);
    let [port, http_port] = [free_port(), free_port()];
    let config = format!(
        "listen = \"127.0.0.1:{port}\"\nprimary = \"{}\"\nreplicas = [\"{}\"]\n\
         monitor.user = \"monitor\"\nmonitor.password = \"monitor_password\"\n\
         http.listen = \"127.0.0.1:{http_port}\"",
        lab.address(0),
        lab.address(1)
    );
    let mut installed = Installed::start(&one, &config);
    let mut client = eventually_some("the installed lagwise takes a login", || {
        assert!(installed.child.try_wait().unwrap().is_none(), "the script ended");
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        Client::connect(port, APP).ok()
    });
    assert_eq!(client.value("SELECT 40 + 2"), "42");
    drop(client);
    installed.end();
}

/// The files, with their rights and owners, and what dpkg is told of them.
fn holds_all(package: &Path) {
    let list = run(Command::new("dpkg-deb").arg("--contents").arg(package));
    let man = ["", "-run", "-check", "-status", "-drain", "-undrain", "-explain", "-completions"];
    let pages = man.map(|name| format!("-rw-r--r-- /usr/share/man/man1/lagwise{name}.1.gz"));
    let files = [
        "-rwxr-xr-x /usr/bin/lagwise",
        // Narrower once it is installed.
        "drwxr-xr-x /etc/lagwise/",
        "-rw-r----- /etc/lagwise/proxy.toml",
        "-rw-r--r-- /usr/lib/systemd/system/lagwise.service",
        "-rw-r--r-- /usr/lib/systemd/system/lagwise@.service",
        "-rw-r--r-- /usr/lib/systemd/system/lagwise.socket",
        "-rw-r--r-- /usr/lib/sysusers.d/lagwise.conf",
        "-rw-r--r-- /usr/share/bash-completion/completions/lagwise",
        "-rw-r--r-- /usr/share/zsh/vendor-completions/_lagwise",
        "-rw-r--r-- /usr/share/fish/vendor_completions.d/lagwise.fish",
        "-rw-r--r-- /usr/share/doc/lagwise/copyright",
        "-rw-r--r-- /usr/share/doc/lagwise/changelog.gz",
        "-rw-r--r-- /usr/share/doc/lagwise/NOTICES.gz",
    ];
    for file in files.into_iter().chain(pages.iter().map(String::as_str)) {
        let (mode, path) = file.split_once(' ').unwrap();
        let found = list.lines().find(|line| line.ends_with(&format!(" .{path}")));
        let line = found.unwrap_or_else(|| panic!("no {path} in:\n{list}"));
        assert!(line.starts_with(&format!("{mode} 0/0 ")), "{line}");
    }
    let field = |name: &str| {
        run(Command::new("dpkg-deb").arg("--field").arg(package).arg(name)).trim_end().to_owned()
    };
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= "), "{}", field("Depends"));
    assert_eq!(
        run(Command::new("dpkg-deb").arg("--info").arg(package).arg("conffiles")).trim_end(),
        "/etc/lagwise/proxy.toml"
    );
    let notices = Command::new("bash")
        .args([
            "-c",
            "dpkg-deb --fsys-tarfile \"$1\" | tar -xO ./usr/share/doc/lagwise/NOTICES.gz | zcat",
            "bash",
        ])
        .arg(package)
        .output()
        .unwrap();
    let notices = String::from_utf8_lossy(&notices.stdout).into_owned();
    for words in ["\ntokio 1.", "\nrustls 0.", "\nFor ", "Permission is hereby granted"] {
        assert!(notices.contains(words), "no {words:?}");
    }
}

#[test]
fn scripts_that_packages_run_are_sound() {
    let folder = package_dir().join("packaging/debian");
    let scripts = ["postinst", "prerm", "postrm"].map(|name| folder.join(name));
    run(Command::new("shellcheck").args(&scripts));
    for script in ["installed.sh", "keepalived.sh", "systemd.sh"] {
        run(Command::new("shellcheck").arg(package_dir().join("tests/packaging").join(script)));
    }
}

#[test]
fn the_address_moves_from_a_host_that_is_not_ready() {
    let folder = Folder::new("keepalived");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--propagation", "private", "bash"])
        .arg(package_dir().join("tests/packaging/keepalived.sh"))
        .arg(package_dir().join("packaging/keepalived/keepalived.conf"))
        .arg(&folder.0);
    assert_eq!(run(&mut command), "moved\n");
}

/// systemd itself starts, reloads, replaces, activates and stops what the package has installed.
#[test]
fn systemd_serves_the_package() {
    let (folder, root) = (Folder::new("systemd"), Folder::new("systemd-root"));
    let package = package(&folder.0, "022", "UTC");
    let lab = Lab::start(Make::MySql, 0);
    let mut command = Command::new("bash");
    command
        .arg(package_dir().join("tests/packaging/systemd.sh"))
        .arg(package)
        .arg(lab.client())
        .arg(lab.socket(0))
        .arg(&root.0);
    assert!(run(&mut command).ends_with("all as expected\n"));
}
