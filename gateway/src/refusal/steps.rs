//! What a client reads about texts that are asked for statement by statement.

use countersign_shared::ids::RequestId;

/// Why a statement is not asked for by itself, or does not run by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAStep {
    /// The text can't be asked for statement by statement.
    Whole {
        /// Why.
        why: String,
    },
    /// One of its statements can't be asked for by itself.
    Alone {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: String,
    },
    /// Another of its statements comes first, or all have come.
    Turn {
        /// Which request.
        request: RequestId,
        /// Which statement was sent, from 1.
        number: u32,
        /// Which comes next.
        due: Option<u32>,
    },
    /// It is not what was approved.
    Other {
        /// Which request.
        request: RequestId,
        /// Which statement, from 1.
        number: u32,
        /// What is different.
        why: String,
    },
    /// A COMMIT before all of its transaction has been sent.
    Half {
        /// Which request.
        request: RequestId,
        /// How many statements are still to come.
        left: usize,
    },
    /// The rest of the request does not run any more.
    Over {
        /// Which request.
        request: RequestId,
        /// Why.
        why: String,
    },
}

impl NotAStep {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Whole { .. } | Self::Alone { .. } => "0A000",
            Self::Turn { .. } | Self::Other { .. } | Self::Half { .. } => "55000",
            Self::Over { .. } => "57014",
        }
    }

    /// The message, and what to do next.
    pub(super) fn parts(&self) -> (String, String) {
        let asks = "Nothing was asked for, and nothing was run.";
        let whole = "Ask for the file as one text, without --each (countersign.ask = on), and send it as one query";
        match self {
            Self::Whole { why } => {
                (format!("this can't be asked for statement by statement: {why}"), format!("{asks} {whole}."))
            }
            Self::Alone { number, why } => (
                format!("statement {number} can't be asked for by itself: {why}"),
                format!(
                    "{asks} {whole}; or put statement {number} and what follows into a file of its own, and ask for that \
                     once what comes before has run."
                ),
            ),
            Self::Turn { request, number, due: Some(due) } => (
                format!("this is statement {number} of request {request}, and statement {due} comes next"),
                "Nothing was run. The statements of a request run in their order, each once; send the one that comes next."
                    .to_owned(),
            ),
            Self::Turn { request, number, due: None } => (
                format!("this is statement {number} of request {request}, of which all have been sent"),
                "Nothing was run. Each runs once; ask again.".to_owned(),
            ),
            Self::Other { request, number, why } => (
                format!("statement {number} of request {request} is not what was approved: {why}"),
                "Nothing was run. Send it as it was asked for, in this session; or ask again for it and what follows: \
                 countersign request CONNECTION -f FILE --each"
                    .to_owned(),
            ),
            Self::Half { request, left } => (
                format!(
                    "of this transaction request {request} has {left} more statements, which were approved to stay or go \
                     with those that ran"
                ),
                "Nothing was kept. ROLLBACK, and ask again; or send all of them before COMMIT.".to_owned(),
            ),
            Self::Over { request, why } => (
                format!("the rest of request {request} does not run: {why}"),
                "Nothing was run. See `countersign requests show` for what has run, and ask again for the rest; it runs in \
                 a new session."
                    .to_owned(),
            ),
        }
    }
}
