//! Prepared statements that sessions share: what a server is asked, and that nobody can tell. On both
//! makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::forwarder::Forwarder;
use support::wire::{Client, Options, Param, Step};
use support::{Lab, Make, Proxy, eventually};

/// A make's servers with lagwise before them.
struct Ground {
    lab: Lab,
    proxy: Proxy,
}

impl Ground {
    fn client(&self) -> Client {
        self.login(&Options::new(0))
    }

    fn login(&self, options: &Options) -> Client {
        options.login(self.proxy.port()).unwrap()
    }

    fn direct(&self, options: &Options) -> Client {
        options.login(self.lab.port(0)).unwrap()
    }

    /// PREPAREs that the servers have run.
    fn prepared(&self) -> u64 {
        (0..self.lab.count()).map(|server| self.lab.status(server, "Com_stmt_prepare")).sum()
    }

    /// PREPAREs that lagwise has answered by itself.
    fn remembered(&self) -> f64 {
        self.proxy.metrics().sum("lagwise_prepares_total", &[("by", "memory")])
    }
}

/// All packets of an answer.
fn answer(client: &mut Client, step: Step) -> Vec<Vec<u8>> {
    let answer = client.play(&step).remove(0);
    answer.packets.into_iter().map(|packet| packet.payload).collect()
}

/// The same without the id of the statement.
fn prepare(client: &mut Client, text: &str) -> Vec<Vec<u8>> {
    let mut packets = answer(client, Step::prepare(text));
    packets[0][1..5].fill(0);
    packets
}

const BY_ID: &str = "SELECT name FROM shop.items WHERE id = ?";

/// Sessions one after the other, each with one query as frameworks send it.
fn many_sessions(ground: &Ground) {
    ground.client().play(&Step::prepare(BY_ID));
    let before = (ground.prepared(), ground.remembered());
    for n in 0..50_i64 {
        let mut client = ground.client();
        let got = prepare(&mut client, BY_ID);
        let row = answer(&mut client, Step::execute(0, [Param::int(n % 9 + 1)]));
        assert!(row[row.len() - 2].ends_with(format!("item {}", n % 9 + 1).as_bytes()), "{row:x?}");
        client.play(&Step::close(0));
        assert_eq!(got.len(), 5);
    }
    let asked = ground.prepared() - before.0;
    println!("{}: 50 sessions cost the servers {asked} PREPAREs", ground.lab.make);
    assert!(asked <= 4, "{asked}");
    assert_eq!(ground.remembered() - before.1, 50.0);
}

/// What is answered from memory is what a server answers, and costs it nothing.
fn answers(ground: &Ground) {
    for caps in [0, support::wire::caps::DEPRECATE_EOF] {
        let options = Options::new(caps);
        let (mut direct, mut client) = (ground.direct(&options), ground.login(&options));
        for text in [BY_ID, "SELECT 1", "UPDATE items SET name = name WHERE id = ?"] {
            let want = prepare(&mut direct, text);
            assert_eq!(prepare(&mut client, text), want, "{text}");
            let before = ground.prepared();
            assert_eq!(prepare(&mut client, text), want, "{text}");
            assert_eq!(ground.prepared(), before, "{text}");
        }
    }
}

/// DDL through lagwise is known at once, also to other sessions.
fn ddl(ground: &Ground) {
    let (mut one, mut two) = (ground.client(), ground.client());
    let mut direct = ground.direct(&Options::new(0));
    one.query("CREATE TABLE wire_shared (a INT)");
    one.query("INSERT INTO wire_shared VALUES (7)");
    let text = "SELECT * FROM wire_shared";
    for step in ["ALTER TABLE wire_shared ADD b INT", "ALTER TABLE wire_shared DROP a"] {
        prepare(&mut one, text);
        one.query(step);
        let want = prepare(&mut direct, text);
        assert_eq!(prepare(&mut one, text), want, "{step}");
        ground.lab.wait_caught_up();
        assert_eq!(prepare(&mut two, text), want, "{step}");
    }
    // What another has dropped unseen, EXECUTE says.
    prepare(&mut two, text);
    ground.lab.sql(0, "DROP TABLE shop.wire_shared");
    ground.lab.wait_caught_up();
    let mut new = ground.client();
    assert_eq!(prepare(&mut new, text)[0][0], 0);
    let fail = new.play(&Step::execute(0, [])).remove(0).error();
    assert_eq!(fail.unwrap().0, 1146);
}

/// One account never learns from another what it may not see.
fn accounts(ground: &Ground) {
    ground.lab.sql(0, "CREATE USER poor@'%' IDENTIFIED BY 'poor_password'");
    ground.lab.wait_caught_up();
    let mut rich = Options::new(0);
    rich.schema = None;
    let poor = rich_to_poor(&rich);
    let mut client = ground.login(&rich);
    for _ in 0..2 {
        assert_eq!(prepare(&mut client, BY_ID)[0][0], 0);
    }
    let want = ground.direct(&poor).play(&Step::prepare(BY_ID)).remove(0).error();
    let got = ground.login(&poor).play(&Step::prepare(BY_ID)).remove(0).error();
    assert!(want.is_some());
    assert_eq!(got, want);
    ground.lab.sql(0, "DROP USER poor@'%'");
}

fn rich_to_poor(options: &Options) -> Options {
    let mut poor = Options::new(options.caps).account("poor");
    poor.schema = None;
    poor
}

/// What one session has executed, the next cannot tell: MySQL's statements learn from parameters.
fn parameters(ground: &Ground) {
    let values = || {
        [
            Param::int(5),
            Param::text("abc"),
            Param::null(),
            Param::text("12.5"),
            Param::double(1.5),
            Param::text("2022-01-02"),
            Param::text("-3"),
        ]
    };
    for text in ["SELECT ?", "SELECT ? + 1", "SELECT GREATEST(?, 1)", "SELECT -?"] {
        for (n, first) in values().into_iter().enumerate() {
            for (m, second) in values().into_iter().enumerate() {
                let mut direct = ground.direct(&Options::new(0));
                prepare(&mut direct, text);
                let want = answer(&mut direct, Step::execute(0, [second.clone()]));
                let mut before = ground.client();
                prepare(&mut before, text);
                answer(&mut before, Step::execute(0, [first.clone()]));
                drop(before);
                let mut client = ground.client();
                prepare(&mut client, text);
                let got = answer(&mut client, Step::execute(0, [second]));
                assert_eq!(got, want, "{text} with parameter {m} after {n}");
            }
        }
    }
}

/// A cursor is its session's own.
fn cursors(ground: &Ground) {
    let text = "SELECT id FROM shop.items WHERE id > ? ORDER BY id";
    let (mut one, mut two) = (ground.client(), ground.client());
    for client in [&mut one, &mut two] {
        prepare(client, text);
    }
    one.play(&Step::open_cursor(0, [Param::int(0)]));
    let first = answer(&mut one, Step::fetch(0, 2));
    for _ in 0..3 {
        assert!(answer(&mut two, Step::execute(0, [Param::int(50)])).len() > 10);
        two.play(&Step::reset(0));
    }
    let second = answer(&mut one, Step::fetch(0, 2));
    assert_eq!((first.len(), second.len()), (3, 3));
    assert_ne!(first, second);
    // A second statement of the same text in one session is another.
    prepare(&mut one, text);
    answer(&mut one, Step::execute(1, [Param::int(90)]));
    assert_eq!(answer(&mut one, Step::fetch(0, 2)).len(), 3);
}

/// ER_NEED_REPREPARE: the statement is prepared anew and run, once.
fn needs_to_be_prepared_again(lab: &Lab) {
    let between = Forwarder::start(lab.port(0));
    let config = format!(
        "primary = \"127.0.0.1:{}\"\nreplicas = []\n[server_tls]\nmode = \"off\"\n",
        between.port()
    );
    let proxy = Proxy::start(lab, &config);
    let mut client = Options::new(0).login(proxy.port()).unwrap();
    prepare(&mut client, BY_ID);
    let execute = || Step::execute(0, [Param::int(7)]);
    let want = answer(&mut client, execute());
    assert_eq!(want.len(), 5, "{want:?}");
    for _ in 0..3 {
        let before = lab.status(0, "Com_stmt_prepare");
        between.refuse_executions(1);
        assert_eq!(answer(&mut client, execute()), want);
        assert_eq!(between.refusals_left(), 0);
        assert_eq!(lab.status(0, "Com_stmt_prepare") - before, 1);
    }
    // Not for ever.
    between.refuse_executions(2);
    let error = client.play(&execute()).remove(0).error();
    assert_eq!(error.map(|(code, _)| code), Some(1615));
    assert_eq!(answer(&mut client, execute()), want);
}

fn all(make: Make) {
    let lab = Lab::start(make, 1);
    let proxy = Proxy::start(&lab, "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"");
    eventually("the replica takes reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    let ground = Ground { lab, proxy };
    for part in [answers, many_sessions, accounts, parameters, cursors, ddl] {
        part(&ground);
    }
    needs_to_be_prepared_again(&ground.lab);
}

#[test]
fn shared_statements_on_mysql() {
    all(Make::MySql);
}

#[test]
fn shared_statements_on_mariadb() {
    all(Make::MariaDb);
}
