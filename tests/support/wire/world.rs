//! A direct connection and one through lagwise, side by side.

use std::cell::RefCell;

use super::super::{Lab, Make, Proxy};
use super::login::Options;
use super::script::Step;
use super::{caps, differences, play, play_after};

/// Servers, lagwise in front of them, and the differences that were found.
pub struct World {
    pub lab: Lab,
    pub proxy: Proxy,
    found: RefCell<Vec<String>>,
}

impl World {
    /// A primary with one replica, which reads go to.
    pub fn start(make: Make, settings: &[&str]) -> Self {
        let lab = Lab::start_with(make, 1, settings);
        // Probes come often, so that it takes little time until a replica is known to be up to date.
        let monitor = "[monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n\
                       check_interval = \"20ms\"\n";
        let proxy = Proxy::start(&lab, monitor);
        Self { lab, proxy, found: RefCell::default() }
    }

    pub fn make(&self) -> Make {
        self.lab.make
    }

    /// Capabilities that change how answers look, in the combinations that clients use.
    pub fn matrix(&self) -> Vec<u64> {
        let mut matrix = vec![
            0,
            caps::DEPRECATE_EOF,
            caps::SESSION_TRACK,
            caps::DEPRECATE_EOF | caps::SESSION_TRACK,
        ];
        matrix.push(match self.make() {
            Make::MySql => caps::DEPRECATE_EOF | caps::SESSION_TRACK | caps::QUERY_ATTRIBUTES,
            Make::MariaDb => {
                caps::DEPRECATE_EOF
                    | caps::SESSION_TRACK
                    | caps::MARIADB_METADATA
                    | caps::MARIADB_BULK
            }
        });
        matrix
    }

    /// Plays a script on a direct connection to the primary, then through lagwise, and notes
    /// whatever differs. The script itself makes the data that it changes.
    pub fn compare(&self, name: &str, options: &Options, script: &[Step]) {
        self.compare_after(name, options, script, |_| {});
    }

    /// The same, with the replica up to date before each step, and lagwise aware of it: whatever may
    /// be read from a replica is read from one.
    pub fn compare_caught_up(&self, name: &str, options: &Options, script: &[Step]) {
        let mut catch_up = self.catch_up();
        self.compare_after(&format!("{name}, caught up"), options, script, |_| catch_up());
    }

    /// Waits until the replica is up to date and lagwise aware of it.
    pub fn catch_up(&self) -> impl FnMut() + '_ {
        let admin = |server| Options::new(0).account("admin").login(self.lab.port(server)).unwrap();
        let (mut primary, mut replica) = (admin(0), admin(1));
        let (position, wait) = match self.make() {
            Make::MySql => ("SELECT @@global.gtid_executed", "WAIT_FOR_EXECUTED_GTID_SET"),
            Make::MariaDb => ("SELECT @@global.gtid_binlog_pos", "MASTER_GTID_WAIT"),
        };
        move || {
            let position = primary.query(position).first_value(&primary);
            let answer = replica.query(&format!("SELECT {wait}('{position}', 20)"));
            let caught_up = answer.first_value(&replica) == "0";
            assert!(caught_up, "{}", self.lab.why_behind(1, &position));
            self.proxy.wait_probed();
        }
    }

    /// [`World::compare`], with something to be done before each step, given its number, when it is
    /// played through lagwise.
    pub fn compare_after(
        &self,
        name: &str,
        options: &Options,
        script: &[Step],
        before: impl FnMut(usize),
    ) {
        let port = self.lab.port(0);
        let login = |port| {
            options.login(port).unwrap_or_else(|packet| {
                panic!("{name}: login on port {port}: {}", super::compare::show(&packet, &packet))
            })
        };
        self.clean();
        let direct = play(&mut login(port), script);
        assert_eq!(direct.len(), script.len(), "{name}: direct broke at {:?}", direct.last());
        self.clean();
        let proxied = play_after(&mut login(self.proxy.port()), script, before);
        for difference in differences(&direct, &proxied) {
            self.note(name, options.caps, &difference);
        }
    }

    /// Drops what scripts make, so that each begins alike.
    fn clean(&self) {
        let names = self.lab.sql(
            0,
            "SELECT CONCAT('TABLE shop.', table_name) FROM information_schema.tables
               WHERE table_name LIKE 'wire\\_%'
             UNION SELECT CONCAT('PROCEDURE shop.', routine_name)
               FROM information_schema.routines WHERE routine_name LIKE 'wire\\_%'",
        );
        let drops: Vec<String> = names.lines().map(|name| format!("DROP {name};")).collect();
        if !drops.is_empty() {
            self.lab.sql(0, &drops.concat());
        }
        self.lab.wait_caught_up();
    }

    /// The same with all capabilities of the matrix.
    pub fn compare_all(&self, name: &str, script: &[Step]) {
        for capabilities in self.matrix() {
            self.compare(name, &Options::new(capabilities), script);
        }
    }

    /// Notes something that is wrong.
    pub fn note(&self, name: &str, capabilities: u64, text: &str) {
        let mut names = Vec::new();
        for (capability, text) in [
            (caps::DEPRECATE_EOF, "DEPRECATE_EOF"),
            (caps::SESSION_TRACK, "SESSION_TRACK"),
            (caps::QUERY_ATTRIBUTES, "QUERY_ATTRIBUTES"),
            (caps::MARIADB_METADATA, "MARIADB_METADATA"),
            (caps::COMPRESS, "COMPRESS"),
            (caps::ZSTD, "ZSTD"),
        ] {
            if capabilities & capability != 0 {
                names.push(text);
            }
        }
        // The same with other capabilities says nothing new.
        let known = self.found.borrow().iter().any(|line| line.ends_with(text));
        if !known {
            self.found.borrow_mut().push(format!("{name} [{}]: {text}", names.join(" ")));
        }
    }

    /// Notes when two things are not equal.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&self, name: &str, got: T, want: T) {
        if got != want {
            self.note(name, 0, &format!("{got:?}, not {want:?}"));
        }
    }

    /// Fails with everything that was found.
    pub fn finish(&self) {
        let found = self.found.borrow();
        let mut text = found.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        if found.len() > 40 {
            text.push_str("\n…");
        }
        assert!(found.is_empty(), "{}: {} differences\n{text}", self.make(), found.len());
    }
}
