// ZooKeeper: as Bellwether's own processes experience it, and as its servers describe themselves.

import { type Content, curves, dashboard, nothing, type Piece, stat, states, timeline } from './grafana.js';
import { events, inRange } from './pieces.js';
import * as ask from './queries.js';
import { of, ofCluster } from './queries.js';

const REQUEST = 'bellwether_zk_request_duration_seconds';

const connected = stat({
  title: 'Sessions connected',
  description: 'Share of the processes whose session with ZooKeeper is connected.',
  unit: 'percentunit',
  decimals: 0,
  min: 0,
  max: 1,
  thresholds: [[0, 'red'], [0.5, 'yellow'], [1, 'green']],
  ask: [
    {
      expr: `sum(${ofCluster('bellwether_zk_session_state', 'state="connected"')}) / count(${ofCluster('bellwether_zk_session_state', 'state="connected"')})`,
      legend: 'connected',
    },
  ],
});
const requestsNow = stat({
  title: 'Requests per second',
  description: "Requests of Bellwether's processes to ZooKeeper.",
  unit: 'reqps',
  decimals: 0,
  thresholds: [[0, 'text']],
  ask: [{ expr: `sum(${ask.rate(ofCluster('bellwether_zk_requests_total'))})`, legend: 'requests' }],
});
const slowest = stat({
  title: 'Requests, p99',
  description: 'The time within which 99 of 100 requests were answered, of all processes and all operations, within the range.',
  unit: 's',
  decimals: 1,
  thresholds: [[0, 'green'], [0.1, 'yellow'], [1, 'red']],
  noValue: 'none',
  ask: [{ expr: ask.quantileInRange(0.99, REQUEST, []), legend: 'p99' }],
});
const inFlightNow = stat({
  title: 'In flight',
  description: 'Requests that wait for their answer.',
  unit: 'none',
  decimals: 0,
  thresholds: [[0, 'green'], [100, 'yellow'], [1000, 'red']],
  ask: [{ expr: `sum(${ofCluster('bellwether_zk_requests_in_flight')})`, legend: 'in flight' }],
});
const lostNow = inRange(
  'Sessions lost in range',
  'Sessions that ZooKeeper ended within the range of the dashboard, of processes that lived on.',
  ofCluster('bellwether_zk_session_events_total', 'event="lost"'),
  'lost',
  [[0, 'green'], [1, 'yellow'], [10, 'red']],
);
const unknownNow = inRange(
  'Unknown outcomes',
  'Writes whose answer was lost within the range of the dashboard. Each was resolved by reading.',
  ofCluster('bellwether_zk_unknown_outcomes_total'),
  'unknown',
  [[0, 'green'], [1, 'yellow']],
);

const byOperation = curves({
  title: 'Requests per second by operation',
  description: "Requests of the chosen processes, by what was asked.",
  unit: 'reqps',
  min: 0,
  stacked: true,
  ask: [{ expr: `sum by (op) (${ask.rate(of('bellwether_zk_requests_total'))})`, legend: '{{op}}' }],
});
const byResult = curves({
  title: 'Requests per second by result',
  description: 'Answered, definitely refused, or without an answer. Refusals are part of the protocol: a lost race is one.',
  unit: 'reqps',
  min: 0,
  colours: { ok: 'green', refused: 'yellow', unknown: 'red' },
  ask: [{ expr: `sum by (result) (${ask.rate(of('bellwether_zk_requests_total'))})`, legend: '{{result}}' }],
});
const inFlight = curves({
  title: 'Requests in flight by process',
  description: 'Requests that wait for their answer. A line that stays up is a server that does not answer.',
  unit: 'none',
  decimals: 0,
  min: 0,
  ask: [{ expr: `sum by (instance) (${of('bellwether_zk_requests_in_flight')})`, legend: '{{instance}}' }],
});
const latency = (title: string, description: string, q: number) =>
  curves({ title, description, unit: 's', min: 0, ask: [{ expr: ask.quantile(q, REQUEST, ['op']), legend: '{{op}}' }] });
const median = latency('Request latency, p50, by operation', 'Half of the requests were answered within this time. Estimated from buckets.', 0.5);
const tail = latency('Request latency, p99, by operation', '99 of 100 requests were answered within this time. Estimated from buckets.', 0.99);
const multi = curves({
  title: 'Operations per transaction',
  description: 'Mean number of operations in one multi, by job. A master batches when much waits.',
  unit: 'none',
  decimals: 1,
  min: 0,
  ask: [{ expr: ask.mean('bellwether_zk_multi_ops', 'job'), legend: '{{job}}' }],
});

const sessions = curves({
  title: 'Sessions by state',
  description: 'Processes by the state of their session.',
  unit: 'none',
  decimals: 0,
  min: 0,
  stacked: true,
  colours: { connecting: 'text', connected: 'green', suspended: 'orange', lost: 'red' },
  ask: [{ expr: `sum by (state) (${of('bellwether_zk_session_state')})`, legend: '{{state}}' }],
});
const sessionEvents = events(
  'Session events',
  'What happened to the sessions of the chosen processes.',
  of('bellwether_zk_session_events_total'),
  'event',
  { opened: 'blue', suspended: 'orange', resumed: 'green', lost: 'red', closed: 'text', unreachable: 'yellow', gave_up: 'dark-red', denied: 'purple' },
);
const outages = curves({
  title: 'Suspended for how long, by outcome',
  description: 'Mean time that a session was suspended before it was resumed or lost; between outages there is nothing to show.',
  unit: 's',
  min: 0,
  points: true,
  noValue: 'none',
  colours: { resumed: 'green', lost: 'red' },
  ask: [{ expr: ask.mean('bellwether_zk_disconnected_duration_seconds', 'outcome'), legend: '{{outcome}}' }],
});
const watches = curves({
  title: 'Watch events per second by tree',
  description: 'Changes that ZooKeeper told the chosen processes about.',
  unit: 'cps',
  min: 0,
  ask: [{ expr: `sum by (tree) (${ask.rate(of('bellwether_zk_watch_events_total'))})`, legend: '{{tree}}' }],
});
const unknown = events(
  'Unknown outcomes by operation',
  'Writes whose answer was lost, by what they were for.',
  of('bellwether_zk_unknown_outcomes_total'),
  'op',
);
const differences = curves({
  title: 'Differences found by the periodic reading',
  description: 'What no watch event had told. Anything but 0 is a missed event, in ZooKeeper or in Bellwether.',
  unit: 'none',
  decimals: 0,
  min: 0,
  colours: { differences: 'red' },
  ask: [{ expr: `round(sum(increase(${of('bellwether_resync_differences_total')}[$__rate_interval])))`, legend: 'differences' }],
});

const SERVER_STATES: [string, string][] = [
  ['leader', 'green'],
  ['follower', 'blue'],
  ['observer', 'purple'],
  ['standalone', 'green'],
  ['read-only', 'orange'],
];

// A figure of each server, by its official name.
function figure(title: string, description: string, unit: string, expr: string, more: Partial<Content> = {}): Piece {
  return curves({ title, description, unit, min: 0, ask: [{ expr: `max by (server) (${expr})`, legend: '{{server}}' }], ...more });
}

const answering = stat({
  title: 'Servers that answer',
  description: "Share of ZooKeeper's servers that answered the exporter.",
  unit: 'percentunit',
  decimals: 0,
  min: 0,
  max: 1,
  thresholds: [[0, 'red'], [0.5, 'yellow'], [1, 'green']],
  mappings: [nothing('no exporter')],
  noValue: 'no exporter',
  ask: [{ expr: `sum(${ofCluster('bellwether_zookeeper_up')}) / count(${ofCluster('bellwether_zookeeper_up')})`, legend: 'answering' }],
});
const serverStates = timeline({
  title: 'State of each server',
  description: 'What each server says of itself. Down: it does not answer, or does not serve.',
  unit: 'none',
  mappings: states([['down', 'red'], ...SERVER_STATES]),
  ask: [{ expr: ask.stateNumber('bellwether_zookeeper_server_state', SERVER_STATES.map(([name]) => name), 'server'), legend: '{{server}}' }],
});
const handled = curves({
  title: 'Requests handled per second',
  description: 'Reads and writes that each server answered, those of other clients included. The exporter asks a server once a second at most.',
  unit: 'reqps',
  min: 0,
  ask: [
    { expr: `sum by (server) (${ask.rate(of('readlatency_count'))})`, legend: '{{server}} reads', interval: '15s' },
    { expr: `sum by (server) (${ask.rate(of('updatelatency_count'))})`, legend: '{{server}} writes', interval: '15s' },
  ],
});
const serverLatency = curves({
  title: 'Latency on the servers, p99',
  description: 'Within which 99 of 100 requests were answered, as each server estimates it over its recent past.',
  unit: 'ms',
  min: 0,
  ask: [
    { expr: `max by (server) (${of('readlatency', 'quantile="0.99"')})`, legend: '{{server}} reads' },
    { expr: `max by (server) (${of('updatelatency', 'quantile="0.99"')})`, legend: '{{server}} writes' },
  ],
});
const fsync = curves({
  title: 'Time to write the log to disk',
  description: "Mean duration of fsync; 0 where nothing is synced. ZooKeeper cannot write faster than its disk: above 20 ms everybody waits.",
  unit: 'ms',
  min: 0,
  ask: [{ expr: `sum by (server) (${ask.rate(of('fsynctime_sum'))}) / clamp_min(sum by (server) (${ask.rate(of('fsynctime_count'))}), 0.000001)`, legend: '{{server}}' }],
});
const outstanding = figure('Requests that wait on the servers', 'Queued in each server. It should be near 0.', 'none', of('outstanding_requests'), { decimals: 0 });
const connections = figure('Connections', 'Clients connected to each server.', 'none', of('num_alive_connections'), { decimals: 0 });
const znodes = figure('Znodes', 'Nodes in the tree, of all applications that share these servers.', 'short', of('znode_count'), { decimals: 0 });
const size = figure('Size of the data', 'Approximate size of the tree, which lives in memory and in every snapshot.', 'bytes', of('approximate_data_size'));
const watched = figure('Watches', 'Armed by clients of each server.', 'short', of('watch_count'), { decimals: 0 });
const ephemerals = figure('Ephemeral nodes', 'Nodes that go with their sessions: masters, standbys, workers.', 'none', of('ephemerals_count'), { decimals: 0 });
const expired = events(
  'Sessions that the servers expired',
  'Sessions whose clients were not heard of in time.',
  of('stale_sessions_expired'),
  'server',
);

export const zookeeper = dashboard('zookeeper', "ZooKeeper as Bellwether's processes experience it, and as its servers describe themselves.", [
  {
    title: 'Now',
    lines: [{ height: 4, panels: [[4, answering], [4, connected], [4, requestsNow], [3, slowest], [3, inFlightNow], [3, lostNow], [3, unknownNow]] }],
  },
  {
    title: 'Requests, as Bellwether sees them',
    lines: [
      { height: 8, panels: [[8, byOperation], [8, byResult], [8, inFlight]] },
      { height: 8, panels: [[8, median], [8, tail], [8, multi]] },
    ],
  },
  {
    title: 'Sessions and watches',
    lines: [
      { height: 7, panels: [[8, sessions], [8, sessionEvents], [8, outages]] },
      { height: 7, panels: [[8, watches], [8, unknown], [8, differences]] },
    ],
  },
  {
    title: 'Servers, as they describe themselves',
    lines: [
      { height: 5, panels: [[24, serverStates]] },
      { height: 7, panels: [[6, handled], [6, serverLatency], [6, fsync], [6, outstanding]] },
      { height: 7, panels: [[6, connections], [6, watched], [6, znodes], [6, size]] },
      { height: 7, panels: [[12, ephemerals], [12, expired]] },
    ],
  },
]);
