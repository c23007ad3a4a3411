//! The `castoff` program.

fn main() -> std::process::ExitCode {
    castoff::cli::run()
}
