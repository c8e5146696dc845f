<?php
// PDO, with prepared statements of the server (argument "native") or of the client ("emulated").

require __DIR__ . '/common.php';

$native = match ($argv[1] ?? '') {
    'native' => true,
    'emulated' => false,
};

function connect(array $options = []): PDO
{
    global $native;
    $dsn = sprintf('mysql:host=%s;port=%s;dbname=shop;charset=utf8mb4', setting('DB_HOST'), setting('DB_PORT'));
    return new PDO($dsn, setting('DB_USER'), setting('DB_PASSWORD'), $options + [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_EMULATE_PREPARES => !$native,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
        PDO::ATTR_STRINGIFY_FETCHES => false,
    ]);
}

$db = connect();
show('server version', $db->getAttribute(PDO::ATTR_SERVER_VERSION));
show('driver', $db->getAttribute(PDO::ATTR_DRIVER_NAME));

// ---- types
$db->exec('DROP TABLE IF EXISTS php_types, php_log, php_load');
$db->exec(
    'CREATE TABLE php_types (
        id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        tiny TINYINT, big BIGINT UNSIGNED, amount DECIMAL(20, 6), ratio DOUBLE, single FLOAT,
        name VARCHAR(255), body LONGTEXT, raw VARBINARY(300), blobs LONGBLOB,
        day DATE, moment DATETIME(6), hour TIME(3), year YEAR, flags BIT(10),
        kind ENUM("a", "b"), tags SET("x", "y", "z"), doc JSON,
        UNIQUE KEY (name)
    ) CHARACTER SET utf8mb4'
);
$insert = $db->prepare(
    'INSERT INTO php_types (tiny, big, amount, ratio, single, name, body, raw, blobs, day, moment, hour, year, flags, kind, tags, doc)
     VALUES (:tiny, :big, :amount, :ratio, :single, :name, :body, :raw, :blobs, :day, :moment, :hour, :year, :flags, :kind, :tags, :doc)'
);
$rows = [
    [-128, '18446744073709551615', '12345678901234.567890', 1.5e300, 0.25, 'Łódź 🚲', str_repeat('text ', 60), "\x00\xff'\"\\", random_bytes_of(1 << 20), '2024-02-29', '2024-02-29 23:59:59.999999', '-838:59:58.001', 2024, 1000, 'a', 'x,z', '{"a": [1, 2.5, null]}'],
    [127, '0', '-0.000001', -0.0, -1.5, "it's; -- a 'name'", '', '', '', '1000-01-01', '9999-12-31 00:00:00', '00:00:00', 1901, 0, 'b', '', '[]'],
    array_merge(array_fill(0, 5, null), ['nulls'], array_fill(0, 11, null)),
];
function random_bytes_of(int $length): string
{
    $bytes = '';
    for ($i = 0; strlen($bytes) < $length; $i++) {
        $bytes .= hash('sha256', "seed $i", true);
    }
    return $bytes;
}
foreach ($rows as $row) {
    $names = [':tiny', ':big', ':amount', ':ratio', ':single', ':name', ':body', ':raw', ':blobs', ':day', ':moment', ':hour', ':year', ':flags', ':kind', ':tags', ':doc'];
    foreach (array_combine($names, $row) as $name => $value) {
        $type = match (true) {
            $value === null => PDO::PARAM_NULL,
            is_int($value) => PDO::PARAM_INT,
            $name === ':blobs' || $name === ':raw' => PDO::PARAM_LOB,
            default => PDO::PARAM_STR,
        };
        $insert->bindValue($name, $value, $type);
    }
    $insert->execute();
    show('inserted', [$insert->rowCount(), $db->lastInsertId()]);
}
foreach ($db->query('SELECT * FROM php_types ORDER BY id') as $row) {
    show('row', $row);
}
$select = $db->prepare('SELECT id, name, amount + 0.5 AS more FROM php_types WHERE id >= ? AND (name LIKE ? OR ? IS NULL) ORDER BY id');
$select->bindValue(1, 1, PDO::PARAM_INT);
$select->bindValue(2, '%s%');
$select->bindValue(3, null, PDO::PARAM_NULL);
$select->execute();
show('by parameters', $select->fetchAll());
$select->execute([2, 'n%', 'not null']);
show('again', $select->fetchAll());
for ($i = 0; $i < $select->columnCount(); $i++) {
    $meta = $select->getColumnMeta($i);
    ksort($meta);
    show('column', $meta);
}

// ---- several statements open at once, closed in another order
$statements = [];
foreach ([1, 2, 3] as $i) {
    $statements[$i] = $db->prepare("SELECT $i AS which, id FROM php_types WHERE id = ?");
}
foreach ([3, 1, 2] as $i) {
    $statements[$i]->execute([$i]);
    show("statement $i", $statements[$i]->fetchAll());
}
unset($statements[2]);
$statements[1]->execute([2]);
show('statement 1 after 2 is closed', $statements[1]->fetch());
$statements = [];

// ---- errors
fails('duplicate key', fn () => $db->prepare('INSERT INTO php_types (name) VALUES (?)')->execute(['nulls']));
fails('syntax', fn () => $db->query('SELEC 1'));
fails('unknown table', fn () => $db->query('SELECT * FROM no_such_table'));
fails('unknown column', fn () => $db->prepare('SELECT nothing FROM php_types WHERE id = ?')->execute([1]));
fails('no privilege', fn () => $db->query('SELECT * FROM mysql.user'));
fails('out of range', fn () => $db->exec("UPDATE php_types SET tiny = 1000 WHERE id = 1"));
fails('two rows', fn () => $db->query('SELECT (SELECT 1 UNION SELECT 2)')->fetch());
show('error info after the errors', $db->query('SELECT 1 AS one')->fetch());
show('warnings', [
    $db->exec("INSERT IGNORE INTO php_types (name, tiny) VALUES ('ignored', 1000), ('nulls', 1)"),
    $db->query('SHOW WARNINGS')->fetchAll(),
]);

// ---- transactions
$count = fn () => $db->query('SELECT COUNT(*) AS n FROM php_types')->fetchColumn();
show('before', $count());
$db->beginTransaction();
$db->exec("INSERT INTO php_types (name) VALUES ('in a transaction')");
show('inside', [$count(), $db->inTransaction()]);
$db->rollBack();
show('rolled back', [$count(), $db->inTransaction()]);
$db->beginTransaction();
$db->exec("INSERT INTO php_types (name) VALUES ('kept')");
$db->exec('SAVEPOINT a');
$db->exec("INSERT INTO php_types (name) VALUES ('not kept')");
$db->exec('ROLLBACK TO SAVEPOINT a');
$db->commit();
show('committed', [$count(), $db->inTransaction()]);
$db->beginTransaction();
$db->exec("INSERT INTO php_types (name) VALUES ('committed by DDL')");
$db->exec('CREATE TABLE php_log (id INT AUTO_INCREMENT PRIMARY KEY, line VARCHAR(100))');
show('after an implicit commit', [$count(), $db->inTransaction()]);
$db->setAttribute(PDO::ATTR_AUTOCOMMIT, 0);
$db->exec("INSERT INTO php_log (line) VALUES ('without autocommit')");
$db->rollBack();
$db->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
show('log is empty', $db->query('SELECT * FROM php_log')->fetchAll());

// ---- what a session remembers
$db->exec("INSERT INTO php_log (line) VALUES ('a'), ('b'), ('c')");
show('last insert id', [$db->lastInsertId(), $db->query('SELECT LAST_INSERT_ID()')->fetchColumn()]);
$db->exec("SET @word = 'kept', @number := 5");
show('user variables', $db->query('SELECT @word AS word, @number + 1 AS number, @unset AS unset')->fetch());
$db->exec("SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+05:30', group_concat_max_len = 1500");
show('session variables', $db->query('SELECT @@sql_mode, @@time_zone, @@group_concat_max_len, FROM_UNIXTIME(0) AS epoch')->fetch());
show('quotes name a column', $db->query('SELECT "line" FROM "php_log" ORDER BY "id" LIMIT 1')->fetchColumn());
$db->exec('SET SESSION sql_mode = DEFAULT, time_zone = DEFAULT, group_concat_max_len = DEFAULT');
$db->exec('CREATE TEMPORARY TABLE php_temporary (n INT)');
$db->exec('INSERT INTO php_temporary VALUES (1), (2)');
show('temporary table', $db->query('SELECT SUM(n) FROM php_temporary')->fetchColumn());
$db->exec('DROP TEMPORARY TABLE php_temporary');
show('lock', $db->query("SELECT GET_LOCK('php', 5), IS_FREE_LOCK('php'), RELEASE_LOCK('php')")->fetch(PDO::FETCH_NUM));
$db->query('SELECT SQL_CALC_FOUND_ROWS id FROM php_log LIMIT 1')->fetchAll();
show('found rows', $db->query('SELECT FOUND_ROWS()')->fetchColumn());
$db->exec('USE information_schema');
show('schema', $db->query('SELECT DATABASE()')->fetchColumn());
$db->exec('USE shop');

// ---- result sets
$db->exec('DROP PROCEDURE IF EXISTS php_two_results');
$db->exec('CREATE PROCEDURE php_two_results(IN low INT) BEGIN SELECT id FROM php_log WHERE id >= low; SELECT line FROM php_log ORDER BY id DESC LIMIT 1; END');
$call = $db->prepare('CALL php_two_results(?)');
$call->execute([3]);
do {
    show('result', $call->columnCount() > 0 ? $call->fetchAll() : 'no rows');
} while ($call->nextRowset());
if (!$native) {
    $many = $db->query("SELECT 1 AS a; INSERT INTO php_log (line) VALUES ('d'); SELECT COUNT(*) AS n FROM php_log");
    do {
        show('of many', $many->columnCount() > 0 ? $many->fetchAll() : $many->rowCount());
    } while ($many->nextRowset());
}
$db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
$big = $db->query('SELECT a.id AS a, b.id AS b FROM items a CROSS JOIN items b ORDER BY a.id, b.id');
show('first unbuffered', [$big->fetch(), $big->fetch()]);
fails('busy', fn () => $db->query('SELECT 1'));
$big->closeCursor();
$sum = 0;
foreach ($db->query('SELECT a.id AS a FROM items a CROSS JOIN items b') as $row) {
    $sum += $row['a'];
}
show('unbuffered sum', $sum);
$db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);

// ---- options of a connection
$found = connect([PDO::MYSQL_ATTR_FOUND_ROWS => true]);
show('found, not changed', $found->exec("UPDATE php_log SET line = 'a' WHERE line = 'a'"));
show('changed', $db->exec("UPDATE php_log SET line = 'a' WHERE line = 'a'"));
$found = null;
$local = connect([PDO::MYSQL_ATTR_LOCAL_INFILE => true]);
$file = tempnam(sys_get_temp_dir(), 'lw');
file_put_contents($file, implode("\n", array_map(fn ($i) => "$i\tline $i", range(1, 5000))) . "\n");
$local->exec('CREATE TABLE php_load (id INT PRIMARY KEY, line VARCHAR(50))');
show('loaded', $local->exec("LOAD DATA LOCAL INFILE '$file' INTO TABLE php_load"));
show('loaded rows', $local->query('SELECT COUNT(*) AS n, SUM(id) AS s, MAX(line) AS m FROM php_load')->fetch());
unlink($file);
fails('missing local file', fn () => $local->exec("LOAD DATA LOCAL INFILE '/nonexistent' INTO TABLE php_load"));
show('usable after it', $local->query('SELECT 1 AS one')->fetch());
$local = null;
$init = connect([PDO::MYSQL_ATTR_INIT_COMMAND => "SET @from_init = 'yes'"]);
show('init command', $init->query('SELECT @from_init')->fetchColumn());
$init = null;
foreach ([1, 2] as $try) {
    $persistent = connect([PDO::ATTR_PERSISTENT => true]);
    show('persistent', $persistent->query('SELECT 1 AS one')->fetch());
    $persistent = null;
}
fails('wrong password', fn () => new PDO(sprintf('mysql:host=%s;port=%s', setting('DB_HOST'), setting('DB_PORT')), setting('DB_USER'), 'wrong'));
fails('unknown schema', fn () => new PDO(sprintf('mysql:host=%s;port=%s;dbname=missing', setting('DB_HOST'), setting('DB_PORT')), setting('DB_USER'), setting('DB_PASSWORD')));

// ---- reads of what was there before
$mark = $native ? 'pdo native' : 'pdo emulated';
$reader = connect();
show('count', $reader->query("SELECT /* $mark read */ COUNT(*) AS n FROM items")->fetch());
$item = $reader->prepare("SELECT /* $mark read */ id, name, price, stock FROM items WHERE id = ?");
foreach (range(1, 20) as $id) {
    $item->execute([$id]);
    show('item', $item->fetch());
}
echo "done\n";
