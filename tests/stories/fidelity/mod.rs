//! The gateway is invisible: the same conversation, straight and through it, frame by frame.

mod conversations;
mod pieces;
pub mod wire;

use std::fmt::Write as _;

use countersign_demo::database::Login;
use countersign_shared::request::Choice;

use self::{
    conversations::{Conversation, Until, all, between},
    wire::{Frame, Wire},
};
use crate::harness::{Story, shop};

/// Everything passes.
const ALLOW: &str = "permit (principal, action, resource);";
/// Everything that names a table or a function waits for a second person.
const HOLD: &str = r#"
permit (principal, action in [Action::"connect", Action::"transaction", Action::"set", Action::"listen", Action::"approve"], resource);
permit (principal, action, resource) when { context.approvals.count >= 1 };
"#;

impl Story {
    /// A gateway with these policies and no others.
    pub async fn under(policy: &str) -> Self {
        let mut story = Self::prepared_under(policy).await;
        story.starts("gateway").await;
        story
    }

    /// Everything for that but the gateway.
    pub async fn prepared_under(policy: &str) -> Self {
        let story = Self::prepare().await;
        let folder = &story.world.facts.policy;
        for entry in std::fs::read_dir(folder).expect("the policies") {
            std::fs::remove_file(entry.expect("a file").path()).expect("a file less");
        }
        std::fs::write(folder.join("only.cedar"), policy).expect("a policy");
        story
    }

    /// Has Priya approve what is held, whenever the frame says so.
    async fn countersigned(&self, frame: &Frame) -> bool {
        let Some(id) = frame.held() else { return false };
        self.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
        true
    }
}

/// What a server answers to each step of a conversation.
async fn hears(wire: &mut Wire, conversation: &Conversation, approver: Option<&Story>) -> Vec<Vec<Frame>> {
    let mut heard = Vec::new();
    for step in conversation.steps.iter().chain([&between()]) {
        wire.send(&step.send).await;
        let (mut frames, mut ready) = (Vec::new(), 0);
        let more = |frames: &Vec<Frame>, ready| match step.until {
            Until::Ready(wanted) => ready < wanted,
            Until::Frames(wanted) => frames.iter().filter(|frame| frame.tag != b'N').count() < wanted,
        };
        while more(&frames, ready) {
            let Some(frame) = wire.frame().await else { break };
            if let Some(story) = approver
                && story.countersigned(&frame).await
            {
                continue;
            }
            ready += usize::from(frame.tag == b'Z');
            frames.push(comparable(frame));
        }
        heard.push(frames);
    }
    heard
}

/// Without what differs from one backend to the next.
fn comparable(mut frame: Frame) -> Frame {
    if frame.tag == b'A' {
        frame.body = frame.body.slice(4..);
    }
    frame
}

/// Tells where two hearings differ.
fn differences(conversation: &Conversation, direct: &[Vec<Frame>], through: &[Vec<Frame>]) -> Option<String> {
    let mut told = String::new();
    for (step, (direct, through)) in direct.iter().zip(through).take(conversation.steps.len()).enumerate() {
        let alike = direct.len() == through.len() && direct.iter().zip(through).all(|(a, b)| b.is_like(a));
        if !alike {
            let said = conversation.steps[step].send.escape_ascii();
            writeln!(told, "{}, step {step}: {said}\n  direct  {direct:?}\n  through {through:?}", conversation.about)
                .unwrap();
        }
    }
    (!told.is_empty()).then_some(told)
}

/// Holds all conversations both ways and collects what differs.
async fn compare(story: &Story, straight: &Login, conversations: &[Conversation], approver: Option<&Story>) {
    compare_in(Wire::through(story, "ana", &[]).await, straight, conversations, approver).await;
}

/// The same in a session that is there.
async fn compare_in(mut through: Wire, straight: &Login, conversations: &[Conversation], approver: Option<&Story>) {
    let mut different = Vec::new();
    let mut direct = Wire::direct(straight, &[]).await;
    for conversation in conversations {
        let expected = hears(&mut direct, conversation, None).await;
        let got = hears(&mut through, conversation, approver).await;
        different.extend(differences(conversation, &expected, &got));
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_allows_is_answered_frame_by_frame_as_by_the_server() {
    let (story, straight) = (Story::under(ALLOW).await, shop().await);
    compare(&story, &straight, &all(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_approved_is_answered_frame_by_frame_as_by_the_server() {
    let (story, straight) = (Story::under(HOLD).await, shop().await);
    let conversations: Vec<_> = all().into_iter().filter(|conversation| conversation.held.is_ok()).collect();
    compare(&story, &straight, &conversations, Some(&story)).await;
}
