//! Asking ahead statement by statement: a session with `countersign.ask=each` runs nothing either, and asks for a text as
//! one request whose statements are sent one by one later, in this order, as `psql -f` and most drivers send them.
//!
//! What a statement is must be known when it is asked for. Where one before it changes what it means, nobody can know;
//! then nothing is asked for at all, rather than half a file run.

use countersign_shared::{api::Needed, request::State};

use super::{
    retry::Later,
    session::{Ended, Session, unavailable},
};
use crate::{
    approval::steps::Now,
    refusal::{AskedHow, NotAStep, Refusal},
    statement::{
        assemble::{Request, Surroundings},
        classify::{Analysis, Doubt, Statement, off_thread},
        decide::{Asked, Decision, SqlFacts, explain::rules_behind},
        hold::{Judged, judge},
        steps::{Control, Piece, Step, digest, rests_on, split},
        understood::Understood,
    },
};

/// Texts from here on are split off the threads that carry other sessions.
pub(super) const BIG: usize = 8 << 10;

/// One statement as it was understood, with the question about it.
struct Part {
    piece: Piece,
    text: std::sync::Arc<Understood>,
    /// See [`Step::block`].
    block: u32,
    asked: Asked,
    decision: Decision,
}

impl Session {
    /// Whether this session only asks, for each statement by itself.
    pub(super) fn asks_each(&self) -> bool {
        self.own.get("ask").is_some_and(|value| value.eq_ignore_ascii_case("each"))
    }

    /// Asks for a text whose statements are to be sent one by one. There is always a refusal: it says what was asked, or
    /// why nothing need be, or can be.
    pub(super) async fn ask_each(&mut self, request: &Request) -> Result<Refusal, Ended> {
        if !self.masks.revealing.is_empty() {
            let why = "what reveals a column is asked for by itself".to_owned();
            return Ok(Refusal::Step(NotAStep::Whole { why }));
        }
        if !self.ask_catalog().await {
            let message = "the database's catalog can't be read, so nobody can say what this text is".to_owned();
            return Ok(Refusal::Unavailable { message });
        }
        let reason = self.reason().map(str::to_owned);
        let pieces = match self.pieces(&request.sql).await? {
            Ok(pieces) => pieces,
            Err(refusal) => return Ok(refusal),
        };
        let mut parts: Vec<Part> = Vec::with_capacity(pieces.len());
        let (mut blocks, mut block) = (0, 0);
        for piece in pieces {
            let number = parts.len() + 1;
            let alone = |why: String| Ok(Refusal::Step(NotAStep::Alone { number, why }));
            match piece.control {
                Control::Begin if block > 0 => return alone("a transaction is open by then".to_owned()),
                Control::Commit if block == 0 => return alone("no transaction is open by then".to_owned()),
                Control::Other => {
                    let why = "only a plain BEGIN and COMMIT can be followed, without modes, CHAIN or ROLLBACK";
                    return alone(why.to_owned());
                }
                Control::None | Control::Begin | Control::Commit => {}
            }
            let part = match self.part(piece, block, reason.as_ref(), number).await? {
                Ok(part) => part,
                Err(refusal) => return Ok(refusal),
            };
            if part.decision != Decision::Allow
                && let Some(why) = self.is_not_known(&part, &parts)
            {
                return alone(why);
            }
            match part.piece.control {
                Control::Begin => {
                    blocks += 1;
                    block = blocks;
                }
                Control::Commit => block = 0,
                _ => {}
            }
            parts.push(part);
        }
        if block > 0 {
            let why = "its transaction is not ended by a COMMIT".to_owned();
            return Ok(Refusal::Step(NotAStep::Whole { why }));
        }
        self.ask_for_parts(request, parts, reason).await
    }

    async fn pieces(&self, sql: &str) -> Result<Result<Vec<Piece>, Refusal>, Ended> {
        let pieces = if sql.len() < BIG {
            split(sql)
        } else {
            let sql = sql.to_owned();
            let split = off_thread(move || split(&sql)).await;
            split.ok_or_else(|| unavailable(&"no thread could read a text"))?
        };
        Ok(match pieces {
            Ok(pieces) if pieces.is_empty() => Err(Refusal::NothingToAsk),
            Ok(pieces) => Ok(pieces),
            Err(Doubt::Syntax { message, position }) => Err(Refusal::Syntax { message, position }),
            Err(Doubt::TooLarge { what }) => Err(Refusal::Step(NotAStep::Whole { why: what })),
            Err(doubt) => Err(Refusal::Step(NotAStep::Whole { why: format!("it can't be read: {doubt:?}") })),
        })
    }

    /// What one of the statements is, and what policy says of it; `number` is from 1.
    async fn part(
        &mut self,
        piece: Piece,
        block: u32,
        reason: Option<&String>,
        number: usize,
    ) -> Result<Result<Part, Refusal>, Ended> {
        let alone = |why: &str| Ok(Err(Refusal::Step(NotAStep::Alone { number, why: why.to_owned() })));
        let known = self.analyse(&piece.text, None).await?;
        if self.dirty {
            return alone("what its names mean is not certain now; try again");
        }
        if known.own_setting.is_some() {
            return alone("countersign.* settings belong to the session; set them at its start");
        }
        let refusal = known.unpins.map(Refusal::from).or_else(|| self.wall.against(&known));
        if let Some(refusal) = refusal {
            self.record_denial(&piece.text, &refusal, &[]).await?;
            return Ok(Err(refusal));
        }
        let request = self.request_of(&piece.text, &known);
        // What its COMMIT does later, nobody can count before.
        if !(block > 0 && self.puts_off(&known)) {
            let counted = Box::pin(self.count_rows(&request)).await;
            drop(counted);
        }
        self.find_template(&request);
        let asked = self.asked(&known);
        let sql = SqlFacts { in_transaction: block > 0, ..asked.sql };
        let asked = Asked { sql, reason: reason.cloned(), ..asked };
        let decision = match self.decision(&asked).await {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let rules = rules_behind(&self.gateway.policies(), &asked, &decision, chrono::Utc::now());
        let text = std::sync::Arc::clone(&*known);
        let part = Part { piece, text, block, asked, decision };
        match judge(self.connection.mode, part.decision.clone(), &known, &self.connection.name) {
            Judged::Pass(_) => Ok(Ok(Part { decision: Decision::Allow, ..part })),
            Judged::Ask(needed) if needed.at_commit => alone("nobody can review ahead what has not run"),
            Judged::Ask(_) => Ok(Ok(part)),
            Judged::No(refusal) => {
                let refusal = self.with_a_way_out(&part.asked, refusal).await;
                self.record_denial(&part.piece.text, &refusal, &rules).await?;
                // A name that is not there yet is no slip.
                match &refusal {
                    Refusal::UnknownRelation { name } if number > 1 => alone(&format!("there is no {name} yet")),
                    Refusal::UnknownFunction { name } if number > 1 => {
                        alone(&format!("there is no function {name} yet"))
                    }
                    _ => Ok(Err(refusal)),
                }
            }
        }
    }

    /// Why nobody can know yet what a statement is that needs an approval.
    fn is_not_known(&self, part: &Part, before: &[Part]) -> Option<String> {
        if let Some(Doubt::UnknownRelation { name } | Doubt::UnknownFunction { name }) = &part.text.doubt {
            return Some(format!("there is no {name} yet"));
        }
        if part.text.doubt.is_some() || part.text.copies_in {
            return Some("it can't be told what it is".to_owned());
        }
        if let Some(why) = self.rests_on_this_session(&part.piece.text, &part.text) {
            return Some(why);
        }
        let runs_code = self.catalog.may_run_code(&part.text.effects, part.text.runs_code);
        (1..).zip(before).find_map(|(number, earlier)| {
            let changes = rests_on(&part.text, runs_code, &earlier.text)?;
            Some(format!("what it does is known only once statement {number} has run, which {changes}"))
        })
    }

    /// Makes one request of all of them.
    async fn ask_for_parts(
        &mut self,
        request: &Request,
        parts: Vec<Part>,
        reason: Option<String>,
    ) -> Result<Refusal, Ended> {
        if parts.iter().all(|part| part.decision == Decision::Allow) {
            return Ok(Refusal::NothingToAsk);
        }
        let pieces: Vec<Request> = parts.iter().map(|part| self.request_of(&part.piece.text, &part.text)).collect();
        let steps: Vec<Step> = parts.iter().map(|part| self.step_of(part)).collect();
        let statement = |part: &Part| {
            part.text
                .statements
                .iter()
                .map(|s| Statement { range: part.piece.range.clone(), ..s.clone() })
                .collect::<Vec<_>>()
        };
        let statements = parts.iter().flat_map(statement).collect();
        let text = Understood::from(Analysis { statements, own_setting: None, doubt: None });
        let request = Request { analysis: std::sync::Arc::new(text), ..request.clone() };
        let (rows, template) = (None, None);
        let whole = self.asked(&request.analysis);
        let held = parts.into_iter().filter(|part| part.decision != Decision::Allow);
        let asked = Asked {
            reason,
            sql: SqlFacts { rows, template, ..whole.sql },
            parts: held.map(|part| part.asked).collect(),
            ..whole
        };
        let needed: Needed = match self.decision(&asked).await {
            Ok(Decision::Hold(needed)) => needed,
            Ok(_) => {
                let why = "policy says something else of all of it than of each".to_owned();
                return Ok(Refusal::Step(NotAStep::Whole { why }));
            }
            Err(refusal) => return Ok(refusal),
        };
        let decision = Decision::Hold(needed.clone());
        let rules = rules_behind(&self.gateway.policies(), &asked, &decision, chrono::Utc::now());
        let digest = digest(request.sql_on_a_card(), &steps);
        match self.asked_before(&asked, digest).await {
            Ok(None) => {}
            Ok(Some(known)) => {
                let how = if known.state == State::Approved { AskedHow::EachApproved } else { AskedHow::Each };
                return Ok(Refusal::AskedFor { request: known.new.id, until: known.new.expires_at, how });
            }
            Err(error) => {
                tracing::error!(%error, "the state can't say whether this was asked before");
                let message = "the gateway can't check this text now".to_owned();
                return Ok(Refusal::Unavailable { message });
            }
        }
        let wished = self.wished_each(&request, &steps, &pieces).await;
        let timeout = self.gateway.config.gateway.ask_timeout;
        let later = Later { digest, timeout, how: AskedHow::Each, steps };
        self.make_for_later(&request, &asked, needed, rules, wished, later).await
    }

    fn step_of(&self, part: &Part) -> Step {
        let Now { meaning, rests, .. } = self.as_a_step(&part.piece.text, &part.text, part.block > 0);
        let does = part.text.effects.iter();
        let does = does.map(|effect| (effect.action.to_string(), effect.object.display(&self.connection.name)));
        Step {
            before: part.piece.before.clone(),
            after: part.piece.after.clone(),
            text: part.piece.digest(),
            block: part.block,
            needed: part.decision != Decision::Allow,
            meaning,
            rests,
            does: does.collect(),
        }
    }

    /// What a statement is, as an approval of it binds it: `sql` is its own text.
    pub(super) fn as_a_step(&self, sql: &str, text: &std::sync::Arc<Understood>, within: bool) -> Now {
        let (catalog, objects) = self.catalog.versions_for(&text.effects, text.runs_code);
        let meaning = self.request_of(sql, text).digest(&Surroundings {
            session: "any",
            principal: &self.asker.human.principal,
            login: &self.connection.upstream.user,
            database: (&self.connection.name, &self.connection.upstream.database),
            settings: &self.settings,
            transaction: if within { b'T' } else { b'I' },
            catalog,
        });
        let rests = objects.into_iter().map(|(object, version)| (object.display(&self.connection.name), version));
        Now { within, meaning, rests: rests.collect() }
    }

    fn request_of(&self, sql: &str, text: &std::sync::Arc<Understood>) -> Request {
        Request {
            sql: sql.into(),
            parameters: Vec::new(),
            formats: Vec::new(),
            types: std::sync::Arc::default(),
            declared: std::sync::Arc::default(),
            limit: 0,
            analysis: std::sync::Arc::clone(text),
            masking: crate::statement::assemble::Masking::default(),
        }
    }
}
