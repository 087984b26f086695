//! PromQL with Grafana's variables, as a tree: what a rule needs to know of each series that is asked for.

use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};

use super::Variables;

/// What stands for the variables while a rule looks at an expression: values that nobody would write by hand.
pub const CLUSTER: &str = "the-cluster";
/// Stands for `$job`.
pub const JOB: &str = "the-job";
/// Stands for `$instance`.
pub const INSTANCE: &str = "the-instance";
/// Stands for `$__rate_interval`.
pub const RATE_INTERVAL: Duration = Duration::from_secs(43_211);

/// An expression with its variables filled in, parsed.
///
/// # Errors
/// It is not PromQL; the text says where.
pub fn parse(expr: &str) -> Result<Expr, String> {
    let variables = Variables {
        cluster: CLUSTER.into(),
        job: JOB.into(),
        instance: INSTANCE.into(),
        range: Duration::from_secs(46_013),
        interval: Duration::from_secs(47),
        rate_interval: RATE_INTERVAL,
    };
    parser::parse(&variables.fill_in(expr))
}

/// A series in an expression, and what is done with it.
#[derive(Debug)]
pub struct Use<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it must match.
    pub matchers: Vec<Match<'a>>,
    /// The range that is asked for; none for the value of one moment.
    pub range: Option<Duration>,
    /// The functions around it, the nearest first; a subquery or an operator between them changes nothing.
    pub functions: Vec<&'static str>,
    /// The labels that the nearest aggregation with `by` keeps.
    pub kept: Option<Vec<String>>,
}

/// One matcher of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'a> {
    /// The label.
    pub label: &'a str,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: &'static str,
    /// The value, or the regular expression.
    pub value: &'a str,
}

/// Every series in the expression.
#[must_use]
pub fn uses(expr: &Expr) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    descend(expr, &Around::default(), &mut found);
    found
}

/// What stands around a part of an expression.
#[derive(Clone, Default)]
struct Around {
    functions: Vec<&'static str>,
    kept: Option<Vec<String>>,
}

fn descend<'a>(expr: &'a Expr, around: &Around, found: &mut Vec<Use<'a>>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(series(selector, None, around)),
        Expr::MatrixSelector(matrix) => found.push(series(&matrix.vs, Some(matrix.range), around)),
        Expr::Call(call) => {
            let functions = [&[call.func.name][..], &around.functions].concat();
            let inside = Around { functions, ..around.clone() };
            call.args.args.iter().for_each(|argument| descend(argument, &inside, found));
        }
        Expr::Aggregate(aggregate) => {
            // Without `by`, everything is dropped.
            let kept = match &aggregate.modifier {
                Some(LabelModifier::Include(labels)) => Some(labels.labels.clone()),
                Some(LabelModifier::Exclude(_)) => None,
                None => Some(Vec::new()),
            };
            descend(&aggregate.expr, &Around { kept, ..around.clone() }, found);
            aggregate.param.iter().for_each(|param| descend(param, around, found));
        }
        Expr::Binary(binary) => [&binary.lhs, &binary.rhs].into_iter().for_each(|side| descend(side, around, found)),
        Expr::Unary(unary) => descend(&unary.expr, around, found),
        Expr::Paren(paren) => descend(&paren.expr, around, found),
        Expr::Subquery(subquery) => descend(&subquery.expr, around, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn series<'a>(selector: &'a VectorSelector, range: Option<Duration>, around: &Around) -> Use<'a> {
    Use {
        name: selector.name.as_deref().unwrap_or_default(),
        matchers: selector.matchers.matchers.iter().map(matcher).collect(),
        range,
        functions: around.functions.clone(),
        kept: around.kept.clone(),
    }
}

fn matcher(matcher: &Matcher) -> Match<'_> {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Re(_) => "=~",
        MatchOp::NotRe(_) => "!~",
    };
    Match { label: &matcher.name, op, value: &matcher.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_with_what_is_done_with_them() {
        let expr =
            parse(r#"histogram_quantile(0.9, sum by (le) (rate(a_bucket{job=~"$job"}[$__rate_interval]))) / max(b)"#).expect("PromQL");
        let uses = uses(&expr);
        let [a, b] = uses.as_slice() else { panic!("{uses:?}") };
        assert_eq!((a.name, a.range), ("a_bucket", Some(RATE_INTERVAL)));
        assert_eq!(a.functions, ["rate", "histogram_quantile"]);
        assert_eq!(a.kept, Some(vec!["le".to_owned()]));
        assert_eq!(a.matchers, [Match { label: "job", op: "=~", value: JOB }]);
        assert_eq!((b.name, b.range, b.functions.len()), ("b", None, 0));
    }
}
