//! Reads a PL/pgSQL body into the SQL that it runs. Pure.
//!
//! It follows PL/pgSQL's own grammar (`pl_gram.y`) over the server's own tokens, and finds where
//! expressions and statements begin and end just as that does: by a word or sign outside
//! parentheses. What it does not know is an error, and the body then is opaque. The reader that
//! comes with libpg_query is not used: it needs every type of the signature, and works on state of
//! the whole process.

use super::{limits, plpgsql_tokens::Tokens};

/// Something that a body runs or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// One or several expressions, as they stand behind SELECT.
    Expression(String),
    /// A statement.
    Sql(String),
    /// The type of a variable.
    Type(String),
    /// `name%TYPE`, `name%ROWTYPE`: the name's parts, without a column.
    TypeOf(Vec<String>),
    /// What is not in the text.
    Unseen(&'static str),
    /// The query of a cursor.
    Cursor(String),
    /// FETCH or MOVE: of a cursor that may have been opened elsewhere.
    Fetches,
    /// Errors are caught.
    Catches,
}

/// Blocks, loops and branches within each other.
const DEEPEST: usize = 64;

/// All that a body may run, in the order of the text, whether or not it is reached.
///
/// # Errors
/// Where the body is not understood, or is over a bound.
pub(super) fn read(source: &str) -> Result<Vec<Piece>, String> {
    limits::measure(source)?;
    let mut reader = Reader { tokens: Tokens::of(source)?, pieces: Vec::new(), cursors: Vec::new(), depth: 0 };
    // `#variable_conflict use_column`, `#option dump`, `#print_strict_params on`.
    while reader.tokens.take("#") {
        reader.tokens.skip()?;
        reader.tokens.skip()?;
    }
    reader.label()?;
    reader.block()?;
    reader.tokens.take(";");
    match reader.tokens.peek() {
        None => Ok(reader.pieces),
        Some(more) => Err(format!("there is {more} behind the last END")),
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    pieces: Vec<Piece>,
    /// Cursors that were declared with their queries.
    cursors: Vec<String>,
    depth: usize,
}

type Taken = Result<(), String>;

/// Where a list of statements ends.
const BODY_ENDS: [&str; 6] = ["end", "else", "elsif", "elseif", "when", "exception"];

impl Reader<'_> {
    fn expression_up_to(&mut self, ends: &[&str]) -> Taken {
        let text = self.tokens.text_up_to(ends)?;
        self.expression(text);
        Ok(())
    }

    fn expression(&mut self, text: String) {
        if !text.trim().is_empty() {
            self.pieces.push(Piece::Expression(text));
        }
    }

    fn unseen(&mut self, why: &'static str) {
        self.pieces.push(Piece::Unseen(why));
    }

    /// `<<name>>`.
    fn label(&mut self) -> Taken {
        if self.tokens.take("<<") {
            self.tokens.skip()?;
            self.tokens.expect(">>")?;
        }
        Ok(())
    }

    /// `[DECLARE …] BEGIN … [EXCEPTION …] END [name]`.
    fn block(&mut self) -> Taken {
        while self.tokens.take("declare") {
            while !self.tokens.is("begin") && !self.tokens.is("declare") {
                self.declaration()?;
            }
        }
        self.tokens.expect("begin")?;
        self.statements()?;
        if self.tokens.take("exception") {
            self.pieces.push(Piece::Catches);
            while self.tokens.take("when") {
                // Names of conditions, or SQLSTATE and a constant.
                self.tokens.text_up_to(&["then"])?;
                self.tokens.expect("then")?;
                self.statements()?;
            }
        }
        self.tokens.expect("end")?;
        if !self.tokens.is(";") && self.tokens.peek().is_some() {
            self.tokens.skip()?;
        }
        Ok(())
    }

    fn declaration(&mut self) -> Taken {
        let name = self.tokens.name()?;
        if self.tokens.take("alias") {
            self.tokens.expect("for")?;
            self.tokens.skip()?;
            return self.tokens.expect(";");
        }
        if self.cursor_declaration(&name)? {
            return Ok(());
        }
        self.tokens.take("constant");
        self.variable_type(&["not", "collate", "default", ":=", "=", ";"])?;
        if self.tokens.take("collate") {
            self.tokens.name_parts()?;
        }
        if self.tokens.take("not") {
            self.tokens.expect("null")?;
        }
        if self.tokens.take("default") || self.tokens.take(":=") || self.tokens.take("=") {
            self.expression_up_to(&[";"])?;
        }
        self.tokens.expect(";")
    }

    /// `name [[NO] SCROLL] CURSOR [(name type, …)] {FOR | IS} query;`
    fn cursor_declaration(&mut self, name: &str) -> Result<bool, String> {
        let ahead = if self.tokens.is("scroll") { 1 } else { 2 };
        let scroll = self.tokens.is("scroll") || self.tokens.is("no") && self.tokens.is_at(1, "scroll");
        if scroll && self.tokens.is_at(ahead, "cursor") {
            for _ in 0..ahead {
                self.tokens.skip()?;
            }
        }
        if !self.tokens.is("cursor") {
            return Ok(false);
        }
        self.tokens.skip()?;
        if self.tokens.take("(") {
            loop {
                self.tokens.name()?;
                self.variable_type(&[",", ")"])?;
                if !self.tokens.take(",") {
                    break;
                }
            }
            self.tokens.expect(")")?;
        }
        if !self.tokens.take("for") {
            self.tokens.expect("is")?;
        }
        let query = self.tokens.text_up_to(&[";"])?;
        self.pieces.push(Piece::Cursor(query));
        self.cursors.push(name.to_owned());
        self.tokens.expect(";")?;
        Ok(true)
    }

    fn variable_type(&mut self, ends: &[&str]) -> Taken {
        let begin = self.tokens.position();
        let text = self.tokens.text_up_to(ends)?;
        if !text.contains('%') {
            self.pieces.push(Piece::Type(text));
            return Ok(());
        }
        let after = self.tokens.position();
        self.tokens.set_position(begin);
        let mut parts = self.tokens.name_parts()?;
        self.tokens.expect("%")?;
        if self.tokens.is("type") {
            parts.pop();
        }
        self.tokens.set_position(after);
        self.pieces.push(Piece::TypeOf(parts));
        Ok(())
    }

    fn statements(&mut self) -> Taken {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it nests deeper than {DEEPEST}"));
        }
        while !BODY_ENDS.iter().any(|end| self.tokens.is(end)) {
            self.statement()?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn statement(&mut self) -> Taken {
        self.label()?;
        // What looks like a word of the language is a variable where a value is given to it.
        if [":=", "=", "[", "."].iter().any(|sign| self.tokens.is_at(1, sign)) {
            return self.assignment();
        }
        match self.tokens.word().as_str() {
            "declare" | "begin" => {
                self.block()?;
                self.tokens.expect(";")
            }
            "if" => self.if_statement(),
            "case" => self.case_statement(),
            "loop" | "while" | "for" | "foreach" => self.loop_statement(),
            "exit" | "continue" => self.exit(),
            "return" => self.return_statement(),
            "raise" => self.raise(),
            "perform" | "assert" => {
                self.tokens.skip()?;
                self.rest_is_expression()
            }
            "execute" => {
                self.unseen("it runs a statement that it puts together (EXECUTE)");
                self.skip_to_end()
            }
            "get" | "close" | "null" => self.skip_to_end(),
            "commit" | "rollback" => {
                self.unseen("it ends transactions");
                self.skip_to_end()
            }
            "open" => self.open(),
            "fetch" | "move" => self.fetch(),
            _ => self.sql(),
        }
    }

    fn skip_to_end(&mut self) -> Taken {
        self.tokens.text_up_to(&[";"])?;
        self.tokens.expect(";")
    }

    fn rest_is_expression(&mut self) -> Taken {
        self.expression_up_to(&[";"])?;
        self.tokens.expect(";")
    }

    /// `name[…].field := expression`: both sides are expressions.
    fn assignment(&mut self) -> Taken {
        self.expression_up_to(&[":=", "="])?;
        self.tokens.skip()?;
        self.rest_is_expression()
    }

    fn if_statement(&mut self) -> Taken {
        self.tokens.expect("if")?;
        loop {
            self.expression_up_to(&["then"])?;
            self.tokens.expect("then")?;
            self.statements()?;
            if !(self.tokens.take("elsif") || self.tokens.take("elseif")) {
                break;
            }
        }
        if self.tokens.take("else") {
            self.statements()?;
        }
        self.tokens.expect("end")?;
        self.tokens.expect("if")?;
        self.tokens.expect(";")
    }

    fn case_statement(&mut self) -> Taken {
        self.tokens.expect("case")?;
        self.expression_up_to(&["when"])?;
        while self.tokens.take("when") {
            self.expression_up_to(&["then"])?;
            self.tokens.expect("then")?;
            self.statements()?;
        }
        if self.tokens.take("else") {
            self.statements()?;
        }
        // A CASE with an operand compares with `=`.
        self.pieces.push(Piece::Expression("1 = 1".to_owned()));
        self.tokens.expect("end")?;
        self.tokens.expect("case")?;
        self.tokens.expect(";")
    }

    fn loop_statement(&mut self) -> Taken {
        match self.tokens.word().as_str() {
            "loop" => {}
            "while" => {
                self.tokens.skip()?;
                self.expression_up_to(&["loop"])?;
            }
            "foreach" => {
                self.tokens.skip()?;
                self.tokens.text_up_to(&["in"])?;
                self.tokens.expect("in")?;
                self.tokens.expect("array")?;
                self.expression_up_to(&["loop"])?;
            }
            _ => {
                self.tokens.expect("for")?;
                self.tokens.text_up_to(&["in"])?;
                self.tokens.expect("in")?;
                self.for_source()?;
            }
        }
        self.tokens.expect("loop")?;
        self.statements()?;
        self.tokens.expect("end")?;
        self.tokens.expect("loop")?;
        if !self.tokens.is(";") {
            self.tokens.skip()?;
        }
        self.tokens.expect(";")
    }

    /// What a FOR runs over: integers, a cursor, a query, or a text.
    fn for_source(&mut self) -> Taken {
        if self.tokens.is("execute") {
            self.unseen("it runs a query that it puts together (FOR … IN EXECUTE)");
            self.tokens.text_up_to(&["loop"])?;
            return Ok(());
        }
        let begin = self.tokens.position();
        self.tokens.text_up_to(&["loop", ".."])?;
        let integers = self.tokens.is("..");
        self.tokens.set_position(begin);
        if integers {
            self.tokens.take("reverse");
            self.expression_up_to(&[".."])?;
            self.tokens.expect("..")?;
            self.expression_up_to(&["loop", "by"])?;
            if self.tokens.take("by") {
                self.expression_up_to(&["loop"])?;
            }
            return Ok(());
        }
        if self.cursors.contains(&self.tokens.word()) {
            self.tokens.skip()?;
            return self.cursor_arguments();
        }
        let query = self.tokens.text_up_to(&["loop"])?;
        self.pieces.push(Piece::Sql(query));
        Ok(())
    }

    /// `(1, name := 2)`, where there are any.
    fn cursor_arguments(&mut self) -> Taken {
        if self.tokens.take("(") {
            let text = self.tokens.text_with(&[")"], |token| if token == ":=" { "=" } else { token })?;
            self.expression(text);
            self.tokens.expect(")")?;
        }
        Ok(())
    }

    fn exit(&mut self) -> Taken {
        self.tokens.skip()?;
        if !self.tokens.is("when") && !self.tokens.is(";") {
            self.tokens.skip()?;
        }
        if self.tokens.take("when") {
            self.expression_up_to(&[";"])?;
        }
        self.tokens.expect(";")
    }

    fn return_statement(&mut self) -> Taken {
        self.tokens.expect("return")?;
        if self.tokens.take("query") {
            if self.tokens.is("execute") {
                self.unseen("it runs a query that it puts together (RETURN QUERY EXECUTE)");
                return self.skip_to_end();
            }
            let query = self.tokens.text_up_to(&[";"])?;
            self.pieces.push(Piece::Sql(query));
            return self.tokens.expect(";");
        }
        self.tokens.take("next");
        self.rest_is_expression()
    }

    /// `RAISE [level] ['format' [, …] | name | SQLSTATE '…'] [USING option = expression, …];`
    fn raise(&mut self) -> Taken {
        self.tokens.expect("raise")?;
        for level in ["exception", "warning", "notice", "info", "log", "debug"] {
            if self.tokens.take(level) {
                break;
            }
        }
        self.tokens.take("sqlstate");
        if !(self.tokens.is(";") || self.tokens.is("using")) {
            self.tokens.skip()?;
        }
        if self.tokens.take(",") {
            self.expression_up_to(&["using", ";"])?;
        }
        if self.tokens.take("using") {
            let text = self.tokens.text_with(&[";"], |token| if token == ":=" { "=" } else { token })?;
            self.expression(text);
        }
        self.tokens.expect(";")
    }

    /// `OPEN name [[NO] SCROLL] FOR …`, or of a cursor that has its query, with its arguments.
    fn open(&mut self) -> Taken {
        self.tokens.expect("open")?;
        self.tokens.skip()?;
        self.tokens.take("no");
        self.tokens.take("scroll");
        if self.tokens.take("for") {
            if self.tokens.is("execute") {
                self.unseen("it runs a query that it puts together (OPEN … FOR EXECUTE)");
                return self.skip_to_end();
            }
            let query = self.tokens.text_up_to(&[";"])?;
            self.pieces.push(Piece::Cursor(query));
        } else {
            self.cursor_arguments()?;
        }
        self.tokens.expect(";")
    }

    /// `FETCH [[direction] {FROM | IN}] cursor INTO …`, MOVE likewise: how far it goes is an expression.
    fn fetch(&mut self) -> Taken {
        const DIRECTIONS: [&str; 9] =
            ["next", "prior", "first", "last", "absolute", "relative", "all", "forward", "backward"];
        self.tokens.skip()?;
        let begin = self.tokens.position();
        self.tokens.text_up_to(&["from", "in", "into", ";"])?;
        if self.tokens.is("from") || self.tokens.is("in") {
            self.tokens.set_position(begin);
            if DIRECTIONS.iter().any(|word| self.tokens.take(word)) {
                self.tokens.take("all");
            }
            self.expression_up_to(&["from", "in"])?;
        }
        self.pieces.push(Piece::Fetches);
        self.skip_to_end()
    }

    /// Any other statement is SQL's own, without its INTO and the variables behind that.
    fn sql(&mut self) -> Taken {
        let first = self.tokens.word();
        let mut text = String::new();
        while !self.tokens.is(";") {
            if first == "create" && self.tokens.is("begin") {
                return Err("it creates a function whose body is no string".to_owned());
            }
            let before = self.tokens.word_before();
            let is_target =
                self.tokens.is("into") && !matches!(before.as_str(), "insert" | "merge") && first != "import";
            if is_target {
                self.tokens.skip()?;
                self.tokens.take("strict");
                self.tokens.name_parts()?;
                while self.tokens.take(",") {
                    self.tokens.name_parts()?;
                }
                text.push(' ');
                continue;
            }
            text.push_str(self.tokens.raw()?);
            text.push(' ');
        }
        self.pieces.push(Piece::Sql(text));
        self.tokens.expect(";")
    }
}

#[cfg(test)]
#[path = "plpgsql_tests.rs"]
mod tests;
