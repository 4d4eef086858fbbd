//! Arguments to the command line's parts; their result to an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    vouch::cli::main()
}
