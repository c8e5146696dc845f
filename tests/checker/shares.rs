//! How many reads replicas serve under a mixed load, mode by mode, and that none of them is stale.
//!
//! All replicas apply what they receive a second late. A tenth of the statements writes orders, the others
//! read: products, which nobody writes, and now and then orders. Sessions work for some milliseconds between
//! two statements. They stay connected, or come with a new connection for each page.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Field;
use crate::model::{Kind, Model};
use crate::modes::{Mode, Others, Wrong, mode};
use crate::raw::{Client, Fail};
use crate::session::{Round, Session};
use crate::support::Lab;
use crate::tally::{Tally, add};

const SESSIONS: usize = 12;
/// Of a load in the ordinary test run.
const SHORT: Duration = Duration::from_secs(4);
/// Statements of a page.
const PAGE: u32 = 10;
/// What replicas serve at least by table, where others write other tables.
const LEAST_BY_TABLE: f64 = 95.0;

const MODES: &[Mode] = &[
    mode("pin-session", "pin = \"session\"", Others::Nobody),
    mode("session", "", Others::Nobody),
    mode("position", "scope = \"global\"\nby_table = false", Others::Everybody),
    BY_TABLE,
];
const BY_TABLE: Mode =
    Mode { by_table: true, ..mode("table", "scope = \"global\"", Others::Everybody) };

/// What was read, of orders and products together.
#[derive(Default)]
struct Shares {
    tally: Tally,
    products: AtomicU64,
}

/// By table alone, for a few seconds.
pub fn run_short(lab: &Lab, seed: u64) {
    delayed(lab, || check(lab, &BY_TABLE, false, seed, SHORT));
}

/// All modes, each with both kinds of sessions.
pub fn run(lab: &Lab, seed: u64, time: Duration) {
    let time = (time / (MODES.len() as u32 * 2)).max(SHORT);
    delayed(lab, || {
        for mode in MODES {
            for is_short in [false, true] {
                check(lab, mode, is_short, seed, time);
            }
        }
    });
}

fn delayed(lab: &Lab, run: impl FnOnce()) {
    (1..lab.count()).for_each(|server| lab.set_source_delay(server, 1));
    run();
    (1..lab.count()).for_each(|server| lab.set_source_delay(server, 0));
}

fn check(lab: &Lab, mode: &Mode, is_short: bool, seed: u64, time: Duration) {
    let (field, model, shares) = (Field::start(lab, mode), Model::new(), Shares::default());
    // What changes with a table is read from the catalogue when somebody writes.
    Client::app(field.proxy.port()).run("INSERT INTO list (list, v) VALUES (9, 0)");
    if mode.by_table {
        field.proxy.wait_log("the catalogue is known");
    }
    lab.wait_caught_up();
    field.proxy.wait_probed();
    let began = Instant::now();
    let tally = &shares.tally;
    let round = &Round { mode, field: &field, model: &model, tally, seed, began };
    thread::scope(|scope| {
        for number in 0..SESSIONS {
            let session = Session::new(round, number);
            let shares = &shares;
            scope.spawn(move || work(session, shares, is_short, began + time));
        }
    });
    let stale: u64 = Wrong::ALL.into_iter().map(|wrong| tally.wrong(wrong)).sum();
    let writes = tally.writes.load(Relaxed);
    println!(
        "{}: reads on replicas: {:<12} {:<18} {:>5.1} % of {}, {stale} stale; {:.1} % of the \
         statements write, {:.1} % of the reads read what is written",
        lab.make,
        mode.name,
        if is_short { "short connections" } else { "long connections" },
        tally.share(),
        tally.reads(),
        100.0 * writes as f64 / (writes + tally.reads()) as f64,
        100.0 - 100.0 * shares.products.load(Relaxed) as f64 / tally.reads().max(1) as f64,
    );
    let verdict = [tally.verdict(mode), tally.take_evidence()].concat();
    assert!(verdict.is_empty(), "{}: {}", lab.make, verdict.join("\n"));
    if mode.by_table {
        let share = tally.share();
        assert!(share >= LEAST_BY_TABLE, "{}: {share:.1} % by table", lab.make);
    }
}

fn work(mut session: Session<'_>, shares: &Shares, is_short: bool, until: Instant) {
    let mut statements = 0;
    while Instant::now() < until {
        // What the application does between two statements.
        thread::sleep(Duration::from_micros(session.random.u64(1000..5000)));
        statements += 1;
        if is_short && statements % PAGE == 0 {
            session.reconnect();
        }
        if let Err(fail) = one_statement(&mut session, shares) {
            session.recover(&fail);
        }
    }
}

fn one_statement(session: &mut Session<'_>, shares: &Shares) -> Result<(), Fail> {
    let model = session.round.model;
    let is_orders = |object: &usize| model.objects[*object].kind == Kind::List;
    let orders = (0..model.objects.len()).find(is_orders).unwrap();
    match session.random.u8(0..100) {
        0..10 => {
            let writing = model.begin(orders);
            session.query(&model.objects[orders].write(writing.value))?;
            session.acknowledge(&writing, None);
        }
        10..12 => {
            let others = session.others_now(None);
            session.read_object(orders, "", &others)?;
        }
        product => {
            let sql = format!(
                "SELECT CAST(v AS CHAR), (SELECT CAST(v AS CHAR) FROM products WHERE id = 0) \
                 FROM products WHERE id = {}",
                product % 4 + 1
            );
            let row = session.query(&sql)?.remove(0);
            add(&shares.products);
            add(&shares.tally.reads);
            if row[1].as_deref() != Some("0") {
                add(&shares.tally.on_replicas);
            }
        }
    }
    Ok(())
}
