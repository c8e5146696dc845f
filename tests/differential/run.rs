//! One script, direct and through lagwise, and what differs.

use crate::ground::{Plot, Pools};
use crate::script::{Action, Names, Replicas, Script};
use crate::support::Make;
use crate::support::wire::caps;
use crate::support::wire::{Answer, Client, Options, Packet, Transcript, differences};

/// What came of a script.
#[derive(Debug, Default)]
pub struct Outcome {
    pub differences: Vec<String>,
    /// Answers of the direct run, and how many of them were errors.
    pub answers: usize,
    pub errors: usize,
}

/// One worker's runs.
pub struct Runner<'a> {
    pub plot: Plot<'a>,
    worker: usize,
    runs: u32,
}

impl<'a> Runner<'a> {
    pub fn new(plot: Plot<'a>, worker: usize) -> Self {
        Self { plot, worker, runs: 0 }
    }

    /// Runs a script on both, from equal data each time, and puts the data back.
    pub fn run(&mut self, script: &Script) -> Outcome {
        let ground = self.plot.ground;
        let direct = self.one_run(script, ground.lab.port(0), false);
        if script.replicas != Replicas::Stopped {
            self.plot.wait_caught_up();
        }
        let proxied = self.one_run(script, ground.proxy.port(), true);
        let answers = direct.iter().flat_map(|(_, answers)| answers);
        Outcome {
            differences: differences(&direct, &proxied),
            answers: answers.clone().count(),
            errors: answers.filter(|answer| answer.error().is_some()).count(),
        }
    }

    fn one_run(&mut self, script: &Script, port: u16, proxied: bool) -> Transcript {
        self.runs += 1;
        self.plot.ground.note_running(self.worker, script, proxied);
        let run = format!("lock_{}_{:07}", self.worker, self.runs);
        let (schema, other) = (self.plot.schema.clone(), self.plot.other.clone());
        let names = Names { schema: &schema, other: &other, run: &run, xa: 0 };
        let mut options = script.options(&names);
        if self.plot.ground.pools != Pools::Ample {
            // All can use one another's connections.
            options.caps &= !caps::FOUND_ROWS;
            options.caps |= caps::SESSION_TRACK | caps::DEPRECATE_EOF | caps::MULTI_STATEMENTS;
            options.charset = 45;
        }
        let transcript = match options.login(port) {
            Err(packet) => {
                vec![("login".to_owned(), vec![proven(packet)])]
            }
            Ok(mut client) => self.play(&mut client, script, names, proxied),
        };
        self.plot.put_back(script, &run);
        transcript
    }

    /// Until the end, or until the connection ends.
    fn play(
        &mut self,
        client: &mut Client,
        script: &Script,
        mut names: Names<'_>,
        proxied: bool,
    ) -> Transcript {
        let login = proven(client.login_ok.clone());
        let mut transcript = vec![("login".to_owned(), vec![login])];
        let is_mariadb = self.plot.ground.lab.make == Make::MariaDb;
        let has_word = |text: &&[u8]| text.windows(10).any(|word| word == b"FOUND_ROWS");
        let asks = script.texts().iter().any(has_word);
        let select = |client: &mut Client| ("SELECT 1".to_owned(), vec![client.query("SELECT 1")]);
        if is_mariadb && asks {
            // Before the first SELECT, FOUND_ROWS() is there left over from another session.
            transcript.push(select(client));
        }
        for action in &script.actions {
            names.advance(action);
            let answers = match (action.step(&names), action) {
                (Some(step), _) => client.play(&step),
                (None, Action::ChangeUser { user, schema, charset }) => {
                    let mut options = Options::new(0).account(user);
                    let schema = String::from_utf8_lossy(&names.fill(schema)).into_owned();
                    options.schema = Some(schema);
                    options.charset = *charset;
                    vec![change_user(client, &options)]
                }
                (None, _) => {
                    if proxied && script.replicas == Replicas::Awaited {
                        self.plot.wait_noticed();
                    }
                    continue;
                }
            };
            let broken = answers.iter().any(|answer| answer.broken.is_some());
            transcript.push((action.to_string(), answers));
            if broken {
                break;
            }
            if asks && action.begins_anew() {
                // As it is after these, from before. lagwise would have to bring it from the replica's
                // connection each time that a pool resets one.
                transcript.push(select(client));
            }
        }
        transcript
    }
}

/// Only the last packet of a login counts: how many are needed to prove a password depends on the
/// plugin, and on what the server remembers of logins.
fn proven(mut last: Packet) -> Answer {
    last.seq = 0;
    Answer { packets: vec![last], broken: None }
}

fn change_user(client: &mut Client, options: &Options) -> Answer {
    match client.change_user(options) {
        Ok(last) => proven(last),
        Err(error) => Answer { packets: Vec::new(), broken: Some(error.to_string()) },
    }
}
