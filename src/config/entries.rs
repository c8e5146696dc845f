//! A configuration as a flat list of dotted keys and shown values, in file order: what a diff
//! compares, and what a person is shown.
//!
//! Each type is taken apart field by field without `..`, so that a new key that is not listed
//! here does not compile.

use super::units::{format_duration, format_size};
use super::{
    AccessConfig, AccountConfig, AuthConfig, ClientProtocolConfig, ClientTls, Config,
    ConsistencyConfig, ConsoleConfig, ConsoleUser, Credential, HttpConfig, LimitsConfig,
    ListenerConfig, LogConfig, MonitorConfig, PemFile, Pin, PoolConfig, RoutingConfig, RuleConfig,
    Secret, ServerConfig, ServerTls,
};

/// A value to compare and to show.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// May be shown.
    Plain(String),
    /// Only compared.
    Secret(Secret),
    /// A file's name may be shown; its contents are compared, too.
    File(PemFile),
    /// Not given.
    Absent,
}

/// Entries under their dotted keys.
#[derive(Default)]
pub(super) struct Entries(pub Vec<(String, Entry)>);

impl Config {
    /// Every key and what it is: dotted names in file order, those of servers (`server.NAME.`) last; `***`
    /// for a secret, the path of a file, `None` for what is not given.
    pub fn shown(&self) -> Vec<(String, Option<String>)> {
        let shown = |entry| match entry {
            Entry::Plain(text) => Some(text),
            Entry::Secret(_) => Some("***".to_owned()),
            Entry::File(file) => Some(file.path.display().to_string()),
            Entry::Absent => None,
        };
        let servers = self.servers.iter().flat_map(|server| {
            let entries = Entries::of_server(server).0.into_iter();
            entries.map(|(key, entry)| (format!("server.{}.{key}", server.name), entry))
        });
        let all = Entries::of_config(self).0.into_iter().chain(servers);
        all.map(|(key, entry)| (key, shown(entry))).collect()
    }
}

impl Entries {
    fn add(&mut self, key: &str, value: impl ToString) {
        self.0.push((key.to_owned(), Entry::Plain(value.to_string())));
    }

    fn add_some(&mut self, key: &str, value: Option<&String>) {
        let entry = value.map_or(Entry::Absent, |value| Entry::Plain(value.clone()));
        self.0.push((key.to_owned(), entry));
    }

    fn secret(&mut self, key: &str, bytes: &[u8]) {
        self.0.push((key.to_owned(), Entry::Secret(Secret::new(bytes))));
    }

    fn file(&mut self, key: &str, file: Option<&PemFile>) {
        let entry = file.map_or(Entry::Absent, |file| Entry::File(file.clone()));
        self.0.push((key.to_owned(), entry));
    }

    /// Everything but the servers.
    pub fn of_config(config: &Config) -> Self {
        let mut entries = Self::default();
        let Config {
            listen,
            listeners,
            worker_threads,
            max_clients,
            max_clients_per_account,
            max_clients_per_address,
            core_dumps,
            max_digests,
            access,
            login_timeout,
            drain_timeout,
            max_packet,
            servers: _, // compared by name, see `of_server`
            monitor,
            routing,
            rules,
            consistency,
            limits,
            pool,
            auth,
            accounts,
            client_tls,
            server_tls: _, // its effect is in each server
            client_protocol,
            http,
            console,
            log,
            secret_files: _, // follows from other keys
        } = config;
        entries.add("listen", join(listen));
        entries.listeners(listeners);
        entries.add("worker_threads", worker_threads);
        entries.add("max_clients", max_clients);
        entries.add("max_clients_per_account", max_clients_per_account);
        entries.add("max_clients_per_address", max_clients_per_address);
        entries.add("core_dumps", core_dumps);
        entries.add("max_digests", max_digests);
        entries.access(access);
        entries.add("login_timeout", format_duration(*login_timeout));
        entries.add("drain_timeout", format_duration(*drain_timeout));
        entries.add("max_packet", format_size(*max_packet as u64));
        entries.monitor(monitor);
        entries.routing(routing);
        entries.rules(rules);
        let ConsistencyConfig { pin, wait, monotonic_reads, scope, by_table } = consistency;
        entries.add("consistency.pin", format_pin(*pin));
        entries.add("consistency.wait", format_duration(*wait));
        entries.add("consistency.monotonic_reads", monotonic_reads);
        entries.add("consistency.scope", scope);
        entries.add("consistency.by_table", by_table);
        entries.limits(limits);
        entries.pool(pool);
        entries.auth(auth, accounts);
        entries.client_tls(client_tls);
        let ClientProtocolConfig { compression } = client_protocol;
        entries.add("client_protocol.compression", compression);
        if let Some(HttpConfig { listen, token }) = http {
            entries.add("http.listen", listen);
            if let Some(token) = token {
                entries.secret("http.token", token.expose());
            }
        }
        entries.console(console);
        entries.log(log);
        entries
    }

    fn console(&mut self, console: &ConsoleConfig) {
        let ConsoleConfig { listen, users } = console;
        self.add_some("console.listen", listen.as_ref().map(ToString::to_string).as_ref());
        for ConsoleUser { name, password, role } in users {
            self.add(&format!("console.user.{name}.role"), role);
            self.secret(&format!("console.user.{name}.password"), password.expose());
        }
    }

    fn listeners(&mut self, listeners: &[ListenerConfig]) {
        for ListenerConfig { address, tls_mode } in listeners {
            if let Some(mode) = tls_mode {
                self.add(&format!("listener.{address}.tls_mode"), mode);
            }
        }
    }

    fn client_tls(&mut self, client_tls: &ClientTls) {
        let ClientTls { mode, cert, key, client_certificates, ca } = client_tls;
        self.add("client_tls.mode", mode);
        self.file("client_tls.cert_file", cert.as_ref());
        self.file("client_tls.key_file", key.as_ref());
        self.add("client_tls.client_certificates", client_certificates);
        self.file("client_tls.ca_file", ca.as_ref());
    }

    fn log(&mut self, log: &LogConfig) {
        let LogConfig { level, format, sql, sql_one_in, slow_query } = log;
        self.add("log.level", level);
        self.add("log.format", format);
        self.add("log.sql", sql);
        self.add("log.sql_one_in", sql_one_in);
        self.add("log.slow_query", format_duration(*slow_query));
    }

    fn access(&mut self, access: &AccessConfig) {
        let AccessConfig { allowed_networks, proxy_protocol_networks, allowed_users, denied_users } =
            access;
        self.add("access.allowed_networks", join(allowed_networks));
        self.add("access.proxy_protocol_networks", join(proxy_protocol_networks));
        self.add("access.allowed_users", join(allowed_users));
        self.add("access.denied_users", join(denied_users));
    }

    fn limits(&mut self, limits: &LimitsConfig) {
        let LimitsConfig {
            max_logins,
            max_logins_per_address,
            max_connect_errors,
            unblock_after,
            wait_timeout,
            interactive_timeout,
            net_read_timeout,
            net_write_timeout,
            max_statement_size,
            max_open_statements,
        } = limits;
        self.add("limits.max_logins", max_logins);
        self.add("limits.max_logins_per_address", max_logins_per_address);
        self.add("limits.max_connect_errors", max_connect_errors);
        self.add("limits.unblock_after", format_duration(*unblock_after));
        self.add("limits.wait_timeout", format_duration(*wait_timeout));
        self.add("limits.interactive_timeout", format_duration(*interactive_timeout));
        self.add("limits.net_read_timeout", format_duration(*net_read_timeout));
        self.add("limits.net_write_timeout", format_duration(*net_write_timeout));
        self.add("limits.max_statement_size", format_size(*max_statement_size as u64));
        self.add("limits.max_open_statements", max_open_statements);
    }

    fn pool(&mut self, pool: &PoolConfig) {
        let PoolConfig {
            mode,
            connect_timeout,
            dead_after,
            checkout_timeout,
            max_connections_per_account,
            max_connecting,
            min_idle,
            idle_timeout,
            max_lifetime,
            max_prepared_statements,
        } = pool;
        self.add("pool.mode", mode);
        self.add("pool.connect_timeout", format_duration(*connect_timeout));
        self.add("pool.dead_after", format_duration(*dead_after));
        self.add("pool.checkout_timeout", format_duration(*checkout_timeout));
        self.add("pool.max_connections_per_account", max_connections_per_account);
        self.add("pool.max_connecting", max_connecting);
        self.add("pool.min_idle", min_idle);
        self.add("pool.idle_timeout", format_duration(*idle_timeout));
        self.add("pool.max_lifetime", format_duration(*max_lifetime));
        self.add("pool.max_prepared_statements", max_prepared_statements);
    }

    /// One server; keys are relative to it.
    pub fn of_server(server: &ServerConfig) -> Self {
        let mut entries = Self::default();
        let ServerConfig {
            name: _, // what servers are matched by
            address,
            role: _,
            candidate: _,
            weight,
            zone,
            tags,
            max_connections,
            proxy_protocol,
            drained,
            tls: ServerTls { mode, verify, ca, cert, key },
        } = server;
        entries.add("address", address);
        entries.add("role", server.role_word());
        entries.add("weight", weight);
        entries.add_some("zone", zone.as_ref());
        entries.add("tags", join(tags));
        entries.add("max_connections", max_connections);
        entries.add("proxy_protocol", proxy_protocol);
        entries.add("drained", drained);
        entries.add("tls.mode", mode);
        entries.add("tls.verify", verify);
        entries.file("tls.ca_file", ca.as_ref());
        entries.file("tls.cert_file", cert.as_ref());
        entries.file("tls.key_file", key.as_ref());
        entries
    }

    fn monitor(&mut self, monitor: &MonitorConfig) {
        let MonitorConfig {
            user,
            password,
            password_file: _, // what is in it counts
            check_interval,
            min_check_interval,
            check_timeout,
            up_after,
            down_after,
        } = monitor;
        self.add("monitor.user", user);
        self.secret("monitor.password", password.expose());
        self.add("monitor.check_interval", format_duration(*check_interval));
        self.add("monitor.min_check_interval", format_duration(*min_check_interval));
        self.add("monitor.check_timeout", format_duration(*check_timeout));
        self.add("monitor.up_after", up_after);
        self.add("monitor.down_after", down_after);
    }

    fn routing(&mut self, routing: &RoutingConfig) {
        let RoutingConfig {
            max_lag,
            lag_tolerance,
            when_all_lag,
            zone,
            primary_wait,
            slow_start,
            hints,
            read_only_functions,
            unknown_functions,
        } = routing;
        self.add("routing.max_lag", format_duration(*max_lag));
        self.add("routing.lag_tolerance", format_duration(*lag_tolerance));
        self.add("routing.when_all_lag", when_all_lag);
        self.add_some("routing.zone", zone.as_ref());
        self.add("routing.primary_wait", format_duration(*primary_wait));
        self.add("routing.slow_start", format_duration(*slow_start));
        self.add("routing.hints", hints);
        self.add("routing.read_only_functions", join(read_only_functions));
        self.add("routing.unknown_functions", unknown_functions);
    }

    /// The order of the rules, then what each is.
    fn rules(&mut self, rules: &[RuleConfig]) {
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        self.add("rule", join(&names));
        for rule in rules {
            let RuleConfig { name, users, schemas, statements, target, tag, max_lag, read_only } =
                rule;
            let mut given = |key: &str, value: Option<String>| {
                if let Some(value) = value {
                    self.add(&format!("rule.{name}.{key}"), value);
                }
            };
            let list = |list: &[String]| (!list.is_empty()).then(|| join(list));
            given("user", list(users));
            given("schema", list(schemas));
            given("statement", list(statements));
            given("target", target.map(|target| target.to_string()));
            given("tag", tag.clone());
            given("max_lag", max_lag.map(format_duration));
            given("read_only", Some(read_only.to_string()));
        }
    }

    fn auth(&mut self, auth: &AuthConfig, accounts: &[AccountConfig]) {
        let AuthConfig { default_plugin, rsa_private_key, read_native_hashes } = auth;
        self.add("auth.default_plugin", default_plugin);
        self.file("auth.rsa_private_key_file", rsa_private_key.as_ref());
        self.add("auth.read_native_hashes", read_native_hashes);
        for AccountConfig { user, credential } in accounts {
            let key = format!("account.{user}");
            match credential {
                Credential::Password(password) => {
                    self.secret(&format!("{key}.password"), password.expose());
                }
                Credential::NativeHash(hash) => {
                    self.secret(&format!("{key}.native_hash"), hash.expose());
                }
            }
        }
    }
}

fn format_pin(pin: Pin) -> String {
    match pin {
        Pin::UntilReplicated => "until_replicated".to_owned(),
        Pin::Session => "session".to_owned(),
        Pin::For(time) => format_duration(time),
        Pin::None => "none".to_owned(),
    }
}

fn join<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}
