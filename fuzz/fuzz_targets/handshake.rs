//! Greetings, handshake responses and COM_CHANGE_USER: any bytes are survived, and what is
//! understood is understood again once lagwise has written it.
#![no_main]

use lagwise::protocol::Capabilities;
use lagwise::protocol::handshake::{ChangeUser, Greeting, HandshakeResponse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(greeting) = Greeting::parse(data)
        && greeting.capabilities.contains(Capabilities::SECURE_CONNECTION)
        && greeting.nonce.len() < 255
        && !greeting.nonce.contains(&0)
        && greeting.auth_plugin.iter().all(|byte| *byte != 0)
    {
        let mut bytes = Vec::new();
        greeting.write(&mut bytes);
        assert_eq!(Greeting::parse(&bytes), Ok(greeting));
    }
    if let Ok(response) = HandshakeResponse::parse(data) {
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        let again = HandshakeResponse::parse(&bytes);
        let again = again.expect("what lagwise writes it can read");
        assert_eq!(again.capabilities, response.capabilities);
        assert_eq!((&again.user, again.charset), (&response.user, response.charset));
        assert_eq!(again.schema, response.schema);
        assert_eq!(again.auth_plugin.unwrap_or_default(), response.auth_plugin.unwrap_or_default());
        assert_eq!(again.attributes.unwrap_or_default(), response.attributes.unwrap_or_default());
        assert_eq!(again.auth_data, response.auth_data);
    }
    let _ = HandshakeResponse::is_ssl_request(data);
    for capabilities in [Capabilities::empty(), Capabilities::all()] {
        let _ = ChangeUser::parse(data, capabilities);
    }
});
