// An ordinary app on Slack's own framework, which knows nothing of the stand-in but its address.
//
// Environment: API_URL, BOT_TOKEN, APP_TOKEN and MODE=socket, or SIGNING_SECRET and MODE=http.
// Prints `ready` (and the port in HTTP mode) when it takes deliveries, then one JSON line for each thing it saw.

import bolt from '@slack/bolt';

const { API_URL, BOT_TOKEN, APP_TOKEN, SIGNING_SECRET, MODE } = process.env;
const say = (what) => console.log(JSON.stringify(what));
const quiet = { debug() {}, info() {}, warn: (...text) => console.error(...text), error: (...text) => console.error(...text), setLevel() {}, getLevel: () => 'warn', setName() {} };

const common = { token: BOT_TOKEN, logger: quiet, clientOptions: { slackApiUrl: API_URL } };
const receiver = MODE === 'http'
  ? new bolt.HTTPReceiver({
    signingSecret: SIGNING_SECRET, logger: quiet, endpoints: ['/slack/commands', '/slack/interactive', '/slack/events'],
  })
  : undefined;
const app = MODE === 'http'
  ? new bolt.App({ ...common, receiver })
  : new bolt.App({ ...common, appToken: APP_TOKEN, socketMode: true });

const plain = (text) => ({ type: 'plain_text', text });
const card = (text, done) => [
  { type: 'section', text: { type: 'mrkdwn', text } },
  ...(done ? [] : [{
    type: 'actions',
    block_id: 'decision',
    elements: [
      { type: 'button', action_id: 'approve', style: 'primary', text: plain('Approve'), value: 'K7Q2' },
      { type: 'button', action_id: 'deny', style: 'danger', text: plain('Deny'), value: 'K7Q2' },
    ],
  }]),
];

const VERBS = {
  async hello({ ack }) { await ack('hello yourself'); },
  async loud({ ack }) { await ack({ response_type: 'in_channel', text: 'for everybody' }); },
  async respond({ ack, respond }) {
    await ack();
    await respond({ text: 'through the response_url', response_type: 'ephemeral' });
  },
  async who({ ack, command, client, respond }) {
    await ack();
    const { user } = await client.users.info({ user: command.user_id });
    await respond(`${user.real_name} <${user.profile.email}> ${user.is_restricted ? 'guest' : 'member'} ${user.team_id}`);
  },
  async private({ ack, command, client }) {
    await ack();
    await client.chat.postEphemeral({ channel: command.channel_id, user: command.user_id, text: 'only you' });
  },
  async group({ ack, client, respond }) {
    await ack();
    const { users } = await client.usergroups.users.list({ usergroup: 'S0DBA00001' });
    await respond(users.join(' '));
  },
  async dm({ ack, command, client }) {
    await ack();
    const { channel } = await client.conversations.open({ users: command.user_id });
    await client.chat.postMessage({ channel: channel.id, text: 'a direct message' });
  },
  async card({ ack, command, client }) {
    await ack();
    const { ts, message } = await client.chat.postMessage({
      channel: command.channel_id, text: 'held', blocks: card('*held* for approval'),
    });
    say({ posted: ts, by: message.bot_id });
  },
  async wrong({ ack, command, client }) {
    await ack();
    try {
      await client.chat.postMessage({ channel: command.channel_id, text: 'x', blocks: [{ type: 'marquee' }] });
    } catch (error) {
      say({ refused: error.data.error, details: error.data.response_metadata.messages });
    }
  },
  async twice({ ack, command, client }) {
    await ack();
    const view = modal(`${command.channel_id} 0`);
    await client.views.open({ trigger_id: command.trigger_id, view });
    try {
      await client.views.open({ trigger_id: command.trigger_id, view });
    } catch (error) {
      say({ refused: error.data.error });
    }
  },
  async silent() { /* never acknowledges */ },
};

app.command('/access', (args) => (VERBS[args.command.text] ?? VERBS.hello)(args));

const modal = (metadata) => ({
  type: 'modal',
  callback_id: 'deny',
  private_metadata: metadata,
  title: plain('Deny'),
  submit: plain('Deny'),
  blocks: [{
    type: 'input', block_id: 'reason', label: plain('Reason'),
    element: { type: 'plain_text_input', action_id: 'reason' },
  }],
});

app.action('approve', async ({ ack, body, action, client, respond }) => {
  await ack();
  say({ pressed: action.action_id, value: action.value, by: body.user.id, in: body.channel.name, was: body.message.text });
  await client.chat.update({
    channel: body.channel.id, ts: body.message.ts, text: 'approved', blocks: card(`approved by <@${body.user.id}>`, true),
  });
  await respond({ text: 'thank you', replace_original: false });
});

app.action('deny', async ({ ack, body, client }) => {
  await ack();
  const { view } = await client.views.open({
    trigger_id: body.trigger_id, view: modal(`${body.channel.id} ${body.message.ts}`),
  });
  say({ opened: view.id });
});

app.view('deny', async ({ ack, body, view, client }) => {
  const reason = view.state.values.reason.reason.value;
  if (reason.length < 5) {
    await ack({ response_action: 'errors', errors: { reason: 'Say more than that.' } });
    return;
  }
  if (reason === 'show more') {
    await ack({ response_action: 'update', view: { ...modal(view.private_metadata), title: plain('Deny for good') } });
    return;
  }
  await ack();
  const [channel, ts] = view.private_metadata.split(' ');
  await client.chat.update({ channel, ts, text: `denied: ${reason}`, blocks: card(`denied by <@${body.user.id}>: ${reason}`, true) });
});

app.event('app_home_opened', async ({ event, client }) => {
  await client.views.publish({ user_id: event.user, view: { type: 'home', blocks: card('Nothing is waiting for you.', true) } });
});

app.error(async (error) => { say({ error: error.code ?? error.message }); });

if (MODE === 'http') {
  const server = await app.start({ port: 0, host: '127.0.0.1' });
  console.log(`ready ${server.address().port}`);
} else {
  await app.start();
  console.log('ready');
}
// The app ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
