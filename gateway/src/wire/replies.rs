//! The reply queue: which answers of the server are the client's, which are the gateway's own, and
//! which the gateway gives itself, in the order in which the client asked.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Violation;

/// What was sent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Answered by ParseComplete: the statement exists from then on.
    Parse {
        /// The statement's name.
        name: String,
        /// The number of this Parse in its session; a name may be given to another before it is answered.
        of: u64,
    },
    /// Answered by BindComplete.
    Bind,
    /// Answered by CloseComplete.
    Close,
    /// Answered by ParameterDescription and RowDescription or NoData.
    DescribeStatement {
        /// The number of the Parse that it has, in its session.
        of: u64,
    },
    /// The same, but the client asked for a portal: no ParameterDescription, and these formats.
    DescribePortalByStatement {
        /// The number of the Parse that it has, in its session.
        of: u64,
        /// The portal's result formats.
        formats: Vec<u16>,
    },
    /// Answered by RowDescription or NoData.
    DescribePortal,
    /// The same, asked by the gateway for what it must mask of a run.
    DescribeToMask {
        /// The run.
        run: u64,
    },
    /// Answered by rows and CommandComplete, PortalSuspended or EmptyQueryResponse.
    Execute {
        /// The run, for its outcome.
        run: u64,
    },
    /// An Execute of a statement whose rows are counted before the client may see that it has ended.
    Guarded {
        /// The run, for its outcome.
        run: u64,
        /// Whether nothing of it may be seen yet: its row is kept.
        first: bool,
    },
    /// The gateway's own description of what a simple Query gives: RowDescription, or nothing.
    DescribeQuery,
    /// Answered by anything up to ReadyForQuery.
    Query {
        /// The run, for its outcome.
        run: u64,
    },
    /// Answered by ReadyForQuery.
    Sync,
    /// A Sync of the gateway's own within the client's group: it ends the group for the server alone.
    OwnSync,
}

/// Who sees the server's answer to what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The client.
    All,
    /// The client has had the good answer already, from the gateway.
    Errors,
    /// Nobody.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Upstream { sent: Sent, seen: Seen },
    Local(Bytes),
}

/// What becomes of a frame of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// To the client as it is.
    Show,
    /// To nobody.
    Swallow,
    /// To the client, with these result formats.
    ShowWithFormats(Vec<u16>),
}

/// What becomes of rows of the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// To the client as they are.
    #[default]
    Show,
    /// To nobody.
    Drop,
    /// To the client, once it is known that they may.
    Keep,
}

/// What a frame means beyond itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing.
    Nothing,
    /// A statement exists now.
    Prepared {
        /// Its name.
        name: String,
        /// The number of its Parse.
        of: u64,
    },
    /// A statement of a run ended well: CommandComplete or EmptyQueryResponse.
    Completed {
        /// The run.
        run: u64,
        /// Whether that is all of it. A simple Query may say so often, and ends with ReadyForQuery.
        last: bool,
    },
    /// A run stopped at its row limit.
    Suspended {
        /// The run.
        run: u64,
    },
    /// An error. What came after it up to the next Sync is not answered any more.
    Failed {
        /// The run that failed, if it was one.
        run: Option<u64>,
        /// Runs that the server skipped: they did not happen.
        skipped: Vec<u64>,
        /// Whether a Sync is on its way already; without one the client's frames are dropped until
        /// its own.
        sync_sent: bool,
        /// Whether a Parse or a Close of a statement is among what failed or was skipped: what is
        /// under its name is what was there before.
        names: bool,
    },
    /// ReadyForQuery; the run is that of a simple Query.
    Ready {
        /// The run.
        run: Option<u64>,
    },
    /// ReadyForQuery to a Sync of the gateway's own; the client's group goes on.
    ReadyForUs,
    /// The server waits for COPY data.
    CopyIn {
        /// For this run.
        run: u64,
    },
    /// The types of a statement's parameters.
    Parameters {
        /// The number of the Parse that they are of.
        of: u64,
    },
}

/// The queue.
#[derive(Debug, Default)]
pub struct Replies(VecDeque<Item>);

impl Replies {
    /// Something was sent for the client.
    pub fn sent(&mut self, sent: Sent) {
        self.0.push_back(Item::Upstream { sent, seen: Seen::All });
    }

    /// Something was sent for the gateway itself.
    pub fn sent_for_us(&mut self, sent: Sent) {
        self.0.push_back(Item::Upstream { sent, seen: Seen::Nothing });
    }

    /// Something was sent for the client that the gateway has answered for the server already. An
    /// error contradicts that, and is the client's.
    pub fn sent_late(&mut self, sent: Sent) {
        self.0.push_back(Item::Upstream { sent, seen: Seen::Errors });
    }

    /// The gateway answers this itself, in its turn.
    pub fn answer(&mut self, frame: Bytes) {
        self.0.push_back(Item::Local(frame));
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the server owes nothing.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.0.iter().any(|item| matches!(item, Item::Upstream { .. }))
    }

    /// Whether an answer of the gateway's own is next.
    #[must_use]
    pub fn has_due(&self) -> bool {
        matches!(self.0.front(), Some(Item::Local(_)))
    }

    /// The gateway's own answers whose turn has come.
    pub fn due(&mut self) -> Option<Bytes> {
        match self.0.front() {
            Some(Item::Local(_)) => match self.0.pop_front() {
                Some(Item::Local(frame)) => Some(frame),
                _ => None,
            },
            _ => None,
        }
    }

    /// Forgets what would be answered after an error that the gateway itself raises.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The run that the server answers now.
    #[must_use]
    pub fn run(&self) -> Option<u64> {
        match self.0.front() {
            Some(Item::Upstream {
                sent:
                    Sent::Query { run } | Sent::Execute { run } | Sent::Guarded { run, .. } | Sent::DescribeToMask { run },
                ..
            }) => Some(*run),
            _ => None,
        }
    }

    /// Whether what the server answers now is a text that it reads, and runs nothing of.
    #[must_use]
    pub fn reads_text(&self) -> bool {
        matches!(self.0.front(), Some(Item::Upstream { sent: Sent::Parse { .. }, .. }))
    }

    /// Whether the server describes what a guarded Query gives.
    #[must_use]
    pub fn describes_query(&self) -> bool {
        matches!(self.0.front(), Some(Item::Upstream { sent: Sent::DescribeQuery, .. }))
    }

    /// What becomes of the rows that the server sends now.
    ///
    /// # Errors
    /// Where the server sends rows that nobody asked for.
    pub fn rows(&self) -> Result<Rows, Violation> {
        match self.0.front() {
            Some(Item::Upstream { sent: Sent::Query { .. } | Sent::Execute { .. }, seen }) => {
                Ok(if *seen == Seen::All { Rows::Show } else { Rows::Drop })
            }
            Some(Item::Upstream { sent: Sent::Guarded { first, .. }, .. }) => {
                Ok(if *first { Rows::Keep } else { Rows::Show })
            }
            _ => Err(Violation::new("the server sends rows that were not asked for")),
        }
    }

    /// Takes a frame of the server's, by its type. Call [`Self::due`] before and after.
    ///
    /// # Errors
    /// Where it answers nothing that was sent.
    pub fn take(&mut self, tag: u8) -> Result<(Pass, Meaning), Violation> {
        let unasked = || Violation::new(format!("the server answers {:?}, which was not asked for", char::from(tag)));
        if matches!(tag, b'N' | b'S' | b'A') {
            return Ok((Pass::Show, Meaning::Nothing));
        }
        let Some(Item::Upstream { sent, seen }) = self.0.front().cloned() else {
            // A server that goes away says so unasked.
            return if tag == b'E' {
                Ok((Pass::Show, Meaning::Failed { run: None, skipped: vec![], sync_sent: true, names: false }))
            } else {
                Err(unasked())
            };
        };
        let shown = match seen {
            Seen::All => true,
            Seen::Errors => tag == b'E',
            Seen::Nothing => false,
        };
        let pass = if shown { Pass::Show } else { Pass::Swallow };
        let (pass, meaning, ends) = match (&sent, tag) {
            (Sent::Query { run }, b'E') => {
                return Ok((pass, Meaning::Failed { run: Some(*run), skipped: vec![], sync_sent: true, names: false }));
            }
            (_, b'E') => return Ok((pass, self.failed(&sent))),
            (Sent::Parse { name, of }, b'1') => (pass, Meaning::Prepared { name: name.clone(), of: *of }, true),
            (Sent::Bind, b'2')
            | (Sent::Close, b'3')
            | (Sent::DescribePortal | Sent::DescribeToMask { .. } | Sent::DescribeStatement { .. }, b'T' | b'n') => {
                (pass, Meaning::Nothing, true)
            }
            (Sent::DescribeStatement { of }, b't') => (pass, Meaning::Parameters { of: *of }, false),
            (Sent::DescribePortalByStatement { of, .. }, b't') => {
                (Pass::Swallow, Meaning::Parameters { of: *of }, false)
            }
            (Sent::DescribePortalByStatement { .. }, b'n') => (pass, Meaning::Nothing, true),
            (Sent::DescribePortalByStatement { formats, .. }, b'T') => {
                (Pass::ShowWithFormats(formats.clone()), Meaning::Nothing, true)
            }
            (Sent::Execute { run }, b'C' | b'I') => (pass, Meaning::Completed { run: *run, last: true }, true),
            // Whether that is the end for the client, is said when its rows are counted.
            (Sent::Guarded { run, .. }, b'C' | b'I') => {
                (Pass::Swallow, Meaning::Completed { run: *run, last: false }, true)
            }
            (Sent::Guarded { first: true, .. }, b's') => (Pass::Swallow, Meaning::Nothing, true),
            (Sent::Guarded { run, .. }, b's') => (pass, Meaning::Suspended { run: *run }, true),
            (Sent::Guarded { .. }, b'H' | b'c') => (pass, Meaning::Nothing, false),
            (Sent::DescribeQuery, b'T') => (pass, Meaning::Nothing, true),
            (Sent::DescribeQuery, b'n') => (Pass::Swallow, Meaning::Nothing, true),
            (Sent::Execute { run }, b's') => (pass, Meaning::Suspended { run: *run }, true),
            (Sent::Query { run }, b'C' | b'I') => (pass, Meaning::Completed { run: *run, last: false }, false),
            (Sent::Query { run } | Sent::Execute { run }, b'G') => (pass, Meaning::CopyIn { run: *run }, false),
            (Sent::Query { .. } | Sent::Execute { .. }, b'H' | b'c') | (Sent::Query { .. }, b'T') => {
                (pass, Meaning::Nothing, false)
            }
            (Sent::Query { run }, b'Z') => (pass, Meaning::Ready { run: Some(*run) }, true),
            (Sent::Sync, b'Z') => (pass, Meaning::Ready { run: None }, true),
            (Sent::OwnSync, b'Z') => (Pass::Swallow, Meaning::ReadyForUs, true),
            _ => return Err(unasked()),
        };
        if ends {
            self.0.pop_front();
        }
        Ok((pass, meaning))
    }

    /// An error in an extended group: the server skips to the next Sync.
    fn failed(&mut self, sent: &Sent) -> Meaning {
        let run = match sent {
            Sent::Execute { run } | Sent::Guarded { run, .. } => Some(*run),
            _ => None,
        };
        let mut skipped = Vec::new();
        let names = |sent: &Sent| match sent {
            Sent::Close => true,
            Sent::Parse { name, .. } => !name.is_empty(),
            _ => false,
        };
        let mut in_doubt = names(sent);
        if !matches!(sent, Sent::Sync | Sent::OwnSync) {
            self.0.pop_front();
        }
        loop {
            match self.0.front() {
                None | Some(Item::Upstream { sent: Sent::OwnSync, .. }) => {
                    return Meaning::Failed { run, skipped, sync_sent: false, names: in_doubt };
                }
                Some(Item::Upstream { sent: Sent::Sync | Sent::Query { .. }, .. }) => {
                    return Meaning::Failed { run, skipped, sync_sent: true, names: in_doubt };
                }
                Some(Item::Upstream { sent: Sent::Execute { run } | Sent::Guarded { run, .. }, .. }) => {
                    skipped.push(*run)
                }
                Some(Item::Upstream { sent, .. }) => in_doubt |= names(sent),
                Some(Item::Local(_)) => {}
            }
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(sent: &[Sent]) -> Replies {
        let mut replies = Replies::default();
        sent.iter().for_each(|s| replies.sent(s.clone()));
        replies
    }

    #[test]
    fn an_error_skips_to_the_sync_and_names_what_did_not_run() {
        let mut replies = queue(&[Sent::Bind, Sent::Execute { run: 1 }, Sent::Execute { run: 2 }, Sent::Sync]);
        assert_eq!(replies.take(b'2'), Ok((Pass::Show, Meaning::Nothing)));
        let failed = Meaning::Failed { run: Some(1), skipped: vec![2], sync_sent: true, names: false };
        assert_eq!(replies.take(b'E'), Ok((Pass::Show, failed)));
        assert_eq!(replies.take(b'Z'), Ok((Pass::Show, Meaning::Ready { run: None })));
        assert!(replies.is_empty());
    }

    #[test]
    fn an_error_tells_whether_names_are_what_they_were() {
        let parse = |name: &str| Sent::Parse { name: name.into(), of: 1 };
        let table = [
            (vec![Sent::Execute { run: 1 }, Sent::Close, parse("s"), Sent::Sync], true),
            (vec![parse("s"), Sent::Sync], true),
            (vec![parse(""), Sent::Bind, Sent::Sync], false),
            (vec![Sent::Bind, Sent::Sync, Sent::Close], false),
        ];
        for (sent, expected) in table {
            let Ok((_, Meaning::Failed { names, .. })) = queue(&sent).take(b'E') else { panic!("{sent:?}") };
            assert_eq!(names, expected, "{sent:?}");
        }
    }

    #[test]
    fn our_own_answers_wait_their_turn() {
        let mut replies = queue(&[Sent::Execute { run: 1 }]);
        replies.answer(Bytes::from_static(b"ours"));
        assert_eq!(replies.due(), None);
        assert_eq!(replies.take(b'C'), Ok((Pass::Show, Meaning::Completed { run: 1, last: true })));
        assert_eq!(replies.due(), Some(Bytes::from_static(b"ours")));
    }

    #[test]
    fn what_we_asked_for_ourselves_is_swallowed() {
        let mut replies = Replies::default();
        replies.sent_for_us(Sent::Parse { name: "s".into(), of: 7 });
        replies.sent(Sent::DescribePortalByStatement { of: 7, formats: vec![1] });
        assert_eq!(replies.take(b'1'), Ok((Pass::Swallow, Meaning::Prepared { name: "s".into(), of: 7 })));
        assert_eq!(replies.take(b't'), Ok((Pass::Swallow, Meaning::Parameters { of: 7 })));
        assert_eq!(replies.take(b'T'), Ok((Pass::ShowWithFormats(vec![1]), Meaning::Nothing)));
    }

    #[test]
    fn an_error_of_what_was_answered_already_reaches_the_client() {
        let mut replies = Replies::default();
        replies.sent_late(Sent::Parse { name: String::new(), of: 8 });
        replies.sent_late(Sent::Bind);
        assert_eq!(replies.take(b'1'), Ok((Pass::Swallow, Meaning::Prepared { name: String::new(), of: 8 })));
        assert!(matches!(replies.take(b'E'), Ok((Pass::Show, Meaning::Failed { sync_sent: false, .. }))));
    }

    #[test]
    fn our_own_sync_ends_no_group_of_the_clients() {
        let mut replies = queue(&[Sent::DescribeStatement { of: 0 }, Sent::OwnSync]);
        assert!(matches!(replies.take(b'E'), Ok((Pass::Show, Meaning::Failed { sync_sent: false, .. }))));
        assert_eq!(replies.take(b'Z'), Ok((Pass::Swallow, Meaning::ReadyForUs)));
        assert!(replies.is_empty());
    }

    #[test]
    fn a_server_that_answers_what_nobody_asked_is_not_believed() {
        let table: [(&[Sent], u8); 5] = [
            (&[], b'Z'),
            (&[Sent::Bind], b'1'),
            (&[Sent::Sync], b'C'),
            (&[Sent::Execute { run: 1 }], b'T'),
            (&[Sent::Query { run: 1 }], b'W'),
        ];
        for (sent, tag) in table {
            assert!(queue(sent).take(tag).is_err(), "{sent:?} {}", char::from(tag));
            assert!(queue(&[Sent::Bind]).rows().is_err());
        }
    }

    #[test]
    fn a_simple_query_ends_with_ready_only() {
        let mut replies = queue(&[Sent::Query { run: 4 }]);
        assert_eq!(replies.take(b'C'), Ok((Pass::Show, Meaning::Completed { run: 4, last: false })));
        let failed = Meaning::Failed { run: Some(4), skipped: vec![], sync_sent: true, names: false };
        assert_eq!(replies.take(b'E'), Ok((Pass::Show, failed)));
        assert_eq!(replies.take(b'Z'), Ok((Pass::Show, Meaning::Ready { run: Some(4) })));
    }
}
