// What Prometheus answered, as `make pictures` wrote it down, and the parts of a dashboard that are drawn.
// What does not live here: drawing.

import type { ValueMapping } from '@grafana/schema';

// One series: a gap where a sample is null.
export interface Series {
  labels: Record<string, string>;
  samples: [number, number | null][];
}

export interface Answer {
  refId: string;
  series: Series[];
}

export interface Mark {
  name: string;
  series: Series[];
}

// All answers of one dashboard. Times in seconds.
export interface Recorded {
  dashboard: string;
  from: number;
  to: number;
  step: number;
  panels: Record<string, Answer[]>;
  annotations: Mark[];
}

// A panel, as far as it is drawn.
export interface DrawnPanel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets: { refId: string; legendFormat: string }[];
  fieldConfig: {
    defaults: {
      unit: string;
      decimals?: number;
      min?: number;
      max?: number;
      noValue?: string;
      mappings: ValueMapping[];
      thresholds: { steps: { color: string; value: number | null }[] };
      custom?: { stacking?: { mode: string }; showPoints?: string; fillOpacity?: number; lineWidth?: number; thresholdsStyle?: { mode: string } };
    };
    overrides: { matcher: { options: string }; properties: { id: string; value: { fixedColor: string } }[] }[];
  };
  options: { textMode?: string; colorMode?: string };
}

// A series with its name in the legend.
export interface Named {
  name: string;
  samples: [number, number | null][];
}

// Every series of a panel, named, in the order of its questions.
export function named(panel: DrawnPanel, answers: Answer[]): Named[] {
  return panel.targets.flatMap((target) => {
    const answer = answers.find((candidate) => candidate.refId === target.refId);
    const name = (labels: Record<string, string>): string => target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '');
    const series = (answer?.series ?? []).map(({ labels, samples }) => ({ name: name(labels), samples }));
    return series.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  });
}

// The last value that is one.
export function last(series: Named): number | null {
  return series.samples.findLast(([, value]) => value !== null)?.[1] ?? null;
}
