// Block Kit as DOM nodes. `context` says how names are found and what happens on a press or a choice.

import { emoji, link, mrkdwn, node, plainText } from './mrkdwn.js';

export function text(object, names) {
  if (!object) return document.createTextNode('');
  return object.type === 'mrkdwn' ? mrkdwn(object.text, names) : plainText(object.text, object.emoji !== false);
}

export function renderBlocks(blocks, context) {
  return blocks.map((block) => {
    const made = (KINDS[block.type] ?? unknown)(block, context);
    made.classList.add('block', `block-${block.type}`);
    return made;
  });
}

const KINDS = {
  section(block, context) {
    const body = node('div', 'body');
    if (block.text) body.append(node('div', '', text(block.text, context.names)));
    if (block.fields) {
      body.append(node('div', 'fields', ...block.fields.map((field) => node('div', 'field', text(field, context.names)))));
    }
    return node('div', '', body, block.accessory ? element(block.accessory, block, context) : null);
  },
  header: (block, context) => node('h3', '', text(block.text, context.names)),
  divider: () => node('hr'),
  context: (block, context) => node('div', '', ...block.elements.map((item) => (
    item.type === 'image' ? picture(item) : node('span', '', text(item, context.names))))),
  actions: (block, context) => node('div', '', ...block.elements.map((item) => element(item, block, context))),
  image: (block) => node('figure', '', picture(block)),
  markdown: (block, context) => node('div', '', mrkdwn(block.text, context.names)),
  rich_text: (block, context) => node('div', '', ...block.elements.map((part) => richText(part, context))),
  input: (block, context) => input(block, context),
};

const unknown = (block) => node('div', 'unknown', `(a ${block.type} block)`);

// Nothing is loaded from elsewhere; the alternative text stands for the picture.
const picture = (item) => node('span', 'picture', `[${item.alt_text ?? 'a picture'}]`);

function richText(part, context) {
  const tags = { rich_text_preformatted: 'pre', rich_text_quote: 'blockquote', rich_text_list: 'ul' };
  const inner = (part.elements ?? []).map((item) => {
    if (part.type === 'rich_text_list') return node('li', '', richText(item, context));
    if (item.type === 'text') return styled(item);
    if (item.type === 'link') return link(item.url, item.text ?? item.url);
    if (item.type === 'user') return node('span', 'mention', `@${context.names.user(item.user_id) ?? item.user_id}`);
    if (item.type === 'usergroup') {
      return node('span', 'mention', `@${context.names.usergroup(item.usergroup_id) ?? item.usergroup_id}`);
    }
    if (item.type === 'date') return document.createTextNode(item.fallback ?? '');
    if (item.type === 'emoji') return document.createTextNode(emoji(`:${item.name}:`));
    return document.createTextNode('');
  });
  return node(tags[part.type] ?? 'div', '', ...inner);
}

function styled(item) {
  let made = document.createTextNode(item.text);
  const style = item.style ?? {};
  for (const [key, tag] of [['code', 'code'], ['bold', 'strong'], ['italic', 'em'], ['strike', 's']]) {
    if (style[key]) made = node(tag, '', made);
  }
  return made;
}

function element(item, block, context) {
  if (item.type === 'button') return button(item, context);
  if (item.type === 'image') return picture(item);
  const made = control(item, block, context);
  made.addEventListener('change', () => context.choose(item, valueOf(made)));
  return made;
}

function button(item, context) {
  const made = node('button', item.style ?? '', text(item.text, context.names));
  made.type = 'button';
  made.dataset.actionId = item.action_id;
  if (item.accessibility_label) made.setAttribute('aria-label', item.accessibility_label);
  made.addEventListener('click', async () => {
    if (item.confirm && !(await context.confirm(item.confirm))) return;
    if (item.url && /^https?:/.test(item.url)) window.open(item.url, '_blank', 'noopener');
    made.disabled = true;
    await context.press(item);
    made.disabled = false;
  });
  return made;
}

function input(block, context) {
  const label = node('label', '', node('span', 'label', text(block.label, context.names)));
  if (block.optional) label.append(node('span', 'optional', ' (optional)'));
  const made = control(block.element, block, context);
  made.dataset.blockId = block.block_id;
  label.append(made);
  const wrapper = node('div', '', label);
  if (block.hint) wrapper.append(node('p', 'hint', text(block.hint, context.names)));
  const error = context.errors?.[block.block_id];
  if (error) wrapper.append(node('p', 'error', error));
  const draft = context.draft?.(block.block_id);
  if (draft !== undefined) restore(made, draft);
  made.addEventListener('input', () => context.keep?.(block.block_id, valueOf(made)));
  made.addEventListener('change', () => context.keep?.(block.block_id, valueOf(made)));
  return wrapper;
}

const TYPES = {
  number_input: 'number', email_text_input: 'email', url_text_input: 'url', datepicker: 'date', timepicker: 'time',
  datetimepicker: 'number',
};

function control(item, block, context) {
  const placeholder = item.placeholder?.text ?? '';
  if (item.type === 'radio_buttons' || item.type === 'checkboxes') return choices(item, block, context);
  if (item.type === 'overflow' || /select$/.test(item.type)) return menu(item, placeholder, context);
  const made = node(item.multiline ? 'textarea' : 'input');
  if (!item.multiline) made.type = TYPES[item.type] ?? 'text';
  made.placeholder = placeholder;
  made.value = item.initial_value ?? item.initial_date ?? item.initial_time ?? '';
  return made;
}

function menu(item, placeholder, context) {
  const made = node('select');
  made.multiple = item.type.startsWith('multi_');
  if (!made.multiple) made.append(option('', item.type === 'overflow' ? '⋯' : placeholder || 'Choose…'));
  const offered = context.offers(item);
  const chosen = [item.initial_option, ...(item.initial_options ?? [])].filter(Boolean).map((one) => one.value);
  chosen.push(item.initial_user, item.initial_channel, item.initial_conversation);
  for (const one of offered) {
    const made1 = option(one.value, one.label);
    made1.selected = chosen.includes(one.value);
    made.append(made1);
  }
  return made;
}

function option(value, label) {
  const made = node('option', '', label);
  made.value = value;
  return made;
}

function choices(item, block, context) {
  const made = node('fieldset', 'choices');
  const type = item.type === 'checkboxes' ? 'checkbox' : 'radio';
  const initial = [item.initial_option, ...(item.initial_options ?? [])].filter(Boolean).map((one) => one.value);
  for (const one of item.options) {
    const box = node('input');
    Object.assign(box, { type, value: one.value, name: block.block_id, checked: initial.includes(one.value) });
    made.append(node('label', '', box, text(one.text, context.names)));
  }
  return made;
}

export function valueOf(made) {
  if (made.tagName === 'FIELDSET') return [...made.querySelectorAll(':checked')].map((box) => box.value).join(',');
  if (made.multiple) return [...made.selectedOptions].map((one) => one.value).join(',');
  return made.value;
}

function restore(made, value) {
  const values = value.split(',');
  if (made.tagName === 'FIELDSET') {
    for (const box of made.querySelectorAll('input')) box.checked = values.includes(box.value);
  } else if (made.multiple) {
    for (const one of made.options) one.selected = values.includes(one.value);
  } else {
    made.value = value;
  }
}
