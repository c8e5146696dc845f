//! placeholder
use super::buffer::Buffer;
use std::io;
#[derive(Debug)]
pub struct Compression {
    raw: Buffer,
    out: Vec<u8>,
}
impl Compression {
    pub fn raw_input(&mut self) -> &mut Buffer {
        &mut self.raw
    }
    pub fn decode_into(&mut self, _b: &mut Buffer) -> io::Result<()> {
        Ok(())
    }
    pub fn encode(&mut self, _b: &[u8]) -> io::Result<&[u8]> {
        Ok(&self.out)
    }
    pub fn reset_sequence(&mut self) {}
}
