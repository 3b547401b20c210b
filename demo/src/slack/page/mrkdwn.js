// Slack's mrkdwn as DOM nodes. Text becomes text nodes and nothing else: no markup is ever parsed from it.

const EMOJI = {
  white_check_mark: '✅', heavy_check_mark: '✔️', x: '❌', no_entry: '⛔', no_entry_sign: '🚫', warning: '⚠️',
  hourglass: '⌛', hourglass_flowing_sand: '⏳', lock: '🔒', unlock: '🔓', key: '🔑', robot_face: '🤖', boom: '💥',
  leftwards_arrow_with_hook: '↩️', bell: '🔔', eyes: '👀', tada: '🎉', link: '🔗', clock3: '🕒', raised_hand: '✋',
  large_green_circle: '🟢', red_circle: '🔴', large_yellow_circle: '🟡', white_circle: '⚪', mag: '🔍', pencil2: '✏️',
  question: '❓', exclamation: '❗', wastebasket: '🗑️', memo: '📝', busts_in_silhouette: '👥', wave: '👋',
};

export function node(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The three characters that Slack escapes, undone last and once.
function plain(text) {
  return text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
}

export function emoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);
}

export function plainText(text, withEmoji = true) {
  const shown = plain(text);
  return document.createTextNode(withEmoji ? emoji(shown) : shown);
}

// names: { user(id), usergroup(id), channel(id) }, each answering with a name or nothing.
export function mrkdwn(text, names) {
  const out = document.createDocumentFragment();
  // Code first: nothing inside it is formatted.
  for (const piece of text.split(/(```[\s\S]+?```)/)) {
    if (piece.length > 6 && piece.startsWith('```') && piece.endsWith('```')) {
      out.append(node('pre', '', ...entities(piece.slice(3, -3).replace(/^\n|\n$/g, ''), names, false)));
    } else {
      lines(piece, names, out);
    }
  }
  return out;
}

function lines(text, names, out) {
  const rows = text.replace(/^\n|\n$/g, '').split('\n');
  if (text === '' || (rows.length === 1 && rows[0] === '')) return;
  rows.forEach((row, index) => {
    const quoted = /^(&gt;|>) ?/.exec(row);
    if (quoted) {
      out.append(node('blockquote', '', ...spans(row.slice(quoted[0].length), names)));
    } else {
      if (index > 0 && !/^(&gt;|>)/.test(rows[index - 1])) out.append(node('br'));
      out.append(...spans(row, names));
    }
  });
}

const MARKS = { '*': 'strong', _: 'em', '~': 's' };

function spans(text, names) {
  const nodes = [];
  for (const piece of text.split(/(`[^`\n]+`|<[^<>\n]+>)/)) {
    if (piece.length > 2 && piece.startsWith('`') && piece.endsWith('`')) {
      nodes.push(node('code', '', ...entities(piece.slice(1, -1), names, false)));
    } else if (piece.startsWith('<') && piece.endsWith('>')) {
      nodes.push(...entities(piece, names, true));
    } else if (piece) {
      nodes.push(...marks(piece));
    }
  }
  return bold(nodes, text, names);
}

// Marks inside one piece of text; a mark opens after a gap and closes before one.
function marks(text) {
  const found = /(^|[\s(\[{"'.,;:!?-])([*_~])(?=\S)([^\n]*?\S)\2(?=$|[\s)\]}"'.,;:!?-])/.exec(text);
  if (!found) return [plainText(text)];
  const start = found.index + found[1].length;
  const inner = node(MARKS[found[2]], '', ...marks(found[3]));
  const after = text.slice(start + found[3].length + 2);
  const before = text.slice(0, start);
  return [...(before ? [plainText(before)] : []), inner, ...(after ? marks(after) : [])];
}

// A mark may also enclose code and links: *see `this`*.
function bold(nodes, text, names) {
  const whole = /^([*_~])(?=\S)(.*\S)\1$/.exec(text);
  if (!whole || !/[`<]/.test(text) || whole[2].includes(whole[1])) return nodes;
  return [node(MARKS[whole[1]], '', ...spans(whole[2], names))];
}

function entities(text, names, withEmoji) {
  return text.split(/(<[^<>\n]+>)/).filter(Boolean).map((piece) => {
    const entity = /^<([^|>]+)(?:\|([^>]*))?>$/.exec(piece);
    return entity ? mention(entity[1], entity[2], names) : plainText(piece, withEmoji);
  });
}

function mention(target, label, names) {
  const text = label ? plain(label) : null;
  if (target.startsWith('@')) return node('span', 'mention', `@${names.user(target.slice(1)) ?? text ?? target.slice(1)}`);
  if (target.startsWith('#')) return node('span', 'mention', `#${names.channel(target.slice(1)) ?? text ?? target.slice(1)}`);
  if (target.startsWith('!subteam^')) {
    const id = target.slice('!subteam^'.length);
    return node('span', 'mention', `@${names.usergroup(id) ?? text ?? id}`);
  }
  if (target.startsWith('!date^')) return node('span', 'date', when(target, text));
  if (target.startsWith('!')) return node('span', 'mention loud', `@${target.slice(1)}`);
  // What is no link is shown with its brackets, so that nothing hides behind a label.
  const raw = `<${plain(target)}${label ? `|${text}` : ''}>`;
  return isLink(plain(target)) ? link(plain(target), text ?? plain(target)) : document.createTextNode(raw);
}

function when(target, fallback) {
  const [, seconds, format = ''] = target.split('^');
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return fallback ?? target;
  const day = date.toLocaleDateString(undefined, { year: 'numeric', month: 'short', day: 'numeric' });
  const time = date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
  return format
    .replace(/\{date[a-z_]*\}/g, day)
    .replace(/\{time_secs\}/g, date.toLocaleTimeString())
    .replace(/\{time\}/g, time)
    .replace(/\{ago\}/g, `${day} ${time}`);
}

// Only pages and mail are linked; `javascript:` and the like stay text.
function isLink(target) {
  try {
    return ['http:', 'https:', 'mailto:'].includes(new URL(target).protocol);
  } catch {
    return false;
  }
}

export function link(target, label) {
  if (!isLink(target)) return document.createTextNode(label);
  const made = node('a', '', label);
  made.href = target;
  made.target = '_blank';
  made.rel = 'noopener noreferrer';
  made.title = target;
  return made;
}
