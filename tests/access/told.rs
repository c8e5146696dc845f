//! PROXY headers to servers: accounts of a host mean the client's.

use std::io::Write;

use lagwise::protocol::proxy_header;

use crate::from;
use crate::raw::{Client, Fail, Login};
use crate::support::{Lab, Make, Proxy};

const ONE: &str = "192.0.2.1";
const TWO: &str = "192.0.2.2";

/// The same user and password from two hosts, and from lagwise's own, with different grants.
const ACCOUNTS: &str = "CREATE USER host@'192.0.2.1' IDENTIFIED BY 'host_password'; \
    GRANT SELECT ON shop.* TO host@'192.0.2.1'; \
    CREATE USER host@'192.0.2.2' IDENTIFIED BY 'host_password'; \
    GRANT SELECT ON other.* TO host@'192.0.2.2'; \
    CREATE USER host@'127.0.0.1' IDENTIFIED BY 'host_password'; \
    CREATE USER host@'192.0.2.3' IDENTIFIED BY 'another_password'";

fn config(lab: &Lab, more: &str, proxy_protocol: bool) -> String {
    let server = |index: usize| {
        let address = lab.address(index);
        format!("[[server]]\naddress = \"{address}\"\nproxy_protocol = {proxy_protocol}\n{more}\n")
    };
    format!("[access]\nproxy_protocol_networks = \"127.0.0.3\"\n{}{}", server(0), server(1))
}

/// A login of a client that a trusted load balancer says is there.
fn login(proxy: &Proxy, client: &str) -> Result<Client, Fail> {
    let mut stream = from(3, proxy.port());
    let client = (client.parse::<std::net::IpAddr>().unwrap(), 5000).into();
    stream.write_all(&proxy_header::write(client, ([10, 0, 0, 1], 3306).into())).unwrap();
    Client::login(Box::new(stream), Login { schema: None, ..Login::of("host", "host_password") })
}

fn value(client: &mut Client, sql: &str) -> Result<String, u16> {
    let rows = client.query(sql).map_err(|fail| fail.code())?;
    Ok(rows[0][0].clone().unwrap_or_default())
}

#[test]
fn accounts_of_a_host_mean_the_clients_host() {
    let lab = Lab::start_with(Make::MariaDb, 1, &["proxy-protocol-networks=*"]);
    lab.sql(0, ACCOUNTS);
    lab.wait_caught_up();
    for more in ["", "max_connections = 2"] {
        // With few places, connections would be handed on from one account to another.
        let proxy = Proxy::start(&lab, &config(&lab, more, true));
        for _ in 0..5 {
            for (client, own, other) in
                [(ONE, "shop.items", "other.secrets"), (TWO, "other.secrets", "shop.items")]
            {
                let mut session =
                    login(&proxy, client).unwrap_or_else(|fail| panic!("{client}: {fail}"));
                let account = value(&mut session, "SELECT CURRENT_USER()");
                assert_eq!(account, Ok(format!("host@{client}")), "{more}");
                // On a replica, on the primary, prepared, and by what is answered from memory.
                for lock in ["", " FOR UPDATE"] {
                    let count = |table: &str| format!("SELECT COUNT(*) FROM {table}{lock}");
                    if lock.is_empty() {
                        assert!(value(&mut session, &count(own)).is_ok(), "{client} {own}");
                    }
                    assert_eq!(value(&mut session, &count(other)), Err(1142), "{client} {other}");
                }
                assert!(session.execute(&format!("SELECT 1 FROM {own} WHERE 1 = 0")).is_ok());
                let refused = session.execute(&format!("SELECT 1 FROM {other} WHERE 1 = 0"));
                assert_eq!(refused.err().unwrap().code(), 1142, "{client}");
                let schema = |table: &str| format!("USE {}", table.split('.').next().unwrap());
                assert!(session.query(&schema(own)).is_ok(), "{client}");
                assert_eq!(session.query(&schema(other)).err().unwrap().code(), 1044, "{client}");
            }
            // What is right from one host is wrong from another, however lately it was proven.
            for (client, code) in [("192.0.2.3", 1045), ("192.0.2.4", 1045), ("2001:db8::1", 1045)]
            {
                assert_eq!(login(&proxy, client).err().unwrap().code(), code, "{client}");
            }
        }
        // Who comes without a load balancer is where the peer is; lagwise's monitor, too.
        let direct = Login { schema: None, ..Login::of("host", "host_password") };
        let mut session = Client::connect(proxy.port(), direct).unwrap();
        assert_eq!(value(&mut session, "SELECT CURRENT_USER()"), Ok("host@127.0.0.1".to_owned()));
    }
    // Without the key, all have lagwise's address.
    let proxy = Proxy::start(&lab, &config(&lab, "", false));
    for client in [ONE, TWO, "192.0.2.3"] {
        let mut session = login(&proxy, client).unwrap();
        assert_eq!(value(&mut session, "SELECT CURRENT_USER()"), Ok("host@127.0.0.1".to_owned()));
    }
}
