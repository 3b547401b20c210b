//! The whole file, section by section.

use std::path::{Path, PathBuf};

use countersign_shared::secret::Secret;
use toml::de::DeTable;

use super::{
    Config, Problem, connection, gateway, identity,
    reader::{Document, Table},
    route, scim, siem, slack,
};

/// The outcome, and the policy folder as far as it could be told.
pub(super) fn load(file: &Path) -> (Result<Config, Vec<Problem>>, Option<PathBuf>) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem {
                file: file.to_owned(),
                line: 0,
                message: format!("the config can't be read: {error}"),
                hint: Some("name it with --config FILE".to_owned()),
            };
            return (Err(vec![problem]), None);
        }
    };
    let doc = Document::new(file, text);
    let text = doc.text().to_owned();
    let (root, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        doc.problem(error.span().map_or(0, |span| span.start), format!("not TOML: {}", error.message()), "");
    }
    let parts = Parts::read(&Table::new(&doc, "", 0, root.get_ref()));
    let policy = parts.gateway.as_ref().map(|gateway| gateway.policy.clone());
    let (problems, warnings) = doc.into_findings();
    // What a broken text leads to further on is no news.
    let problems = if errors.is_empty() {
        problems
    } else {
        problems.into_iter().filter(|problem| problem.message.starts_with("not TOML")).collect()
    };
    (parts.assemble(file, text.clone(), problems, warnings), policy)
}

struct Parts {
    gateway: Option<super::GatewayConfig>,
    identities: Vec<super::IdentityConfig>,
    agents: Vec<super::AgentConfig>,
    connections: std::collections::BTreeMap<String, super::ConnectionConfig>,
    roles: Vec<super::RoleConfig>,
    routes: Vec<super::RouteConfig>,
    slack: Option<super::SlackConfig>,
    siem: Option<crate::siem::SiemConfig>,
    scim: Option<super::ScimTokens>,
}

impl Parts {
    fn read(root: &Table<'_>) -> Self {
        let empty = DeTable::new();
        let s3 = root.table("s3");
        let gateway = if root.get("gateway").is_some() {
            root.table("gateway").and_then(|table| gateway::read(&table, s3.as_ref()))
        } else {
            gateway::read(&Table::new(root.doc, "[gateway]", 0, &empty), s3.as_ref())
        };
        let identities = root.tables("identity");
        if identities.is_empty() {
            root.doc.problem(
                0,
                "there is no [[identity]], so nobody could log in",
                "add one with `issuer` and `audience`",
            );
        }
        let connections = root.tables("connection");
        if connections.is_empty() {
            root.doc.problem(0, "there is no [[connection]]", "add one with `name` and `upstream`");
        }
        let connections = connection::read(&connections);
        let roles = connection::roles(&root.tables("role"));
        connection::roles_are_known(root.doc, &connections, &roles);
        let routes = route::read(&root.tables("route"), &connections);
        let parts = Self {
            gateway,
            identities: identity::read(&identities),
            agents: identity::agents(&root.tables("agent")),
            connections,
            roles,
            routes,
            slack: root.table("slack").and_then(|table| slack::read(&table)),
            siem: root.table("siem").and_then(|table| siem::read(&table)),
            scim: root.table("scim").and_then(|table| scim::read(&table)),
        };
        root.finish();
        parts
    }

    fn assemble(
        self,
        file: &Path,
        text: String,
        mut problems: Vec<Problem>,
        warnings: Vec<Problem>,
    ) -> Result<Config, Vec<Problem>> {
        match self.gateway {
            Some(gateway) if problems.is_empty() => Ok(Config {
                file: file.to_owned(),
                text: Secret::new(text),
                gateway,
                identities: self.identities,
                agents: self.agents,
                connections: self.connections,
                roles: self.roles,
                routes: self.routes,
                slack: self.slack,
                siem: self.siem,
                scim: self.scim,
                warnings,
            }),
            Some(_) => Err(problems),
            None => {
                if problems.is_empty() {
                    let message = "[gateway] can't be read".to_owned();
                    problems.push(Problem { file: file.to_owned(), line: 0, message, hint: None });
                }
                Err(problems)
            }
        }
    }
}
