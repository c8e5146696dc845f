-- What the tools find in schema shop besides the fixture: one of each kind that they dump.

CREATE TABLE kinds (
  id INT UNSIGNED NOT NULL PRIMARY KEY, at DATETIME(6) NULL, bits BIT(5), bytes VARBINARY(20), big LONGTEXT,
  choice ENUM('a', 'it''s'), doc JSON, n DECIMAL(20, 5), total INT GENERATED ALWAYS AS (id + 1) STORED,
  KEY (choice, n)) COMMENT = 'it''s; all kinds';

INSERT INTO kinds (id, at, bits, bytes, big, choice, doc, n) VALUES
  (1, '2026-01-02 03:04:05.678901', b'10101', x'00ff275c0a1a', REPEAT('long ', 5000), 'it''s', '{"a": 1}', -1.5),
  (2, NULL, NULL, NULL, '', 'a', NULL, NULL);

CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 10;

DELIMITER //
CREATE PROCEDURE restock(IN amount INT) BEGIN UPDATE items SET stock = stock + amount; SELECT 'done'; END//
DELIMITER ;

CREATE FUNCTION taxed(price DECIMAL(10, 2)) RETURNS DECIMAL(10, 2) DETERMINISTIC NO SQL RETURN price * 1.19;

CREATE TRIGGER before_kind BEFORE INSERT ON kinds FOR EACH ROW SET NEW.n = COALESCE(NEW.n, 0);

CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM orders;

INSERT INTO orders (item_id, quantity, note, ordered_at) VALUES
  (1, 2, 'it''s /* a */ -- b', '2026-01-01 00:00:00'), (2, 3, NULL, '2026-01-02 00:00:00');
