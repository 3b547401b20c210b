// Type-checks the app's manifest against @slack/web-api, which is what Slack takes.
//
// Reads manifest.yaml from stdin: maps, lists of words or of maps, words, numbers, booleans and comments, which is
// all the YAML that it needs. Anything else is an error.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

const lines = readFileSync(0, 'utf8').split('\n')
  .map((line) => line.replace(/(^|\s)#(?![0-9a-f]{6}").*$/, '').trimEnd())
  .filter((line) => line.trim());
const indent = (line) => line.length - line.trimStart().length;

function scalar(text) {
  if (text.startsWith('"')) return JSON.parse(text);
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^\d+$/.test(text)) return Number(text);
  if (/^[&*!|>%@`'{[]/.test(text)) throw new Error(`not understood: ${text}`);
  return text;
}

function read(at, depth) {
  let found;
  while (at < lines.length && indent(lines[at]) === depth) {
    const text = lines[at].trim();
    if (text.startsWith('- ')) {
      found ??= [];
      if (/^- \w+:( |$)/.test(text)) {
        lines[at] = ' '.repeat(depth + 2) + text.slice(2);
        const [value, next] = read(at, depth + 2);
        found.push(value);
        at = next;
      } else {
        found.push(scalar(text.slice(2).trim()));
        at += 1;
      }
      continue;
    }
    const pair = /^(\w+):(?: (.*))?$/.exec(text);
    if (!pair || Array.isArray(found)) throw new Error(`not understood: ${text}`);
    found ??= {};
    if (pair[2] !== undefined) {
      found[pair[1]] = scalar(pair[2].trim());
      at += 1;
    } else {
      [found[pair[1]], at] = read(at + 1, indent(lines[at + 1] ?? ''));
    }
  }
  if (at < lines.length && indent(lines[at]) > depth) throw new Error(`not understood: ${lines[at].trim()}`);
  return [found, at];
}

const [manifest, end] = read(0, 0);
if (end !== lines.length || !manifest?.settings) throw new Error('that is not the whole manifest');

const folder = mkdtempSync(join(here, '.check-'));
let result;
try {
  const head = "import type { Manifest } from '@slack/web-api/dist/types/request/manifest';";
  writeFileSync(join(folder, 'manifest.ts'), `${head}\nexport const it: Manifest = ${JSON.stringify(manifest, null, 2)};\n`);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      noEmit: true, strict: true, skipLibCheck: true, target: 'es2022', module: 'commonjs',
      moduleResolution: 'bundler', types: [],
    },
    files: ['manifest.ts'],
  }));
  const tsc = join(here, 'node_modules', 'typescript', 'bin', 'tsc');
  result = spawnSync(process.execPath, [tsc, '--pretty', 'false', '-p', folder], { encoding: 'utf8' });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stderr.write(`${result.stdout}${result.stderr}`);
process.exit(result.status === 0 ? 0 : 1);
