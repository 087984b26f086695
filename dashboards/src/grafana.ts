// The parts that dashboards are made of: panels, variables, annotations, links, and their places on the grid.
// What does not live here: what is asked (queries.ts) and what each dashboard shows (failover.ts, tasks.ts, zookeeper.ts).

import {
  type AnnotationQuery,
  AxisPlacement,
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeSizing,
  BarGaugeValueMode,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  type Dashboard,
  DashboardCursorSync,
  type DashboardLink,
  type DataSourceRef,
  type FieldConfig,
  FieldColorModeId,
  GraphDrawStyle,
  GraphGradientMode,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LineInterpolation,
  MappingType,
  type Panel,
  PercentChangeColorMode,
  type RowPanel,
  SortOrder,
  SpecialValueMatch,
  StackingMode,
  type Threshold,
  ThresholdsMode,
  TooltipDisplayMode,
  type ValueMapping,
  VariableHide,
  type VariableModel,
  VariableRefresh,
  VariableSort,
  VisibilityMode,
  VizOrientation,
} from '@grafana/schema';
import type { Options as BarGaugeOptions } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as TimelineFieldConfig,
  Options as TimelineOptions,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type {
  FieldConfig as TimeSeriesFieldConfig,
  Options as TimeSeriesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

import * as ask from './queries.js';

// Grafana 10.4's schema. Later versions migrate it when they load it; 10.0 to 10.3 find nothing in it that they do not know.
const SCHEMA_VERSION = 39;
// The options below are those of the panels of this version; with it, no migration from older panels is tried.
const PANEL_VERSION = '10.0.0';
const GRID_WIDTH = 24;

const SOURCE: DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

// One query of a panel. `legend` is Grafana's format, as `{{instance}}`.
export interface Question {
  expr: string;
  legend?: string;
  // The least distance between two points.
  interval?: string;
}

// What a panel needs to be told; the rest follows from its kind.
export interface Content {
  title: string;
  description: string;
  unit: string;
  ask: Question[];
  decimals?: number;
  min?: number;
  max?: number;
  // From the lowest: the first one's value is ignored.
  thresholds?: [number, string][];
  mappings?: ValueMapping[];
  // Colours of series by their legends.
  colours?: Record<string, string>;
  // What stands where a query returns nothing.
  noValue?: string;
}

// A panel that has no place yet.
export type Piece = Omit<Panel, 'id' | 'gridPos'>;

// Panels side by side, with their widths; the widths of a line fill the grid.
export interface Line {
  height: number;
  panels: [number, Piece][];
}

// A titled row of the dashboard.
export interface Section {
  title: string;
  lines: Line[];
}

function targets(content: Content, instant: boolean): Record<string, unknown>[] {
  return content.ask.map((question, index) => ({
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: SOURCE,
    editorMode: 'code',
    expr: question.expr,
    legendFormat: question.legend ?? '__auto',
    instant,
    range: !instant,
    ...(question.interval === undefined ? {} : { interval: question.interval }),
  }));
}

function defaults<T>(content: Content, mode: FieldColorModeId, custom?: T): FieldConfig<T & Record<string, unknown>> {
  const steps: Threshold[] = (content.thresholds ?? [[0, 'green']]).map(([value, color], index) => ({ color, value: index === 0 ? null : value }));
  return {
    unit: content.unit,
    color: { mode },
    thresholds: { mode: ThresholdsMode.Absolute, steps },
    mappings: content.mappings ?? [],
    noValue: content.noValue ?? 'no data',
    ...(content.decimals === undefined ? {} : { decimals: content.decimals }),
    ...(content.min === undefined ? {} : { min: content.min }),
    ...(content.max === undefined ? {} : { max: content.max }),
    ...(custom === undefined ? {} : { custom: custom as T & Record<string, unknown> }),
  };
}

function piece(type: string, content: Content, instant: boolean, field: FieldConfig, options: object): Piece {
  const overrides = Object.entries(content.colours ?? {}).map(([name, fixedColor]) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: FieldColorModeId.Fixed, fixedColor } }],
  }));
  return {
    type,
    title: content.title,
    description: content.description,
    datasource: SOURCE,
    pluginVersion: PANEL_VERSION,
    targets: targets(content, instant),
    fieldConfig: { defaults: field, overrides },
    options: options as Record<string, unknown>,
  };
}

const LAST = { calcs: ['lastNotNull'], fields: '', values: false };

// One big value: the answer at the end of the range.
export function stat(content: Content & { text?: BigValueTextMode; background?: boolean; points?: number }): Piece {
  const options: StatOptions = {
    colorMode: content.background === true ? BigValueColorMode.Background : BigValueColorMode.Value,
    graphMode: BigValueGraphMode.None,
    justifyMode: BigValueJustifyMode.Center,
    textMode: content.text ?? BigValueTextMode.Value,
    orientation: VizOrientation.Auto,
    percentChangeColorMode: PercentChangeColorMode.Standard,
    showPercentChange: false,
    wideLayout: true,
    reduceOptions: LAST,
  };
  const made = piece('stat', content, true, defaults(content, FieldColorModeId.Thresholds), options);
  return content.points === undefined ? made : { ...made, maxDataPoints: content.points };
}

// Curves over time.
export function curves(content: Content & { stacked?: boolean; points?: boolean; limit?: boolean; table?: boolean }): Piece {
  const custom: TimeSeriesFieldConfig = {
    drawStyle: GraphDrawStyle.Line,
    lineInterpolation: LineInterpolation.Linear,
    // Of a stack the areas are seen: the lines of empty ones would lie on their neighbours'.
    lineWidth: content.stacked === true ? 0 : 1,
    fillOpacity: content.stacked === true ? 70 : 12,
    gradientMode: GraphGradientMode.None,
    showPoints: content.points === true ? VisibilityMode.Always : VisibilityMode.Never,
    pointSize: 6,
    spanNulls: false,
    axisPlacement: AxisPlacement.Auto,
    axisSoftMin: 0,
    stacking: { mode: content.stacked === true ? StackingMode.Normal : StackingMode.None, group: 'A' },
    thresholdsStyle: { mode: content.limit === true ? GraphThresholdsStyleMode.Dashed : GraphThresholdsStyleMode.Off },
  };
  const options: TimeSeriesOptions = {
    legend: {
      displayMode: content.table === true ? LegendDisplayMode.Table : LegendDisplayMode.List,
      placement: 'bottom',
      showLegend: true,
      calcs: content.table === true ? ['lastNotNull', 'max'] : [],
    },
    tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
  };
  return piece('timeseries', content, false, defaults(content, FieldColorModeId.PaletteClassic, custom), options);
}

// Who was in which state when: one line per series, states by value mappings.
export function timeline(content: Content): Piece {
  const custom: TimelineFieldConfig = { fillOpacity: 80, lineWidth: 0 };
  const options: TimelineOptions = {
    alignValue: 'left',
    mergeValues: true,
    rowHeight: 0.85,
    showValue: VisibilityMode.Auto,
    legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] },
    tooltip: { mode: TooltipDisplayMode.Single, sort: SortOrder.None },
  };
  return piece('state-timeline', content, false, defaults(content, FieldColorModeId.Thresholds, custom), options);
}

// One bar per series: the answers at the end of the range.
export function bars(content: Content): Piece {
  const options: BarGaugeOptions = {
    displayMode: BarGaugeDisplayMode.Basic,
    orientation: VizOrientation.Horizontal,
    valueMode: BarGaugeValueMode.Text,
    namePlacement: BarGaugeNamePlacement.Auto,
    showUnfilled: true,
    sizing: BarGaugeSizing.Auto,
    minVizHeight: 10,
    minVizWidth: 8,
    maxVizHeight: 300,
    reduceOptions: LAST,
    legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: false, calcs: [] },
  };
  return piece('bargauge', content, true, defaults(content, FieldColorModeId.Thresholds), options);
}

// States, as numbers from `first` on, with a name and a colour each.
export function states(named: [string, string][], first = 0): ValueMapping[] {
  const options = Object.fromEntries(named.map(([text, color], index) => [String(first + index), { text, color, index }]));
  return [{ type: MappingType.ValueToText, options }];
}

// A quantile of nothing is NaN: a word for it.
export function nothing(text: string): ValueMapping {
  return { type: MappingType.SpecialValue, options: { match: SpecialValueMatch.NullAndNan, result: { text, color: 'text', index: 99 } } };
}

function variables(): VariableModel[] {
  const shared = { hide: VariableHide.dontHide, options: [] };
  const source: VariableModel = {
    ...shared,
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    description: 'The Prometheus that scrapes the cluster',
    query: 'prometheus',
    regex: '',
    refresh: VariableRefresh.onDashboardLoad,
    multi: false,
    includeAll: false,
    current: { text: '', value: '' },
  };
  const found = (name: string, label: string, description: string, query: string, several: boolean): VariableModel => ({
    ...shared,
    type: 'query',
    name,
    label,
    description,
    datasource: SOURCE,
    query: { qryType: 1, query, refId: `variable-${name}` },
    regex: '',
    refresh: VariableRefresh.onTimeRangeChanged,
    sort: VariableSort.alphabeticalAsc,
    multi: several,
    includeAll: several,
    ...(several ? { allValue: '.+', current: { text: ['All'], value: ['$__all'] } } : { current: { text: '', value: '' } }),
  });
  return [
    source,
    found('cluster', 'Cluster', "The cluster's name in its configuration", ask.CLUSTERS, false),
    found('job', 'Job', "Prometheus' jobs", ask.JOBS, true),
    found('instance', 'Instance', 'Processes. What only the cluster as a whole can answer, as who is master, does not follow it.', ask.INSTANCES, true),
  ];
}

// Prometheus' annotations have properties that the schema does not name.
interface PrometheusAnnotation extends AnnotationQuery {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
  useValueForTime: boolean;
}

function annotations(): PrometheusAnnotation[] {
  return ask.EVENTS.map((event) => ({
    name: event.name,
    datasource: SOURCE,
    enable: true,
    hide: false,
    iconColor: event.colour,
    expr: event.expr,
    step: '15s',
    titleFormat: event.title,
    textFormat: event.text,
    tagKeys: 'instance',
    useValueForTime: event.valueIsTime,
  }));
}

// Every dashboard, by what its uid and its file are called after `bellwether-`.
const NAMES = { failover: 'Failover', tasks: 'Tasks and workers', zookeeper: 'ZooKeeper' };
export type Name = keyof typeof NAMES;

function links(own: Name): DashboardLink[] {
  const others = (Object.keys(NAMES) as Name[]).filter((name) => name !== own);
  return others.map((name) => ({
    type: 'link',
    title: NAMES[name],
    tooltip: `Bellwether: ${NAMES[name]}, of the same time and the same cluster`,
    url: `/d/bellwether-${name}`,
    icon: 'dashboard',
    tags: [],
    asDropdown: false,
    targetBlank: false,
    includeVars: true,
    keepTime: true,
  }));
}

function place(sections: Section[]): (Panel | RowPanel)[] {
  const placed: (Panel | RowPanel)[] = [];
  let y = 0;
  for (const section of sections) {
    placed.push({ type: 'row', id: placed.length + 1, title: section.title, collapsed: false, gridPos: { x: 0, y, w: GRID_WIDTH, h: 1 }, panels: [] });
    y += 1;
    for (const line of section.lines) {
      let x = 0;
      for (const [w, panel] of line.panels) {
        placed.push({ id: placed.length + 1, gridPos: { x, y, w, h: line.height }, ...panel });
        x += w;
      }
      if (x !== GRID_WIDTH) {
        throw new Error(`a line of "${section.title}" is ${x} wide instead of ${GRID_WIDTH}`);
      }
      y += line.height;
    }
  }
  return placed;
}

export function dashboard(name: Name, description: string, sections: Section[]): Dashboard {
  return {
    uid: `bellwether-${name}`,
    title: `Bellwether: ${NAMES[name]}`,
    description,
    tags: ['bellwether'],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: false,
    graphTooltip: DashboardCursorSync.Crosshair,
    liveNow: false,
    fiscalYearStartMonth: 0,
    weekStart: '',
    timezone: 'browser',
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    timepicker: {},
    links: links(name),
    annotations: { list: annotations() },
    templating: { list: variables() },
    panels: place(sections),
  };
}
