//! What is sent: steps that mean the same on any connection.

use super::{Answer, Client, Expect, caps};

/// One step of a script. Statements are named by the order of their PREPARE, from 0.
#[derive(Clone, Debug)]
pub enum Step {
    /// COM_QUERY
    Query(Vec<u8>),
    /// COM_QUERY that makes the server ask for files.
    Files(Vec<u8>, Vec<Vec<u8>>),
    /// COM_STMT_PREPARE
    Prepare(Vec<u8>),
    /// COM_STMT_PREPARE of a statement with this number, whatever was prepared before.
    PrepareAs(usize, Vec<u8>),
    /// COM_STMT_EXECUTE
    Execute { statement: usize, flags: u8, params: Vec<Param>, types: bool },
    /// COM_STMT_SEND_LONG_DATA
    LongData { statement: usize, param: u16, data: Vec<u8> },
    /// Any command with a statement's id after the command byte, and what follows that.
    OnStatement { command: u8, statement: usize, rest: Vec<u8>, expect: Expect },
    /// Any payload.
    Raw(Vec<u8>, Expect),
    /// Several in one write.
    Pipeline(Vec<Step>),
}

/// A parameter of an execution.
#[derive(Clone, Debug)]
pub struct Param {
    /// Column type, and 0x80 in the second byte for unsigned.
    pub kind: [u8; 2],
    /// The value in the binary protocol; `None` for NULL.
    pub value: Option<Vec<u8>>,
    /// The value was sent as long data.
    pub is_long: bool,
}

impl Param {
    pub fn int(value: i64) -> Self {
        Self { kind: [8, 0], value: Some(value.to_le_bytes().to_vec()), is_long: false }
    }

    pub fn text(value: &str) -> Self {
        assert!(value.len() < 251);
        let bytes = [&[value.len() as u8], value.as_bytes()].concat();
        Self { kind: [0xfd, 0], value: Some(bytes), is_long: false }
    }

    pub fn double(value: f64) -> Self {
        Self { kind: [5, 0], value: Some(value.to_le_bytes().to_vec()), is_long: false }
    }

    pub fn null() -> Self {
        Self { kind: [6, 0], value: None, is_long: false }
    }

    /// A blob whose value was sent by [`Step::LongData`].
    pub fn long() -> Self {
        Self { kind: [0xfc, 0], value: None, is_long: true }
    }
}

impl Step {
    pub fn query(sql: impl Into<Vec<u8>>) -> Self {
        Self::Query(sql.into())
    }

    pub fn prepare(sql: &str) -> Self {
        Self::Prepare(sql.into())
    }

    /// An execution that carries the types of its parameters.
    pub fn execute(statement: usize, params: impl Into<Vec<Param>>) -> Self {
        Self::Execute { statement, flags: 0, params: params.into(), types: true }
    }

    /// An execution that says "types as before".
    pub fn execute_again(statement: usize, params: impl Into<Vec<Param>>) -> Self {
        Self::Execute { statement, flags: 0, params: params.into(), types: false }
    }

    /// An execution with a read-only cursor.
    pub fn open_cursor(statement: usize, params: impl Into<Vec<Param>>) -> Self {
        Self::Execute { statement, flags: 1, params: params.into(), types: true }
    }

    pub fn fetch(statement: usize, rows: u32) -> Self {
        let rest = rows.to_le_bytes().to_vec();
        Self::OnStatement { command: 0x1c, statement, rest, expect: Expect::Rows }
    }

    pub fn reset(statement: usize) -> Self {
        let expect = Expect::Results;
        Self::OnStatement { command: 0x1a, statement, rest: Vec::new(), expect }
    }

    pub fn close(statement: usize) -> Self {
        let expect = Expect::Nothing;
        Self::OnStatement { command: 0x19, statement, rest: Vec::new(), expect }
    }

    /// A command byte and what follows it.
    pub fn raw(command: u8, rest: &[u8], expect: Expect) -> Self {
        Self::Raw([&[command], rest].concat(), expect)
    }

    /// For people: what this step is.
    pub fn label(&self) -> String {
        let text = |bytes: &[u8]| {
            let shown: String = String::from_utf8_lossy(bytes).chars().take(120).collect();
            format!("{shown:?}{}", if bytes.len() > 120 { "…" } else { "" })
        };
        match self {
            Self::Query(sql) => format!("query {}", text(sql)),
            Self::Files(sql, _) => format!("query with file {}", text(sql)),
            Self::Prepare(sql) => format!("prepare {}", text(sql)),
            Self::PrepareAs(number, sql) => format!("prepare {number} {}", text(sql)),
            Self::Execute { statement, flags, types, .. } => {
                format!("execute {statement}, flags {flags}, types {types}")
            }
            Self::LongData { statement, data, .. } => {
                format!("long data for {statement}, {} bytes", data.len())
            }
            Self::OnStatement { command, statement, .. } => {
                format!("command {command:#04x} on {statement}")
            }
            Self::Raw(payload, _) => format!("payload {}", text(payload)),
            Self::Pipeline(steps) => {
                let labels: Vec<String> = steps.iter().map(Step::label).collect();
                format!("pipeline [{}]", labels.join("; "))
            }
        }
    }

    fn payload(&self, client: &Client) -> Vec<u8> {
        let id = |index: usize| {
            client.statements.get(index).copied().unwrap_or(super::NO_STATEMENT).to_le_bytes()
        };
        match self {
            Self::Query(sql) | Self::Files(sql, _) => client.query_payload(sql),
            Self::Prepare(sql) | Self::PrepareAs(_, sql) => [&[0x16], &sql[..]].concat(),
            Self::Execute { statement, flags, params, types } => {
                execute_payload(client, id(*statement), *flags, params, *types)
            }
            Self::LongData { statement, param, data } => {
                [&[0x18][..], &id(*statement), &param.to_le_bytes(), data].concat()
            }
            Self::OnStatement { command, statement, rest, .. } => {
                [&[*command][..], &id(*statement), rest].concat()
            }
            Self::Raw(payload, _) => payload.clone(),
            Self::Pipeline(_) => unreachable!("a pipeline in a pipeline"),
        }
    }

    fn expect(&self) -> Expect {
        match self {
            Self::Prepare(_) => Expect::Prepare,
            Self::PrepareAs(number, _) => Expect::PrepareAs(*number),
            Self::LongData { .. } => Expect::Nothing,
            Self::OnStatement { expect, .. } | Self::Raw(_, expect) => *expect,
            _ => Expect::Results,
        }
    }
}

fn execute_payload(
    client: &Client,
    id: [u8; 4],
    flags: u8,
    params: &[Param],
    types: bool,
) -> Vec<u8> {
    let attributes = client.has(caps::QUERY_ATTRIBUTES);
    let flags = if attributes { flags | 8 } else { flags };
    let mut out = [&[0x17][..], &id, &[flags, 1, 0, 0, 0]].concat();
    if attributes {
        out.push(params.len() as u8);
    }
    if params.is_empty() {
        return out;
    }
    let mut nulls = vec![0; params.len().div_ceil(8)];
    for (index, param) in params.iter().enumerate() {
        if param.value.is_none() && !param.is_long {
            nulls[index / 8] |= 1 << (index % 8);
        }
    }
    out.extend(nulls);
    out.push(u8::from(types));
    if types {
        for param in params {
            out.extend(param.kind);
            if attributes {
                out.push(0); // an empty name
            }
        }
    }
    for param in params {
        out.extend(param.value.as_deref().unwrap_or_default());
    }
    out
}

impl Client {
    /// Plays one step.
    pub fn play(&mut self, step: &Step) -> Vec<Answer> {
        if let Step::Pipeline(steps) = step {
            return self.play_pipeline(steps);
        }
        let payload = step.payload(self);
        let files: Vec<&[u8]> = match step {
            Step::Files(_, files) => files.iter().map(|file| &file[..]).collect(),
            _ => Vec::new(),
        };
        vec![self.ask(&payload, step.expect(), &files)]
    }

    fn play_pipeline(&mut self, steps: &[Step]) -> Vec<Answer> {
        let mut bytes = Vec::new();
        for step in steps {
            bytes.extend(super::frames(&step.payload(self), &mut 0));
        }
        let sent = self.send_raw(&bytes);
        steps
            .iter()
            .map(|step| {
                self.seq = 1;
                let mut answer = Answer::default();
                let read = match &sent {
                    Ok(()) => self.read_answer(step.expect(), &[], &mut answer),
                    Err(error) => Err(error.kind().into()),
                };
                answer.broken = read.err().map(|error| super::broken(&error));
                answer
            })
            .collect()
    }
}
