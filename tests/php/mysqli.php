<?php
// mysqli on mysqlnd: what PDO does not reach.

require __DIR__ . '/common.php';

mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function connect(string $prefix = '', ?int $flags = null): mysqli
{
    $db = mysqli_init();
    $db->options(MYSQLI_OPT_LOCAL_INFILE, 1);
    $db->real_connect($prefix . setting('DB_HOST'), setting('DB_USER'), setting('DB_PASSWORD'), 'shop', (int) setting('DB_PORT'), null, $flags ?? 0);
    return $db;
}

function rows(mysqli_result|bool $result): mixed
{
    return $result instanceof mysqli_result ? $result->fetch_all(MYSQLI_ASSOC) : $result;
}

$db = connect();
show('server', [$db->server_info, $db->server_version, $db->protocol_version]);
show('character set', [$db->character_set_name(), $db->get_charset()->collation]);
show('ids and statistics', [$db->thread_id > 0, str_contains($db->stat(), 'Uptime')]);

// ---- statements
$db->query('DROP TABLE IF EXISTS php_notes');
$db->query('CREATE TABLE php_notes (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(40), body MEDIUMTEXT, n INT DEFAULT 0)');
$db->query("INSERT INTO php_notes (title) VALUES ('one'), ('two'), ('three')");
show('inserted', [$db->affected_rows, $db->insert_id, $db->info]);
$db->query('UPDATE php_notes SET n = n + 1 WHERE id < 3');
show('updated', [$db->affected_rows, $db->info, $db->warning_count]);
$db->query('UPDATE php_notes SET n = 1 WHERE id < 3');
show('not changed', [$db->affected_rows, $db->info]);
$result = $db->query('SELECT id, title, n, NULL AS nothing, 1.50 AS decimals FROM php_notes ORDER BY id');
foreach ($result->fetch_fields() as $field) {
    show('field', $field);
}
show('rows', rows($result));
$db->query("INSERT IGNORE INTO php_notes (id, n) VALUES (1, 5), (4, 'no number')");
$warning_count = $db->warning_count;
$warnings = [];
for ($warning = $db->get_warnings(); $warning; ) {
    $warnings[] = [$warning->errno, $warning->sqlstate, $warning->message];
    if (!$warning->next()) {
        break;
    }
}
show('warnings', [$warning_count, $warnings]);
fails('duplicate', fn () => $db->query('INSERT INTO php_notes (id) VALUES (1)'));
show('error state', [$db->errno, $db->sqlstate, $db->error]);
show('escaped', $db->real_escape_string("a'b\\c\0d\"e"));

// ---- prepared statements
$statement = $db->prepare('INSERT INTO php_notes (title, body, n) VALUES (?, ?, ?)');
[$title, $body, $n] = ['long', null, 7];
$statement->bind_param('sbi', $title, $body, $n);
foreach (range(1, 40) as $part) {
    $statement->send_long_data(1, str_repeat(chr(64 + $part % 26), 10000));
}
$statement->execute();
show('long data', [$statement->affected_rows, $statement->insert_id]);
$statement->close();
$statement = $db->prepare('SELECT id, title, body FROM php_notes WHERE n >= ? ORDER BY id');
$statement->bind_param('i', $n);
$statement->execute();
$statement->store_result();
$statement->bind_result($id, $title, $body);
show('stored', [$statement->num_rows, $statement->field_count, $statement->param_count]);
while ($statement->fetch()) {
    show('bound', [$id, $title, $body]);
}
$n = 0;
$statement->execute();
show('by get_result', rows($statement->get_result()));
$statement->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
$statement->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
$statement->execute();
$statement->bind_result($id, $title, $body);
while ($statement->fetch()) {
    show('by cursor', [$id, $title]);
}
$statement->reset();
$statement->execute();
$statement->close();
fails('bad prepare', fn () => $db->prepare('SELECT FROM'));
fails('fails when run', function () use ($db) {
    $statement = $db->prepare('INSERT INTO php_notes (id) VALUES (?)');
    $one = 1;
    $statement->bind_param('i', $one);
    $statement->execute();
});

// ---- several statements and result sets
$db->multi_query("SELECT 1 AS a; UPDATE php_notes SET n = 9 WHERE id = 2; SELECT title FROM php_notes WHERE n = 9; SET @m = 3; SELECT @m AS m");
do {
    $result = $db->store_result();
    show('multi', $result ? rows($result) : [$db->affected_rows, $db->info]);
} while ($db->more_results() && $db->next_result());
fails('second of three', function () use ($db) {
    $db->multi_query('SELECT 1; SELEC 2; SELECT 3');
    rows($db->store_result());
    $db->next_result();
});
$db->query('DROP PROCEDURE IF EXISTS php_report');
$db->query('CREATE PROCEDURE php_report(IN low INT, INOUT total INT) BEGIN
    SELECT id, title FROM php_notes WHERE id >= low ORDER BY id;
    SELECT COUNT(*) + total INTO total FROM php_notes;
    UPDATE php_notes SET n = 0 WHERE id = low;
END');
$db->query('SET @total = 100');
$db->real_query('CALL php_report(3, @total)');
do {
    $result = $db->store_result();
    show('procedure', $result ? rows($result) : $db->affected_rows);
} while ($db->more_results() && $db->next_result());
show('out parameter', rows($db->query('SELECT @total AS total')));
$statement = $db->prepare('CALL php_report(?, @total)');
$low = 2;
$statement->bind_param('i', $low);
$statement->execute();
do {
    $result = $statement->get_result();
    show('prepared procedure', $result ? rows($result) : 'end');
} while ($statement->more_results() && $statement->next_result());
$statement->close();

// ---- transactions
$db->autocommit(false);
$db->query("INSERT INTO php_notes (title) VALUES ('uncommitted')");
$db->rollback();
$db->autocommit(true);
$db->begin_transaction(MYSQLI_TRANS_START_READ_WRITE);
$db->savepoint('s');
$db->query("INSERT INTO php_notes (title) VALUES ('kept')");
$db->release_savepoint('s');
$db->commit();
$db->begin_transaction(MYSQLI_TRANS_START_READ_ONLY | MYSQLI_TRANS_START_WITH_CONSISTENT_SNAPSHOT);
fails('write in a read-only transaction', fn () => $db->query("INSERT INTO php_notes (title) VALUES ('never')"));
show('read-only', rows($db->query('SELECT title FROM php_notes ORDER BY id')));
$db->rollback();

// ---- streaming and asynchronous
$result = $db->query('SELECT a.id FROM items a CROSS JOIN items b', MYSQLI_USE_RESULT);
$rows = 0;
while ($result->fetch_row()) {
    $rows++;
}
$result->free();
show('streamed', $rows);
$db->query("SELECT 'later' AS word", MYSQLI_ASYNC);
do {
    $read = $error = $reject = [$db];
} while (mysqli_poll($read, $error, $reject, 5) < 1);
show('asynchronous', rows($db->reap_async_query()));

// ---- load data
$file = tempnam(sys_get_temp_dir(), 'lw');
file_put_contents($file, "11,eleven\n12,twelve\n");
$db->query("LOAD DATA LOCAL INFILE '$file' INTO TABLE php_notes FIELDS TERMINATED BY ',' (id, title)");
show('loaded', [$db->affected_rows, $db->info]);
unlink($file);

// ---- session state and its reset
$db->query("SET @left = 1, SESSION sql_mode = 'PIPES_AS_CONCAT'");
show('before', rows($db->query("SELECT @left AS l, 'a' || 'b' AS joined, DATABASE() AS d")));
$db->select_db('information_schema');
show('selected', rows($db->query('SELECT DATABASE() AS d')));
fails('unknown schema', fn () => $db->select_db('missing'));
show('still selected', rows($db->query('SELECT DATABASE() AS d')));
$db->set_charset('latin1');
show('latin1', rows($db->query("SELECT @@character_set_client AS c, HEX(CONVERT('\xe9' USING utf8mb4)) AS h")));
$db->set_charset('utf8mb4');
$db->change_user(setting('DB_USER'), setting('DB_PASSWORD'), 'shop');
show('after change_user', rows($db->query('SELECT @left AS l, DATABASE() AS d, @@character_set_client AS c')));
fails('change to a wrong password', fn () => connect()->change_user(setting('DB_USER'), 'wrong', 'shop'));
$other = connect();
$other->change_user('other', 'other_password', 'other');
show('another user', rows($other->query('SELECT CURRENT_USER() AS u, DATABASE() AS d, word FROM secrets')));
$other->close();
fails('not for us', fn () => $db->query('SELECT * FROM other.secrets'));
foreach ([1, 2] as $try) {
    $persistent = connect('p:');
    $persistent->query('SET @persistent = COALESCE(@persistent, 0) + 1');
    show('persistent', rows($persistent->query('SELECT @persistent AS n')));
    $persistent->close();
}
$compressed = connect('', MYSQLI_CLIENT_COMPRESS);
show('compressed', rows($compressed->query("SELECT REPEAT('z', 100000) AS z, COUNT(*) AS n FROM items")));
$compressed->close();
$killer = connect();
$victim = connect();
$killer->query('KILL ' . $victim->thread_id);
fails('killed', function () use ($victim) {
    // Depending on who notices first, the first or the second statement finds out.
    for ($i = 0; $i < 100; $i++) {
        @$victim->query('DO 1');
        usleep(20000);
    }
});
$killer->close();
show('ping', $db->ping());

// ---- reads of what was there before
$reader = connect();
show('count', rows($reader->query('SELECT /* mysqli read */ COUNT(*) AS n FROM items')));
$statement = $reader->prepare('SELECT /* mysqli read */ id, name, price FROM items WHERE id = ?');
foreach (range(1, 20) as $id) {
    $statement->bind_param('i', $id);
    $statement->execute();
    show('item', rows($statement->get_result()));
}
echo "done\n";
