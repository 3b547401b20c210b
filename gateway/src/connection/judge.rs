//! classify and decide, for a session: what a text is, and what policy says of it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::Utc;

use super::{
    batch::is_on,
    memory::{Circumstances, Known, Reading},
    session::{Ended, Session, unavailable},
    wait::is_readable,
};
use crate::{
    config::Mode,
    log::Kind,
    metrics::StatementDecision,
    policy::Given,
    refusal::Refusal,
    statement::{
        assemble::Request,
        classify::{Analysis, NOT_KEPT, OwnSetting, Statement, TransactionMove, classify, off_thread, without_token},
        decide::{Asked, Decision, SqlFacts, decide, decide_by},
        effect::{Action, Effect, Object},
        said,
        understood::Understood,
        values,
    },
};

impl Session {
    /// What a text is, as the session's names stand now. `reading` is what it was when it was prepared.
    pub(super) async fn analyse(&mut self, sql: &str, reading: Option<&Reading>) -> Result<Known, Ended> {
        // What was put off to its end may be other code by now than what was looked at.
        self.commit_in_doubt |= self.put_off && self.own_catalog.is_changed();
        let in_doubt = self.commit_in_doubt;
        let known = self.analyse_text(sql, reading).await?;
        let commits = |statement: &Statement| statement.transaction == TransactionMove::Commit;
        if !known.statements.iter().any(commits) {
            return Ok(known);
        }
        // Somebody else may have changed it, too.
        if !in_doubt {
            if self.put_off_under.is_none() || Box::pin(self.is_still_put_off()).await {
                return Ok(known);
            }
            self.commit_in_doubt = true;
        }
        let mut analysis: Analysis = (***known).clone();
        for statement in analysis.statements.iter_mut().filter(|statement| commits(statement)) {
            statement.effects.push(Effect::on_connection(Action::Opaque));
            statement.notes.push("triggers were put off to its end, and the schema has changed since".to_owned());
        }
        Ok(Understood::from(analysis).into())
    }

    /// Whether what was put off to the end of the transaction is what it was.
    async fn is_still_put_off(&self) -> bool {
        let Some(then) = self.put_off_under else { return true };
        self.catalog_now().await.is_some_and(|now| now.version_of_all() == then)
    }

    async fn analyse_text(&mut self, sql: &str, reading: Option<&Reading>) -> Result<Known, Ended> {
        self.keep_roles();
        self.keep_wall().await?;
        self.said = said::reason(sql);
        (self.rows, self.template) = (None, None);
        if let Some(understood) = self.means_the_same_anyhow(sql) {
            return Ok(understood);
        }
        self.refresh_catalog().await?;
        if self.dirty {
            if let Some(understood) = self.means_the_same_anyhow(sql) {
                return Ok(understood);
            }
            self.refresh_names().await?;
        }
        if self.dirty {
            return Ok(Understood::from(self.uncertain(classify(sql, &self.catalog, &self.names))).into());
        }
        let same = reading.and_then(|reading| self.memory.still(reading, &self.catalog));
        if let Some(known) = same.or_else(|| self.memory.known(sql, &self.catalog)) {
            return Ok(known);
        }
        if sql.len() < 8 << 10 {
            let understood = classify(sql, &self.catalog, &self.names).into();
            return Ok(self.memory.remember(sql, &self.catalog, understood));
        }
        // A big text takes its time: off the threads that carry other sessions.
        let (sql, catalog, names) = (sql.to_owned(), Arc::clone(&self.catalog), self.names.clone());
        let understood = off_thread(move || Understood::from(classify(&sql, &catalog, &names)).into()).await;
        understood.ok_or_else(|| unavailable(&"no thread could analyse a text"))
    }

    /// What a prepared statement's text is from now on; nothing where it is not certain.
    pub(super) fn reading(&self, known: &Known) -> Option<Reading> {
        (!self.dirty).then(|| self.memory.reading(known, &self.catalog))
    }

    /// A text in an open transaction that rests on no names: transaction control and settings. Nothing
    /// is asked of the server then. `SET TRANSACTION ISOLATION LEVEL` must come before any query, and a
    /// question of the gateway's would be one.
    fn means_the_same_anyhow(&self, sql: &str) -> Option<Known> {
        if self.status != b'T' || !(self.dirty || self.own_catalog.is_changed()) {
            return None;
        }
        let understood: Understood = classify(sql, &self.catalog, &self.names).into();
        // By its form: what it does may be what names meant before.
        let anyhow = understood.statements.iter().all(|statement| {
            let harmless = |effect: &Effect| matches!(effect.action, Action::Transaction | Action::Set);
            statement.is_control && statement.effects.iter().all(harmless)
        });
        (anyhow && !understood.statements.is_empty()).then(|| understood.into())
    }

    /// Names could not be asked since they may have changed: what rests on names is opaque. In a
    /// failed transaction the server itself refuses everything but its end.
    fn uncertain(&self, mut analysis: crate::statement::classify::Analysis) -> crate::statement::classify::Analysis {
        if self.status == b'E' && !self.moved && analysis.statements.len() == 1 {
            return analysis;
        }
        for statement in &mut analysis.statements {
            let harmless = |effect: &Effect| matches!(effect.action, Action::Transaction | Action::Set);
            if !(statement.is_control && statement.effects.iter().all(harmless)) {
                statement.effects.push(Effect::on_connection(Action::Opaque));
                statement.notes.push("names may mean something else after a statement before it".to_owned());
            }
        }
        analysis
    }

    /// Why, in the text itself, else in `countersign.reason`.
    pub(super) fn reason(&self) -> Option<&str> {
        let reveal = self.own.get("reveal").filter(|_| !self.masks.revealing.is_empty());
        let own = self.own.get("reason").or(reveal);
        // A reason that nobody can read is none.
        let said = |why: &&str| is_readable(why);
        self.said.as_deref().filter(said).or_else(|| own.map(String::as_str).filter(said))
    }

    /// Whether a reason is all that policy misses.
    async fn misses_a_reason(&self, asked: &Asked) -> bool {
        if asked.reason.is_some() || !self.gateway.policies().asks_for_reasons() {
            return false;
        }
        let with = Asked { reason: Some("why".to_owned()), ..asked.clone() };
        !matches!(self.decision(&with).await, Ok(Decision::Deny(_)) | Err(_))
    }

    /// Whether policy would let it pass at once, were the glass broken for it.
    async fn glass_would_help(&self, asked: &Asked) -> bool {
        let reason = Some(asked.reason.clone().unwrap_or_else(|| "why".to_owned()));
        let with = Asked { break_glass: true, reason, ..asked.clone() };
        self.decision(&with).await == Ok(Decision::Allow)
    }

    /// A denial, with what would spare it.
    pub(super) async fn with_a_way_out(&self, asked: &Asked, refusal: Refusal) -> Refusal {
        if self.misses_a_reason(asked).await {
            refusal.without_a_reason()
        } else if matches!(refusal, Refusal::Denied { .. }) && self.glass_would_help(asked).await {
            refusal.unless_glass()
        } else {
            refusal
        }
    }

    /// The question that policy is asked of an analysed text.
    pub(super) fn asked(&self, text: &Understood) -> Asked {
        let revealing = &self.masks.revealing;
        let reveals = revealing.iter().map(|facts| Effect::new(Action::Reveal, facts.column.clone()));
        Asked {
            asker: self.asker.clone(),
            connection: self.connection.name.clone(),
            tags: self.connection.tags.clone(),
            effects: text.effects.iter().cloned().chain(reveals).collect(),
            sql: SqlFacts {
                rows: self.rows,
                template: self.template.clone(),
                ..SqlFacts::of(text, self.status != b'I')
            },
            session: self.facts.clone(),
            reason: self.reason().map(str::to_owned),
            break_glass: false,
            wish: None,
            columns: revealing.clone(),
            at_commit: false,
            parts: Vec::new(),
        }
    }

    /// The question, and its other side where it is not known whether a transaction is open.
    fn questions(&self, text: &Understood) -> impl Iterator<Item = Asked> {
        let asked = self.asked(text);
        let mut other = self.moved.then(|| asked.clone());
        if let Some(other) = &mut other {
            other.sql.in_transaction = !other.sql.in_transaction;
        }
        std::iter::once(asked).chain(other)
    }

    /// The question that is not simply answered with yes, if one is.
    pub(super) fn strictest(&self, text: &Understood) -> Asked {
        let policies = self.gateway.policies();
        let strict = |asked: &Asked| decide(&policies, asked, &[], &[], Utc::now()) != Decision::Allow;
        self.questions(text).find(strict).unwrap_or_else(|| self.asked(text))
    }

    /// Whether policy simply allows an analysed text, without approvals.
    pub(super) fn allowed(&self, text: &Known) -> bool {
        if self.is_kept_from(text)
            || self.wall.against(text).is_some()
            || !self.masks.revealing.is_empty()
            || self.counts_rows(text)
            // A yes is kept for all texts of a shape.
            || self.template.is_some()
        {
            return false;
        }
        let policies = self.gateway.policies();
        let circumstances = Circumstances {
            in_transaction: self.status != b'I',
            reason: self.reason(),
            policies: policies.version(),
            standing: self.standing,
        };
        if !self.moved && text.was_allowed(&circumstances, |by| policies.permissions().mark(by)) {
            return true;
        }
        let mut permitted_by = Vec::new();
        let allowed = self.questions(text).all(|asked| {
            let (decision, by) = decide_by(&policies, &asked, &[], &[], Utc::now());
            permitted_by.extend(by);
            decision == Decision::Allow
        });
        if allowed {
            policies.permissions().mark(&permitted_by);
            self.rests_on_roles(&policies, self.questions(text));
        }
        if allowed && !self.moved && !policies.rests_on_time() {
            permitted_by.sort_unstable();
            permitted_by.dedup();
            text.allow(circumstances, permitted_by);
        }
        allowed
    }

    /// Whether a text writes to a table whose triggers may be put off to the end of the transaction.
    pub(super) fn puts_off(&self, text: &Understood) -> bool {
        text.effects.iter().filter(|effect| effect.action.group() == Some("write")).any(|effect| match &effect.object {
            Object::Table { schema, name } => self.puts_off_on(schema, name),
            _ => false,
        })
    }

    /// The same of a table with all that is below it, where its rows may go.
    fn puts_off_on(&self, schema: &str, name: &str) -> bool {
        let mut seen = std::collections::HashSet::new();
        let mut rest = vec![(schema.to_owned(), name.to_owned())];
        while let Some(key) = rest.pop() {
            let Some(relation) = self.catalog.relation(&key.0, &key.1) else { continue };
            if relation.hazards.iter().any(|hazard| hazard.deferrable) {
                return true;
            }
            if seen.insert(key) {
                rest.extend(relation.children.iter().cloned());
            }
        }
        false
    }

    /// What is known of a statement beside its text, once that was looked at anew: its rows as they were counted, and the
    /// template that it is.
    pub(super) fn knows_again(&mut self, rows: Option<u64>, request: &Request) {
        self.rows = rows;
        self.find_template(request);
    }

    /// Looks which template a statement is; `self.template` has its name from then on.
    pub(super) fn find_template(&mut self, request: &Request) {
        let value = |number: usize| {
            let at = number.checked_sub(1)?;
            let of = request.types.get(at).copied().unwrap_or(0);
            let text = values::known(of, *request.formats.get(at)?, request.parameters.get(at)?.as_ref()?)?;
            Some(Given { text, declared: request.declared.get(at).copied().unwrap_or(0) })
        };
        self.template = self.template_with(&request.sql, |number| value(number).map(Some));
    }

    /// The template that a text is, whatever the values of its parameters.
    pub(super) fn template_but_for_values(&self, sql: &str) -> Option<String> {
        self.template_with(sql, |_| Some(None))
    }

    fn template_with(&self, sql: &str, value: impl Fn(usize) -> Option<Option<Given>>) -> Option<String> {
        // Operators are names, too: where a schema stands before the server's own, `=` is whatever it says.
        if !self.names.looks_in_pg_catalog_first() {
            return None;
        }
        self.gateway.policies().template(&self.asker.human, sql, value)
    }

    /// Whether policy has to know how many rows a text touches.
    pub(super) fn counts_rows(&self, text: &Understood) -> bool {
        let writes =
            |effect: &Effect| matches!(effect.action, Action::Insert | Action::Update | Action::Delete | Action::Merge);
        self.connection.mode == Mode::Enforce && self.gateway.policies().reads_rows() && text.effects.iter().any(writes)
    }

    /// Asks policy. The store is asked who could approve only where the answer is not simply yes.
    pub(super) async fn decision(&self, asked: &Asked) -> Result<Decision, Refusal> {
        let policies = self.gateway.policies();
        if decide(&policies, asked, &[], &[], Utc::now()) == Decision::Allow {
            return Ok(Decision::Allow);
        }
        let known = self.gateway.store.people().await.map_err(|error| {
            tracing::error!(%error, "the state can't say who could approve");
            Refusal::Unavailable { message: "the gateway can't check this statement now".into() }
        })?;
        Ok(decide(&policies, asked, &[], &known, Utc::now()))
    }

    /// Policy allows just that, and it is about to run.
    pub(super) fn runs_by_policy(&self, asked: &Asked) {
        let policies = self.gateway.policies();
        let (_, by) = decide_by(&policies, asked, &[], &[], Utc::now());
        policies.permissions().mark(&by);
    }

    /// How long a hold waits here.
    pub(super) fn hold_timeout(&self) -> Duration {
        let gateway = &self.gateway.config.gateway;
        if self.status == b'I' && !self.moved { gateway.hold_timeout } else { gateway.hold_timeout_in_transaction }
    }

    /// Answers `SET/SHOW countersign.*`; the frames of its answer.
    pub(super) fn own_setting(&mut self, setting: &OwnSetting) -> Result<Vec<Bytes>, Refusal> {
        use crate::wire::backend::{complete, one_column, one_value};
        const KNOWN: [&str; 4] = ["reason", "reveal", "break_glass", "batch"];
        let name = match setting {
            OwnSetting::Set { name, .. } | OwnSetting::Show { name } => name.as_str(),
        };
        if name == "ask" && matches!(setting, OwnSetting::Set { .. }) {
            let message =
                "countersign.ask counts from the start of a session to its end: PGOPTIONS='-c countersign.ask=on'";
            return Err(Refusal::OwnSetting { message: message.to_owned() });
        }
        if !KNOWN.contains(&name) && name != "ask" {
            let message = format!(
                "there is no setting countersign.{name}; there are countersign.reason, .reveal, .break_glass and .batch"
            );
            return Err(Refusal::OwnSetting { message });
        }
        if name == "batch"
            && let OwnSetting::Set { value: Some(value), .. } = setting
            && is_on(value).is_none()
        {
            return Err(Refusal::OwnSetting { message: format!("countersign.batch is on or off, not {value:?}") });
        }
        Ok(match setting {
            OwnSetting::Set { value: Some(value), .. } => {
                self.own.insert(name.to_owned(), value.clone());
                vec![complete("SET")]
            }
            OwnSetting::Set { value: None, .. } => {
                self.own.remove(name);
                vec![complete("RESET")]
            }
            OwnSetting::Show { .. } => {
                let value = self.own.get(name).cloned().unwrap_or_default();
                vec![one_column(&format!("countersign.{name}")), one_value(&value), complete("SHOW")]
            }
        })
    }

    /// A denied statement, for log and metrics.
    pub(super) async fn record_denial(&self, sql: &str, refusal: &Refusal, rules: &[String]) -> Result<(), Ended> {
        let mut entry = self.header.entry(Kind::Denied);
        entry.detail["rules"] = serde_json::json!(rules);
        entry.sql = Some(kept(sql, refusal).to_owned());
        entry.outcome = Some(refusal.line());
        self.gateway.metrics.statement(&self.connection.name, StatementDecision::Deny);
        self.gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))
    }
}

/// A denied text as the log may keep it. What the tree has seen, the text need not show.
fn kept<'a>(sql: &'a str, refusal: &Refusal) -> &'a str {
    if *refusal == Refusal::TokenAlone { NOT_KEPT } else { without_token(sql) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_token_is_not_kept_however_it_hides_the_name() {
        let hidden = r"SELECT set_config(E'countersign\x2etoken', 'ey', false)";
        assert_eq!(kept(hidden, &Refusal::TokenAlone), NOT_KEPT);
        let denied = Refusal::Denied { message: String::new(), detail: String::new() };
        assert_eq!(kept("SET countersign./**/token = 'ey", &denied), NOT_KEPT);
        assert_eq!(kept("SELECT 1", &denied), "SELECT 1");
    }
}
