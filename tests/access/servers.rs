//! TLS to real servers: what is verified, and lagwise's own certificate.

use crate::authority::{Authority, folder};
use crate::raw::{APP, Client, Fail, Login};
use crate::support::{Lab, Make, Proxy};

/// A lab whose certificate is of `authority` and for localhost; clients' certificates are of it, too.
fn lab(make: Make, authority: &Authority) -> Lab {
    let issued = authority.issue("localhost", "server");
    let setting = |name: &str, path: &std::path::Path| format!("{name}={}", path.display());
    let settings = [
        setting("ssl-ca", &authority.file()),
        setting("ssl-cert", &issued.cert),
        setting("ssl-key", &issued.key),
    ];
    Lab::start_with(make, 0, &settings.each_ref().map(String::as_str))
}

/// A configuration whose primary has this host's name, with `[server_tls]` of these lines.
fn config(lab: &Lab, host: &str, tls: &str) -> String {
    let port = lab.port(0);
    format!(
        "primary = \"{host}:{port}\"\nreplicas = []\n[server_tls]\n{tls}\n[pool]\nconnect_timeout = \"4s\"\n"
    )
}

/// The cipher of the server connection that a client's statement runs on; empty without TLS.
fn cipher(proxy: &Proxy) -> Result<String, Fail> {
    let mut client = Client::connect(proxy.port(), APP)?;
    let rows = client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
    Ok(rows[0][1].clone().unwrap_or_default())
}

#[test]
fn what_is_verified() {
    for make in Make::ALL {
        let folder = folder();
        let authority = Authority::new(&folder, "authority");
        let foreign = Authority::new(&folder, "foreign");
        let lab = lab(make, &authority);
        let verify = |verify: &str, authority: &Authority| {
            let ca = authority.file();
            format!("mode = \"required\"\nverify = \"{verify}\"\nca_file = {ca:?}")
        };
        let proxy = Proxy::start(&lab, &config(&lab, "localhost", &verify("full", &authority)));
        let check = |host: &str, tls: &str, is_good: bool| {
            assert!(proxy.reload(&config(&lab, host, tls)), "{host} {tls}");
            match cipher(&proxy) {
                Ok(cipher) => assert!(is_good && !cipher.is_empty(), "{make} {host} {tls}"),
                Err(Fail::Err { text, .. }) => {
                    assert!(!is_good && text.contains("TLS"), "{make} {host} {tls}: {text}");
                }
                Err(Fail::Io(error)) => panic!("{make} {host} {tls}: {error}"),
            }
        };
        assert!(!cipher(&proxy).unwrap().is_empty(), "{make}");
        for (host, tls, is_good) in [
            ("localhost", verify("full", &authority), true),
            ("localhost", verify("full", &foreign), false),
            ("localhost", verify("ca", &authority), true),
            ("localhost", verify("ca", &foreign), false),
            ("127.0.0.1", verify("full", &authority), false),
            ("127.0.0.1", verify("ca", &authority), true),
            ("127.0.0.1", "mode = \"required\"".to_owned(), true),
        ] {
            check(host, &tls, is_good);
        }
        // Nothing but the server's TLS changes, and new connections go by it.
        assert!(proxy.reload(&config(&lab, "127.0.0.1", "mode = \"off\"")));
        assert_eq!(cipher(&proxy).unwrap(), "", "{make}");
        check("127.0.0.1", "mode = \"required\"", true);
    }
}

#[test]
fn lagwise_shows_a_certificate_to_servers_that_ask_for_one() {
    for make in Make::ALL {
        let folder = folder();
        let authority = Authority::new(&folder, "authority");
        let foreign = Authority::new(&folder, "foreign").issue("lagwise", "foreign");
        let own = authority.issue("lagwise", "lagwise");
        let lab = lab(make, &authority);
        lab.sql(
            0,
            "CREATE USER x509@'%' IDENTIFIED BY 'x509_password' REQUIRE X509; \
             GRANT ALL ON shop.* TO x509@'%'; ALTER USER monitor@'%' REQUIRE X509",
        );
        let show = |issued: &crate::authority::Issued| {
            let (cert, key) = (&issued.cert, &issued.key);
            format!("mode = \"required\"\ncert_file = {cert:?}\nkey_file = {key:?}")
        };
        let proxy = Proxy::start(&lab, &config(&lab, "localhost", &show(&own)));
        let login = || Client::connect(proxy.port(), Login::of("x509", "x509_password"));
        assert!(login().is_ok(), "{make}");
        assert!(Client::connect(proxy.port(), APP).is_ok(), "{make}");
        assert!(proxy.reload(&config(&lab, "localhost", "mode = \"required\"")));
        assert_eq!(login().err().unwrap().code(), 1045, "{make}");
        proxy.wait_log("refuses the monitor's account");
        assert!(proxy.reload(&config(&lab, "localhost", &show(&foreign))));
        assert!(login().is_err(), "{make}: of another authority");
        assert!(proxy.reload(&config(&lab, "localhost", &show(&own))));
        assert!(login().is_ok(), "{make}");
    }
}
