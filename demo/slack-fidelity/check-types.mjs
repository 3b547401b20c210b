// Type-checks messages and views against @slack/types.
//
// Reads JSON lines from stdin: {"name": …, "text": …, "blocks": […]} or {"name": …, "view": {…}}.
// Names every bad line on stderr and exits with 1 if there is one.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const HEAD = "import type { HomeView, KnownBlock, ModalView } from '@slack/types';";

// One declaration per source line, so that an error's line number names the card.
const source = [HEAD];
const names = [undefined];
function declare(name, type, value) {
  source.push(`export const v${source.length}: ${type} = ${JSON.stringify(value)};`);
  names.push(name);
}

let seen = 0;
let bad = 0;
readFileSync(0, 'utf8').split('\n').forEach((text, index) => {
  if (!text.trim()) return;
  seen += 1;
  let line;
  try {
    line = JSON.parse(text);
  } catch (error) {
    bad += 1;
    console.error(`line ${index + 1}: ${error.message}`);
    return;
  }
  const name = line.name ?? `line ${index + 1}`;
  if ('view' in line) declare(name, 'ModalView | HomeView', line.view);
  else declare(name, 'string', line.text);
  // A view's own type lets any block pass; known ones only are wanted.
  declare(name, 'KnownBlock[]', (line.view ?? line).blocks ?? []);
});

if (seen === 0) {
  console.error('nothing to check: no line on stdin');
  process.exit(1);
}

const folder = mkdtempSync(join(here, '.check-'));
let result;
try {
  writeFileSync(join(folder, 'cards.ts'), `${source.join('\n')}\n`);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      noEmit: true, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true, target: 'es2022',
      module: 'nodenext', types: [],
    },
    files: ['cards.ts'],
  }));
  const tsc = join(here, 'node_modules', 'typescript', 'bin', 'tsc');
  result = spawnSync(process.execPath, [tsc, '--pretty', 'false', '-p', folder], { encoding: 'utf8' });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const output = `${result.stdout}${result.stderr}`;
if (result.status !== 0) {
  const wrong = new Set();
  for (const text of output.split('\n').filter(Boolean)) {
    const place = /cards\.ts[(:](\d+)/.exec(text);
    const name = place && names[Number(place[1]) - 1];
    if (name) wrong.add(name);
    console.error(name ? `${name}: ${text}` : text);
  }
  bad += Math.max(wrong.size, 1);
}
console.error(`${seen} checked, ${bad} bad`);
process.exit(bad ? 1 : 0);
