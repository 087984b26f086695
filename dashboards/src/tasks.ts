// Tasks and workers: what waits, what runs, how long it takes, who runs it, and what goes wrong.

import { bars, curves, dashboard, nothing, type Piece, stat, states, timeline } from './grafana.js';
import { events } from './pieces.js';
import * as ask from './queries.js';
import { of, ofCluster } from './queries.js';

const STATES = { held: 'purple', pending: 'orange', assigned: 'blue' };
const RESULTS = { succeeded: 'green', failed: 'red', 'timed-out': 'orange', rejected: 'purple', cancelled: 'yellow', dead: 'dark-red' };

// How many tasks are in a state.
function inState(title: string, state: keyof typeof STATES, description: string): Piece {
  return stat({
    title,
    description,
    unit: 'short',
    decimals: 0,
    thresholds: [[0, STATES[state]]],
    ask: [{ expr: `sum(${ofCluster('bellwether_tasks', `state="${state}"`)})`, legend: state }],
  });
}

// Three quantiles of a histogram over time.
function quantiles(title: string, description: string, histogram: string): Piece {
  return curves({
    title,
    description: `${description} Estimated from buckets.`,
    unit: 's',
    min: 0,
    colours: { p50: 'green', p95: 'yellow', p99: 'red' },
    ask: [['p50', 0.5], ['p95', 0.95], ['p99', 0.99]].map(([legend, q]) => ({
      expr: ask.quantile(q as number, histogram),
      legend: legend as string,
    })),
  });
}

const COMPLETED = 'bellwether_tasks_completed_total';
const recordedPerSecond = `sum(${ask.rate(ofCluster(COMPLETED))})`;
const slotsInUse = `sum(${ofCluster('bellwether_worker_slots_in_use')})`;
const slots = `sum(${ofCluster('bellwether_worker_slots')})`;

const oldestNow = stat({
  title: 'Oldest pending task',
  description: 'How long the task that may run, and has waited longest, has waited.',
  unit: 's',
  decimals: 1,
  thresholds: [[0, 'green'], [60, 'yellow'], [600, 'red']],
  ask: [{ expr: `max(${ofCluster('bellwether_oldest_pending_task_age_seconds')})`, legend: 'age' }],
});
const workersNow = stat({
  title: 'Workers',
  description: 'Registered workers that the master gives work to.',
  unit: 'none',
  decimals: 0,
  thresholds: [[0, 'red'], [1, 'green']],
  ask: [{ expr: `sum(${ofCluster('bellwether_workers', 'state="active"')})`, legend: 'active' }],
});
const slotsNow = stat({
  title: 'Slots in use',
  description: 'Share of all slots in which something runs. At 100 % more workers would help.',
  unit: 'percentunit',
  decimals: 0,
  min: 0,
  max: 1,
  thresholds: [[0, 'green'], [0.9, 'yellow']],
  mappings: [nothing('no slots')],
  ask: [{ expr: `${slotsInUse} / ${slots}`, legend: 'in use' }],
});
const throughputNow = stat({
  title: 'Results per second',
  description: 'Attempts whose result workers recorded.',
  unit: 'ops',
  decimals: 1,
  thresholds: [[0, 'text']],
  ask: [{ expr: recordedPerSecond, legend: 'results' }],
});
const failingNow = stat({
  title: 'Failing',
  description: 'Share of the recorded results that are no success: failed, timed out or rejected.',
  unit: 'percentunit',
  decimals: 1,
  thresholds: [[0, 'green'], [0.05, 'yellow'], [0.2, 'red']],
  mappings: [nothing('idle')],
  ask: [{ expr: `sum(${ask.rate(ofCluster(COMPLETED, 'result!="succeeded"'))}) / ${recordedPerSecond}`, legend: 'failing' }],
});

const queue = curves({
  title: 'Tasks by state',
  description: 'As the master sees them; 0 while nobody rules. Held: may not run yet. Pending: may run, and waits for a slot. Assigned: a worker has it.',
  unit: 'short',
  decimals: 0,
  min: 0,
  stacked: true,
  colours: STATES,
  ask: [{ expr: `sum by (state) (${ofCluster('bellwether_tasks')})`, legend: '{{state}}' }],
});
const oldest = curves({
  title: 'Age of the oldest pending task',
  description: 'Grows by a second per second while something cannot be placed: no worker fits, or no slot is free.',
  unit: 's',
  min: 0,
  limit: true,
  thresholds: [[0, 'green'], [600, 'red']],
  ask: [{ expr: `max(${ofCluster('bellwether_oldest_pending_task_age_seconds')})`, legend: 'oldest' }],
});
const throughput = curves({
  title: 'Tasks per second',
  description: 'Assigned by the master, recorded by workers, ended by the master itself. Assigned above recorded for long means a growing backlog in the slots.',
  unit: 'ops',
  min: 0,
  colours: { assigned: 'blue', recorded: 'green', 'ended by the master': 'orange' },
  ask: [
    { expr: `sum(${ask.rate(ofCluster('bellwether_tasks_assigned_total'))})`, legend: 'assigned' },
    { expr: recordedPerSecond, legend: 'recorded' },
    { expr: `sum(${ask.rate(ofCluster('bellwether_tasks_ended_total'))})`, legend: 'ended by the master' },
  ],
});
const results = curves({
  title: 'Results per second',
  description: 'What workers recorded, by result.',
  unit: 'ops',
  min: 0,
  stacked: true,
  colours: RESULTS,
  ask: [{ expr: `sum by (result) (${ask.rate(of(COMPLETED))})`, legend: '{{result}}' }],
});
const kinds = curves({
  title: 'Results per second by kind',
  description: 'What workers recorded, by what sort of task it was.',
  unit: 'ops',
  min: 0,
  stacked: true,
  ask: [{ expr: `sum by (kind) (${ask.rate(of(COMPLETED))})`, legend: '{{kind}}' }],
});

const slotsByWorker = bars({
  title: 'Slots in use by worker',
  description: 'Share of each worker\'s slots in which something runs, now.',
  unit: 'percentunit',
  decimals: 0,
  min: 0,
  max: 1,
  thresholds: [[0, 'green'], [0.75, 'yellow'], [1, 'orange']],
  ask: [{ expr: `sum by (instance) (${of('bellwether_worker_slots_in_use')}) / sum by (instance) (${of('bellwether_worker_slots')})`, legend: '{{instance}}' }],
});
const slotsOverTime = curves({
  title: 'Slots in use, and slots',
  description: 'Slots of the chosen workers in which something runs, and all of them.',
  unit: 'none',
  decimals: 0,
  min: 0,
  colours: { 'in use': 'blue', slots: 'text' },
  ask: [
    { expr: `sum(${of('bellwether_worker_slots_in_use')})`, legend: 'in use' },
    { expr: `sum(${of('bellwether_worker_slots')})`, legend: 'slots' },
  ],
});
const workers = curves({
  title: 'Workers by state',
  description: 'As the master sees them; 0 while nobody rules. Unusable: registered, but not to be given work, as one of another system.',
  unit: 'none',
  decimals: 0,
  min: 0,
  stacked: true,
  colours: { active: 'green', draining: 'yellow', unusable: 'red' },
  ask: [{ expr: `sum by (state) (${ofCluster('bellwether_workers')})`, legend: '{{state}}' }],
});
const comings = curves({
  title: 'Workers that came and went',
  description: 'Incarnations that registered, that stopped and said so, and that vanished with their session. A new master counts those that it finds as joined.',
  unit: 'none',
  decimals: 0,
  min: 0,
  colours: { joined: 'green', stopped: 'yellow', vanished: 'red' },
  ask: [
    { expr: ask.happened(ofCluster('bellwether_worker_joins_total'), 'cluster'), legend: 'joined' },
    { expr: ask.happened(ofCluster('bellwether_worker_losses_total'), 'reason'), legend: '{{reason}}' },
  ],
});

const kills = events('Attempts killed by reason', 'Attempts that a worker killed, and why. Doubt: it could not prove its session alive.', of('bellwether_task_kills_total'), 'reason', {
  timeout: 'orange',
  cancelled: 'yellow',
  drain: 'blue',
  doubt: 'purple',
  session_lost: 'red',
});
const retries = events('Retries by reason', 'Failed attempts that will be followed by another, by how they failed.', of('bellwether_task_retries_total'), 'reason', {
  exit: 'orange',
  signal: 'red',
  timeout: 'yellow',
  not_started: 'purple',
  error: 'semi-dark-orange',
  panic: 'dark-red',
});
const stale = events('Stale results by worker', 'Results that came too late to count: the task had been given to somebody else.', of('bellwether_stale_results_total'), 'instance');
const overlap = curves({
  title: 'Overlap of attempts by worker',
  description: 'Seconds that attempts ran on while another worker had the task already. It happens where a worker keeps its work in doubt, or was frozen; their results are refused all the same.',
  unit: 's',
  min: 0,
  ask: [{ expr: `sum by (instance) (increase(${of('bellwether_attempt_overlap_seconds_sum')}[$__rate_interval]))`, legend: '{{instance}}' }],
});
const letters = curves({
  title: 'Dead letters',
  description: 'Tasks that were put aside: they failed with all their retries spent (workers), or cost too many workers (the master).',
  unit: 'none',
  decimals: 0,
  min: 0,
  colours: { 'retries spent': 'orange', 'too many workers': 'red' },
  ask: [
    { expr: `round(sum(increase(${of('bellwether_task_dead_letters_total')}[$__rate_interval])))`, legend: 'retries spent' },
    { expr: `round(sum(increase(${of('bellwether_tasks_ended_total', 'result="dead"')}[$__rate_interval])))`, legend: 'too many workers' },
  ],
});
const ended = events('Ended by the master', 'Tasks that no worker ended: cancelled, rejected, or dead because they had cost too many workers.', ofCluster('bellwether_tasks_ended_total'), 'result', RESULTS);

const memory = curves({
  title: 'Memory by process',
  description: 'Resident memory.',
  unit: 'bytes',
  min: 0,
  ask: [{ expr: `max by (instance) (${of('process_resident_memory_bytes')})`, legend: '{{instance}}' }],
});
const cpu = curves({
  title: 'CPU by process',
  description: 'Cores in use, without those of the commands that a worker runs. The counter has whole seconds: the mean is over a minute or more.',
  unit: 'none',
  decimals: 2,
  min: 0,
  ask: [{ expr: `sum by (instance) (${ask.rate(of('process_cpu_seconds_total'))})`, legend: '{{instance}}', interval: '15s' }],
});
const files = curves({
  title: 'Open files by process',
  description: 'Open file descriptors. A line that only grows is a leak.',
  unit: 'none',
  decimals: 0,
  min: 0,
  ask: [{ expr: `max by (instance) (${of('process_open_fds')})`, legend: '{{instance}}' }],
});

const configuration = timeline({
  title: 'Configuration by process',
  description: 'Whether the configuration that was last read is in force, or was refused so that the one before it stays.',
  unit: 'none',
  mappings: states([['refused', 'red'], ['in force', 'green']]),
  ask: [{ expr: `min by (instance) (${of('bellwether_config_last_reload_successful')})`, legend: '{{instance}}' }],
});

export const tasks = dashboard('tasks', 'What waits, what runs, how long it takes, who runs it, and what goes wrong.', [
  {
    title: 'Now',
    lines: [
      {
        height: 4,
        panels: [
          [3, inState('Pending', 'pending', 'Tasks that may run and wait for a slot.')],
          [3, inState('Assigned', 'assigned', 'Tasks that a worker has.')],
          [3, inState('Held', 'held', 'Tasks that may not run yet: retries, delays.')],
          [3, oldestNow],
          [3, workersNow],
          [3, slotsNow],
          [3, throughputNow],
          [3, failingNow],
        ],
      },
    ],
  },
  {
    title: 'Queue and throughput',
    lines: [
      { height: 8, panels: [[12, queue], [12, oldest]] },
      { height: 8, panels: [[8, throughput], [8, results], [8, kinds]] },
    ],
  },
  {
    title: 'How long it takes',
    lines: [
      {
        height: 8,
        panels: [
          [6, quantiles('Time in the queue', 'From the moment at which a task may run, or was given back, to its assignment.', 'bellwether_task_queue_duration_seconds')],
          [6, quantiles('Time to assign', "From the master's decision to ZooKeeper's answer.", 'bellwether_task_assign_duration_seconds')],
          [6, quantiles('Time to run', 'How long attempts ran.', 'bellwether_task_run_duration_seconds')],
          [6, quantiles('From submission to result', 'All attempts and delays among them, of tasks that were submitted by the command or the library.', 'bellwether_task_end_to_end_duration_seconds')],
        ],
      },
    ],
  },
  {
    title: 'Workers',
    lines: [{ height: 8, panels: [[6, slotsByWorker], [6, slotsOverTime], [6, workers], [6, comings]] }],
  },
  {
    title: 'What goes wrong',
    lines: [
      { height: 7, panels: [[8, retries], [8, kills], [8, ended]] },
      { height: 7, panels: [[8, letters], [8, stale], [8, overlap]] },
    ],
  },
  {
    title: 'Processes',
    lines: [{ height: 7, panels: [[6, memory], [6, cpu], [6, files], [6, configuration]] }],
  },
]);
