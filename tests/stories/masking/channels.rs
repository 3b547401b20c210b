//! The ways by which rows leave.

use bytes::{BufMut as _, BytesMut};
use postgres_protocol::{IsNull, message::frontend};

use crate::fidelity::wire::{Frame, Wire};

/// How a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A Query.
    Simple,
    /// Parse, Bind, Describe, Execute.
    Extended,
    /// The same with binary results, and without a Describe.
    Binary,
    /// The same, row by row.
    Suspended,
    /// DECLARE and FETCH.
    Cursor,
    /// The same of a BINARY cursor.
    BinaryCursor,
    /// COPY TO STDOUT, as text.
    Copy,
    /// COPY TO STDOUT, as CSV.
    Csv,
    /// COPY TO STDOUT, binary.
    BinaryCopy,
    /// PREPARE and EXECUTE.
    Prepared,
    /// EXPLAIN ANALYZE.
    Explained,
    /// The same, carried out.
    Analyzed,
}

/// What came back.
pub struct Answer(pub Vec<Frame>);

impl Answer {
    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|frame| [&[frame.tag][..], &frame.body].concat()).collect()
    }

    /// The SQLSTATE of its first error.
    pub fn error(&self) -> Option<String> {
        self.0.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'C'))
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.0.iter().filter(|frame| matches!(frame.tag, b'D' | b'd')).count()
    }

    /// Whether both say the same.
    pub fn is_like(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| b.is_like(a))
    }
}

impl Channel {
    pub const ALL: [Self; 12] = [
        Self::Simple,
        Self::Extended,
        Self::Binary,
        Self::Suspended,
        Self::Cursor,
        Self::BinaryCursor,
        Self::Copy,
        Self::Csv,
        Self::BinaryCopy,
        Self::Prepared,
        Self::Explained,
        Self::Analyzed,
    ];

    /// Whether times of day are in its answers, so that no two are alike.
    pub const fn tells_times(self) -> bool {
        matches!(self, Self::Explained | Self::Analyzed)
    }

    /// Whether the form of that number goes by it where each goes by several.
    pub fn takes(self, number: usize) -> bool {
        let each = match self {
            Self::Simple => 1,
            Self::Binary | Self::Cursor | Self::Copy => 2,
            Self::Extended | Self::Csv | Self::Prepared => 3,
            Self::Suspended | Self::Explained | Self::Analyzed | Self::BinaryCursor | Self::BinaryCopy => 5,
        };
        (number + self as usize).is_multiple_of(each)
    }

    /// Asks, `within` a transaction that is undone or as it is, and takes all that comes.
    pub async fn asks_within(self, wire: &mut Wire, query: &str, within: bool) -> Answer {
        let mut out = BytesMut::new();
        let mut ready = 0;
        let mut say = |out: &mut BytesMut, sql: &str| {
            frontend::query(sql, out).expect("a Query");
            ready += 1;
        };
        if within {
            say(&mut out, "BEGIN");
        }
        match self {
            Self::Simple => say(&mut out, query),
            Self::Extended => extended(&mut out, query, 0, true, &[0]),
            Self::Binary => extended(&mut out, query, 1, false, &[0]),
            Self::Suspended => extended(&mut out, query, 1, true, &[1, 1, 0]),
            Self::Cursor | Self::BinaryCursor => {
                let binary = if self == Self::BinaryCursor { "BINARY " } else { "" };
                say(&mut out, &format!("DECLARE k {binary}CURSOR FOR {query}"));
                say(&mut out, "FETCH 2 FROM k");
                say(&mut out, "FETCH ALL IN k");
            }
            Self::Copy => say(&mut out, &format!("COPY ({query}) TO STDOUT")),
            Self::Csv => say(&mut out, &format!("COPY ({query}) TO STDOUT (FORMAT csv, HEADER)")),
            Self::BinaryCopy => say(&mut out, &format!("COPY ({query}) TO STDOUT (FORMAT binary)")),
            Self::Prepared => {
                say(&mut out, &format!("PREPARE p AS {query}"));
                say(&mut out, "EXECUTE p");
                say(&mut out, "DEALLOCATE p");
            }
            Self::Explained => say(&mut out, &format!("EXPLAIN (VERBOSE) {query}")),
            Self::Analyzed => say(&mut out, &format!("EXPLAIN (ANALYZE, VERBOSE) {query}")),
        }
        if matches!(self, Self::Extended | Self::Binary | Self::Suspended) {
            frontend::sync(&mut out);
            ready += 1;
        }
        if within {
            frontend::query("ROLLBACK", &mut out).expect("a Query");
            ready += 1;
        }
        wire.send(&out).await;
        let mut frames = Vec::new();
        while ready > 0 {
            let Some(frame) = wire.frame().await else { panic!("{self:?} {query}: the session ended: {frames:?}") };
            ready -= usize::from(frame.tag == b'Z');
            frames.push(frame);
        }
        Answer(frames)
    }
}

/// Messages of one group without its Sync; an Execute for each of `limits`.
fn extended(out: &mut BytesMut, query: &str, format: i16, describes: bool, limits: &[i32]) {
    frontend::parse("", query, [], out).expect("a Parse");
    let values: &[&str] = if query.contains("$1") { &["zqx_never"] } else { &[] };
    let value = |value: &&str, out: &mut BytesMut| {
        out.put_slice(value.as_bytes());
        Ok(IsNull::No)
    };
    let bound = frontend::bind("", "", [], values, value, [format], out);
    assert!(bound.is_ok(), "a Bind");
    if describes {
        frontend::describe(b'P', "", out).expect("a Describe");
    }
    for limit in limits {
        frontend::execute("", *limit, out).expect("an Execute");
    }
}
