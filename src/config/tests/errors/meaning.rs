//! Errors of what values mean: each is well formed, but cannot be, or not beside another.

use super::{PRIMARY, SERVER, SOURCES, appended, replaced};

const CERTS: &str = "allowed: the path of a PEM file with certificates";
const KEY: &str = "allowed: the path of a PEM file with an unencrypted private key";

/// `primary = "auto"`.
#[test]
fn roles_by_observation() {
    replaced(
        "10.0.0.1:3306",
        "auto",
        &[
            "1: servers: missing, as primary = \"auto\" needs it; allowed: the servers any of which may be the primary",
        ],
    );
    replaced(
        "primary = \"10.0.0.1:3306\"",
        "primary = \"10.0.0.1:3306\"\nservers = \"10.0.0.4:1\"",
        &[
            "3: servers: is of no use with a fixed primary; allowed: replicas, or primary = \"auto\"",
        ],
    );
    let auto = "primary = \"auto\"\nservers = \"10.0.0.4:1\"";
    let with = |more: &str, expected: &[&str]| {
        let text = super::MINIMAL.replace("primary = \"10.0.0.1:3306\"", auto);
        super::check(&format!("{text}{more}"), expected);
    };
    with("", &[]);
    with("[[server]]\naddress = \"a:1\"\n", &[]);
    with("[[server]]\naddress = \"a:1\"\nrole = \"replica\"\n", &[]);
    with(
        "[[server]]\naddress = \"a:1\"\nrole = \"primary\"\n",
        &[
            "8: server.role: a:1 is named as primary, and primary = \"auto\"; allowed: \"replica\", or leave it out",
        ],
    );
    with(
        "[[server]]\naddress = \"10.0.0.4:1\"\nrole = \"replica\"\n",
        &["9: server.role: 10.0.0.4:1 is already named as candidate; allowed: leave it out"],
    );
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn servers() {
    replaced(
        "10.0.0.1:3306",
        "10.0.0.1",
        &[&format!("2: primary: \"10.0.0.1\" has no port; {PRIMARY}")],
    );
    replaced(
        "10.0.0.1:3306",
        "root:hunter2@db:1",
        &[&format!("2: primary: holds an \"@\"; an account has no place here; {PRIMARY}")],
    );
    replaced("primary = \"10.0.0.1:3306\"", "", &[&format!("1: primary: missing; {PRIMARY}")]);
    replaced(
        "10.0.0.3",
        "10.0.0.2",
        &["3: replicas: 10.0.0.2:3306 is there already, as replica; allowed: each address once"],
    );
    replaced(
        "10.0.0.3",
        "10.0.0.1",
        &["3: replicas: 10.0.0.1:3306 is there already, as primary; allowed: each address once"],
    );
    appended("[[server]]\nweight = 2\n", &[&format!("6: server.address: missing; {SERVER}")]);
    appended(
        "[[server]]\naddress = \"db\"\n",
        &[&format!("7: server.address: \"db\" has no port; {SERVER}")],
    );
    appended(
        "[[server]]\naddress = \"db:1\"\n",
        &[
            "6: server.role: missing; allowed: \"primary\", \"replica\", or name the server in primary or replicas",
        ],
    );
    appended(
        "[[server]]\naddress = \"db:1\"\nrole = \"master\"\n",
        &["8: server.role: \"master\" is unknown; allowed: \"primary\", \"replica\""],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\nrole = \"primary\"\n",
        &[
            "8: server.role: 10.0.0.2:3306 is already named as replica; allowed: \"replica\", or leave it out",
        ],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.1:3306\"\ndrained = true\n",
        &["8: server.drained: the primary cannot be drained; allowed: replicas only"],
    );
    appended(
        "[[server]]\naddress = \"db:1\"\nrole = \"primary\"\n",
        &["7: server.role: db:1 is a second primary; allowed: exactly one primary"],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\n[[server]]\naddress = \"10.0.0.2:3306\"\n",
        &[
            "9: server.address: 10.0.0.2:3306 has a [[server]] table already; allowed: one [[server]] table for each address",
        ],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\nname = \"10.0.0.3:3306\"\n",
        &[
            "3: server.name: \"10.0.0.3:3306\" is the name of two servers; allowed: a name of its own for each",
        ],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\nname = \"ö\"\n",
        &[
            "8: server.name: \"ö\" is no name; allowed: 1 to 64 characters out of A-Z a-z 0-9 . _ : - / [ ]",
        ],
    );
    let word = "allowed: 1 to 64 characters out of A-Z a-z 0-9 . _ -";
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\nzone = \"\"\n",
        &[&format!("8: server.zone: \"\" is no name; {word}")],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"a\",\n\"b c\"]\n",
        &[&format!("9: server.tags: \"b c\" is no name; {word}")],
    );
}

#[test]
fn listeners() {
    let listen = "allowed: \"IPv4:port\", \"[IPv6]:port\" or \"unix:/path\"";
    replaced("\"0.0.0.0:3307\"", "[]", &[&format!("1: listen: is empty; {listen}")]);
    replaced(
        "\"0.0.0.0:3307\"",
        "[\"0.0.0.0:3307\",\n\"localhost:1\"]",
        &[&format!("2: listen: \"localhost:1\" does not begin with an IP address; {listen}")],
    );
    replaced(
        "\"0.0.0.0:3307\"",
        "[\"0.0.0.0:3307\", \"0.0.0.0:3307\"]",
        &["1: listen: 0.0.0.0:3307 is there twice; allowed: each address once"],
    );
    replaced(
        "10.0.0.2:3306",
        "localhost:3307",
        &[
            "1: listen: 0.0.0.0:3307 is also the address of server localhost:3307; allowed: an address that is no server's",
        ],
    );
    appended(
        "http.listen = \"0.0.0.0:3307\"\n",
        &[
            "1: listen: 0.0.0.0:3307 is also where [http] listens; allowed: another address than http.listen",
        ],
    );
    let http = "allowed: \"IPv4:port\" or \"[IPv6]:port\"";
    appended(
        "http.listen = \"unix:/x\"\n",
        &[&format!("6: http.listen: \"unix:/x\" is a Unix socket; {http}")],
    );
    appended(
        "http.listen = \"9104\"\n",
        &[&format!("6: http.listen: \"9104\" has no port; {http}")],
    );
}

#[test]
fn the_console() {
    let user = "[[console.user]]\nname = \"a\"\nrole = \"read\"\npassword = \"x\"\n";
    let missing = "user: missing: nobody could log in; allowed: one [[console.user]] at least";
    appended("console.listen = \"127.0.0.1:9105\"\n", &[&format!("6: console.{missing}")]);
    appended(
        &format!("[console]\nlisten = \"0.0.0.0:3307\"\n{user}"),
        &[
            "7: console.listen: 0.0.0.0:3307 is also where clients or [http] are; allowed: an address of its own",
        ],
    );
    appended(
        &format!("{user}{user}"),
        &["11: console.user.name: \"a\" is there twice; allowed: each user once"],
    );
    appended(
        "[[console.user]]\nname = \"a\"\nrole = \"root\"\npassword = \"\"\n",
        &[
            "8: console.user.role: \"root\" is unknown; allowed: \"read\", \"admin\"",
            "9: console.user.password: is empty; allowed: a password",
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn passwords() {
    let env = "password_env = \"PASSWORD\"";
    let bytes = "allowed: a string of at most 256 bytes without NUL";
    let file = "allowed: the path of a file";
    let variable = "allowed: the name of an environment variable";
    replaced(
        env,
        "password_file = \"no\"",
        &[&format!("5: monitor.password_file: cannot read etc/no: entity not found; {file}")],
    );
    replaced(
        env,
        "password_file = \"empty\"",
        &[&format!("5: monitor.password_file: etc/empty is empty; {file}")],
    );
    replaced(
        env,
        "password_file = \"two\"",
        &[&format!("5: monitor.password_file: etc/two holds more than one line; {file}")],
    );
    replaced(
        env,
        "password_file = \"\"",
        &[&format!("5: monitor.password_file: \"\" is no path; {file}")],
    );
    replaced(
        env,
        "password_env = \"HUNTER2\"",
        &[&format!(
            "5: monitor.password_env: names a variable that is unset, empty or not UTF-8; {variable}"
        )],
    );
    replaced(
        env,
        "password_env = \"EMPTY\"",
        &[&format!(
            "5: monitor.password_env: names a variable that is unset, empty or not UTF-8; {variable}"
        )],
    );
    replaced(
        env,
        "password_env = \"LONG\"",
        &[&format!(
            "5: monitor.password_env: the password has 280 bytes, more than 256; {variable}"
        )],
    );
    replaced(
        env,
        "password_env = \"NUL\"",
        &[&format!("5: monitor.password_env: the password holds a NUL byte; {variable}")],
    );
    replaced(
        env,
        "password = \"hunter2\\u0000\"",
        &[&format!("5: monitor.password: the password holds a NUL byte; {bytes}")],
    );
    replaced(
        env,
        "password = [\"hunter2\"]",
        &[&format!("5: monitor.password: is an array, not a string; {bytes}")],
    );
    appended(
        "monitor.password = \"hunter2\"\n",
        &[&format!("5: monitor.password_env: password, password_env are all given; {SOURCES}")],
    );
    replaced(
        "user = \"monitor\"",
        "user = \"\"",
        &["4: monitor.user: has 0 bytes or holds NUL; allowed: 1 to 128 bytes without NUL"],
    );
    let account = "allowed: exactly one of password, password_file, password_env, native_hash";
    appended("[[account]]\nuser = \"a\"\n", &[&format!("6: account.password: missing; {account}")]);
    appended(
        "[[account]]\npassword = \"\"\n",
        &["6: account.user: missing; allowed: 1 to 128 bytes without NUL"],
    );
    let hash = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
    appended(
        &format!("[[account]]\nuser = \"a\"\npassword = \"\"\nnative_hash = \"{hash}\"\n"),
        &[&format!("9: account.native_hash: password, native_hash are all given; {account}")],
    );
    appended(
        "[[account]]\nuser = \"a\"\nnative_hash = \"hunter2\"\n",
        &["8: account.native_hash: is not of that form; allowed: \"*\" and 40 hexadecimal digits"],
    );
    let two =
        "[[account]]\nuser = \"a\"\npassword = \"\"\n[[account]]\npassword = \"\"\nuser = \"a\"\n";
    appended(two, &["11: account.user: \"a\" is there twice; allowed: each user once"]);
}

#[test]
fn tls() {
    appended(
        "client_tls.mode = \"on\"\n",
        &["6: client_tls.mode: \"on\" is unknown; allowed: \"off\", \"allow\", \"require\""],
    );
    for mode in ["off", "allow", "require"] {
        appended(&format!("client_tls.mode = \"{mode}\"\n"), &[]);
    }
    appended(
        "client_tls.cert_file = \"/abs/cert.pem\"\n",
        &[&format!("6: client_tls.key_file: missing, as cert_file needs it; {KEY}")],
    );
    appended(
        "client_tls.key_file = \"/abs/key.pem\"\n",
        &[&format!("6: client_tls.cert_file: missing, as key_file needs it; {CERTS}")],
    );
    appended(
        "client_tls.mode = \"require\"\nclient_tls.key_file = \"/abs/key.pem\"\n",
        &[&format!("6: client_tls.cert_file: missing, as key_file needs it; {CERTS}")],
    );
    appended(
        "[client_tls]\ncert_file = \"/abs/key.pem\"\nkey_file = \"/abs/cert.pem\"\n",
        &[
            &format!(
                "7: client_tls.cert_file: /abs/key.pem holds no CERTIFICATE in PEM form; {CERTS}"
            ),
            &format!(
                "8: client_tls.key_file: /abs/cert.pem holds no PRIVATE KEY in PEM form; {KEY}"
            ),
        ],
    );
    for locked in ["locked", "old"] {
        appended(
            &format!("auth.rsa_private_key_file = \"/abs/{locked}.pem\"\n"),
            &[&format!(
                "6: auth.rsa_private_key_file: /abs/{locked}.pem holds an encrypted key; {KEY}"
            )],
        );
    }
    appended(
        "server_tls.ca_file = \"no\"\n",
        &[&format!("6: server_tls.ca_file: cannot read etc/no: entity not found; {CERTS}")],
    );
    let no_use = |mode| {
        let allowed = "mode = \"required\" with it, or verify = \"none\"";
        format!("server_tls.verify: is of no use with mode = \"{mode}\"; allowed: {allowed}")
    };
    for mode in ["as_client", "preferred"] {
        let text = format!(
            "server_tls = {{ verify = \"ca\", mode = \"{mode}\", ca_file = \"/abs/cert.pem\" }}\n"
        );
        appended(&text, &[&format!("6: {}", no_use(mode))]);
    }
    appended(
        "[server_tls]\nverify = \"full\"\nmode = \"required\"\n",
        &[&format!("6: server_tls.ca_file: missing, as verify needs it; {CERTS}")],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\ntls.verify = \"ca\"\ntls.ca_file = \"/abs/cert.pem\"\n",
        &[&format!("8: {}", no_use("as_client").replace("server_tls", "server.tls"))],
    );
}

#[test]
fn between_keys() {
    let pin =
        "allowed: \"until_replicated\", \"session\", \"none\", or 1ms to 1d such as \"500ms\"";
    appended(
        "consistency.pin = \"0s\"\n",
        &[&format!("6: consistency.pin: \"0s\" is out of range; {pin}")],
    );
    appended(
        "consistency.pin = \"never\"\n",
        &[&format!("6: consistency.pin: \"never\" is unknown; {pin}")],
    );
    appended(
        "routing.lag_tolerance = \"11s\"\n",
        &[
            "6: routing.lag_tolerance: 11s is more than max_lag; allowed: 0s to max_lag, which is 10s",
        ],
    );
    appended(
        "[routing]\nmax_lag = \"50ms\"\n",
        &[
            "7: routing.max_lag: 50ms is less than lag_tolerance; allowed: lag_tolerance, which is 100ms, to 1d",
        ],
    );
    appended(
        "routing.slow_start = \"61m\"\n",
        &[
            "6: routing.slow_start: \"61m\" is out of range; allowed: 0s to 1h: a whole number and ms, s, m, h or d, such as \"250ms\"",
        ],
    );
    appended(
        "routing.primary_wait = \"11m\"\n",
        &[
            "6: routing.primary_wait: \"11m\" is out of range; allowed: 0s to 10m: a whole number and ms, s, m, h or d, such as \"250ms\"",
        ],
    );
    appended(
        "routing.when_all_lag = \"replica\"\n",
        &[
            "6: routing.when_all_lag: \"replica\" is unknown; allowed: \"primary\", \"least_lagged\", \"error\"",
        ],
    );
    appended(
        "routing.zone = \"a b\"\n",
        &[
            "6: routing.zone: \"a b\" is no name; allowed: 1 to 64 characters out of A-Z a-z 0-9 . _ -",
        ],
    );
    let function = "allowed: \"name\" or \"schema.name\", of letters, digits, _ and $";
    for bad in ["", "a.b.c", "f()", ".f", "a b"] {
        appended(
            &format!("routing.read_only_functions = [\"{bad}\"]\n"),
            &[&format!(
                "6: routing.read_only_functions: \"{bad}\" is no function name; {function}"
            )],
        );
    }
}
