"""PyMySQL (argument "pymysql") or mysqlclient ("mysqldb"): a basic session of each.

Prints only what must be equal on every run against the same server, direct or through a proxy.
"""

import importlib
import os
import sys

driver = {"pymysql": "pymysql", "mysqldb": "MySQLdb"}[sys.argv[1]]
module = importlib.import_module(driver)
PYMYSQL = driver == "pymysql"


def connect(**changes):
    options = {
        "host": os.environ["DB_HOST"],
        "port": int(os.environ["DB_PORT"]),
        "user": os.environ["DB_USER"],
        "password": os.environ["DB_PASSWORD"],
        "database": "shop",
        "charset": "utf8mb4",
    }
    options.update(changes)
    return module.connect(**options)


def show(label, value):
    print(f"{label} = {value!r}")


def fails(label, body):
    try:
        body()
    except module.Error as error:
        show(label, (type(error).__name__, error.args))
        return
    raise AssertionError(f"{label} did not fail")


def run(connection, text, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return cursor.rowcount, cursor.lastrowid, cursor.fetchall()


db = connect()
show("server", db.get_server_info())
show("autocommit", db.get_autocommit())

# The DB-API begins without autocommit: everything is a transaction.
run(db, "DROP TABLE IF EXISTS python_words")
run(db, "CREATE TABLE python_words (id INT AUTO_INCREMENT PRIMARY KEY, word VARCHAR(50) UNIQUE, raw BLOB, at DATETIME(3), n DECIMAL(10, 3))")
with db.cursor() as cursor:
    many = [(f"word {i} 'é' 🚲", bytes(range(256)), "2024-02-29 12:34:56.789", i / 8) for i in range(1, 101)]
    cursor.executemany("INSERT INTO python_words (word, raw, at, n) VALUES (%s, %s, %s, %s)", many)
    show("inserted many", cursor.rowcount)
db.rollback()
show("rolled back", run(db, "SELECT COUNT(*) FROM python_words"))
show("inserted", run(db, "INSERT INTO python_words (word, n) VALUES (%s, %s), (%s, %s)", ("a", None, "b", 1.5)))
show("own write", run(db, "SELECT word, raw, at, n FROM python_words WHERE word IN (%s, %s) ORDER BY word", ("a", "b")))
db.commit()
db.autocommit(True)
show("changed", run(db, "UPDATE python_words SET n = 2 WHERE word = 'b'"))
show("committed", run(db, "SELECT word, n FROM python_words ORDER BY word"))

fails("duplicate", lambda: run(db, "INSERT INTO python_words (word) VALUES ('a')"))
fails("syntax", lambda: run(db, "SELEC 1"))
fails("no such table", lambda: run(db, "SELECT * FROM missing_table"))
fails("wrong password", lambda: connect(password="wrong"))
fails("unknown schema", lambda: connect(database="missing"))
show("usable after errors", run(db, "SELECT 1"))

run(db, "SET @kept = 42, SESSION time_zone = '+03:00'")
show("session", run(db, "SELECT @kept, @@time_zone, FROM_UNIXTIME(0)"))
db.begin()
run(db, "INSERT INTO python_words (word) VALUES ('c')")
run(db, "SAVEPOINT s")
run(db, "INSERT INTO python_words (word) VALUES ('d')")
run(db, "ROLLBACK TO SAVEPOINT s")
db.commit()
show("after savepoint", run(db, "SELECT word FROM python_words ORDER BY word"))
db.select_db("information_schema")
show("schema", run(db, "SELECT DATABASE()"))
db.select_db("shop")
db.ping()

run(db, "DROP PROCEDURE IF EXISTS python_pair")
run(db, "CREATE PROCEDURE python_pair(IN x INT) BEGIN SELECT x AS x; SELECT x * 2 AS y; END")
with db.cursor() as cursor:
    cursor.callproc("python_pair", (21,))
    show("first result", cursor.fetchall())
    cursor.nextset()
    show("second result", cursor.fetchall())

cursors = importlib.import_module(f"{driver}.cursors")
with db.cursor(cursors.SSCursor) as cursor:
    cursor.execute("SELECT a.id FROM items a CROSS JOIN items b ORDER BY 1")
    show("streamed", sum(row[0] for row in cursor))
with db.cursor(cursors.DictCursor) as cursor:
    cursor.execute("SELECT id, name FROM items WHERE id = %s", (3,))
    show("dictionary", cursor.fetchone())

# As Django connects: found rows are counted, several variables in one statement.
flags = importlib.import_module(f"{driver}.constants.CLIENT")
django = connect(client_flag=flags.FOUND_ROWS | flags.MULTI_STATEMENTS)
with django.cursor() as cursor:
    cursor.execute("SET SQL_AUTO_IS_NULL = 0; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 'set'")
    while cursor.nextset():
        show("of several statements", cursor.fetchall())
django.close()
django = connect(client_flag=flags.FOUND_ROWS, autocommit=True)
show("found, not changed", run(django, "UPDATE python_words SET n = 2 WHERE word = 'b'")[0])
django.close()

# Reads of what was there before, on a fresh connection.
reader = connect(autocommit=True)
show("count", run(reader, f"SELECT /* {driver} read */ COUNT(*) FROM items"))
for item in range(1, 21):
    show("item", run(reader, f"SELECT /* {driver} read */ id, name, price FROM items WHERE id = %s", (item,)))
reader.close()
db.close()
print("done")
