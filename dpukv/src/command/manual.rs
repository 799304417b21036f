//! `dpukv manual`: writes manual pages and completions of all programs, for whoever packages them.
//!
//! Both come from the definitions of the command lines, so that neither can be behind them. Below the directory they lie
//! as below `/usr/share`:
//!
//! ```text
//! man/man1/dpukv.1, dpukv-get.1 …           a page for the command and for each of its commands
//! man/man1/dpukv-host.1, dpukv-dpu.1
//! bash-completion/completions/dpukv         and so on, for each program
//! fish/vendor_completions.d/dpukv.fish
//! zsh/vendor-completions/_dpukv
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// What `manual` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    // Not `directory`: clap knows arguments by the names of their fields, and every command takes --directory.
    /// Where to write them; made if it is not there
    #[arg(value_name = "DIRECTORY")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    write_below(&args.out).map_err(|source| Failure::File { path: args.out.clone(), source }).map(|()| Exit::Done)
}

/// Directories of pages and completions, by who reads them.
const PAGES: &str = "man/man1";
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
    (Shell::Zsh, "zsh/vendor-completions"),
];

fn write_below(directory: &Path) -> io::Result<()> {
    for program in programs() {
        let pages = directory.join(PAGES);
        fs::create_dir_all(&pages)?;
        clap_mangen::generate_to(program.clone(), &pages)?;
        for (shell, place) in COMPLETIONS {
            write_completion(&program, shell, &directory.join(place))?;
        }
    }
    Ok(())
}

fn write_completion(program: &clap::Command, shell: Shell, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let name = program.get_name();
    let written = clap_complete::generate_to(shell, &mut program.clone(), name, directory)?;
    // Bash looks for a file that bears the program's bare name.
    if shell == Shell::Bash {
        fs::rename(written, directory.join(name))?;
    }
    Ok(())
}

fn programs() -> [clap::Command; 3] {
    [
        Cli::command(),
        shell_io::program::command(shell_host::NAME, shell_host::ABOUT),
        shell_io::program::command(shell_dpu::NAME, shell_dpu::ABOUT),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn its_argument_is_none_of_those_that_every_command_takes() {
        let cli = Cli::try_parse_from(["dpukv", "manual", "share"]);
        assert!(cli.is_ok(), "{cli:?}");
    }

    #[test]
    fn each_program_has_a_page_and_a_completion_for_each_shell() {
        let directory = tempfile::tempdir().expect("a directory");
        write_below(directory.path()).expect("pages and completions");
        for name in ["dpukv", "dpukv-host", "dpukv-dpu"] {
            for file in [
                format!("man/man1/{name}.1"),
                format!("bash-completion/completions/{name}"),
                format!("fish/vendor_completions.d/{name}.fish"),
                format!("zsh/vendor-completions/_{name}"),
            ] {
                let text = fs::read_to_string(directory.path().join(&file)).expect("a file of text");
                assert!(text.contains(name), "{file}");
            }
        }
    }

    #[test]
    fn the_hosts_page_is_the_programs_and_not_the_hidden_commands() {
        let directory = tempfile::tempdir().expect("a directory");
        write_below(directory.path()).expect("pages and completions");
        let page = fs::read_to_string(directory.path().join("man/man1/dpukv-host.1")).expect("a page");
        assert!(page.contains("check"), "{page}");
    }
}
