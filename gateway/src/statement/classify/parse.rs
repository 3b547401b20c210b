//! Runs the parser, and whatever reads its tree, on a stack that is large enough.
//!
//! The parser's C side measures the stack that is left on its thread and stops in time, at some
//! thousand levels. The decoder, the visitor and the drop of the tree are Rust, recurse as deep,
//! and must be given room for it: a text that is small enough runs where it is, any other on one of a
//! few threads with a stack for the deepest tree that the C side lets through.
//!
//! These threads stay. The C side takes one of the process's 1,024 keys of thread-local storage on each thread
//! that it meets, for good; and once they are gone, whatever needs one on a new thread ends the process. So
//! nothing may parse on threads that come and go.

use std::{panic::AssertUnwindSafe, sync::LazyLock};

use pg_query::protobuf::ParseResult;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use super::{Doubt, limits};

/// What one level of the tree may cost the decoder and the visitor together; measured at 25 KiB
/// without optimisation.
const STACK_PER_LEVEL: usize = 40 << 10;
/// What must be left beside it, for the parser's own bounds (512 KiB and 100 KiB).
const STACK_RESERVED: usize = 800 << 10;
/// 2 MiB of C frames are at most some 1,500 levels.
const LEVELS_MOST: usize = 1_600;
/// Stack for a text of any depth, and for others within it.
const STACK_FOR_ANY: usize = 256 << 20;
/// Levels that every tree has above and below what its text nests.
const LEVELS_ALWAYS: usize = 6;

/// Parses `sql` and gives the tree to `read`; the tree is gone when this returns.
pub fn with_tree<R: Send>(sql: &str, read: impl FnOnce(Result<ParseResult, Doubt>) -> R + Send) -> R {
    let tokens = match limits::measure(sql) {
        Ok(tokens) => tokens,
        Err(what) => return read(Err(Doubt::TooLarge { what })),
    };
    let needed = (tokens + LEVELS_ALWAYS).min(LEVELS_MOST) * STACK_PER_LEVEL + STACK_RESERVED;
    if stacker::remaining_stack().is_some_and(|left| left > needed) {
        return read(parse(sql));
    }
    match &*THREADS {
        Err(why) => read(Err(Doubt::TooLarge { what: format!("no thread could be started to parse it: {why}") })),
        // It is one of them already, and has not enough room left.
        Ok(threads) if threads.current_thread_index().is_some() => {
            read(Err(Doubt::TooLarge { what: "texts within texts nest too deeply".to_owned() }))
        }
        Ok(threads) => threads.install(|| read(parse(sql))),
    }
}

/// As many as there are cores.
static THREADS: LazyLock<Result<ThreadPool, String>> = LazyLock::new(|| {
    let threads = ThreadPoolBuilder::new().thread_name(|number| format!("classify-{number}")).stack_size(STACK_FOR_ANY);
    threads.build().map_err(|error| error.to_string())
});

/// Work on a text that takes its time, off the threads that carry sessions; nothing where no thread can do it.
pub async fn off_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let threads = THREADS.as_ref().ok()?;
    let (done, result) = oneshot::channel();
    // A panic of a job's would end the process.
    threads.spawn(move || drop(std::panic::catch_unwind(AssertUnwindSafe(work)).map(|result| done.send(result))));
    result.await.ok()
}

fn parse(sql: &str) -> Result<ParseResult, Doubt> {
    match pg_query::parse(sql, 0) {
        Ok(result) => Ok(result.protobuf),
        Err(pg_query::Error::Parse(message)) => {
            let too_deep = ["stack depth", "nested too deeply", "memory exhausted", "out of memory"];
            if too_deep.iter().any(|sign| message.contains(sign)) {
                Err(Doubt::TooLarge { what: format!("the text nests too deeply ({message})") })
            } else {
                Err(Doubt::Syntax { message, position: None })
            }
        }
        Err(other) => Err(Doubt::Syntax { message: other.to_string(), position: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_deep_texts_leaves_the_process_its_threads() {
        let deep = format!("SELECT {}1{}", "(".repeat(300), ")".repeat(300));
        for _ in 0..1100 {
            std::thread::scope(|scope| scope.spawn(|| with_tree(&deep, |tree| assert!(tree.is_ok()))).join().unwrap());
        }
        let random = std::thread::spawn(countersign_shared::ids::SessionId::random);
        random.join().expect("a new thread can still be given keys");
    }

    /// See `.cargo/config.toml`.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_parser_leaves_the_processs_stderr_alone() {
        let stderr = || std::fs::read_link("/proc/self/fd/2").expect("it is open");
        let before = stderr();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        with_tree("SELECT 1", |tree| assert!(tree.is_ok()));
                        assert_eq!(stderr(), before, "while another thread parses");
                    }
                });
            }
        });
        assert_eq!(stderr(), before, "after all have parsed");
    }
}
