//! Pools over connections that are made up, on a clock that the tests turn.

mod instead;
mod spot;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::protocol::ErrPacket;

/// Account, and whatever else.
type TestKey = (u8, u8);

/// What a fake server does with a connect.
#[derive(Clone, Debug)]
enum Answer {
    /// Lets it in after so many milliseconds.
    After(u64),
    /// Refuses it with an error of its own, after a millisecond.
    Refuse(u16),
    /// Cannot be reached.
    Unreachable,
    /// Never answers.
    Silent,
}

#[derive(Debug, Default)]
struct Server {
    /// What it does next; lets in at once when there is nothing.
    answers: VecDeque<Answer>,
    connects: Vec<(Instant, TestKey)>,
    /// Numbers of connections that it has closed.
    closed: Vec<usize>,
}

#[derive(Debug, Default)]
struct Shared {
    server: Mutex<Server>,
    open: AtomicUsize,
    most: AtomicUsize,
    /// It lets another account have a connection.
    hands_on: AtomicBool,
}

/// A fake server.
#[derive(Clone, Debug, Default)]
struct Fake(Arc<Shared>);

#[derive(Debug)]
struct FakeConnection {
    number: usize,
    opened_at: Instant,
    ready_since: Option<Instant>,
    schema: bool,
    fake: Fake,
    has_ended: bool,
}

impl Drop for FakeConnection {
    /// The server notices a little later, unless that was waited for.
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let shared = Arc::clone(&self.fake.0);
        tokio::spawn(async move {
            tokio::time::sleep(NOTICED_AFTER).await;
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// How long the end of a connection takes.
const NOTICED_AFTER: Duration = Duration::from_millis(1);

impl Pooled for FakeConnection {
    fn is_usable(&mut self, _: Instant) -> bool {
        !self.fake.server().closed.contains(&self.number)
    }

    fn wish(&self) -> Wish {
        Wish { has_schema: self.schema, fingerprint: 0 }
    }

    fn ready_since(&self) -> Instant {
        self.ready_since.unwrap_or_else(Instant::now)
    }

    fn opened_at(&self) -> Instant {
        self.opened_at
    }

    fn come_here(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    async fn end(mut self) {
        tokio::time::sleep(NOTICED_AFTER).await;
        self.has_ended = true;
        self.fake.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fake {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.0.server.lock().unwrap()
    }

    fn will(&self, answers: &[Answer]) {
        self.server().answers.extend(answers.iter().cloned());
    }

    fn connects(&self) -> usize {
        self.server().connects.len()
    }

    fn pool(&self, limits: Limits) -> Arc<Pool<Fake>> {
        Pool::with(self.clone(), limits)
    }
}

impl Opener for Fake {
    type Key = TestKey;
    type Connection = FakeConnection;

    async fn open(
        &self,
        key: &TestKey,
        instead_of: Option<FakeConnection>,
        _: Instant,
    ) -> Result<FakeConnection, backend::Error> {
        match instead_of {
            Some(old) if self.0.hands_on.load(Ordering::Relaxed) => return Ok(old),
            Some(old) => old.end().await,
            None => {}
        }
        let (number, answer) = {
            let mut server = self.server();
            server.connects.push((Instant::now(), *key));
            (server.connects.len(), server.answers.pop_front().unwrap_or(Answer::After(0)))
        };
        match answer {
            Answer::After(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Answer::Refuse(code) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(backend::Error::Server(ErrPacket::new(code, b"08004", "no")));
            }
            Answer::Unreachable => {
                return Err(backend::Error::Connect(std::io::ErrorKind::ConnectionRefused.into()));
            }
            Answer::Silent => std::future::pending().await,
        }
        let open = self.0.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(open, Ordering::Relaxed);
        let opened_at = Instant::now();
        Ok(FakeConnection {
            number,
            opened_at,
            ready_since: None,
            schema: false,
            fake: self.clone(),
            has_ended: false,
        })
    }
}

const APP: TestKey = (0, 0);
const OTHER: TestKey = (1, 0);
const WISH: Wish = Wish { has_schema: true, fingerprint: 0 };

fn limits(max_connections: usize) -> Limits {
    Limits { max_connections, ..Limits::default() }
}

async fn checkout(
    pool: &Arc<Pool<Fake>>,
    key: TestKey,
    wait: Duration,
) -> Result<Guard<Fake>, Error> {
    pool.checkout(&key, WISH, None, Instant::now() + wait).await
}

/// Waits until what was closed is no more.
async fn closed() {
    tokio::time::sleep(2 * NOTICED_AFTER).await;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn who_waits_gets_what_is_free_first_in_the_order_of_coming() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    let first = checkout(&pool, APP, SECOND).await.unwrap();
    let mut waiting = Vec::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..50 {
        let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let guard = checkout(&pool, APP, 10 * SECOND).await.unwrap();
            order.lock().unwrap().push(number);
            tokio::time::sleep(Duration::from_millis(10)).await;
            guard.release_for_all();
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.levels(), Levels { open: 1, idle: 0, waiting: 50, is_circuit_open: false });
    first.release_for_all();
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    assert_eq!((fake.connects(), pool.levels().idle), (1, 1));
    let counted: Vec<_> = pool.checkouts().into_iter().filter(|it| it.1 > 0).collect();
    assert_eq!(counted, [("opened", 1), ("waited", 50)]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_bounded_and_says_why() {
    let fake = Fake::default();
    let pool = fake.pool(Limits { max_connections_per_account: 1, ..limits(2) });
    let began = Instant::now();
    let _one = checkout(&pool, APP, SECOND).await.unwrap();
    let error = checkout(&pool, APP, SECOND).await.unwrap_err();
    assert!(matches!(error, Error::AccountExhausted(1)), "{error}");
    let _two = checkout(&pool, OTHER, SECOND).await.unwrap();
    let error = checkout(&pool, (2, 0), SECOND).await.unwrap_err();
    assert!(matches!(error, Error::Exhausted(2)), "{error}");
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(pool.levels().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_loses_nothing() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    fake.will(&[Answer::After(100)]);
    // It has gone before the connection that was opened for it comes.
    assert!(tokio::time::timeout(SECOND / 100, checkout(&pool, APP, SECOND)).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.levels(), Levels { open: 1, idle: 1, ..Levels::default() });
    // Or it has been served and does not look.
    let held = checkout(&pool, APP, SECOND).await.unwrap();
    let mut waiting = Box::pin(checkout(&pool, APP, SECOND));
    assert!(tokio::time::timeout(SECOND / 100, &mut waiting).await.is_err());
    held.release_for_all();
    drop(waiting);
    assert_eq!(pool.levels(), Levels { open: 1, idle: 1, ..Levels::default() });
    assert_eq!(fake.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn connects_are_few_at_a_time_and_for_whoever_is_first() {
    let fake = Fake::default();
    let pool = fake.pool(Limits { max_connecting: 3, ..limits(0) });
    fake.will(&[Answer::After(500), Answer::After(100), Answer::After(100)]);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let pool = Arc::clone(&pool);
        waiting.spawn(async move { checkout(&pool, APP, 10 * SECOND).await.unwrap() });
    }
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!((fake.connects(), pool.levels().open), (3, 3));
    let guards: Vec<_> = waiting.join_all().await;
    assert_eq!((guards.len(), fake.0.open.load(Ordering::Relaxed)), (10, 10));
    drop(guards);
    closed().await;
    assert_eq!((pool.levels().open, fake.0.open.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_let_in_fails_alone_and_at_once() {
    let fake = Fake::default();
    let pool = fake.pool(Limits { max_connecting: 1, ..limits(0) });
    fake.will(&[Answer::Refuse(1045)]);
    let (one, two, other) = tokio::join!(
        checkout(&pool, APP, 10 * SECOND),
        checkout(&pool, APP, 10 * SECOND),
        checkout(&pool, OTHER, 10 * SECOND),
    );
    for refused in [one, two] {
        let Err(Error::Backend(backend::Error::Server(err))) = refused else { panic!() };
        assert_eq!(err.code, 1045);
    }
    assert!(other.is_ok());
    assert_eq!(pool.counters().connect_failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_fails_those_who_were_there_and_no_later_one() {
    let fake = Fake::default();
    let pool = fake.pool(Limits { max_connecting: 1, ..limits(0) });
    fake.will(&[Answer::Unreachable]);
    let (one, two) =
        tokio::join!(checkout(&pool, APP, 10 * SECOND), checkout(&pool, OTHER, 10 * SECOND));
    // The second came when the first connect had begun already, and gets one of its own.
    assert!(matches!(one, Err(Error::Backend(backend::Error::Connect(_)))));
    assert!(two.is_ok());
    fake.will(&[Answer::Silent]);
    let began = Instant::now();
    let silent = checkout(&pool, (2, 0), 10 * SECOND).await;
    assert!(matches!(silent, Err(Error::Backend(backend::Error::TimedOut(_)))), "{silent:?}");
    assert_eq!(began.elapsed(), limits(0).connect_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_left_alone_for_longer_and_longer() {
    let fake = Fake::default();
    let pool = fake.pool(limits(0));
    let held = checkout(&pool, APP, SECOND).await.unwrap();
    fake.will(&vec![Answer::Refuse(1040); 1000]);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let pool = Arc::clone(&pool);
        waiting.spawn(async move {
            let guard = checkout(&pool, APP, 60 * SECOND).await.unwrap();
            tokio::time::sleep(SECOND / 1000).await;
            guard.release_for_all();
        });
    }
    tokio::time::sleep(10 * SECOND).await;
    assert!(pool.levels().is_circuit_open);
    // 8 at first, then one each time; pauses double from 50 to 100 ms up to 5 s.
    let connects = fake.connects() - 1;
    assert!((8 + 6..8 + 9).contains(&connects), "{connects} connects");
    // Those who wait are served by what is given back meanwhile.
    held.release_for_all();
    waiting.join_all().await;
    // And a timeout says what the server said.
    let _held = checkout(&pool, APP, SECOND).await.unwrap();
    let Err(Error::Backend(backend::Error::Server(err))) = checkout(&pool, APP, SECOND).await
    else {
        panic!()
    };
    assert_eq!(err.code, 1040);
    // Who has nothing to wait for is told at once.
    let began = Instant::now();
    assert!(checkout(&pool, OTHER, 60 * SECOND).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Once it lets in again, all is as before.
    fake.server().answers.clear();
    checkout(&pool, APP, 10 * SECOND).await.unwrap();
    assert!(!pool.levels().is_circuit_open);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_account_is_no_matter_of_others() {
    let fake = Fake::default();
    let pool = fake.pool(limits(0));
    fake.will(&[Answer::Refuse(1203)]);
    let (one, other) = tokio::join!(checkout(&pool, APP, SECOND / 100), async {
        tokio::time::sleep(SECOND / 200).await;
        checkout(&pool, OTHER, SECOND).await
    });
    let Err(Error::Backend(backend::Error::Server(err))) = one else { panic!() };
    assert_eq!(err.code, 1203);
    assert!(other.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_closed_is_dropped_silently() {
    let fake = Fake::default();
    let pool = fake.pool(limits(3));
    let guards =
        [checkout(&pool, APP, SECOND).await.unwrap(), checkout(&pool, APP, SECOND).await.unwrap()];
    guards.into_iter().for_each(Guard::release_for_all);
    fake.server().closed = vec![1, 2];
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    closed().await;
    assert_eq!((guard.number, fake.connects(), pool.levels().open), (3, 3, 1));
    guard.release_for_all();
    fake.server().closed.push(3);
    pool.maintain();
    closed().await;
    assert_eq!(pool.levels().open, 0, "found without anybody's asking");
}

#[tokio::test(start_paused = true)]
async fn a_session_comes_back_for_its_own() {
    let fake = Fake::default();
    let pool = fake.pool(limits(2));
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    let other = checkout(&pool, APP, SECOND).await.unwrap();
    let number = guard.number;
    let ticket = guard.release().unwrap();
    other.release_for_all();
    let deadline = Instant::now() + SECOND;
    let own = pool.checkout(&APP, WISH, Some(ticket), deadline).await.unwrap();
    assert_eq!(own.number, number);
    assert_eq!(pool.checkouts()[0], ("own", 1));
    // A ticket that is dropped keeps nothing.
    drop(own.release());
    tokio::time::sleep(SECOND / 10).await;
    let (_one, _two) =
        (checkout(&pool, APP, SECOND).await.unwrap(), checkout(&pool, APP, SECOND).await.unwrap());
    assert_eq!(fake.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn idle_and_old_connections_are_closed_and_some_kept_ready() {
    let fake = Fake::default();
    let pool = fake.pool(Limits {
        min_idle: 2,
        idle_timeout: 10 * SECOND,
        max_lifetime: 100 * SECOND,
        ..limits(0)
    });
    let task = tokio::spawn(maintain::run(Arc::downgrade(&pool)));
    let guards: Vec<_> = futures(&pool, 5).await;
    guards.into_iter().for_each(Guard::release_for_all);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(pool.levels().idle, 5);
    tokio::time::sleep(7 * SECOND).await;
    assert_eq!(pool.levels().idle, 2, "as many as are to be ready");
    tokio::time::sleep(83 * SECOND).await;
    // Old ones were exchanged before the account was out of use.
    let connects = fake.connects();
    assert!((5..=7).contains(&connects), "{connects}");
    assert_eq!(pool.levels().idle, 2);
    tokio::time::sleep(110 * SECOND).await;
    assert_eq!(pool.levels(), Levels::default(), "nobody uses the account any more");
    drop(pool);
    tokio::time::sleep(2 * SECOND).await;
    assert!(task.is_finished());
}

async fn futures(pool: &Arc<Pool<Fake>>, count: usize) -> Vec<Guard<Fake>> {
    let mut guards = Vec::new();
    for _ in 0..count {
        guards.push(checkout(pool, APP, SECOND).await.unwrap());
    }
    guards
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_is_closed_when_it_is_given_back_old() {
    let fake = Fake::default();
    let pool = fake.pool(Limits { max_lifetime: SECOND, ..limits(1) });
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    guard.release_for_all();
    closed().await;
    assert_eq!(pool.levels(), Levels::default());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_closed_keeps_nothing() {
    let fake = Fake::default();
    let pool = fake.pool(limits(3));
    let (one, two) =
        (checkout(&pool, APP, SECOND).await.unwrap(), checkout(&pool, APP, SECOND).await.unwrap());
    one.release_for_all();
    pool.close();
    closed().await;
    assert_eq!(pool.levels(), Levels { open: 1, ..Levels::default() });
    two.release_for_all();
    closed().await;
    assert_eq!(pool.levels(), Levels::default());
    // What still runs may take a new one.
    checkout(&pool, APP, SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn thousands_are_served_by_a_few() {
    let fake = Fake::default();
    let pool = fake.pool(limits(5));
    fake.will(&vec![Answer::After(3); 5]);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..3000u32 {
        let pool = Arc::clone(&pool);
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_millis(u64::from(number % 50))).await;
            let key = if number % 1000 < 300 { OTHER } else { APP };
            let guard = checkout(&pool, key, 60 * SECOND).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            match number % 7 {
                // A few are closed.
                0 => guard.close(),
                _ => guard.release_for_all(),
            }
        });
    }
    clients.join_all().await;
    assert_eq!(fake.0.most.load(Ordering::Relaxed), 5);
    assert_eq!(pool.levels().waiting, 0);
}
