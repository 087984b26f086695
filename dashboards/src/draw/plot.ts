// The place of a panel on the page, time along its width, and marks across it.

import { colour, GRID, WEAK } from './look.js';
import type { Mark, Recorded } from './record.js';
import { box, line, words } from './svg.js';

// A rectangle of the page.
export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const AXIS = 18;
const AXIS_TEXT = 10;

export function timeScale(recorded: Recorded, area: Area): (time: number) => number {
  return (time) => area.x + ((time - recorded.from) / (recorded.to - recorded.from)) * area.width;
}

// Upright lines at round times, and the times below.
export function timeAxis(recorded: Recorded, area: Area): string {
  const at = timeScale(recorded, area);
  const most = Math.max(2, Math.floor(area.width / 70));
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((candidate) => (recorded.to - recorded.from) / candidate <= most) ?? 7200;
  const drawn: string[] = [];
  for (let time = Math.ceil(recorded.from / step) * step; time <= recorded.to; time += step) {
    const text = new Date(time * 1000).toISOString().slice(11, step < 60 ? 19 : 16);
    drawn.push(line(at(time), area.y, at(time), area.y + area.height, GRID));
    if (at(time) - 22 > area.x - 30 && at(time) + 22 < area.x + area.width + 12) {
      drawn.push(words(at(time), area.y + area.height + 13, text, AXIS_TEXT, WEAK, { 'text-anchor': 'middle' }));
    }
  }
  return drawn.join('');
}

// What happened at which moments, each moment once: the value itself where it is a time, else where a run of samples begins.
export function moments(recorded: Recorded, mark: Mark, valueIsTime: boolean): number[] {
  const found = mark.series.flatMap(({ samples }) =>
    valueIsTime
      ? samples.map(([, value]) => (value ?? 0) / 1000)
      : samples.filter(([time], index) => index === 0 || time - (samples[index - 1]?.[0] ?? 0) > recorded.step * 1.5).map(([time]) => time),
  );
  return [...new Set(found.map((time) => Math.round(time * 10) / 10))].filter((time) => time >= recorded.from && time <= recorded.to);
}

// How a kind of event is drawn.
export interface Event {
  name: string;
  colour: string;
  moments: number[];
}

export function events(recorded: Recorded, area: Area, all: Event[]): string {
  const at = timeScale(recorded, area);
  const one = (event: Event, time: number): string =>
    line(at(time), area.y, at(time), area.y + area.height, colour(event.colour), { 'stroke-dasharray': '4 3', 'stroke-opacity': 0.85 }) +
    box(at(time) - 3, area.y + area.height, 6, 4, colour(event.colour));
  return all.flatMap((event) => event.moments.map((time) => one(event, time))).join('');
}
