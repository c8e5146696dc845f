//! Why a replica does not apply what its primary wrote, for the panic of a test that waited for it.
//!
//! What is asked is in the order in which one reads it: how far the replica is, what its threads
//! say, who else runs on it, and which locks they hold and await. MySQL shows the locks, and what was
//! run before, only to a server with [`MYSQL_SHOWS_LOCKS`].

use super::{Lab, Make};

/// Settings for [`super::Lab::start_with`] with which replica 1 of MySQL's tells of its locks. The
/// performance schema takes 60 MB so, and 240 MB as the server has it by default.
pub const MYSQL_SHOWS_LOCKS: &[&str] = &[
    "1:performance-schema=ON",
    "1:performance-schema-instrument=%=OFF",
    "1:performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
    "1:performance-schema-instrument=statement/%=ON",
    "1:performance-schema-digests-size=0",
    "1:performance-schema-error-size=0",
    "1:performance-schema-max-thread-instances=600",
    "1:performance-schema-max-memory-classes=0",
    "1:performance-schema-max-program-instances=0",
    "1:performance-schema-events-statements-history-long-size=0",
];

const MYSQL: &[&str] = &[
    "SHOW REPLICA STATUS",
    "SELECT * FROM performance_schema.replication_applier_status_by_coordinator",
    "SELECT * FROM performance_schema.replication_applier_status_by_worker",
    "SHOW FULL PROCESSLIST",
    "SELECT * FROM information_schema.innodb_trx",
    "XA RECOVER",
    "SELECT * FROM performance_schema.data_lock_waits",
    "SELECT * FROM performance_schema.data_locks",
    "SELECT l.object_type, l.object_schema, l.object_name, l.lock_type, l.lock_duration, \
     l.lock_status, t.processlist_id, t.name \
     FROM performance_schema.metadata_locks AS l \
     LEFT JOIN performance_schema.threads AS t ON t.thread_id = l.owner_thread_id \
     WHERE t.processlist_id IS NULL OR t.processlist_id <> CONNECTION_ID()",
    "SELECT t.processlist_id, e.event_id, e.current_schema, e.sql_text \
     FROM performance_schema.events_statements_history AS e \
     JOIN performance_schema.threads AS t USING (thread_id) \
     WHERE t.processlist_id <> CONNECTION_ID() ORDER BY t.processlist_id, e.event_id",
];

const MARIADB: &[&str] = &[
    "SHOW ALL SLAVES STATUS",
    "SELECT @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_current_pos",
    "SHOW FULL PROCESSLIST",
    "SELECT * FROM information_schema.innodb_trx",
    "XA RECOVER",
    "SELECT * FROM information_schema.innodb_lock_waits",
    "SELECT * FROM information_schema.innodb_locks",
];

impl Lab {
    /// What a server has to say about not having applied what stands at `position`, and what the
    /// primary knows of the threads that send to it.
    pub fn why_behind(&self, server: usize, position: &str) -> String {
        let mut text = format!("{} server {server} is behind {position}\n", self.make);
        let questions = match self.make {
            Make::MySql => {
                let lacks = format!("SELECT GTID_SUBTRACT('{position}', @@GLOBAL.gtid_executed)");
                self.add_answer(server, &lacks, &mut text);
                MYSQL
            }
            Make::MariaDb => MARIADB,
        };
        for question in questions {
            self.add_answer(server, question, &mut text);
        }
        self.add_answer(0, "SHOW FULL PROCESSLIST", &mut text);
        for server in [server, 0] {
            let log = std::fs::read_to_string(self.server_dir(server).join("error.log"));
            let lines: Vec<String> =
                log.unwrap_or_default().lines().map(|line| format!("  {line}\n")).collect();
            text.push_str(&format!("the end of the error log of server {server}:\n"));
            text.extend(lines.into_iter().rev().take(20).rev());
        }
        text
    }

    /// A question that fails is part of the answer: one that cannot be asked must not hide the rest.
    fn add_answer(&self, server: usize, question: &str, text: &mut String) {
        let answer = self.run_client(server, &["--vertical", "--execute", question]);
        let answer = answer.unwrap_or_else(|error| error);
        text.push_str(&format!("server {server}: {question}\n"));
        // Vertical rows have a line for each column, most of them empty.
        let empty = [":", ": NULL", ": 0000-00-00 00:00:00.000000"];
        for line in answer.lines().map(str::trim_end) {
            if !empty.iter().any(|end| line.ends_with(end)) {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
}
