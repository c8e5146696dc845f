//! cluster.
pub mod gtid_mariadb;
pub mod gtid_mysql;
pub mod position;
