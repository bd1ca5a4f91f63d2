//! Requests that end the WebAssembly's instance, for the test of what follows. Only in the build of that test.
#![expect(clippy::panic, reason = "this is what it is for")]

use std::time::Duration;

use edgeseal_core::gateway::RequestHead;
use worker::Delay;

/// Octets of one bite of memory.
const BITE: usize = 16 * 1024 * 1024;

/// Does what the request asks for.
pub(super) async fn happen(head: &RequestHead<'_>) {
    match head.header("x-fault").as_deref() {
        Some("panic") => panic!("as asked for"),
        Some("panic-later") => {
            Delay::from(Duration::from_millis(50)).await;
            panic!("as asked for, later");
        }
        Some("memory") => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(Vec::with_capacity(BITE));
            }
        }
        Some("stack") => {
            Box::pin(deeper(1)).await;
        }
        _ => {}
    }
}

/// Never ends, but with the stack.
async fn deeper(depth: u64) -> u64 {
    let below = Box::pin(deeper(depth + 1)).await;
    below.wrapping_add(depth)
}
