// What is asked of Prometheus: selectors that follow the variables, and the questions that more than one dashboard asks.
// What does not live here: how an answer is shown.

// The clusters, their jobs and their processes, as Grafana asks for a variable's values.
export const CLUSTERS = 'label_values(bellwether_build_info, cluster)';
export const JOBS = 'label_values(bellwether_build_info{cluster="$cluster"}, job)';
export const INSTANCES = 'label_values(bellwether_build_info{cluster="$cluster",job=~"$job"}, instance)';

function selector(name: string, fixed: string[], matchers: string[]): string {
  return `${name}{${[...fixed, ...matchers].join(',')}}`;
}

// A metric of the chosen processes.
export function of(name: string, ...matchers: string[]): string {
  return selector(name, ['cluster="$cluster"', 'job=~"$job"', 'instance=~"$instance"'], matchers);
}

// A metric of the whole cluster, whichever processes are chosen: whoever looks at one worker still wants to know who is master.
export function ofCluster(name: string, ...matchers: string[]): string {
  return selector(name, ['cluster="$cluster"', 'job=~"$job"'], matchers);
}

export function rate(series: string): string {
  return `rate(${series}[$__rate_interval])`;
}

// How often it happened around a moment: whole numbers, although Prometheus extrapolates.
export function happened(series: string, by: string): string {
  return `round(sum by (${by}) (increase(${series}[$__rate_interval])))`;
}

// How often it happened within the dashboard's range.
export function happenedInRange(series: string): string {
  return `round(sum(increase(${series}[$__range])))`;
}

// A quantile over time of a histogram.
export function quantile(q: number, histogram: string, by: string[] = [], ...matchers: string[]): string {
  return `histogram_quantile(${q}, sum by (${['le', ...by].join(', ')}) (${rate(of(`${histogram}_bucket`, ...matchers))}))`;
}

// A quantile within the dashboard's range; 1 is the upper bound of the bucket in which the worst lies. Prometheus extrapolates each bucket
// by itself: unless they are rounded, 1 finds a thousandth of something in a bucket in which nothing lies.
export function quantileInRange(q: number, histogram: string, by: string[]): string {
  return `histogram_quantile(${q}, sum by (${['le', ...by].join(', ')}) (round(increase(${of(`${histogram}_bucket`)}[$__range]))))`;
}

// The mean of a histogram over time.
export function mean(histogram: string, by: string): string {
  const grown = (part: string): string => `sum by (${by}) (${rate(of(`${histogram}_${part}`))})`;
  return `${grown('sum')} / ${grown('count')}`;
}

// A gauge with one series per state, 1 for the one that holds, as the number of that state, from 1 on.
export function stateNumber(gauge: string, states: string[], by: string): string {
  const numbered = states.map((state, index) => `${of(gauge, `state="${state}"`)} * ${index + 1}`);
  return `max by (${by}) (${numbered.join(' or ')})`;
}

// 1 while somebody rules, 0 while nobody does, nothing while nobody of the cluster can be asked.
const RULED = `(max(${ofCluster('bellwether_master_is_active')}) or 0 * max(${ofCluster('bellwether_build_info')}))`;

// Adds up the moments without a master, as Prometheus saw them.
export const SECONDS_WITHOUT_MASTER = `sum_over_time((1 - ${RULED})[$__range:$__interval]) * $__interval_ms / 1000`;

// Something to mark in every panel.
interface Event {
  name: string;
  colour: string;
  expr: string;
  // The value is the moment in milliseconds; else the samples are.
  valueIsTime: boolean;
  title: string;
  text: string;
}

// Grafana computes $__interval and $__rate_interval wrongly for annotations in some versions: moments come from time stamps where
// there are any, and elsewhere from a fixed range that holds two samples at scrape intervals of up to a minute.
const RECENTLY = '[2m]';

export const EVENTS: Event[] = [
  {
    name: 'Failover',
    colour: 'red',
    // A first election, without an earlier master, is no failover: it counts nothing.
    expr: `${ofCluster('bellwether_master_elected_timestamp_seconds')} * 1000 > 0 and on (job, instance) sum by (job, instance) (${ofCluster('bellwether_failovers_total')}) > 0`,
    valueIsTime: true,
    title: 'Failover',
    text: '{{instance}} took over',
  },
  {
    name: 'Session expired',
    colour: 'orange',
    expr: `sum by (job, instance) (increase(${ofCluster('bellwether_zk_session_events_total', 'event="lost"')}${RECENTLY})) > 0`,
    valueIsTime: false,
    title: 'Session expired',
    text: '{{instance}} lost its session with ZooKeeper',
  },
  {
    name: 'Worker lost',
    colour: 'purple',
    expr: `sum by (cluster) (increase(${ofCluster('bellwether_worker_losses_total', 'reason="vanished"')}${RECENTLY})) > 0`,
    valueIsTime: false,
    title: 'Worker lost',
    text: "a worker's session ended without a farewell",
  },
  {
    name: 'Restart',
    colour: 'blue',
    expr: `${ofCluster('process_start_time_seconds')} * 1000 > 0`,
    valueIsTime: true,
    title: 'Process started',
    text: '{{job}} {{instance}}',
  },
];
