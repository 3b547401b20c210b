//! The same binary, built with the stories.

fn main() -> std::process::ExitCode {
    countersign_cli::main()
}
