// Colours, and values as text: Grafana's names, in a dark page.

import { MappingType, SpecialValueMatch, type ValueMappingResult } from '@grafana/schema';

import type { DrawnPanel } from './record.js';

export const PAGE = '#111217';
export const PANEL = '#181b1f';
export const BORDER = '#2c3036';
export const TEXT = '#d5d6dd';
export const WEAK = '#8d8f9b';
export const GRID = '#2b2e35';

const NAMED: Record<string, string> = {
  text: '#9fa1ad',
  green: '#73bf69',
  yellow: '#fade2a',
  orange: '#ff9830',
  red: '#f2495c',
  'dark-red': '#c4162a',
  blue: '#5794f2',
  purple: '#b877d9',
  'dark-gray': '#3a3d45',
};
const PALETTE = ['#73bf69', '#fade2a', '#5794f2', '#ff9830', '#f2495c', '#b877d9', '#8ab8ff', '#96d98d', '#ffb357', '#ff7383', '#ca95e5', '#ffee52', '#3274d9', '#37872d', '#fa6400'];

export function colour(name: string): string {
  return NAMED[name] ?? name;
}

// The colour of a series: its own, or the next of the palette.
export function ofSeries(panel: DrawnPanel, name: string, index: number): string {
  const own = panel.fieldConfig.overrides.find((override) => override.matcher.options === name);
  const fixed = own?.properties.find((property) => property.id === 'color');
  return fixed === undefined ? (PALETTE[index % PALETTE.length] as string) : colour(fixed.value.fixedColor);
}

// The colour of a value by the panel's thresholds.
export function byThreshold(panel: DrawnPanel, value: number): string {
  const step = panel.fieldConfig.defaults.thresholds.steps.findLast((candidate) => candidate.value === null || value >= candidate.value);
  return colour(step?.color ?? 'green');
}

// The text and colour that a panel gives a value by name; none is nothing or NaN.
export function mapped(panel: DrawnPanel, value: number | null): ValueMappingResult | undefined {
  for (const mapping of panel.fieldConfig.defaults.mappings) {
    if (mapping.type === MappingType.ValueToText && value !== null && mapping.options[String(value)] !== undefined) {
      return mapping.options[String(value)];
    }
    if (mapping.type === MappingType.SpecialValue && value === null && mapping.options.match === SpecialValueMatch.NullAndNan) {
      return mapping.options.result;
    }
  }
  return undefined;
}

function fixed(value: number, decimals: number | undefined, most: number): string {
  if (decimals !== undefined) {
    return value.toFixed(decimals);
  }
  const digits = value === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : most;
  return String(Number(value.toFixed(digits)));
}

function scaled(value: number, decimals: number | undefined, base: number, units: string[]): string {
  let [index, rest] = [0, value];
  while (Math.abs(rest) >= base && index < units.length - 1) {
    [index, rest] = [index + 1, rest / base];
  }
  return `${fixed(rest, index === 0 && decimals === 0 ? 0 : decimals === 0 ? undefined : decimals, 2)}${units[index]}`;
}

function seconds(value: number, decimals: number | undefined): string {
  const size = Math.abs(value);
  if (size === 0) {
    return '0 s';
  }
  if (size < 0.001) {
    return `${fixed(value * 1e6, decimals, 1)} µs`;
  }
  if (size < 1) {
    return `${fixed(value * 1e3, decimals, 2)} ms`;
  }
  if (size < 60) {
    return `${fixed(value, decimals, 2)} s`;
  }
  if (size < 3600) {
    return `${fixed(value / 60, undefined, 1)} min`;
  }
  return size < 86_400 ? `${fixed(value / 3600, undefined, 1)} h` : `${fixed(value / 86_400, undefined, 1)} d`;
}

const AFTER: Record<string, string> = { ops: ' ops/s', reqps: ' req/s', cps: ' c/s', cpm: ' c/min', iops: ' io/s', percent: ' %' };

export function written(value: number, unit: string, decimals?: number): string {
  switch (unit) {
    case 's':
      return seconds(value, decimals);
    case 'ms':
      return seconds(value / 1000, decimals);
    case 'percentunit':
      return `${fixed(value * 100, decimals, 1)} %`;
    case 'bytes':
      return scaled(value, decimals, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
    case 'short':
      return scaled(value, decimals, 1000, ['', ' K', ' Mil', ' Bil']);
    default:
      return `${fixed(value, decimals, 2)}${AFTER[unit] ?? ''}`;
  }
}
