//! The binary: everything is in the library.

fn main() -> std::process::ExitCode {
    edgeseal_signer::cli::main()
}
