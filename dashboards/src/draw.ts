// Draws dashboards from their JSON and from what Prometheus answered: `node build/draw.js RECORDED.json… DIRECTORY`.
// It is a drawing of ours, close to what Grafana shows and no screenshot of it.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

import { Resvg } from '@resvg/resvg-js';

import { BORDER, colour, PAGE, PANEL, TEXT, WEAK } from './draw/look.js';
import { bars, curves, type Drawing, stat, timeline } from './draw/panels.js';
import { type Area, type Event, moments } from './draw/plot.js';
import { png } from './draw/png.js';
import { type DrawnPanel, named, type Recorded } from './draw/record.js';
import { box, element, fitting, width, words } from './draw/svg.js';

const SOURCES = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAGE_WIDTH = 1440;
const MARGIN = 12;
const GAP = 8;
const CELL_HEIGHT = 34;
const HEADER = 62;
const COLUMNS = 24;

interface DrawnDashboard {
  title: string;
  annotations: { list: { name: string; iconColor: string; useValueForTime: boolean }[] };
  panels: DrawnPanel[];
}

const KINDS: Record<string, (drawing: Drawing) => string> = { stat, timeseries: curves, 'state-timeline': timeline, bargauge: bars };

function place(panel: DrawnPanel): Area {
  const column = (PAGE_WIDTH - 2 * MARGIN + GAP) / COLUMNS;
  const { x, y, w, h } = panel.gridPos;
  return { x: MARGIN + x * column, y: HEADER + y * CELL_HEIGHT, width: w * column - GAP, height: h * CELL_HEIGHT - GAP };
}

function panel(drawn: DrawnPanel, recorded: Recorded, events: Event[]): string {
  const area = place(drawn);
  if (drawn.type === 'row') {
    return words(area.x, area.y + 18, `▾ ${drawn.title}`, 14, TEXT, { 'font-weight': 'bold' });
  }
  const draw = KINDS[drawn.type];
  if (draw === undefined) {
    throw new Error(`nobody can draw a ${drawn.type}`);
  }
  const inner: Area = { x: area.x + 10, y: area.y + 28, width: area.width - 20, height: area.height - 34 };
  const series = named(drawn, recorded.panels[String(drawn.id)] ?? []);
  return (
    box(area.x, area.y, area.width, area.height, PANEL, { stroke: BORDER, rx: 3 }) +
    draw({ panel: drawn, series, recorded, events, area: inner }) +
    words(area.x + 10, area.y + 18, fitting(drawn.title, 12, area.width - 14), 12, TEXT, { 'font-weight': 'bold' })
  );
}

function header(dashboard: DrawnDashboard, recorded: Recorded, events: Event[]): string {
  const time = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(11, 19);
  const range = `${time(recorded.from)} to ${time(recorded.to)} UTC`;
  const drawn = [
    words(MARGIN, 28, dashboard.title, 19, TEXT, { 'font-weight': 'bold' }),
    words(PAGE_WIDTH - MARGIN, 26, range, 12, TEXT, { 'text-anchor': 'end' }),
    words(PAGE_WIDTH - MARGIN, 46, "drawn by `make pictures` from Prometheus' data; not a screenshot of Grafana", 11, WEAK, { 'text-anchor': 'end' }),
    words(MARGIN, 49, 'Cluster: default   Job: All   Instance: All', 12, WEAK, { 'xml:space': 'preserve' }),
  ];
  let x = 340;
  for (const event of events) {
    drawn.push(box(x, 42, 10, 6, colour(event.colour)), words(x + 15, 49, event.name, 12, TEXT));
    x += width(event.name, 12) + 38;
  }
  return drawn.join('');
}

function draw(recorded: Recorded, directory: string): void {
  const dashboard = JSON.parse(readFileSync(join(SOURCES, `${recorded.dashboard}.json`), 'utf8')) as DrawnDashboard;
  const events = dashboard.annotations.list.map(({ name, iconColor, useValueForTime }): Event => {
    const mark = recorded.annotations.find((candidate) => candidate.name === name);
    return { name, colour: iconColor, moments: mark === undefined ? [] : moments(recorded, mark, useValueForTime) };
  });
  const height = HEADER + Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * CELL_HEIGHT + MARGIN;
  const content = [header(dashboard, recorded, events), ...dashboard.panels.map((drawn) => panel(drawn, recorded, events))];
  const svg = element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', width: PAGE_WIDTH, height, 'font-family': 'DejaVu Sans' },
    box(0, 0, PAGE_WIDTH, height, PAGE),
    ...content,
  );
  const path = join(directory, `${recorded.dashboard}.png`);
  const image = new Resvg(svg, { font: { defaultFontFamily: 'DejaVu Sans' } }).render();
  writeFileSync(path, png(image.width, image.height, image.pixels));
  console.log(path);
}

const [directory, ...files] = argv.slice(2).reverse();
if (directory === undefined || files.length === 0) {
  throw new Error('usage: node build/draw.js RECORDED.json… DIRECTORY');
}
files.reverse().forEach((file) => draw(JSON.parse(readFileSync(file, 'utf8')) as Recorded, directory));
