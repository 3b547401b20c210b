// The page: asks for the screen after every change, and draws what changed.

import { mrkdwn, node } from './mrkdwn.js';
import { renderBlocks, text, valueOf } from './blocks.js';

const byId = (id) => document.getElementById(id);
const place = new URLSearchParams(location.hash.slice(1));
const drafts = new Map();
let screen = null;
let read = {};

const names = {
  user: (id) => screen.people.find((one) => one.id === id)?.name,
  usergroup: (id) => screen.usergroups.find((one) => one.id === id)?.handle,
  channel: (id) => screen.channels.find((one) => one.id === id)?.name,
};

async function act(body) {
  const answer = await fetch('/stand-in/act', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  return answer.ok ? answer.json() : { ok: false, error: await answer.text() };
}

let drawing = false;
let again = false;
async function refresh() {
  if (drawing) { again = true; return; }
  drawing = true;
  try {
    const asked = place.toString();
    const answer = await fetch(`/stand-in/screen?${asked}`);
    const answered = await answer.json();
    // Somebody has sat down or gone elsewhere meanwhile: what came is not what they want to see, and would undo that.
    if (place.toString() !== asked) { again = true; return; }
    screen = answered;
    draw();
  } finally {
    drawing = false;
    if (again) { again = false; refresh(); }
  }
}

function go(change) {
  for (const [key, value] of Object.entries(change)) place.set(key, value);
  location.hash = place;
  refresh();
}

// Replaces a list's children, but keeps the nodes whose content is as before (and with them a reader's selection).
function reconcile(list, items, key, make) {
  const kept = new Map([...list.children].map((child) => [child.dataset.key, child]));
  list.replaceChildren(...items.map((item) => {
    const id = `${key(item)} ${JSON.stringify(item)}`;
    const made = kept.get(id) ?? make(item);
    made.dataset.key = id;
    return made;
  }));
}

function draw() {
  place.set('user', screen.user);
  place.set('channel', screen.channel);
  // Whose screen is drawn, and of where: what is chosen is drawn a moment later.
  document.body.dataset.user = screen.user;
  document.body.dataset.channel = screen.channel;
  byId('team').textContent = screen.team.name;
  byId('status').textContent = screen.connected ? `${screen.app.name} is connected` : `${screen.app.name} is not connected`;
  byId('status').className = screen.connected ? 'on' : '';
  drawUsers();
  drawChannels();
  const channel = screen.channels.find((one) => one.id === screen.channel);
  const title = channel ? (channel.direct ? screen.app.name : `# ${channel.name}`) : '';
  byId('title').textContent = title;
  byId('topic').textContent = channel?.direct ? 'App' : '';
  document.title = `${title} · ${screen.team.name}`;
  byId('text').placeholder = channel?.direct ? `Message ${screen.app.name}` : `Message ${title}`;
  byId('hint').textContent = `Commands: ${screen.commands.join(', ')}`;
  const list = byId('messages');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  reconcile(list, screen.items, (item) => screen.channel + screen.user + item.ts, drawItem);
  if (atEnd) list.scrollTop = list.scrollHeight;
  drawHome(channel);
  drawModal();
}

function drawUsers() {
  const select = byId('user');
  const people = screen.people.filter((one) => !one.is_bot);
  reconcile(select, people, (one) => one.id, (one) => {
    const marks = [one.admin && 'admin', one.guest && 'guest', one.stranger && 'external', one.deleted && 'deactivated'];
    const made = node('option', '', [`${one.real_name} (@${one.name})`, ...marks.filter(Boolean)].join(' · '));
    made.value = one.id;
    made.disabled = one.deleted;
    return made;
  });
  select.value = screen.user;
}

function drawChannels() {
  read[screen.user + screen.channel] = screen.channels.find((one) => one.id === screen.channel)?.latest;
  const entry = (one) => {
    const made = node('button', '', one.direct ? `● ${screen.app.name}` : `# ${one.name}`);
    made.type = 'button';
    made.addEventListener('click', () => {
      go({ channel: one.id });
      // The app's home tab is above its messages here.
      if (one.direct) act({ do: 'open_home', user: screen.user });
    });
    return node('li', '', made);
  };
  for (const [id, direct] of [['channels', false], ['directs', true]]) {
    const shown = screen.channels.filter((one) => one.direct === direct);
    reconcile(byId(id), shown, (one) => one.id, entry);
    shown.forEach((one, index) => {
      const { classList } = byId(id).children[index];
      classList.toggle('here', one.id === screen.channel);
      classList.toggle('unread', Boolean(one.latest) && one.latest > (read[screen.user + one.id] ?? ''));
    });
  }
}

function drawItem(item) {
  if (item.notice) return node('li', 'notice', node('span', '', `Only visible to you · ${clock(item.ts)}`), node('p', '', item.notice));
  const author = item.from_app ? screen.app.name : screen.people.find((one) => one.id === item.user)?.real_name ?? item.user;
  const line = node('div', 'author', node('strong', '', author));
  if (item.from_app) line.append(node('span', 'badge', 'APP'));
  line.append(node('time', '', clock(item.ts)));
  const body = node('div', 'content', line);
  if (item.visible_to) body.prepend(node('div', 'only', 'Only visible to you'));
  if (item.thread_ts) body.prepend(node('div', 'only', '↳ replied in a thread'));
  if (item.blocks.length) {
    body.append(...renderBlocks(item.blocks, messageContext(item)));
  } else {
    body.append(node('div', 'block', mrkdwn(item.text, names)));
  }
  if (item.edited) body.append(node('span', 'edited', '(edited)'));
  const kind = [item.visible_to && 'ephemeral', item.thread_ts && 'reply'].filter(Boolean).join(' ');
  const made = node('li', kind, node('div', `avatar ${item.from_app ? 'app' : ''}`, initials(author)), body);
  made.dataset.ts = item.ts;
  return made;
}

const initials = (name) => name.split(' ').map((part) => part[0]).slice(0, 2).join('').toUpperCase();

const clock = (ts) => new Date(Number(ts) * 1000).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });

function messageContext(item) {
  const where = { user: screen.user, channel: item.channel, ts: item.ts };
  return {
    names, offers, confirm,
    press: (element) => act({ do: 'press', ...where, action_id: element.action_id }),
    choose: (element, value) => act({ do: 'choose', ...where, action_id: element.action_id, value }),
  };
}

function viewContext(view) {
  const where = { user: screen.user, view: view.id };
  return {
    names, offers, confirm, errors: view.errors,
    press: (element) => act({ do: 'press_in_view', ...where, action_id: element.action_id }),
    choose: () => {},
    draft: (block) => drafts.get(`${view.id} ${block}`),
    keep: (block, value) => drafts.set(`${view.id} ${block}`, value),
  };
}

// What a menu offers.
function offers(item) {
  if (/users_select$/.test(item.type)) return screen.people.map((one) => ({ value: one.id, label: one.real_name }));
  if (/(channels|conversations)_select$/.test(item.type)) {
    return screen.channels.map((one) => ({ value: one.id, label: `#${one.name}` }));
  }
  const grouped = (item.option_groups ?? []).flatMap((group) => group.options);
  return [...(item.options ?? []), ...grouped].map((one) => ({ value: one.value, label: one.text.text }));
}

function drawHome(channel) {
  const shown = Boolean(channel?.direct && screen.home);
  byId('home').hidden = !shown;
  if (!shown) return;
  reconcile(byId('home'), [screen.home], (view) => view.hash, (view) => (
    node('div', '', ...renderBlocks(view.content.blocks, viewContext(view)))));
}

function drawModal() {
  const top = screen.views.at(-1);
  reconcile(byId('modal'), top ? [top] : [], (view) => view.id, (view) => {
    const content = view.content;
    const form = node('form', 'window', node('header', '', node('h3', '', text(content.title, names))));
    form.noValidate = true;
    form.setAttribute('role', 'dialog');
    form.append(node('div', 'blocks', ...renderBlocks(content.blocks, viewContext(view))));
    const close = node('button', '', content.close ? text(content.close, names) : 'Close');
    close.type = 'button';
    close.addEventListener('click', () => act({ do: 'close', user: screen.user, view: view.id }));
    const footer = node('footer', '', close);
    if (content.submit) footer.append(node('button', 'primary', text(content.submit, names)));
    form.append(footer);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const values = [...form.querySelectorAll('[data-block-id]')].map((one) => [one.dataset.blockId, valueOf(one)]);
      await act({ do: 'submit', user: screen.user, view: view.id, values });
    });
    setTimeout(() => form.querySelector('input, textarea, select')?.focus());
    return node('div', 'shade', form);
  });
}

function confirm(dialog) {
  return new Promise((resolve) => {
    const answer = (value) => { byId('dialog').replaceChildren(); resolve(value); };
    const yes = node('button', dialog.style ?? 'primary', text(dialog.confirm, names));
    const no = node('button', '', text(dialog.deny, names));
    yes.type = 'button';
    no.type = 'button';
    yes.addEventListener('click', () => answer(true));
    no.addEventListener('click', () => answer(false));
    const window = node('div', 'window', node('header', '', node('h3', '', text(dialog.title, names))),
      node('div', 'blocks', text(dialog.text, names)), node('footer', '', no, yes));
    window.setAttribute('role', 'alertdialog');
    byId('dialog').replaceChildren(node('div', 'shade', window));
    no.focus();
  });
}

byId('user').addEventListener('change', (event) => go({ user: event.target.value }));
byId('composer').addEventListener('submit', async (event) => {
  event.preventDefault();
  const written = byId('text').value.trim();
  if (!written) return;
  byId('text').value = '';
  const where = { user: screen.user, channel: screen.channel };
  const command = /^(\/\S+)\s*([\s\S]*)$/.exec(written);
  await act(command ? { do: 'command', ...where, command: command[1], text: command[2] }
    : { do: 'say', ...where, text: written });
});

// `#still` in the address draws the page once: for pictures, whose taker waits until nothing is loading.
if (!place.has('still')) {
  const updates = new EventSource('/stand-in/updates');
  updates.addEventListener('message', refresh);
  updates.addEventListener('error', () => { byId('status').textContent = 'The workspace is not running'; });
}
refresh();
