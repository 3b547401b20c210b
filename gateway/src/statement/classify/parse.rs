//! Runs the parser, and whatever reads its tree, on a stack that is large enough.
//!
//! The parser's C side measures the stack that is left on its thread and stops in time, at some
//! thousand levels. The decoder, the visitor and the drop of the tree are Rust, recurse as deep,
//! and must be given room for it: a text that is small enough runs where it is, any other on a
//! thread of its own with a stack for the deepest tree that the C side lets through.

use pg_query::protobuf::ParseResult;

use super::{Doubt, limits};

/// What one level of the tree may cost the decoder and the visitor together; measured at 25 KiB
/// without optimisation.
const STACK_PER_LEVEL: usize = 40 << 10;
/// What must be left beside it, for the parser's own bounds (512 KiB and 100 KiB).
const STACK_RESERVED: usize = 800 << 10;
/// Stack for a text of any depth: 2 MiB of C frames are at most some 1,500 levels.
const STACK_FOR_ANY: usize = 192 << 20;
/// Levels that every tree has above and below what its text nests.
const LEVELS_ALWAYS: usize = 6;

/// Parses `sql` and gives the tree to `read`; the tree is gone when this returns.
pub fn with_tree<R: Send>(sql: &str, read: impl FnOnce(Result<ParseResult, Doubt>) -> R + Send) -> R {
    let tokens = match limits::measure(sql) {
        Ok(tokens) => tokens,
        Err(what) => return read(Err(Doubt::TooLarge { what })),
    };
    let needed = (tokens + LEVELS_ALWAYS).saturating_mul(STACK_PER_LEVEL).saturating_add(STACK_RESERVED);
    if stacker::remaining_stack().is_some_and(|left| left > needed) {
        return read(parse(sql));
    }
    // Kept out here, because a closure is lost with a thread that can't be started.
    let mut read = Some(read);
    let outcome = std::thread::scope(|scope| {
        let read = &mut read;
        std::thread::Builder::new()
            .name("classify".to_owned())
            .stack_size(STACK_FOR_ANY)
            .spawn_scoped(scope, move || read.take().map(|read| read(parse(sql))))
            .map(std::thread::ScopedJoinHandle::join)
    });
    match (outcome, read) {
        (Ok(Ok(Some(outcome))), _) => outcome,
        (Ok(Err(panic)), _) => std::panic::resume_unwind(panic),
        (_, Some(read)) => read(Err(Doubt::TooLarge { what: "no thread could be started to parse it".to_owned() })),
        (_, None) => unreachable!("a thread that started has read, and one that has not left `read` here"),
    }
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
