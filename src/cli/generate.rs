//! `lagwise completions` and `lagwise man`: what packages install beside the program, made from the
//! description of the command line itself, so that it cannot say anything else.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Cli;
use super::{FAILURE, USAGE, complain, print};

/// Prints what a shell reads to complete the command line.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lagwise", &mut script);
    print(&script);
    ExitCode::SUCCESS
}

/// Prints the manual page of the program, or of one of its commands, in roff.
pub(super) fn man(name: Option<&str>) -> ExitCode {
    // Every command that a page names has a page of its own; `help` needs none.
    let mut program = Cli::command().disable_help_subcommand(true);
    // Tells the commands what they have from the program: how they are called, and their page.
    program.build();
    let command = match name {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let names: Vec<_> =
                    program.get_subcommands().map(clap::Command::get_name).collect();
                complain(&format!("lagwise: there is no command {name:?}: {}", names.join(", ")));
                return ExitCode::from(USAGE);
            }
        },
    };
    let mut page = Vec::new();
    let source = format!("lagwise {}", lagwise::VERSION);
    match Man::new(command).source(source).render(&mut page) {
        Ok(()) => {
            print(&page);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}
