//! The binary: see `countersign_cli`.

fn main() -> std::process::ExitCode {
    countersign_cli::main()
}
