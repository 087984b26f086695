//! What a good dashboard is: the rules of Grafana's dashboard-linter under their own names, and the house's.
//!
//! What lives here: the one list [`RULES`]. What does not: reading dashboards. Exceptions stand, each with its reason, in
//! `dashboards/.lint`, where dashboard-linter itself would look for them; JSON is the YAML that both can read.
//!
//! dashboard-linter has rules for Loki's LogQL, too. Nothing here asks Loki, and [`RULES`] keeps it that way.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use super::{Dashboard, Target, directory};

mod house;
mod panel;
mod series;
mod target;
mod template;

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// dashboard-linter's name, or one like it.
    pub name: &'static str,
    /// What it asks for.
    pub wants: &'static str,
    check: fn(&Dashboard, &mut Findings),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The title of the panel; none for the dashboard as a whole.
    pub panel: Option<String>,
    /// What is wrong.
    pub what: String,
}

type Findings = Vec<Finding>;

const fn rule(name: &'static str, wants: &'static str, check: fn(&Dashboard, &mut Findings)) -> Rule {
    Rule { name, wants, check }
}

/// All rules: dashboard-linter's, then the house's.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    rule("template-datasource-rule", "the data source is a variable", template::datasource),
    rule("template-job-rule", "there is a variable `job`: several, all, `.+`", |dashboard, findings| template::regex(dashboard, "job", findings)),
    rule("template-instance-rule", "there is a variable `instance`: several, all, `.+`", |dashboard, findings| template::regex(dashboard, "instance", findings)),
    rule("template-label-promql-rule", "a variable's values come from a valid selector", template::label_promql),
    rule("template-on-time-change-reload-rule", "variables are asked for again when the time range changes", template::reload),
    rule("template-required-variables-rule", "the variables are datasource, cluster, job and instance, in this order", template::required),
    rule("template-uneditable-rule", "the dashboard cannot be edited in Grafana, where the change would be lost", template::uneditable),
    rule("panel-datasource-rule", "panels and their targets use the variable's data source", panel::datasource),
    rule("panel-title-description-rule", "panels have a title and a description", panel::title_and_description),
    rule("panel-units-rule", "panels have a unit that Grafana knows", panel::unit),
    rule("panel-no-targets-rule", "panels ask for something", panel::has_targets),
    rule("target-promql-rule", "expressions are PromQL", target::promql),
    rule("target-logql-rule", "nobody asks Loki", target::no_loki),
    rule("target-logql-auto-rule", "nobody uses Loki's `$__auto`", target::no_loki_variable),
    rule("target-rate-interval-rule", "rates are over `$__rate_interval`", target::rate_interval),
    rule("target-job-rule", "every series matches `job=~\"$job\"`", target::job),
    rule("target-instance-rule", "every series matches `instance=~\"$instance\"`", target::instance),
    rule("target-required-matchers-rule", "every series matches `cluster=\"$cluster\"`", target::cluster),
    rule("target-counter-agg-rule", "counters are only looked at through rate, irate or increase", series::counters_through_rate),
    rule("target-histogram-rule", "buckets are only looked at through histogram_quantile, and keep `le`", series::buckets_through_quantile),
    rule("series-known-rule", "every metric, label and value of a label exists", series::known),
    rule("series-type-rule", "rates are of counters, and of nothing else", series::rates_of_counters),
    rule("panel-id-rule", "panels have ids of their own, questions have names of their own", house::ids),
    rule("panel-grid-rule", "panels lie on the grid, not on one another", house::grid),
    rule("panel-legend-rule", "every question says how its series are called", house::legends),
    rule("panel-states-rule", "a state timeline names and colours every state", house::states),
    rule("dashboard-uid-rule", "the uid is `bellwether-<file>`", house::uid),
    rule("dashboard-schema-rule", "the schema is one that Grafana 10 to 13 load", house::schema),
    rule("dashboard-links-rule", "there is a link to each of the other dashboards, with time and variables", house::links),
    rule("dashboard-annotations-rule", "failovers, expired sessions, lost workers and restarts are marked", house::annotations),
];

/// What the rules find, without what `.lint` excuses: names of rules and findings.
///
/// # Errors
/// `.lint` cannot be read.
pub fn lint(dashboard: &Dashboard) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let excuses = Excuses::read()?;
    let all = RULES.iter().flat_map(|rule| rule.check(dashboard).into_iter().map(|finding| (rule.name, finding)));
    Ok(all.filter(|(rule, finding)| !excuses.covers(rule, dashboard, finding)).collect())
}

impl Rule {
    /// What it finds, excused or not.
    #[must_use]
    pub fn check(&self, dashboard: &Dashboard) -> Vec<Finding> {
        let mut findings = Vec::new();
        (self.check)(dashboard, &mut findings);
        findings
    }
}

/// `dashboards/.lint`: rules, each with a reason and the panels for which it does not hold.
#[derive(Debug)]
pub struct Excuses(Value);

impl Excuses {
    /// Reads it.
    ///
    /// # Errors
    /// It is not there, or no JSON.
    pub fn read() -> anyhow::Result<Self> {
        let path = directory().join(".lint");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
    }

    /// Every excuse: the rule, the dashboard's title, the panel's.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let rules = self.0["exclusions"].as_object().into_iter().flatten();
        rules.flat_map(|(rule, excuse)| {
            super::list(&excuse["entries"])
                .iter()
                .map(|entry| (rule.as_str(), super::text(&entry["dashboard"]), super::text(&entry["panel"])))
        })
    }

    fn covers(&self, rule: &str, dashboard: &Dashboard, finding: &Finding) -> bool {
        let title = super::text(&dashboard.json["title"]);
        self.all().any(|excuse| finding.panel.as_deref().is_some_and(|panel| excuse == (rule, title, panel)))
    }
}

/// A finding of the dashboard as a whole.
fn whole(findings: &mut Findings, sound: bool, what: impl FnOnce() -> String) {
    if !sound {
        findings.push(Finding { panel: None, what: what() });
    }
}

/// A finding in one panel.
fn within(findings: &mut Findings, panel: &str, sound: bool, what: impl FnOnce() -> String) {
    if !sound {
        findings.push(Finding { panel: Some(panel.to_owned()), what: what() });
    }
}

/// Looks at every expression that is PromQL; another rule says which are not.
fn each_use(dashboard: &Dashboard, mut look: impl FnMut(Target<'_>, &super::promql::Use<'_>)) {
    for target in dashboard.targets() {
        let Ok(expr) = super::promql::parse(target.expr) else { continue };
        super::promql::uses(&expr).iter().for_each(|series| look(target, series));
    }
}

#[cfg(test)]
mod tests;
