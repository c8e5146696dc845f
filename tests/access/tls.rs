//! TLS from clients: by listener, with certificates that are renewed, and with certificates of theirs.

use crate::authority::{Authority, folder};
use crate::raw::{APP, Client, Fail};
use crate::support::wire::{Options, Step, caps};
use crate::support::{Lab, Make, Proxy, free_port};

fn over_tls() -> Options {
    Options { tls: true, ..Options::new(0) }
}

/// What a plain login is told: number, SQLSTATE and text, if it is refused.
fn plain(port: u16) -> Option<(u16, String, String)> {
    match Client::connect(port, APP) {
        Ok(_) => None,
        Err(Fail::Err { code, state, text }) => Some((code, state, text)),
        Err(Fail::Io(error)) => panic!("{error}"),
    }
}

fn offers_tls(port: u16) -> bool {
    Options::new(0).login(port).unwrap().greeting.caps & caps::SSL != 0
}

#[test]
fn each_listener_has_its_mode() {
    let lab = Lab::start(Make::MySql, 0);
    let [secure, bare] = [free_port(), free_port()];
    let tables = |of_secure: &str, of_bare: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:{secure}\"\ntls_mode = \"{of_secure}\"\n\
             [[listener]]\naddress = \"127.0.0.1:{bare}\"\ntls_mode = \"{of_bare}\"\n"
        )
    };
    let proxy = Proxy::start(&lab, &tables("require", "off"));
    assert!(offers_tls(proxy.port()) && !offers_tls(bare));
    assert_eq!(plain(proxy.port()), None);
    assert_eq!(plain(bare), None);
    over_tls().login(proxy.port()).unwrap();
    over_tls().login(secure).unwrap();

    let got = plain(secure);
    lab.sql(0, "SET GLOBAL require_secure_transport = 1");
    let want = plain(lab.port(0));
    lab.sql(0, "SET GLOBAL require_secure_transport = 0");
    assert!(got.is_some());
    assert_eq!(got, want, "as MySQL says it");

    // A reload changes modes, for those who connect from then on.
    let mut open = over_tls().login(secure).unwrap();
    assert!(proxy.reload(&tables("off", "require")));
    assert!(open.play(&Step::query("SELECT 1"))[0].broken.is_none());
    assert_eq!((plain(secure), offers_tls(secure)), (None, false));
    assert_eq!(plain(bare).map(|refused| refused.0), Some(3159));
    assert_eq!(plain(proxy.port()), None);
}

#[test]
fn certificates_are_renewed_by_a_reload() {
    let lab = Lab::start(Make::MariaDb, 0);
    let authority = Authority::new(&folder(), "authority");
    let first = authority.issue("first", "lagwise");
    let tls = format!("[client_tls]\ncert_file = {:?}\nkey_file = {:?}\n", first.cert, first.key);
    let proxy = Proxy::start(&lab, &tls);
    let shown = || over_tls().login(proxy.port()).unwrap().peer_certificate().unwrap();
    assert_eq!(shown(), first.der.0);
    let second = authority.issue("second", "lagwise");
    assert_eq!(shown(), first.der.0, "not before a reload");
    assert!(proxy.reload_file());
    assert_eq!(shown(), second.der.0);
    proxy.wait_log("lagwise-cert.pem has new contents");

    // One that is no good, a key of another, or none: all stays, and the log names the file.
    let key = std::fs::read(&second.key).unwrap();
    std::fs::write(&second.key, authority.issue("other", "other").der.1).unwrap();
    assert!(!proxy.reload_file());
    std::fs::copy(authority.issue("other", "other").key, &second.key).unwrap();
    assert!(!proxy.reload_file());
    proxy.wait_log("does not belong to the first certificate");
    assert_eq!(shown(), second.der.0);
    std::fs::write(&second.key, key).unwrap();
    std::fs::write(
        &second.cert,
        "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(!proxy.reload_file());
    std::fs::remove_file(&second.cert).unwrap();
    assert!(!proxy.reload_file());
    proxy.wait_log("cannot read");
    assert_eq!(shown(), second.der.0);
    assert!(!proxy.log().contains("rubbish"));
}

#[test]
fn certificates_of_clients() {
    let lab = Lab::start(Make::MariaDb, 0);
    let folder = folder();
    let authority = Authority::new(&folder, "authority");
    let good = authority.issue("client", "good");
    let foreign = Authority::new(&folder, "foreign").issue("client", "foreign");
    let tls = |mode: &str, certificates: &str| {
        let ca = authority.file();
        format!(
            "[client_tls]\nmode = \"{mode}\"\nclient_certificates = \"{certificates}\"\nca_file = {ca:?}\n"
        )
    };
    let proxy = Proxy::start(&lab, &tls("allow", "optional"));
    let is_in = |identity: Option<&(Vec<u8>, Vec<u8>)>| {
        let options = Options { identity: identity.cloned(), ..over_tls() };
        options.try_login(proxy.port()).is_ok_and(|login| login.is_ok())
    };
    let who = || [is_in(None), is_in(Some(&good.der)), is_in(Some(&foreign.der))];
    assert_eq!(who(), [true, true, false], "optional");
    assert_eq!(plain(proxy.port()), None);
    assert!(proxy.reload(&tls("require", "required")));
    assert_eq!(who(), [false, true, false], "required");
    assert_eq!(plain(proxy.port()).map(|refused| refused.0), Some(3159));
    assert!(proxy.reload(&tls("allow", "off")));
    assert_eq!(who(), [true, true, true], "off");
    assert!(!proxy.reload(&tls("allow", "required")));
    assert_eq!(who(), [true, true, true], "a reload that is refused changes nothing");
}
