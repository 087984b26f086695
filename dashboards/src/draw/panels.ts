// Each kind of panel: one big value, curves, timelines, bars.

import { byThreshold, colour, GRID, mapped, ofSeries, PANEL, TEXT, WEAK, written } from './look.js';
import { type Area, AXIS, type Event, events, timeAxis, timeScale } from './plot.js';
import { type DrawnPanel, last, type Named, type Recorded } from './record.js';
import { box, element, fitting, line, width, words } from './svg.js';

export interface Drawing {
  panel: DrawnPanel;
  series: Named[];
  recorded: Recorded;
  events: Event[];
  area: Area;
}

const LEGEND_LINE = 16;
const SMALL = 11;

function none({ panel, area }: Drawing): string {
  const text = panel.fieldConfig.defaults.noValue ?? 'no data';
  return words(area.x + area.width / 2, area.y + area.height / 2 + 5, text, 14, WEAK, { 'text-anchor': 'middle' });
}

export function stat(drawing: Drawing): string {
  const { panel, series, area } = drawing;
  const first = series[0];
  const value = first === undefined ? null : last(first);
  const special = mapped(panel, value);
  if (first === undefined || (value === null && special === undefined)) {
    return none(drawing);
  }
  const { unit, decimals } = panel.fieldConfig.defaults;
  const text = special?.text ?? (panel.options.textMode === 'name' ? first.name : written(value ?? 0, unit, decimals));
  const shade = special?.color === undefined ? byThreshold(panel, value ?? 0) : colour(special.color);
  const size = Math.min(area.height * 0.5, 40, (30 * (area.width - 12)) / Math.max(width(text, 30), 1));
  const filled = panel.options.colorMode === 'background';
  const back = filled ? box(area.x - 8, area.y - 2, area.width + 16, area.height + 6, shade, { rx: 2 }) : '';
  return (
    back + words(area.x + area.width / 2, area.y + area.height / 2 + size * 0.36, text, size, filled ? '#0f1013' : shade, { 'text-anchor': 'middle', 'font-weight': 'bold' })
  );
}

// The legend below: names with their colours, as many as fit. Returns the height that it takes.
function legend(entries: [string, string][], area: Area): [string, number] {
  const rows: string[][] = [[]];
  let x = 0;
  for (const [name, shade] of entries) {
    const space = width(name, SMALL) + 24;
    if (x > 0 && x + space > area.width) {
      rows.push([]);
      x = 0;
    }
    const y = area.y + area.height - LEGEND_LINE + 11;
    rows.at(-1)?.push(box(area.x + x, y - 6, 12, 3, shade) + words(area.x + x + 16, y, fitting(name, SMALL, area.width - 24), SMALL, TEXT));
    x += space;
  }
  const shown = rows.slice(0, 3);
  const drawn = shown.map((row, index) => element('g', { transform: `translate(0 ${(index - shown.length + 1) * LEGEND_LINE})` }, ...row));
  return [drawn.join(''), shown.length * LEGEND_LINE + 4];
}

// A round step so that a few lines fit.
function roundStep(span: number, lines: number, whole: boolean, binary: boolean): number {
  const rough = span / lines;
  if (binary) {
    return 2 ** Math.ceil(Math.log2(rough));
  }
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999) ?? rough;
  return whole ? Math.max(1, Math.ceil(step)) : step;
}

// Each series on top of those before it, at the times of all; and what each stands on.
function stacked(series: Named[]): [Named[], Map<number, number>[]] {
  const sums = new Map<number, number>();
  const floors: Map<number, number>[] = [];
  const tops = series.map(({ name, samples }) => {
    floors.push(new Map(sums));
    const on = samples.map(([time, value]): [number, number | null] => {
      const sum = (sums.get(time) ?? 0) + (value ?? 0);
      sums.set(time, sum);
      return [time, sum];
    });
    return { name, samples: on };
  });
  return [tops, floors];
}

// Runs of samples without a gap.
function runs(samples: Named['samples'], step: number): [number, number][][] {
  const found: [number, number][][] = [];
  let before: number | undefined;
  for (const [time, value] of samples) {
    if (value === null) {
      continue;
    }
    if (before === undefined || time - before > step * 1.5) {
      found.push([]);
    }
    found.at(-1)?.push([time, value]);
    before = time;
  }
  return found;
}

export function curves(drawing: Drawing): string {
  const { panel, recorded, area } = drawing;
  const { unit, decimals, custom, thresholds } = panel.fieldConfig.defaults;
  const stack = custom?.stacking?.mode === 'normal';
  const [shown, floors] = stack ? stacked(drawing.series) : [drawing.series, []];
  const values = shown.flatMap(({ samples }) => samples.flatMap(([, value]) => (value === null ? [] : [value])));
  const shade = (index: number): string => ofSeries(panel, shown[index]?.name ?? '', index);
  const [below, taken] = legend(shown.map(({ name }, index) => [name, shade(index)]), area);
  const bottom = area.y + area.height - taken - AXIS;
  const step = roundStep(Math.max(...values, decimals === 0 ? 1 : 0.001), Math.max(2, Math.floor((bottom - area.y) / 38)), decimals === 0, unit === 'bytes');
  const top = Math.max(step, Math.ceil((Math.max(...values, 0) * 1.02) / step) * step);
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  const label = (tick: number): string => written(tick, unit, decimals === 0 ? 0 : undefined);
  const left = Math.max(...ticks.map((tick) => width(label(tick), 10))) + 8;
  const plot: Area = { x: area.x + left, y: area.y + 4, width: area.width - left, height: bottom - area.y - 4 };
  const at = timeScale(recorded, plot);
  const up = (value: number): number => plot.y + plot.height * (1 - value / top);
  const path = (points: [number, number][]): string => points.map(([time, value], index) => `${index === 0 ? 'M' : 'L'}${at(time).toFixed(1)} ${up(value).toFixed(1)}`).join('');

  const drawn = ticks.map((tick) => line(plot.x, up(tick), plot.x + plot.width, up(tick), GRID) + words(plot.x - 6, up(tick) + 3.5, label(tick), 10, WEAK, { 'text-anchor': 'end' }));
  drawn.push(timeAxis(recorded, plot));
  shown.forEach(({ samples }, index) => {
    for (const points of runs(samples, recorded.step)) {
      const floor = points.map(([time]): [number, number] => [time, floors[index]?.get(time) ?? 0]).reverse();
      if (points.length > 1) {
        const filled = `${path(points)}${path(floor).replace('M', 'L')}Z`;
        drawn.push(element('path', { d: filled, stroke: 'none', fill: shade(index), 'fill-opacity': (custom?.fillOpacity ?? 10) / 100 }));
        drawn.push(element('path', { d: path(points), fill: 'none', stroke: shade(index), 'stroke-width': (custom?.lineWidth ?? 1) * 1.3, 'stroke-linejoin': 'round' }));
      }
      if (custom?.showPoints === 'always' || (points.length === 1 && !stack)) {
        drawn.push(...points.map(([time, value]) => element('circle', { cx: at(time), cy: up(value), r: 2.4, fill: shade(index) })));
      }
    }
  });
  if (custom?.thresholdsStyle?.mode === 'dashed') {
    const limits = thresholds.steps.filter(({ value }) => value !== null && value <= top);
    drawn.push(...limits.map(({ value, color }) => line(plot.x, up(value ?? 0), plot.x + plot.width, up(value ?? 0), colour(color), { 'stroke-dasharray': '8 5' })));
  }
  drawn.push(events(recorded, plot, drawing.events));
  return values.length === 0 ? none(drawing) + below : drawn.join('') + below;
}

export function timeline(drawing: Drawing): string {
  const { panel, series, recorded, area } = drawing;
  if (series.length === 0) {
    return none(drawing);
  }
  const states = panel.fieldConfig.defaults.mappings.flatMap((mapping) => (mapping.type === 'value' ? Object.values(mapping.options) : []));
  const present = new Set(series.flatMap(({ samples }) => samples.map(([, value]) => mapped(panel, value)?.text)));
  const entries = states.filter(({ text }) => present.has(text)).map(({ text, color }): [string, string] => [text ?? '', colour(color ?? 'text')]);
  const [below, taken] = legend(entries, area);
  const left = Math.max(...series.map(({ name }) => width(name, SMALL))) + 10;
  const plot: Area = { x: area.x + left, y: area.y + 2, width: area.width - left, height: area.height - taken - AXIS - 2 };
  const at = timeScale(recorded, plot);
  const row = plot.height / series.length;
  const drawn = [timeAxis(recorded, plot)];
  series.forEach(({ name, samples }, index) => {
    const y = plot.y + index * row + row * 0.08;
    drawn.push(words(plot.x - 8, y + row * 0.42 + 4, name, SMALL, TEXT, { 'text-anchor': 'end' }));
    for (const run of runs(samples, recorded.step)) {
      // Neighbours of the same state are one box.
      const changes = run.filter(([, value], position) => position === 0 || value !== run[position - 1]?.[1]);
      changes.forEach(([time, value], position) => {
        const end = changes[position + 1]?.[0] ?? Math.min((run.at(-1)?.[0] ?? time) + recorded.step, recorded.to);
        const state = mapped(panel, value);
        const space = at(end) - at(time);
        drawn.push(box(at(time), y, Math.max(space, 1), row * 0.84, colour(state?.color ?? 'text'), { stroke: PANEL, 'stroke-width': 0.5 }));
        const text = state?.text ?? String(value);
        if (space > width(text, SMALL) + 10 && row > 15) {
          drawn.push(words((at(time) + at(end)) / 2, y + row * 0.42 + 4, text, SMALL, state?.color === 'dark-gray' ? TEXT : '#0f1013', { 'text-anchor': 'middle' }));
        }
      });
    }
  });
  drawn.push(events(recorded, plot, drawing.events));
  return drawn.join('') + below;
}

export function bars(drawing: Drawing): string {
  const { panel, series, area } = drawing;
  if (series.length === 0) {
    return none(drawing);
  }
  const { unit, decimals, min = 0, max } = panel.fieldConfig.defaults;
  const top = max ?? Math.max(...series.map((one) => last(one) ?? 0), 0.001);
  const left = Math.max(...series.map(({ name }) => width(name, SMALL + 1))) + 12;
  const right = 74;
  const row = Math.min(area.height / series.length, 40);
  return series
    .map((one, index) => {
      const value = last(one);
      const special = mapped(panel, value);
      const y = area.y + index * row + row * 0.12;
      const full = area.width - left - right;
      const shade = special?.color === undefined ? byThreshold(panel, value ?? 0) : colour(special.color);
      const text = special?.text ?? written(value ?? 0, unit, decimals);
      return (
        words(area.x + left - 8, y + row * 0.38 + 4, one.name, SMALL + 1, TEXT, { 'text-anchor': 'end' }) +
        box(area.x + left, y, full, row * 0.76, '#23262c', { rx: 2 }) +
        box(area.x + left, y, full * Math.min(Math.max((value ?? 0) - min, 0) / (top - min), 1), row * 0.76, shade, { rx: 2 }) +
        words(area.x + area.width, y + row * 0.38 + 5, text, 13, shade, { 'text-anchor': 'end', 'font-weight': 'bold' })
      );
    })
    .join('');
}
