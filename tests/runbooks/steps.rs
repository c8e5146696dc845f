//! The steps of a runbook, read from the document.

/// Where a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `$`: a shell on lagwise's host.
    Shell,
    /// `10.0.0.N$`: a shell on that server's host.
    Host(usize),
    /// `10.0.0.N>`: a client of that server.
    Server(usize),
    /// `mysql>`: a client of lagwise.
    Application,
    /// `console>`: a client of its console.
    Console,
}

/// One command, and what is shown of its answer.
#[derive(Debug)]
pub struct Step {
    pub place: Place,
    pub command: String,
    pub shown: Vec<String>,
}

impl Step {
    fn parse(line: &str) -> Option<Self> {
        let (prompt, command) = line.split_once(' ')?;
        let place = match prompt {
            "$" => Place::Shell,
            "mysql>" => Place::Application,
            "console>" => Place::Console,
            _ => {
                let server = prompt.strip_prefix("10.0.0.")?;
                let number =
                    |mark| server.strip_suffix(mark)?.parse::<usize>().ok()?.checked_sub(1);
                match (number('$'), number('>')) {
                    (Some(server), _) => Place::Host(server),
                    (None, Some(server)) => Place::Server(server),
                    (None, None) => return None,
                }
            }
        };
        Some(Self { place, command: command.to_owned(), shown: Vec::new() })
    }

    /// It changes nothing, so that it may be asked again.
    pub fn only_looks(&self) -> bool {
        ["SHOW ", "EXPLAIN ", "lagwise status", "lagwise check"]
            .iter()
            .any(|begin| self.command.starts_with(begin))
    }
}

/// The sections of the document with their steps.
pub fn sections(document: &str) -> Vec<(String, Vec<Step>)> {
    let sections = document.split("\n## ").skip(1).map(|section| {
        let name = section.lines().next().unwrap().to_owned();
        let mut steps: Vec<Step> = Vec::new();
        for block in
            section.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap())
        {
            for line in block.lines() {
                match Step::parse(line) {
                    Some(step) => steps.push(step),
                    None => steps.last_mut().expect("a prompt").shown.push(line.to_owned()),
                }
            }
        }
        (name, steps)
    });
    sections.collect()
}

/// Whether each line that is shown is in the answer, in order.
pub fn matches(shown: &[String], answer: &str) -> bool {
    let mut lines = answer.lines().map(plain);
    let shown = shown.iter().filter(|line| *line != "...");
    shown.map(|line| plain(line)).all(|shown| lines.any(|line| line == shown))
}

/// A line without what may differ: numbers, and how wide columns are. Names of servers are kept.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| match word.contains("10.0.0.") {
        true => word.to_owned(),
        false => {
            let mut plain = String::new();
            for c in word.chars() {
                let c = if c.is_ascii_digit() { '#' } else { c };
                if !(plain.ends_with(c) && "#-*".contains(c)) {
                    plain.push(c);
                }
            }
            // 0.4 and 12 are numbers alike.
            plain.replace("#.#", "#")
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_may_differ() {
    let answer = "+---+\n| 10.0.0.2:3306 |   12.5 | up |\nmore\n";
    for (shown, want) in [
        ("| 10.0.0.2:3306 | 7 | up |", true),
        ("| 10.0.0.3:3306 | 7 | up |", false),
        ("| 10.0.0.2:3306 | 7 | down |", false),
        ("+-------+", true),
        ("less", false),
    ] {
        assert_eq!(matches(&[shown.to_owned()], answer), want, "{shown}");
    }
    assert!(!matches(&["more".to_owned(), "+-+".to_owned()], answer), "the order counts");
    assert!(matches(&[], ""));
}
