-- What every worker's two schemas hold before a script. After a script, its tables are put back
-- by the statements after `-- reset NAME`.
--
-- ta's counter is beyond every id that scripts write themselves: a row that fails for another key of its
-- own leaves InnoDB's counter as it was, but not what is read when the table is opened again.

CREATE TABLE ta (id INT AUTO_INCREMENT PRIMARY KEY, n INT, s VARCHAR(20), UNIQUE KEY (s)) ENGINE=InnoDB;
CREATE TABLE tb (id INT PRIMARY KEY, a INT, d DECIMAL(8, 2), note TEXT) ENGINE=InnoDB;
CREATE TABLE heap (id INT PRIMARY KEY, n INT) ENGINE=MyISAM;
CREATE TABLE kinds (
  id INT PRIMARY KEY, d DOUBLE, f FLOAT, da DATE, ti TIME(3), dt DATETIME(6), ts TIMESTAMP NULL,
  e ENUM('x', 'y'), st SET('p', 'q', 'r'), j JSON, b BIT(5), vb VARBINARY(9), bi BIGINT UNSIGNED,
  y YEAR, u VARCHAR(30) CHARACTER SET utf8mb4, l LONGTEXT, g INT GENERATED ALWAYS AS (id * 2)
) ENGINE=InnoDB;
SET time_zone = '+00:00', NAMES utf8mb4;
INSERT INTO kinds (id, d, f, da, ti, dt, ts, e, st, j, b, vb, bi, y, u, l) VALUES
  (1, 1.25, 0.1, '2020-02-29', '-12:34:56.789', '2001-02-03 04:05:06.000007',
   '2015-06-07 08:09:10', 'x', 'p,r', '{"k": [1, 2]}', b'10101', x'00ff41', 18446744073709551615,
   1999, CONCAT('h', CHAR(0xc3a9 USING utf8mb4)), REPEAT('long ', 100)),
  (2, -3e100, NULL, '1000-01-01', '838:59:59', '9999-12-31 23:59:59', NULL, 'y', '', 'null',
   b'0', '', 0, 2155, CHAR(0xf09f9ab2 USING utf8mb4), ''),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE VIEW va AS SELECT id, n FROM ta WHERE n > 1;

-- reset ta
DELETE FROM ta;
INSERT INTO ta VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, NULL, NULL), (5, 10, 'e');
ALTER TABLE ta AUTO_INCREMENT = 8;

-- reset tb
DELETE FROM tb;
INSERT INTO tb VALUES (1, 1, 1.25, 'one'), (2, 2, NULL, NULL), (3, 10, -9.5, ''), (4, 7, 0, 'four');

-- reset heap
DELETE FROM heap;
INSERT INTO heap VALUES (1, 1), (2, 2);

-- reset sq
CREATE OR REPLACE SEQUENCE sq START WITH 1 NOCACHE;

-- reset made
DROP VIEW IF EXISTS cv;
DROP TABLE IF EXISTS ca, cb;
DROP PROCEDURE IF EXISTS cp;

-- routines
CREATE PROCEDURE p_read(x INT) SELECT id, s FROM ta WHERE id <= x ORDER BY id;
CREATE PROCEDURE p_two() BEGIN SELECT 1 AS one; SELECT n FROM ta WHERE id = 1; END;
CREATE PROCEDURE p_write(x INT) UPDATE tb SET a = x WHERE id = 1;
CREATE PROCEDURE p_fail(x INT) BEGIN
  UPDATE tb SET a = x WHERE id = 2; SELECT x; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END;
CREATE PROCEDURE p_out(x INT, OUT y INT) SET y = x * 2;
CREATE PROCEDURE p_variable(x INT) SET @made = x;
CREATE PROCEDURE p_transaction(x INT) BEGIN
  START TRANSACTION; UPDATE tb SET a = x WHERE id = 3; COMMIT; END;
CREATE PROCEDURE p_open() BEGIN START TRANSACTION; UPDATE tb SET a = 5 WHERE id = 4; END;
CREATE PROCEDURE p_settings() SET time_zone = '+09:00';
CREATE PROCEDURE p_temporary() BEGIN
  CREATE TEMPORARY TABLE IF NOT EXISTS tmp_made (id INT); INSERT INTO tmp_made VALUES (1); END;
CREATE FUNCTION f_pure(x INT) RETURNS INT DETERMINISTIC NO SQL RETURN x + 1;
CREATE FUNCTION f_read() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM ta);
CREATE FUNCTION f_write(x INT) RETURNS INT MODIFIES SQL DATA BEGIN
  UPDATE tb SET a = x WHERE id = 2; RETURN x; END;
CREATE FUNCTION f_variable(x INT) RETURNS INT NO SQL BEGIN SET @made = x; RETURN x; END;
CREATE FUNCTION f_fail(x INT) RETURNS INT NO SQL BEGIN
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; RETURN x; END;
