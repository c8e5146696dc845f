//! `primary`, `replicas` and `[[server]]`: one list of servers out of three places.
//!
//! `primary` and `replicas` are all that most people need; with `primary = "auto"`, `servers` names
//! those any of which may be the primary. A `[[server]]` table either adds
//! detail to a server that is named there (same address), or adds a server by itself, and then
//! says its role.

use super::error::quoted;
use super::file::{Located, Table};
use super::sources::{CERTIFICATE_FORM, PemKind, Sources};
use super::{
    Role, ServerAddress, ServerConfig, ServerTls, ServerTlsMode, TlsVerify, address, client_tls,
};

/// The primary is the server that is seen to be it.
const AUTO: &str = "auto";
const PRIMARY_FORM: &str = "\"auto\", or \"host:port\", \"[IPv6]:port\" or \"unix:/path\"";
const MAX_SERVERS: usize = 1000;
const MAX_TAGS: usize = 32;
const NAME_FORM: &str = "1 to 64 characters out of A-Z a-z 0-9 . _ : - / [ ]";
pub(super) const WORD_FORM: &str = "1 to 64 characters out of A-Z a-z 0-9 . _ -";

/// Reads all servers, the primary first; `default_tls` is what `[server_tls]` says.
pub(super) fn read(
    root: &Table<'_>,
    sources: &Sources<'_>,
    default_tls: &ServerTls,
) -> Vec<ServerConfig> {
    let mut found: Vec<Located<ServerConfig>> = Vec::new();
    let server = |address: Located<ServerAddress>, role| Located {
        value: ServerConfig { tls: default_tls.clone(), ..ServerConfig::new(address.value, role) },
        offset: address.offset,
    };
    let named = root.parsed("primary", PRIMARY_FORM, |text| match text {
        AUTO => Ok(None),
        text => parse_address(text).map(Some),
    });
    let is_auto = named.as_ref().is_some_and(|named| named.value.is_none());
    found.extend(named.and_then(|Located { value, offset }| {
        value.map(|value| server(Located { value, offset }, Role::Primary))
    }));
    for key in ["servers", "replicas"] {
        let addresses = root.list(key, MAX_SERVERS, address::SERVER_FORM, parse_address);
        for address in addresses.into_iter().flatten() {
            if let Some(first) = found.iter().find(|known| known.value.address == address.value) {
                let role = first.value.role_word();
                let problem = format!("{} is there already, as {role}", address.value);
                root.error_at(address.offset, key, problem, "each address once");
                continue;
            }
            let mut server = server(address, Role::Replica);
            server.value.candidate = key == "servers";
            found.push(server);
        }
    }
    let mut described: Vec<ServerAddress> = Vec::new();
    for table in root.tables("server", MAX_SERVERS) {
        read_one(&table, sources, default_tls, is_auto, &mut found, &mut described);
    }
    check_roles(root, is_auto, &found);
    check_names(root, &found);
    let mut servers: Vec<ServerConfig> = found.into_iter().map(|located| located.value).collect();
    servers.sort_by_key(|server| (server.role == Role::Replica, !server.candidate));
    servers
}

/// The zone of a server, or lagwise's own.
pub(super) fn zone(table: &Table<'_>) -> Option<String> {
    table.parsed("zone", WORD_FORM, |text| word(text, b"._-")).map(|zone| zone.value)
}

fn read_one(
    table: &Table<'_>,
    sources: &Sources<'_>,
    default_tls: &ServerTls,
    is_auto: bool,
    found: &mut Vec<Located<ServerConfig>>,
    described: &mut Vec<ServerAddress>,
) {
    let address = table.parsed("address", address::SERVER_FORM, parse_address);
    let role: Option<Role> = table.word("role");
    let name = table.parsed("name", NAME_FORM, |text| word(text, b"._:-/[]"));
    let weight = table.integer("weight", 1..=1000);
    let zone = zone(table);
    let tags = table.list("tags", MAX_TAGS, WORD_FORM, |text| word(text, b"._-"));
    let max_connections = table.integer("max_connections", 1..=100_000);
    let proxy_protocol = table.boolean("proxy_protocol").unwrap_or(false);
    let drained = table.boolean("drained");
    let tls = tls(&table.table("tls"), sources, default_tls);

    let Some(address) = address else {
        if !table.has("address") {
            table.error("address", "missing", address::SERVER_FORM);
        }
        return;
    };
    if described.contains(&address.value) {
        let problem = format!("{} has a [[server]] table already", address.value);
        table.error("address", problem, "one [[server]] table for each address");
        return;
    }
    described.push(address.value.clone());

    let known = found.iter().position(|known| known.value.address == address.value);
    if let (Some(known), Some(role)) = (known.and_then(|at| found.get(at)), role)
        && (known.value.role != role || known.value.candidate)
    {
        let problem = format!("{} is already named as {}", address.value, known.value.role_word());
        let allowed = match known.value.candidate {
            true => "leave it out".to_owned(),
            false => format!("\"{}\", or leave it out", known.value.role),
        };
        table.error("role", problem, &allowed);
    }
    if known.is_none() && role.is_none() && !table.has("role") && !is_auto {
        let allowed = "\"primary\", \"replica\", or name the server in primary or replicas";
        table.error("role", "missing", allowed);
    }
    let place = known.unwrap_or_else(|| {
        let mut value = ServerConfig::new(address.value, role.unwrap_or(Role::Replica));
        value.candidate = is_auto && role.is_none();
        found.push(Located { value, offset: address.offset });
        found.len() - 1
    });
    let Some(server) = found.get_mut(place) else { return };
    // From here on an error about this server points to its own table.
    server.offset = address.offset;
    let server = &mut server.value;
    if let Some(name) = name {
        server.name = name.value;
    }
    server.weight = weight.unwrap_or(server.weight);
    server.zone = zone;
    server.tags = tags.into_iter().flatten().map(|tag| tag.value).collect();
    server.max_connections = max_connections.map_or(server.max_connections, |n| n as usize);
    server.proxy_protocol = proxy_protocol;
    server.drained = drained.unwrap_or(server.drained);
    if server.drained && server.role == Role::Primary {
        table.error("drained", "the primary cannot be drained", "replicas only");
    }
    server.tls = tls;
}

/// Reads `[server_tls]` or `[server.tls]`; what is missing is as in `default`.
pub(super) fn tls(table: &Table<'_>, sources: &Sources<'_>, default: &ServerTls) -> ServerTls {
    let (cert, key) = client_tls::identity(table, sources);
    let tls = ServerTls {
        mode: table.word("mode").unwrap_or(default.mode),
        verify: table.word("verify").unwrap_or(default.verify),
        ca: sources.pem(table, "ca_file", PemKind::Certificate).or_else(|| default.ca.clone()),
        cert: cert.or_else(|| default.cert.clone()),
        key: key.or_else(|| default.key.clone()),
    };
    if tls == *default {
        // Not to say of each server what is wrong with [server_tls].
        return tls;
    }
    let checks = tls.verify != TlsVerify::None;
    if checks && matches!(tls.mode, ServerTlsMode::Preferred | ServerTlsMode::AsClient) {
        let allowed = "mode = \"required\" with it, or verify = \"none\"";
        table.error("verify", format!("is of no use with mode = \"{}\"", tls.mode), allowed);
    }
    if checks && tls.ca.is_none() && !table.has("ca_file") {
        table.error("ca_file", "missing, as verify needs it", CERTIFICATE_FORM);
    }
    tls
}

fn check_roles(root: &Table<'_>, is_auto: bool, found: &[Located<ServerConfig>]) {
    let mut primaries = found.iter().filter(|server| server.value.role == Role::Primary);
    if is_auto {
        for named in primaries {
            let problem =
                format!("{} is named as primary, and primary = \"auto\"", named.value.address);
            root.error_at(named.offset, "server.role", problem, "\"replica\", or leave it out");
        }
        if !found.iter().any(|server| server.value.candidate) && !root.has_errors("servers") {
            let allowed = "the servers any of which may be the primary";
            root.error("servers", "missing, as primary = \"auto\" needs it", allowed);
        }
        return;
    }
    if let Some(candidate) = found.iter().find(|server| server.value.candidate) {
        let allowed = "replicas, or primary = \"auto\"";
        root.error_at(candidate.offset, "servers", "is of no use with a fixed primary", allowed);
    }
    let first = primaries.next();
    for other in primaries {
        let problem = format!("{} is a second primary", other.value.address);
        root.error_at(other.offset, "server.role", problem, "exactly one primary");
    }
    if first.is_none() && !root.has("primary") {
        root.error("primary", "missing", PRIMARY_FORM);
    }
}

fn check_names(root: &Table<'_>, found: &[Located<ServerConfig>]) {
    for (index, server) in found.iter().enumerate() {
        if found.iter().take(index).any(|other| other.value.name == server.value.name) {
            let problem = format!("\"{}\" is the name of two servers", server.value.name);
            root.error_at(server.offset, "server.name", problem, "a name of its own for each");
        }
    }
}

fn parse_address(text: &str) -> Result<ServerAddress, String> {
    if text.contains('@') {
        // Perhaps a URL with a password: not to be shown.
        return Err("holds an \"@\"; an account has no place here".to_owned());
    }
    text.parse().map_err(|error| format!("{} {error}", quoted(text)))
}

/// A short name that is safe in a metric label, a log line and a comment.
pub(super) fn word(text: &str, punctuation: &[u8]) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || punctuation.contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is no name", quoted(text)))
    }
}
