// Writes the dashboards' JSON beside the sources, as Grafana loads it; with --check, compares and writes nothing.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv, exit } from 'node:process';
import { fileURLToPath } from 'node:url';

import type { Dashboard } from '@grafana/schema';

import { failover } from './failover.js';
import { tasks } from './tasks.js';
import { zookeeper } from './zookeeper.js';

const DASHBOARDS: Record<string, Dashboard> = { failover, tasks, zookeeper };
const DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), '..');

function committed(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const stale = Object.entries(DASHBOARDS)
  .map(([name, dashboard]) => ({ path: join(DIRECTORY, `${name}.json`), text: `${JSON.stringify(dashboard, null, 2)}\n` }))
  .filter(({ path, text }) => committed(path) !== text);

if (!argv.includes('--check')) {
  stale.forEach(({ path, text }) => writeFileSync(path, text));
} else if (stale.length > 0) {
  console.error(`not what dashboards/src makes: ${stale.map(({ path }) => path).join(', ')}; run "make dashboards" and commit`);
  exit(1);
}
