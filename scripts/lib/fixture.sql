-- What every test server holds before it starts: accounts, a shop, and a schema that
-- only one of the accounts may see. Passwords are NAME_password.

CREATE USER monitor@'%' IDENTIFIED BY 'monitor_password';

CREATE USER repl@'%' IDENTIFIED BY 'repl_password';
GRANT REPLICATION SLAVE ON *.* TO repl@'%';

CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE other CHARACTER SET utf8mb4;

CREATE USER app@'%' IDENTIFIED BY 'app_password';
GRANT ALL ON shop.* TO app@'%';

-- May do the same as app, and in schema other besides.
CREATE USER other@'%' IDENTIFIED BY 'other_password';
GRANT ALL ON shop.* TO other@'%';
GRANT ALL ON other.* TO other@'%';

-- An account without a password.
CREATE USER nopass@'%';
GRANT ALL ON shop.* TO nopass@'%';

-- Logs in over TLS only.
CREATE USER tls@'%' IDENTIFIED BY 'tls_password' REQUIRE SSL;
GRANT ALL ON shop.* TO tls@'%';

-- Is refused although the password is right.
CREATE USER locked@'%' IDENTIFIED BY 'locked_password' ACCOUNT LOCK;
GRANT ALL ON shop.* TO locked@'%';

-- For tests that create and drop accounts through a TCP connection.
CREATE USER admin@'%' IDENTIFIED BY 'admin_password';
GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;

USE shop;

CREATE TABLE items (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  stock INT NOT NULL,
  UNIQUE KEY (name)
);
INSERT INTO items (name, price, stock)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
  SELECT CONCAT('item ', i), i * 1.25, 1000 FROM n;

CREATE TABLE orders (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  item_id INT NOT NULL,
  quantity INT NOT NULL,
  note TEXT NULL,
  ordered_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  KEY (item_id)
);

USE other;
CREATE TABLE secrets (id INT NOT NULL PRIMARY KEY, word VARCHAR(50) NOT NULL);
INSERT INTO secrets VALUES (1, 'sesame');
