//! Every metric family that lagwise exports, in one table.
//!
//! The name, kind, labels and help text of a metric live here and nowhere else: the scrape is
//! built from this table and `docs/metrics.md` is checked against it, so the three cannot drift.
//! Names follow the Prometheus conventions: base units in the name, `_total` on counters.
//!
//! Deliberately absent: any label whose values a client chooses (user, schema, address, digest).
//! Every label value is either a constant of the program or a name (of a server, of a rule) of the
//! configuration.

/// What a family measures, as its `# TYPE` line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// The word on the `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family: a row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Full name, unit included.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// The `# HELP` line.
    pub help: &'static str,
}

/// Declares the families as constants and collects them in [`ALL`], so that none is forgotten.
macro_rules! families {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// Every family, in the order of the documentation.
        pub const ALL: &[Family] = &[$($id),*];
    };
}

families! {
    SESSIONS = Gauge "lagwise_sessions" []
        "Client sessions open now, those still logging in included.";
    SESSIONS_TOTAL = Counter "lagwise_sessions_total" []
        "Client sessions accepted since the start.";
    LOGINS = Counter "lagwise_logins_total" ["result"]
        "Login attempts by result: ok, denied by a server, error, or timeout.";
    LOGINS_REMEMBERED = Counter "lagwise_logins_remembered_total" []
        "Logins answered without a server, by what one had said to the same login within 10 s.";
    SETS_REMEMBERED = Counter "lagwise_sets_remembered_total" []
        "SET and USE answered without a server, by what one had said to the same words within 10 s.";
    LOGINS_DELAYED = Counter "lagwise_logins_delayed_total" []
        "Logins held back because of wrong passwords of the same account or address before.";
    ABANDONED_QUERIES = Counter "lagwise_abandoned_queries_total" ["outcome"]
        "Queries whose client had gone: killed on their server, or failed to be.";
    CLIENTS_REJECTED = Counter "lagwise_clients_rejected_total" ["cause"]
        "Clients turned away, by cause: the limit of the configuration that did it, allowed_networks, or shutdown.";
    COMMANDS = Counter "lagwise_commands_total" ["command"]
        "Commands received from clients, by MySQL command name.";
    QUERIES = Counter "lagwise_queries_total" ["target", "reason"]
        "Routed statements by target and the reason for that choice.";
    RULES = Counter "lagwise_rule_statements_total" ["rule"]
        "Statements that matched a rule of the configuration, by the rule's name.";
    BAD_HINTS = Counter "lagwise_bad_hints_total" []
        "Statements with a hint that was ignored: not understood, or a tag that no replica has. Mend the hint.";
    PINS = Counter "lagwise_pins_total" ["cause"]
        "Times a session was pinned to the primary, by cause.";
    HOLDING_SESSIONS = Gauge "lagwise_holding_sessions" ["reason"]
        "Sessions that keep a server connection between statements now, by what holds it. /sessions says which.";
    PINNED_SESSIONS = Gauge "lagwise_pinned_sessions" []
        "Sessions whose reads go to the primary now because of a pin.";
    READ_RETRIES = Counter "lagwise_read_retries_total" []
        "Reads run again on another server after the first one failed before any byte was forwarded.";
    PREPARES = Counter "lagwise_prepares_total" ["by"]
        "Statements prepared: by a client's PREPARE, by memory without a server, or by lagwise for an EXECUTE.";
    READ_WAITS = Counter "lagwise_read_waits_total" ["outcome"]
        "Reads that waited for a server with what they must see, by where they went then: replica or primary; shown or not_shown: the primary, which then showed what the session had read on a replica or did not.";
    WAITING_READS = Gauge "lagwise_waiting_reads" []
        "Reads that wait now for a server with what they must see.";
    PRIMARY_WAITS = Counter "lagwise_primary_waits_total" ["outcome"]
        "Statements that waited for a primary, by what became of them: served, or expired after primary_wait.";
    WAITING_FOR_PRIMARY = Gauge "lagwise_waiting_for_primary" []
        "Statements that wait now for a primary.";
    PRIMARY_HELD = Gauge "lagwise_primary_held" ["reason"]
        "1 while statements for the primary are not sent but wait, by reason: down, read_only or undecided.";
    PRIMARY_CHANGES = Counter "lagwise_primary_changes_total" []
        "Times that another server was seen to be the primary (primary = \"auto\").";
    RIVAL_PRIMARIES = Gauge "lagwise_rival_primaries" []
        "Servers that are writable beside the primary (primary = \"auto\"). lagwise does not write to them, others may: make them read-only.";
    FUNCTION_REFUSALS = Counter "lagwise_function_refusals_total" []
        "Reads that a replica refused to run because a function in them writes; the primary ran them.";
    ERRORS = Counter "lagwise_errors_total" ["side", "kind"]
        "Errors by the side that caused them (client, server or proxy) and kind; the log has the details.";
    BYTES = Counter "lagwise_bytes_total" ["direction"]
        "Bytes of the MySQL protocol by direction, as seen after decryption.";
    PROXY_SECONDS = Histogram "lagwise_proxy_seconds" []
        "Time lagwise itself spent on a command, waiting for servers and clients not included.";
    SERVER_SECONDS = Histogram "lagwise_server_seconds" ["role"]
        "Time from sending a command to a server until the first byte of its response, by role.";
    SERVER_ROLE = Gauge "lagwise_server_role" ["server", "role"]
        "1 for the role that the server has now, 0 for the other.";
    SERVER_UP = Gauge "lagwise_server_up" ["server"]
        "1 while the health checks call the server up, else 0.";
    SERVER_HEALTH = Gauge "lagwise_server_health" ["server", "state"]
        "1 for the health state that the server is in, 0 for all others. denied: it refuses the monitor's account, mend that.";
    SERVER_ELIGIBLE = Gauge "lagwise_server_eligible" ["server"]
        "1 if the server may get work now: up, not draining, and for a replica lag known and within max_lag.";
    SERVER_LAG = Gauge "lagwise_server_lag_seconds" ["server"]
        "Replication lag behind the primary. No sample for the primary, nor while the lag is unknown.";
    MAX_LAG = Gauge "lagwise_max_lag_seconds" []
        "Lag over which a replica gets no reads (routing.max_lag); rules and hints may have others.";
    SERVER_LAG_FORM = Gauge "lagwise_server_lag_form" ["server", "form"]
        "1 for the kind of knowledge that there is of the replica's lag, 0 for all others. unknown: it gets no reads, the log says why.";
    SERVER_ERRANT = Gauge "lagwise_server_errant" ["server"]
        "1 while the replica has transactions that the primary lacks, and takes no reads for it: rebuild it from the primary.";
    SERVER_DRAINED = Gauge "lagwise_server_drained" ["server"]
        "1 while the server is taken out for maintenance by lagwise drain.";
    SERVER_OUTSTANDING = Gauge "lagwise_server_outstanding" ["server"]
        "Commands sent to the server whose response has not ended.";
    SERVER_CONNECTIONS = Gauge "lagwise_server_connections" ["server"]
        "Connections to the server that are open or being opened, the monitor's not included.";
    SERVER_IDLE = Gauge "lagwise_server_idle_connections" ["server"]
        "Open connections to the server that no session uses.";
    MAX_CONNECTIONS = Gauge "lagwise_server_max_connections" ["server"]
        "Connections to the server that may be open at once (max_connections of its [[server]]).";
    SERVER_WAITING = Gauge "lagwise_server_waiting" ["server"]
        "Statements and logins that wait for a connection to the server, as a limit is reached or one is being opened.";
    CIRCUIT_OPEN = Gauge "lagwise_server_circuit_open" ["server"]
        "1 while the server refuses connections (1040, 1129, 1203, 1226) and is asked again only now and then: look at its limits.";
    CHECKOUTS = Counter "lagwise_checkouts_total" ["server", "outcome"]
        "Connections asked of the server's pool, by what came of it: own, idle, opened, waited, or timeout, which is an error for the client.";
    CONNECTS = Counter "lagwise_connects_total" ["server"]
        "Connections to the server that sessions needed to be opened, failed ones included.";
    CONNECT_FAILURES = Counter "lagwise_connect_failures_total" ["server"]
        "Connections to the server that were to be opened for sessions and were refused or did not come about; the log says why.";
    HANDED_ON = Counter "lagwise_connections_handed_on_total" ["server"]
        "Idle connections to the server that were handed to another account (COM_CHANGE_USER), as no more could be opened.";
    PROBES = Counter "lagwise_probes_total" ["server"]
        "Health probes of the server whose outcome is known, failed ones included.";
    PROBE_FAILURES = Counter "lagwise_probe_failures_total" ["server"]
        "Health probes of the server that failed or missed their deadline.";
    RELOADS = Counter "lagwise_reloads_total" ["result"]
        "Configuration reloads by result: ok, or error, which keeps the old configuration; the log says what is wrong.";
    LAST_RELOAD_GOOD = Gauge "lagwise_config_last_reload_successful" []
        "1 if the last reload succeeded, or there was none; 0: the configuration in force is not that of the file.";
    LAST_RELOAD = Gauge "lagwise_config_last_reload_success_timestamp_seconds" []
        "Unix time at which the configuration in force was loaded.";
    CERTIFICATE_EXPIRY = Gauge "lagwise_certificate_expiry_timestamp_seconds" ["shown_to", "server"]
        "Unix time at which a certificate that lagwise shows, or one of its issuers in the same file, ends. Renew it and reload.";
    BUILD_INFO = Gauge "lagwise_build_info" ["version", "os", "arch"]
        "Always 1; the labels say which build is running.";
    PROCESS_START_TIME = Gauge "process_start_time_seconds" []
        "Unix time at which the process started.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "User and system CPU time of the process.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Resident memory of the process.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Virtual memory of the process.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "Limit of open file descriptors.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Operating system threads of the process.";
}
