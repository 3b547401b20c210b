//! The client that the bot uses reads everything that the stand-in says.

use std::sync::Arc;
use std::time::Duration;

use countersign_demo::slack::{Channel, Person, Submission, Usergroup, Workspace, WorkspaceConfig};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::hyper_tokio::SlackClientHyperConnector;
use slack_morphism::prelude::*;
use tokio::sync::mpsc;

const ANA: &str = "U0ANA00001";
const CHANNEL: &str = "C0APPROVE1";
const SOON: Duration = Duration::from_secs(20);

type Connector = SlackClientHyperConnector<HttpConnector>;
type Client = SlackClient<Connector>;

async fn workspace() -> Workspace {
    Workspace::start(WorkspaceConfig {
        people: vec![Person::new(ANA, "ana", "Ana Fernandes", "ana@acme.dev")],
        channels: vec![Channel::public(CHANNEL, "db-approvals")],
        usergroups: vec![Usergroup::new("S0DBA00001", "dba", "DBAs", &[ANA])],
        ..WorkspaceConfig::default()
    })
    .await
    .unwrap()
}

fn client(workspace: &Workspace) -> Client {
    let connector = Connector::with_connector(HttpConnector::new());
    SlackClient::new(connector.with_slack_api_url(workspace.api_url().trim_end_matches('/')))
}

fn token(text: String) -> SlackApiToken {
    SlackApiToken::new(text.into())
}

fn content(text: &str) -> SlackMessageContent {
    let blocks: Vec<SlackBlock> = serde_json::from_value(json!([
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "actions", "block_id": "decision", "elements": [
            {"type": "button", "action_id": "deny", "value": "K7Q2", "style": "danger",
             "text": {"type": "plain_text", "text": "Deny"}},
        ]},
    ]))
    .unwrap();
    SlackMessageContent::new().with_text(text.to_owned()).with_blocks(blocks)
}

#[tokio::test]
async fn every_answer_of_the_web_api_is_understood() {
    let workspace = workspace().await;
    let (client, token) = (client(&workspace), token(workspace.bot_token()));
    let session = client.open_session(&token);
    assert_eq!(session.auth_test().await.unwrap().user_id.0, "U0BOT00001");
    let posted =
        session.chat_post_message(&SlackApiChatPostMessageRequest::new(CHANNEL.into(), content("held"))).await.unwrap();
    let update = SlackApiChatUpdateRequest::new(CHANNEL.into(), content("approved"), posted.ts.clone());
    assert_eq!(session.chat_update(&update).await.unwrap().message.content.text.as_deref(), Some("approved"));
    let private = SlackApiChatPostEphemeralRequest::new(CHANNEL.into(), ANA.into(), content("psst"));
    session.chat_post_ephemeral(&private).await.unwrap();
    let link = SlackApiChatGetPermalinkRequest::new(CHANNEL.into(), posted.ts.clone());
    assert!(session.chat_get_permalink(&link).await.unwrap().permalink.as_str().starts_with("https://acme.slack.com/"));
    let user = session.users_info(&SlackApiUsersInfoRequest::new(ANA.into())).await.unwrap().user;
    assert_eq!((user.flags.is_restricted, user.deleted), (Some(false), Some(false)));
    assert_eq!(user.profile.unwrap().email.unwrap().0, "ana@acme.dev");
    let groups = session.usergroups_list(&SlackApiUserGroupsListRequest::new()).await.unwrap().usergroups;
    assert_eq!(groups[0].handle, "dba");
    let members = SlackApiUserGroupsUsersListRequest::new("S0DBA00001".into());
    assert_eq!(session.usergroups_users_list(&members).await.unwrap().users, [SlackUserId::from(ANA)]);
    let open = SlackApiConversationsOpenRequest::new().with_users(vec![ANA.into()]);
    let direct = session.conversations_open(&open).await.unwrap().channel;
    assert!(direct.id.0.starts_with('D'));
    let info = SlackApiConversationsInfoRequest::new(CHANNEL.into());
    assert_eq!(session.conversations_info(&info).await.unwrap().channel.name.as_deref(), Some("db-approvals"));
    assert_eq!(session.users_list(&SlackApiUsersListRequest::new()).await.unwrap().members.len(), 2);

    let unknown = SlackApiChatPostMessageRequest::new("C0NOWHERE1".into(), content("x"));
    match session.chat_post_message(&unknown).await {
        Err(SlackClientError::ApiError(error)) => assert_eq!(error.code, "channel_not_found"),
        other => panic!("{other:?}"),
    }
    workspace.rate_limit("users.info", 1, 9);
    match session.users_info(&SlackApiUsersInfoRequest::new(ANA.into())).await {
        Err(SlackClientError::RateLimitError(error)) => assert_eq!(error.retry_after, Some(Duration::from_secs(9))),
        other => panic!("{other:?}"),
    }
}

/// What the app saw, for the test to look at.
struct Seen(mpsc::UnboundedSender<String>, String);

async fn on_command(
    event: SlackCommandEvent,
    _: Arc<Client>,
    _: SlackClientEventsUserState,
) -> UserCallbackResult<SlackCommandEventResponse> {
    let text = format!("{} {}", event.command.0, event.text.unwrap_or_default());
    Ok(SlackCommandEventResponse::new(SlackMessageContent::new().with_text(text)))
}

async fn on_interaction(
    event: SlackInteractionEvent,
    client: Arc<Client>,
    state: SlackClientEventsUserState,
) -> UserCallbackResult<SlackInteractionResponse> {
    let (seen, bot_token) = {
        let state = state.read().await;
        let Seen(seen, token) = state.get_user_state::<Seen>().unwrap();
        (seen.clone(), token.clone())
    };
    match event {
        SlackInteractionEvent::BlockActions(event) => {
            let action = event.actions.unwrap().remove(0);
            let was = event.message.unwrap().content.text.unwrap();
            seen.send(format!("{} {} on {was}", action.action_id.0, action.value.unwrap())).unwrap();
            let view: SlackView = serde_json::from_value(modal()).unwrap();
            let token = token(bot_token);
            client.open_session(&token).views_open(&SlackApiViewsOpenRequest::new(event.trigger_id, view)).await?;
            Ok(SlackInteractionResponse::Empty)
        }
        SlackInteractionEvent::ViewSubmission(event) => {
            let values = event.view.state_params.state.unwrap().values;
            let reason = values[&"reason".into()][&"reason".into()].value.clone().unwrap();
            seen.send(format!("{reason} by {}", event.user.id.0)).unwrap();
            let errors = [("reason".to_owned(), "No.".to_owned())].into_iter().collect();
            let response = SlackViewSubmissionErrorsResponse::new(errors);
            Ok(SlackInteractionResponse::ViewSubmission(SlackViewSubmissionResponse::Errors(response)))
        }
        other => panic!("{other:?}"),
    }
}

fn modal() -> Value {
    json!({
        "type": "modal", "callback_id": "deny", "title": {"type": "plain_text", "text": "Deny"},
        "submit": {"type": "plain_text", "text": "Deny"},
        "blocks": [{"type": "input", "block_id": "reason", "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "reason"}}],
    })
}

#[tokio::test]
async fn every_envelope_of_socket_mode_is_understood() {
    let workspace = workspace().await;
    let client = Arc::new(client(&workspace));
    let (seen, mut sees) = mpsc::unbounded_channel();
    let environment = Arc::new(
        SlackClientEventsListenerEnvironment::new(client.clone())
            .with_user_state(Seen(seen, workspace.bot_token()))
            .with_error_handler(|error, _, _| panic!("the client does not understand: {error}")),
    );
    let callbacks =
        SlackSocketModeListenerCallbacks::new().with_command_events(on_command).with_interaction_events(on_interaction);
    let config = SlackClientSocketModeConfig::new().with_max_connections_count(2);
    let listener = SlackClientSocketModeListener::new(&config, environment, callbacks);
    listener.listen_for(&token(workspace.app_token())).await.unwrap();
    listener.start().await;
    workspace.wait_for(SOON, |workspace| (workspace.connections() > 0).then_some(())).await.unwrap();

    workspace.command(ANA, CHANNEL, "/access", "status").await.unwrap();
    assert_eq!(workspace.ephemerals(ANA)[0].text, "/access status");

    let token = token(workspace.bot_token());
    let post = SlackApiChatPostMessageRequest::new(CHANNEL.into(), content("held"));
    let ts = client.open_session(&token).chat_post_message(&post).await.unwrap().ts.0;
    workspace.press(ANA, CHANNEL, &ts, "deny").await.unwrap();
    assert_eq!(sees.recv().await.unwrap(), "deny K7Q2 on held");
    let view = workspace.open_views(ANA).pop().unwrap();
    let refused = workspace.submit_view(ANA, &view.id, &[("reason", "too wide")]).await.unwrap();
    assert_eq!(sees.recv().await.unwrap(), format!("too wide by {ANA}"));
    assert!(matches!(refused, Submission::Errors(errors) if errors["reason"] == "No."));

    workspace.refresh_connections();
    workspace.wait_for(SOON, |workspace| (workspace.connections() > 0).then_some(())).await.unwrap();
    workspace.command(ANA, CHANNEL, "/access", "again").await.unwrap();
    listener.shutdown().await;
    workspace.stop().await;
}
