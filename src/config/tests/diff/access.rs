//! `[access]`, `[client_tls]`, `[http]`, `[console]` and what else is about who may come in.

use super::Row;

/// A console that somebody may look at.
const CONSOLE: &str = "[console]\nlisten = \"127.0.0.1:9105\"\n[[console.user]]\nname = \"a\"\nrole = \"read\"\npassword = \"x\"";

pub(super) const ROWS: &[Row] = &[
    (
        "access.allowed_networks",
        ["", ""],
        ["", "access.allowed_networks = [\"10.0.0.0/8\", \"::1\"]"],
        &["access.allowed_networks: [] -> [10.0.0.0/8, ::1/128]"],
    ),
    (
        "access.proxy_protocol_networks",
        ["", "access.proxy_protocol_networks = \"::1\""],
        ["", ""],
        &["access.proxy_protocol_networks: [::1/128] -> []"],
    ),
    (
        "access.allowed_users",
        ["", ""],
        ["", "access.allowed_users = \"app\""],
        &["access.allowed_users: [] -> [app]"],
    ),
    (
        "access.denied_users",
        ["", "access.denied_users = [\"root\", \"admin\"]"],
        ["", "access.denied_users = [\"root\"]"],
        &["access.denied_users: [root, admin] -> [root]"],
    ),
    (
        "client_tls.mode",
        ["", "client_tls = { cert_file = \"/abs/cert.pem\", key_file = \"/abs/key.pem\" }"],
        [
            "",
            "client_tls = { mode = \"require\", cert_file = \"/abs/cert.pem\", key_file = \"/abs/key.pem\" }",
        ],
        &["client_tls.mode: allow -> require"],
    ),
    (
        "client_tls.cert_file",
        ["", "client_tls = { cert_file = \"/abs/cert.pem\", key_file = \"/abs/key.pem\" }"],
        ["", "client_tls = { cert_file = \"/abs/new.pem\", key_file = \"/abs/key.pem\" }"],
        &["client_tls.cert_file: /abs/cert.pem -> /abs/new.pem"],
    ),
    (
        "client_tls.key_file",
        ["", "client_tls = { cert_file = \"/abs/cert.pem\", key_file = \"/abs/key.pem\" }"],
        ["", ""],
        &[
            "client_tls.cert_file: removed, was /abs/cert.pem",
            "client_tls.key_file: removed, was /abs/key.pem",
        ],
    ),
    (
        "client_tls.client_certificates",
        ["", "client_tls.ca_file = \"/abs/cert.pem\""],
        ["", "client_tls = { ca_file = \"/abs/cert.pem\", client_certificates = \"optional\" }"],
        &["client_tls.client_certificates: off -> optional"],
    ),
    (
        "client_tls.ca_file",
        ["", "client_tls.ca_file = \"/abs/cert.pem\""],
        ["", "client_tls.ca_file = \"/abs/new.pem\""],
        &["client_tls.ca_file: /abs/cert.pem -> /abs/new.pem"],
    ),
    (
        "listener.tls_mode",
        ["", "[[listener]]\naddress = \"0.0.0.0:3307\"\ntls_mode = \"off\""],
        ["", "[[listener]]\naddress = \"0.0.0.0:3307\"\ntls_mode = \"require\""],
        &["listener.0.0.0.0:3307.tls_mode: off -> require"],
    ),
    (
        "listener.address",
        ["", ""],
        ["", "[[listener]]\naddress = \"[::1]:3307\""],
        &["listen: [0.0.0.0:3307] -> [0.0.0.0:3307, [::1]:3307] (after a restart)"],
    ),
    (
        "server.tls.cert_file",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\""],
        [
            "",
            "[[server]]\naddress = \"10.0.0.2:3306\"\n\
             tls = { cert_file = \"/abs/cert.pem\", key_file = \"/abs/key.pem\" }",
        ],
        &[
            "server.10.0.0.2:3306.tls.cert_file: added, /abs/cert.pem",
            "server.10.0.0.2:3306.tls.key_file: added, /abs/key.pem",
        ],
    ),
    ("server.tls.key_file", ["", ""], ["", ""], &[]),
    (
        "core_dumps",
        ["", ""],
        ["listen", "core_dumps = true\nlisten"],
        &["core_dumps: false -> true (after a restart)"],
    ),
    (
        "server.proxy_protocol",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\nproxy_protocol = true"],
        &["server.10.0.0.2:3306.proxy_protocol: false -> true"],
    ),
    (
        "http.listen",
        ["", ""],
        ["", "[http]"],
        &["http.listen: added, 127.0.0.1:9104 (after a restart)"],
    ),
    (
        "http.token",
        ["", "[http]\ntoken = \"hunter2.hunter2.hunter2\""],
        ["", "[http]\ntoken = \"hunter3.hunter3.hunter3\""],
        &["http.token: changed"],
    ),
    (
        "console.listen",
        ["", CONSOLE],
        [
            "",
            "[console]\nlisten = \"127.0.0.1:9106\"\nuser = [{ name = \"a\", role = \"read\", password = \"x\" }]",
        ],
        &["console.listen: 127.0.0.1:9105 -> 127.0.0.1:9106 (after a restart)"],
    ),
    (
        "console.user.name",
        ["", ""],
        ["", CONSOLE],
        &[
            "console.listen: added, 127.0.0.1:9105 (after a restart)",
            "console.user.a.role: added, read",
            "console.user.a.password: added",
        ],
    ),
    (
        "console.user.role",
        ["", "[[console.user]]\nname = \"a\"\nrole = \"read\"\npassword = \"x\""],
        ["", "[[console.user]]\nname = \"a\"\nrole = \"admin\"\npassword = \"x\""],
        &["console.user.a.role: read -> admin"],
    ),
    (
        "console.user.password",
        ["", "[[console.user]]\nname = \"a\"\nrole = \"read\"\npassword = \"hunter2\""],
        ["", "[[console.user]]\nname = \"a\"\nrole = \"read\"\npassword = \"hunter3\""],
        &["console.user.a.password: changed"],
    ),
];
