//! Connections that exist when policies change.
//!
//! ```text
//! reference:         known ─► accept
//! drops-replies:     known, from the side that began, or an error by ICMP ─► accept; replies are judged by the rules
//! cuts-established:  an error by ICMP ─► accept; others are judged as though they began now,
//!                    and may live on while any of the isolations of the last DUR lets them through
//! ```
//!
//! A packet of the side that began is judged as it is. A reply is judged with source and target exchanged: every node
//! sees both with the addresses of the pods themselves, for translation comes before and after.

use super::filter::{Filter, Judge, Side};
use crate::node::netlink::{Expr, Verdict};

/// Adds to a base chain what becomes of packets of connections that are known.
pub(super) fn add(filter: &mut Filter<'_>, chain: &str, side: Side) {
    let accept = |rule: Expr| rule.verdict(&Verdict::Accept);
    let cuts = filter.traits.cuts_established.is_some();
    if !cuts && !filter.traits.drops_replies {
        filter.batch.rule(chain, accept(Expr::new().known()));
        return;
    }
    filter.batch.rule(chain, accept(Expr::new().related()));
    if !cuts {
        filter.batch.rule(chain, accept(Expr::new().established(false)));
        return;
    }
    let past = 1..filter.isolations.len();
    if !filter.traits.drops_replies {
        for number in past.clone() {
            let one = Judge { reply: true, lenient: true, ..filter.judge_of(side, number) };
            judge(filter, chain, one);
        }
        let one = Judge { reply: true, ..filter.judge_of(side, 0) };
        judge(filter, chain, one);
    }
    for number in past {
        let one = Judge { lenient: true, ..filter.judge_of(side, number) };
        judge(filter, chain, one);
    }
}

/// Judges known packets in a chain of their own, which accepts what is of no isolated pod.
fn judge(filter: &mut Filter<'_>, from: &str, judge: Judge) {
    let name = format!("{from}-known-{}{}", judge.number, if judge.reply { "-replies" } else { "" });
    filter.batch.chain(&name);
    filter.judge(&name, judge);
    filter.batch.rule(&name, Expr::new().verdict(&Verdict::Accept));
    filter.batch.rule(from, Expr::new().established(judge.reply).verdict(&Verdict::Jump(name)));
}
