// Panels that more than one dashboard is made of: what happened now and then, over time and within the range.
// What does not live here: what a panel is (grafana.ts), what is asked (queries.ts).

import { type Content, curves, type Piece, stat } from './grafana.js';
import * as ask from './queries.js';

// How often something happened around each moment, by what a label says.
export function events(title: string, description: string, series: string, by: string, colours?: Content['colours']): Piece {
  return curves({ title, description, unit: 'none', decimals: 0, min: 0, colours, ask: [{ expr: ask.happened(series, by), legend: `{{${by}}}` }] });
}

// How often something happened within the range of the dashboard.
export function inRange(title: string, description: string, series: string, legend: string, thresholds: Content['thresholds']): Piece {
  return stat({ title, description, unit: 'none', decimals: 0, thresholds, ask: [{ expr: ask.happenedInRange(series), legend }] });
}
