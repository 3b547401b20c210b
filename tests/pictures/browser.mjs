// A person at the page of the stand-in for Slack, in Debian's Chromium: reads what to do from stdin, a JSON array on
// each line, and answers each with a line, `{}` or `{"error": …}`.
//
//   node browser.mjs http://127.0.0.1:… FOLDER-OF-PICTURES
import { stdin, stdout } from 'node:process';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const [url, folder] = process.argv.slice(2);
const executablePath = process.env.COUNTERSIGN_CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const context = await browser.newContext({
  viewport: { width: 1080, height: 2000 }, deviceScaleFactor: 1.25, timezoneId: 'UTC', locale: 'en-GB',
});
const page = await context.newPage();
page.setDefaultTimeout(45_000);
const wrong = [];
page.on('pageerror', (error) => wrong.push(String(error)));

const message = (text) => page.locator('#messages > li').filter({ hasText: text }).last();
const modal = () => page.locator('#modal .window');

const deeds = {
  open: () => page.goto(url),
  // Until the screen is theirs, a press would be somebody else's.
  is: async (user) => {
    const [id] = await page.locator('#user').selectOption(user);
    await page.waitForFunction((id) => document.body.dataset.user === id, id);
  },
  goes: async (place) => {
    await page.getByRole('navigation').getByRole('button', { name: place }).click();
    await page.waitForFunction((place) => document.querySelector('#title').textContent.toLowerCase().includes(place), place);
  },
  types: async (text) => {
    await page.locator('#text').fill(text);
    await page.locator('#composer').getByRole('button', { name: 'Send' }).click();
  },
  sees: (text) => message(text).waitFor(),
  sees_home: (text) => page.locator('#home').filter({ hasText: text }).waitFor(),
  // The page draws its messages anew when one changes: a pointer that goes down on one node and up on the next presses
  // neither. The button is there and can be pressed; then it is pressed in one step.
  presses: async (text, action) => {
    const button = message(text).locator(`button[data-action-id="${action}"]`).last();
    await button.click({ trial: true });
    await button.evaluate((node) => node.click());
  },
  presses_by_name: (text, name) => message(text).getByRole('button', { name }).click(),
  confirms: () => page.locator('#dialog footer button').last().click(),
  sees_form: () => modal().waitFor(),
  reads_in_form: (text) => modal().filter({ hasText: text }).waitFor(),
  closes: async () => {
    await modal().locator('footer button').first().click();
    await modal().waitFor({ state: 'detached' });
  },
  fills: (block, text) => modal().locator(`[data-block-id="${block}"]`).fill(text),
  submits: async () => {
    await modal().locator('footer button.primary').click();
    await modal().waitFor({ state: 'detached' });
  },
  picture_of_message: (name, text) => picture(name, message(text)),
  picture_of_form: (name) => picture(name, modal()),
  // Terminals one below the other: a title and what stands in it, of each.
  picture_of_terminals: async (name, ...terminals) => {
    const screen = await context.newPage();
    await screen.setContent('<style>body{margin:0;font:13px/1.45 "DejaVu Sans Mono",monospace}main{display:inline-grid;'
      + 'gap:14px;padding:14px;background:#e8e6e3}section{background:#1d1f21;color:#d7dae0;border-radius:8px}h1{font:600 12px '
      + 'sans-serif;margin:0;padding:7px 12px;color:#9da5b4;border-bottom:1px solid #333}pre{margin:0;padding:10px 12px;'
      + 'font:inherit}</style><main></main>');
    await screen.evaluate((all) => {
      for (let at = 0; at < all.length; at += 2) {
        const section = document.createElement('section');
        section.append(Object.assign(document.createElement('h1'), { textContent: all[at] }));
        section.append(Object.assign(document.createElement('pre'), { textContent: all[at + 1] }));
        document.querySelector('main').append(section);
      }
    }, terminals);
    await screen.locator('main').screenshot({ path: `${folder}/${name}.png` });
    await screen.close();
  },
  picture_of_home: (name) => picture(name, page.locator('#home')),
};

// What a pointer hovers over, or what has the focus, looks otherwise.
async function picture(name, what) {
  await page.mouse.move(0, 0);
  await what.waitFor();
  await page.evaluate(() => document.activeElement?.blur());
  const path = `${folder}/${name}.png`;
  await what.screenshot({ path, animations: 'disabled', caret: 'hide' });
}

for await (const line of createInterface({ input: stdin })) {
  let answer = {};
  try {
    const [deed, ...about] = JSON.parse(line);
    await deeds[deed](...about);
    if (wrong.length) answer = { error: `the page's own script failed: ${wrong.join('; ')}` };
  } catch (error) {
    answer = { error: `${line}: ${error.message}\n${await page.locator('body').innerText().catch(String)}` };
  }
  stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
