// Failover: who is master, who was what when, how takeovers went and what they cost.

import { BigValueTextMode } from '@grafana/schema';

import { bars, curves, dashboard, nothing, stat, states, timeline } from './grafana.js';
import { events, inRange } from './pieces.js';
import * as ask from './queries.js';
import { of, ofCluster } from './queries.js';

const COORDINATOR_STATES: [string, string][] = [
  ['connecting', 'text'],
  ['standby', 'blue'],
  ['candidate', 'yellow'],
  ['recovering', 'orange'],
  ['leading', 'green'],
  ['suspended', 'red'],
];
const SESSION_STATES: [string, string][] = [
  ['connecting', 'text'],
  ['connected', 'green'],
  ['suspended', 'orange'],
  ['lost', 'red'],
];
const PHASES = { election: 'blue', recovery: 'yellow', first_assignment: 'green' };
const DURATION = 'bellwether_failover_duration_seconds';

const names = (states: [string, string][]): string[] => states.map(([name]) => name);

const active = stat({
  title: 'Active masters',
  description: 'Coordinators that say they are in office. It must be 1: 0 means that nobody assigns tasks, 2 that a scrape caught a handover, or worse.',
  unit: 'none',
  background: true,
  thresholds: [[0, 'red'], [1, 'green'], [2, 'red']],
  ask: [{ expr: `sum(${ofCluster('bellwether_master_is_active')})`, legend: 'active' }],
});
const current = stat({
  title: 'Current master',
  description: 'The coordinator in office.',
  unit: 'none',
  text: BigValueTextMode.Name,
  noValue: 'nobody',
  ask: [{ expr: `sum by (instance) (${ofCluster('bellwether_master_is_active')}) == 1`, legend: '{{instance}}' }],
  thresholds: [[0, 'red'], [1, 'green']],
});
const epoch = stat({
  title: 'Epoch',
  description: 'The term of mastership. It grows with every election, and never goes back.',
  unit: 'none',
  decimals: 0,
  thresholds: [[0, 'text']],
  ask: [{ expr: `max(${ofCluster('bellwether_master_epoch')})`, legend: 'epoch' }],
});
const since = stat({
  title: 'Time since election',
  description: 'How long the current master has been in office.',
  unit: 's',
  decimals: 0,
  thresholds: [[0, 'orange'], [60, 'green']],
  noValue: 'nobody rules',
  ask: [{ expr: `time() - max(${ofCluster('bellwether_master_elected_timestamp_seconds')} > 0)`, legend: 'since' }],
});
const count = inRange(
  'Failovers in range',
  'Takeovers from an earlier master within the range of the dashboard.',
  ofCluster('bellwether_failovers_total'),
  'failovers',
  [[0, 'green'], [1, 'yellow'], [5, 'red']],
);
const without = stat({
  title: 'Seconds without a master',
  description:
    'For how long nobody was in office within the range of the dashboard, as Prometheus saw it: exact to one scrape interval per failover, and to the 3600th part of the range. Time in which no process of the cluster could be scraped is not counted.',
  unit: 's',
  decimals: 1,
  points: 3600,
  thresholds: [[0, 'green'], [1, 'yellow'], [60, 'red']],
  ask: [{ expr: `${ask.SECONDS_WITHOUT_MASTER} or vector(0)`, legend: 'without', interval: '200ms' }],
});
const refused = inRange(
  'Fenced writes in range',
  'Writes of a former master that ZooKeeper refused. The fence did its work; a number that grows while nothing fails is worth a look.',
  ofCluster('bellwether_fenced_writes_total'),
  'fenced',
  [[0, 'green'], [1, 'yellow']],
);

const whoRuled = timeline({
  title: 'Who was master',
  description: 'Each coordinator, green while it said that it was in office. At most one line is green at any time; a moment without green is a moment without a master.',
  unit: 'none',
  mappings: states([['not in office', 'dark-gray'], ['master', 'green']]),
  ask: [{ expr: `max by (instance) (${of('bellwether_master_is_active')})`, legend: '{{instance}}' }],
});
const coordinators = timeline({
  title: 'State of each coordinator',
  description: 'A standby becomes a candidate when the office is vacant, recovers what its predecessor left, then leads. Suspended: in office, but its session is in doubt, so it writes nothing.',
  unit: 'none',
  mappings: states(COORDINATOR_STATES, 1),
  ask: [{ expr: ask.stateNumber('bellwether_coordinator_state', names(COORDINATOR_STATES), 'instance'), legend: '{{instance}}' }],
});
const sessions = timeline({
  title: 'ZooKeeper session of each process',
  description: 'Suspended: the connection is gone and the session may still live. Lost: ZooKeeper ended it, with all that was ephemeral.',
  unit: 'none',
  mappings: states(SESSION_STATES, 1),
  ask: [{ expr: ask.stateNumber('bellwether_zk_session_state', names(SESSION_STATES), 'instance'), legend: '{{instance}}' }],
});

const durations = bars({
  title: 'Takeover duration by phase, in range',
  description:
    'Election: from the vacancy that the successor saw to its election. Recovery: from the election to the first decision. First assignment: from the election to the first assignment that was committed. Estimated from buckets; the worst is the upper bound of its bucket.',
  unit: 's',
  min: 0,
  thresholds: [[0, 'green'], [1, 'yellow'], [5, 'red']],
  mappings: [nothing('none')],
  noValue: 'none',
  ask: ([['p50', 0.5], ['p95', 0.95], ['worst', 1]] as [string, number][]).map(([name, q]) => ({
    expr: ask.quantileInRange(q, DURATION, ['phase']),
    legend: `{{phase}} ${name}`,
  })),
});
const takeovers = curves({
  title: 'Each takeover by phase',
  description: 'Mean duration of the takeovers around each moment; between takeovers there is nothing to show.',
  unit: 's',
  min: 0,
  points: true,
  noValue: 'none',
  colours: PHASES,
  ask: [{ expr: ask.mean(DURATION, 'phase'), legend: '{{phase}}' }],
});
const failovers = events(
  'Failovers by reason',
  'Why the term before ended, as the successor found it: its session ended, or it stepped down and said so.',
  of('bellwether_failovers_total'),
  'reason',
  { stepped_down: 'green', session_ended: 'orange', unknown: 'red' },
);
const elections = events(
  'Elections by result',
  'Candidacies. Unknown: the answer was lost, and the candidate looked who is in office. One candidacy per vacancy is the rule.',
  of('bellwether_elections_total'),
  'result',
  { won: 'green', lost: 'yellow', unknown: 'red' },
);
const terms = events(
  'Terms lost by reason',
  'Why a coordinator left office, as it said itself. One that was killed says nothing: see the failovers.',
  of('bellwether_leadership_lost_total'),
  'reason',
  { stepped_down: 'green', session_lost: 'orange', fenced: 'red', disorder: 'purple' },
);
const recovered = events(
  'Recovered tasks',
  'What a new master found: tasks that waited, tasks that were assigned and left alone, tasks of workers that are gone.',
  of('bellwether_recovered_tasks_total'),
  'from',
);

const connections = curves({
  title: 'Connection losses',
  description: 'Sessions that lost their connection to a ZooKeeper server (ConnectionLoss), per minute. Most are resumed on another server.',
  unit: 'cpm',
  min: 0,
  ask: [{ expr: `sum by (job) (${ask.rate(of('bellwether_zk_session_events_total', 'event="suspended"'))}) * 60`, legend: '{{job}}' }],
});
const expiries = curves({
  title: 'Session expiries',
  description: 'Sessions that ZooKeeper ended, per minute, by job. A worker kills what it runs, a master loses its office.',
  unit: 'cpm',
  min: 0,
  ask: [{ expr: `sum by (job) (${ask.rate(of('bellwether_zk_session_events_total', 'event="lost"'))}) * 60`, legend: '{{job}}' }],
});
const unknown = events(
  'Unknown outcomes by resolution',
  'Writes whose answer was lost, by what was found when the state was read again.',
  of('bellwether_zk_unknown_outcomes_total'),
  'resolution',
  { applied: 'green', not_applied: 'yellow', unresolved: 'red' },
);
const fenced = events(
  'Fenced writes by operation',
  'Writes of a former master that ZooKeeper refused, by what they were for.',
  of('bellwether_fenced_writes_total'),
  'op',
);

const waiting = curves({
  title: 'Pending and assigned tasks',
  description: 'As the master sees them; 0 while nobody rules. During a failover pending grows by what is submitted, and workers finish what they have.',
  unit: 'short',
  decimals: 0,
  min: 0,
  colours: { pending: 'orange', assigned: 'blue' },
  ask: [{ expr: `sum by (state) (${ofCluster('bellwether_tasks', 'state=~"pending|assigned"')})`, legend: '{{state}}' }],
});
const assignments = curves({
  title: 'Assignments per second',
  description: 'Falls to 0 while nobody rules, then rises above the usual until the backlog is gone.',
  unit: 'ops',
  min: 0,
  colours: { assigned: 'blue' },
  ask: [{ expr: `sum(${ask.rate(ofCluster('bellwether_tasks_assigned_total'))})`, legend: 'assigned' }],
});
const resyncs = events(
  'Full readings by cause',
  'How often the state was read as a whole: at a start, at a takeover, after a reconnect, after an unknown outcome, and periodically.',
  of('bellwether_resyncs_total'),
  'cause',
);

export const failover = dashboard('failover', 'Who is master, who was what when, how takeovers went, and what they cost.', [
  { title: 'Now', lines: [{ height: 4, panels: [[3, active], [4, current], [3, epoch], [4, since], [3, count], [4, without], [3, refused]] }] },
  {
    title: 'Who was what',
    lines: [
      { height: 5, panels: [[12, whoRuled], [12, coordinators]] },
      { height: 8, panels: [[24, sessions]] },
    ],
  },
  {
    title: 'Work around the failover',
    lines: [{ height: 8, panels: [[8, waiting], [8, assignments], [8, recovered]] }],
  },
  {
    title: 'Takeovers',
    lines: [
      { height: 9, panels: [[12, durations], [12, takeovers]] },
      { height: 7, panels: [[8, failovers], [8, elections], [8, terms]] },
    ],
  },
  {
    title: 'Connections, and writes in doubt',
    lines: [
      { height: 7, panels: [[12, connections], [12, expiries]] },
      { height: 7, panels: [[8, unknown], [8, fenced], [8, resyncs]] },
    ],
  },
]);
