//! AuthSwitchRequest and AuthMoreData, as a server sends them.
//!
//! MySQL Internals, "Protocol::AuthSwitchRequest", "Protocol::AuthMoreData".

use super::writer;

/// First byte of an AuthSwitchRequest.
pub const AUTH_SWITCH: u8 = 0xfe;
/// First byte of an AuthMoreData packet.
pub const AUTH_MORE_DATA: u8 = 0x01;

/// Appends the payload of a request to answer `nonce` by the named plugin.
pub fn write_switch(out: &mut Vec<u8>, plugin: &[u8], nonce: &[u8]) {
    out.push(AUTH_SWITCH); // int<1>
    writer::nul_bytes(out, plugin); // string<NUL> plugin name
    writer::nul_bytes(out, nonce); // string<EOF> plugin data, which servers end with a NUL
}
