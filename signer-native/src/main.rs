//! The binary: everything is in the library.

/// A request makes hundreds of small pieces on one thread that another one frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    edgeseal_signer::cli::main()
}
