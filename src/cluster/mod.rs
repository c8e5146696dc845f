//! cluster.
pub mod errant;
pub mod gtid_mariadb;
pub mod gtid_mysql;
pub mod health;
pub mod lag;
pub mod member;
pub mod position;
pub mod probe;
pub mod tracker;
pub mod view;
