//! Where it runs: two replicas, the tables, and lagwise before them.

use crate::modes::Mode;
use crate::raw::{Client, Login};
use crate::support::{Lab, Make, Proxy, eventually};

/// Row (or list) 0 of each table tells which server answers. It is in the same table as what is read: a
/// table of its own would be one more that the read depends on.
const SCHEMA: &str = "
    CREATE TABLE register (id INT PRIMARY KEY, v BIGINT NOT NULL) ENGINE=InnoDB;
    CREATE TABLE mirror LIKE register;
    CREATE TABLE counter LIKE register;
    CREATE TABLE pair LIKE register;
    CREATE TABLE far LIKE register;
    CREATE TABLE taken LIKE register;
    CREATE TABLE list (id BIGINT AUTO_INCREMENT PRIMARY KEY, list INT NOT NULL, v BIGINT NOT NULL,
      KEY (list)) ENGINE=InnoDB;
    CREATE TABLE heap (id BIGINT AUTO_INCREMENT PRIMARY KEY, list INT NOT NULL, v BIGINT NOT NULL,
      KEY (list)) ENGINE=MyISAM;
    INSERT INTO register VALUES (0, 0), (1, 0), (2, 0), (3, 0);
    INSERT INTO mirror VALUES (0, 0), (1, 0), (2, 0), (3, 0);
    INSERT INTO counter VALUES (0, 0), (1, 0), (2, 0);
    INSERT INTO pair VALUES (0, 0), (1, 0), (2, 0), (11, 0), (12, 0);
    INSERT INTO far VALUES (0, 0), (1, 0), (2, 0);
    INSERT INTO taken VALUES (1, 0);
    INSERT INTO list VALUES (1, 0, 0);
    INSERT INTO heap VALUES (1, 0, 0);
    CREATE VIEW register_view AS SELECT id, v FROM register;
    CREATE TRIGGER on_register AFTER UPDATE ON register FOR EACH ROW
      UPDATE mirror SET v = NEW.v WHERE id = NEW.id;
    CREATE PROCEDURE write_register(k INT, n BIGINT) UPDATE register SET v = n WHERE id = k;
    CREATE PROCEDURE write_pair(k INT, n BIGINT) UPDATE pair SET v = n WHERE id = k;
    CREATE PROCEDURE write_far(k INT, n BIGINT) UPDATE far SET v = n WHERE id = k;
    CREATE PROCEDURE write_counter(k INT, n BIGINT) UPDATE counter SET v = v + 1 WHERE id = k;
    CREATE PROCEDURE write_list(k INT, n BIGINT) INSERT INTO list (list, v) VALUES (k, n);
    CREATE PROCEDURE write_heap(k INT, n BIGINT) INSERT INTO heap (list, v) VALUES (k, n);
    CREATE PROCEDURE fail_register(k INT, n BIGINT) BEGIN
      UPDATE register SET v = n WHERE id = k; SIGNAL SQLSTATE '45000'; END;
    CREATE PROCEDURE read_register(k INT)
      SELECT CAST(v AS CHAR), (SELECT CAST(v AS CHAR) FROM register WHERE id = 0)
        FROM register WHERE id = k;
    CREATE FUNCTION bump(k INT, n BIGINT) RETURNS BIGINT MODIFIES SQL DATA DETERMINISTIC
      BEGIN UPDATE register SET v = n WHERE id = k; RETURN n; END;
    CREATE TABLE products (id INT PRIMARY KEY, v BIGINT NOT NULL) ENGINE=InnoDB;
    INSERT INTO products VALUES (0, 0), (1, 1), (2, 1), (3, 1), (4, 1)";

/// Tables with a row that tells the server.
const WITH_PLACE: &[(&str, &str)] = &[
    ("register", "id"),
    ("mirror", "id"),
    ("counter", "id"),
    ("pair", "id"),
    ("far", "id"),
    ("products", "id"),
    ("list", "list"),
    ("heap", "list"),
];

const RESET: &str = "
    UPDATE register SET v = 0 WHERE id > 0; UPDATE mirror SET v = 0 WHERE id > 0;
    UPDATE counter SET v = 0 WHERE id > 0; UPDATE pair SET v = 0 WHERE id > 0;
    UPDATE far SET v = 0 WHERE id > 0; DELETE FROM list WHERE list > 0; DELETE FROM heap WHERE list > 0";

pub fn start(make: Make) -> Lab {
    let lab = Lab::start(make, 2);
    if make == Make::MySql {
        lab.sql(0, "SET GLOBAL log_bin_trust_function_creators = 1");
    }
    let root = |server| Client::connect_unix(&lab.socket(server), Login::of("root", "")).unwrap();
    root(0).run(SCHEMA);
    lab.sql(0, "GRANT ALL ON shop.* TO other@'%'");
    let routines = match make {
        Make::MySql => "GRANT SHOW_ROUTINE ON *.* TO monitor@'%'",
        Make::MariaDb => "GRANT SELECT ON mysql.proc TO monitor@'%'",
    };
    lab.sql(0, &format!("GRANT SHOW VIEW, TRIGGER, SELECT ON *.* TO monitor@'%'; {routines}"));
    lab.wait_caught_up();
    for server in 1..lab.count() {
        let mut replica = root(server);
        replica.run("SET sql_log_bin = 0");
        if make == Make::MySql {
            replica.run("SET GLOBAL super_read_only = 0");
        }
        for (table, column) in WITH_PLACE {
            // The copy that the trigger would make is set by itself.
            replica.run(&format!("UPDATE {table} SET v = {server} WHERE {column} = 0"));
        }
    }
    lab
}

/// Every object is at 0, everywhere.
pub fn reset(lab: &Lab) {
    lab.sql(0, &format!("USE shop; {RESET}"));
    lab.wait_caught_up();
}

/// lagwise with this `[consistency]`, once it reads from all replicas.
pub fn proxy(lab: &Lab, consistency: &str) -> Proxy {
    let config = format!("[routing]\nmax_lag = \"1h\"\n[consistency]\n{consistency}");
    let proxy = Proxy::start(lab, &config);
    eventually("the replicas take reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == lab.count() as f64
    });
    proxy
}

/// Where the sessions of a mode connect.
pub struct Field<'a> {
    pub lab: &'a Lab,
    pub proxy: Proxy,
    /// Where it is another one's sessions that write.
    pub second: Option<Proxy>,
}

impl<'a> Field<'a> {
    pub fn start(lab: &'a Lab, mode: &Mode) -> Self {
        reset(lab);
        let second = mode.cluster.then(|| proxy(lab, ""));
        Self { lab, proxy: proxy(lab, mode.config), second }
    }
}
