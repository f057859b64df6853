//! Settling against a prober whose cells behave as they are told, in virtual time.

use std::sync::Mutex;

use verdikt_model::{EndpointId, Family, Protocol, Topics};

use super::*;

const DEADLINE: Duration = Duration::from_millis(300);

/// Detail of an observation that takes longer than a step may.
const SLOW: &str = "connected, but no answer came on the connection";

/// How a fake cell behaves, by the time since its step was accepted and by how often it was probed.
type Behaviour = Box<dyn Fn(Duration, u32) -> Observation + Send + Sync>;

struct Fake {
    accepted: Instant,
    behaviours: Vec<Behaviour>,
    probed: Mutex<Vec<u32>>,
}

impl Prober for Fake {
    /// Answers come at once, silence is known at the deadline.
    async fn sweep(
        &self,
        cells: &[Cell],
        which: &[u32],
        deadline: Duration,
        sink: &mut (dyn FnMut(u32, Observation) + Send),
    ) {
        let at = self.accepted.elapsed();
        let mut silent = Vec::new();
        sleep(Duration::from_millis(1)).await;
        for index in which {
            let port = usize::from(cells[*index as usize].port);
            let times = {
                let mut probed = self.probed.lock().unwrap();
                probed[port] += 1;
                probed[port]
            };
            let observation = self.behaviours[port](at, times);
            if observation.detail.as_deref() == Some(SLOW) {
                sleep(Duration::from_secs(6)).await;
            }
            match observation.verdict {
                Verdict::Dropped => silent.push((*index, observation)),
                _ => sink(*index, observation),
            }
        }
        if !silent.is_empty() {
            sleep(deadline - Duration::from_millis(1)).await;
        }
        for (index, observation) in silent {
            sink(index, observation);
        }
    }
}

fn saw(verdict: Verdict) -> Observation {
    Observation { verdict, rtt_us: u32::from(verdict == Verdict::Allowed) * 100, detail: None, seen_as: None }
}

fn steady(verdict: Verdict) -> Behaviour {
    Box::new(move |_, _| saw(verdict))
}

/// `early` until `at` after acceptance, then `late`.
fn turning(early: Verdict, at: u64, late: Verdict) -> Behaviour {
    Box::new(move |now, _| saw(if now < Duration::from_millis(at) { early } else { late }))
}

fn cell(port: u16, via: Via) -> Cell {
    Cell { from: EndpointId(0), to: EndpointId(1), via, family: Family::Ipv4, protocol: Protocol::Tcp, port }
}

struct Done {
    rows: Vec<Row>,
    settled: Settled,
    took: Duration,
}

impl Done {
    fn outcomes(&self) -> Vec<Outcome> {
        self.rows.iter().map(|row| row.outcome).collect()
    }

    fn settle_ms(&self) -> Option<u128> {
        self.settled.after.map(|after| after.as_millis())
    }
}

async fn run_via(via: Via, cells: Vec<(Expectation, Behaviour)>) -> Done {
    run_step(via, true, cells).await
}

async fn run_step(via: Via, telling: bool, cells: Vec<(Expectation, Behaviour)>) -> Done {
    run_known(via, telling, &[], cells).await
}

/// The same where the cells of these indices are known to show these wrong verdicts.
async fn run_known(
    via: Via,
    telling: bool,
    known: &[(u32, Verdict)],
    cells: Vec<(Expectation, Behaviour)>,
) -> Done {
    run_with(via, telling, Duration::from_millis(500), known, cells).await
}

/// A step that changes no definite expectation, and has to hold for so long.
async fn run_within(unanchored: Duration, cells: Vec<(Expectation, Behaviour)>) -> Done {
    run_with(Via::PodIp, false, unanchored, &[], cells).await
}

async fn run_with(
    via: Via,
    telling: bool,
    unanchored: Duration,
    known: &[(u32, Verdict)],
    cells: Vec<(Expectation, Behaviour)>,
) -> Done {
    let known = known.iter().copied().collect();
    let accepted = Instant::now();
    let (expected, behaviours): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
    let cells: Vec<Cell> = (0..).zip(&expected).map(|(port, _)| cell(port, via)).collect();
    let mut rows: Vec<Row> = cells
        .iter()
        .zip(expected)
        .map(|(cell, expected)| Row {
            cell: *cell,
            expected,
            observed: None,
            outcome: Outcome::Error,
            attempts: 0,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        })
        .collect();
    let fake = Fake { accepted, probed: Mutex::new(vec![0; behaviours.len()]), behaviours };
    let settling = Settling {
        prober: &fake,
        cells: &cells,
        rows: &mut rows,
        resolved_before: &|_| true,
        known: &known,
        limits: Limits {
            deadline: DEADLINE,
            settle: Duration::from_secs(5),
            quiet: Duration::from_millis(500),
            unanchored,
            telling,
        },
    };
    let settled = settling.run(accepted, |_| {}).await;
    Done { rows, settled, took: accepted.elapsed() }
}

async fn run(cells: Vec<(Expectation, Behaviour)>) -> Done {
    run_via(Via::PodIp, cells).await
}

#[tokio::test(start_paused = true)]
async fn a_matrix_that_is_right_at_once_is_probed_twice() {
    let done = run(vec![
        (Expectation::Allow, steady(Verdict::Allowed)),
        (Expectation::Deny, steady(Verdict::Dropped)),
        (Expectation::Deny, steady(Verdict::Rejected)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass; 3]);
    assert_eq!(done.settle_ms(), Some(0));
    assert!(done.rows.iter().all(|row| row.attempts == 2));
    assert_eq!(done.took, DEADLINE * 2);
    assert_eq!(done.rows[0].rtt_us, 100);
}

#[tokio::test(start_paused = true)]
async fn late_enforcement_is_waited_for_and_timed() {
    let done = run(vec![
        (Expectation::Deny, turning(Verdict::Allowed, 700, Verdict::Dropped)),
        (Expectation::Allow, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    let settle = done.settle_ms().unwrap();
    assert!((700..=960).contains(&settle), "{settle}");
    // The cell that was right all along was probed in the first sweep and held.
    assert_eq!(done.rows[1].attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn wrong_cells_do_not_wait_for_silent_ones() {
    let done = run(vec![
        (Expectation::Deny, turning(Verdict::Allowed, 5, Verdict::Dropped)),
        (Expectation::Deny, steady(Verdict::Dropped)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    // Probed again 10 ms after the wrong answer, not after the other's deadline.
    assert_eq!(done.settle_ms(), Some(11));
    assert_eq!(done.took, DEADLINE * 2 + Duration::from_millis(11));
}

#[tokio::test(start_paused = true)]
async fn what_stays_wrong_fails_at_the_limit() {
    let done = run(vec![
        (Expectation::Deny, steady(Verdict::Allowed)),
        (Expectation::Drop, steady(Verdict::Rejected)),
        (Expectation::Allow, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Fail, Outcome::Fail, Outcome::Pass]);
    assert_eq!(done.settle_ms(), None);
    assert!((5_000..6_000).contains(&done.took.as_millis()), "{:?}", done.took);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_flaps_while_it_must_hold_is_flaky() {
    // Right, wrong in the hold sweep, right ever after.
    let flap = |_: Duration, times: u32| saw(if times == 2 { Verdict::Allowed } else { Verdict::Dropped });
    let done = run(vec![
        (Expectation::Deny, Box::new(flap) as Behaviour),
        (Expectation::Allow, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Flaky, Outcome::Pass]);
    assert_eq!(done.settled.notes[&0].changed, Some((Verdict::Dropped, Verdict::Allowed)));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_turns_wrong_for_good_fails() {
    // All is allowed until a wrong policy takes effect, just when everything seemed right.
    let done = run(vec![(Expectation::Allow, turning(Verdict::Allowed, 1, Verdict::Dropped))]).await;
    assert_eq!(done.outcomes(), [Outcome::Fail]);
    assert_eq!(done.settle_ms(), None);
}

#[tokio::test(start_paused = true)]
async fn errors_are_tried_again_and_are_never_denials() {
    let sick = |_: Duration, times: u32| {
        if times <= 3 { Observation::error("no agent session") } else { saw(Verdict::Dropped) }
    };
    let done = run(vec![
        (Expectation::Deny, Box::new(sick) as Behaviour),
        (Expectation::Deny, Box::new(|_, _| Observation::error("gone")) as Behaviour),
        (Expectation::Either, Box::new(|_, _| Observation::error("gone")) as Behaviour),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass, Outcome::Error, Outcome::Error]);
    assert_eq!(done.settled.notes[&1].detail.as_deref(), Some("gone"));
    assert_eq!(done.settle_ms(), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_hold_sweep_is_no_change() {
    let hiccup = |_: Duration, times: u32| {
        if times == 2 { Observation::error("session lost") } else { saw(Verdict::Allowed) }
    };
    let done = run(vec![(Expectation::Allow, Box::new(hiccup) as Behaviour)]).await;
    assert_eq!(done.outcomes(), [Outcome::Pass]);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_hold_sweep_past_the_limit_is_tried_again() {
    let hiccup = |_: Duration, times: u32| {
        if times == 2 { Observation::error("session lost") } else { saw(Verdict::Allowed) }
    };
    let done = run(vec![
        (Expectation::Deny, turning(Verdict::Allowed, 4_800, Verdict::Rejected)),
        (Expectation::Allow, Box::new(hiccup) as Behaviour),
    ])
    .await;
    assert!(done.took >= Duration::from_secs(5), "the hold sweep came before the limit: {:?}", done.took);
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    assert_eq!(done.settled.notes.get(&1).and_then(|note| note.detail.as_deref()), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_takes_longer_than_the_limit_is_tried_again() {
    let cut = |then| -> Behaviour {
        Box::new(move |_, times| match times {
            1 => Observation { detail: Some(SLOW.into()), ..saw(Verdict::Error) },
            _ => saw(then),
        })
    };
    let done = run(vec![(Expectation::Deny, cut(Verdict::Dropped))]).await;
    assert_eq!((done.outcomes(), done.settle_ms()), (vec![Outcome::Pass], None));
    // What is wrong then is wrong, and is not asked again.
    let done = run(vec![(Expectation::Deny, cut(Verdict::Allowed))]).await;
    assert_eq!((done.outcomes(), done.rows[0].attempts), (vec![Outcome::Fail], 2));
}

/// On a starved machine the first answers may be heard after the limit, from before the step was in force.
#[tokio::test(start_paused = true)]
async fn a_wrong_answer_that_is_told_after_the_limit_is_asked_for_again() {
    let starved = |then| -> Behaviour {
        Box::new(move |_, times| match times {
            1 => Observation { detail: Some(SLOW.into()), ..saw(Verdict::Allowed) },
            _ => saw(then),
        })
    };
    let done = run(vec![(Expectation::Deny, starved(Verdict::Dropped))]).await;
    assert_eq!((done.outcomes(), done.settle_ms()), (vec![Outcome::Pass], None));
    let done = run(vec![(Expectation::Deny, starved(Verdict::Allowed))]).await;
    assert_eq!((done.outcomes(), done.rows[0].attempts), (vec![Outcome::Fail], 2));
}

#[tokio::test(start_paused = true)]
async fn open_cells_do_not_hold_up_the_others_and_never_fail() {
    let done = run(vec![
        (Expectation::Either, turning(Verdict::Allowed, 200, Verdict::Dropped)),
        (Expectation::Allow, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    assert!(done.took < Duration::from_secs(1), "{:?}", done.took);
}

#[tokio::test(start_paused = true)]
async fn where_everything_is_open_the_matrix_is_taken_once_it_is_quiet() {
    let done = run(vec![
        (Expectation::Either, turning(Verdict::Allowed, 300, Verdict::Dropped)),
        (Expectation::Either, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    assert_eq!(done.rows[0].observed, Some(Verdict::Dropped));
    assert!(done.took >= Duration::from_millis(500), "{:?}", done.took);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_changes_nothing_is_given_time_to_be_wrong() {
    let late = || vec![(Expectation::Allow, turning(Verdict::Allowed, 400, Verdict::Dropped))];
    let done = run_step(Via::PodIp, false, late()).await;
    assert_eq!(done.outcomes(), [Outcome::Fail]);
}

#[tokio::test(start_paused = true)]
async fn what_has_turned_is_told_even_where_something_never_does() {
    let done = run(vec![
        (Expectation::Deny, turning(Verdict::Allowed, 700, Verdict::Dropped)),
        (Expectation::Deny, steady(Verdict::Allowed)),
    ])
    .await;
    assert_eq!((done.outcomes(), done.settle_ms()), (vec![Outcome::Pass, Outcome::Fail], None));
    let turned = done.settled.turned.unwrap().as_millis();
    assert!((700..=960).contains(&turned) && !done.settled.anchored, "{turned}");
    let never = run(vec![(Expectation::Deny, steady(Verdict::Allowed))]).await;
    assert_eq!(never.settled.turned, None);
}

#[tokio::test(start_paused = true)]
async fn an_open_matrix_is_taken_when_the_step_has_had_its_time() {
    // Nothing changes for longer than a quiet time, and then it does.
    let cells = || vec![(Expectation::Either, turning(Verdict::Allowed, 1_800, Verdict::Dropped))];
    let done = run_within(Duration::from_secs(2), cells()).await;
    assert_eq!(done.rows[0].observed, Some(Verdict::Dropped));
    assert!((2_000..3_500).contains(&done.took.as_millis()), "{:?}", done.took);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_tell_is_given_the_time_that_others_took() {
    let late = || vec![(Expectation::Allow, turning(Verdict::Allowed, 1_500, Verdict::Dropped))];
    let soon = run_within(Duration::from_millis(500), late()).await;
    assert_eq!((soon.outcomes(), soon.settled.anchored), (vec![Outcome::Pass], false), "too soon");
    let done = run_within(Duration::from_secs(2), late()).await;
    assert_eq!(done.outcomes(), [Outcome::Fail]);
}

#[tokio::test(start_paused = true)]
async fn what_was_slow_to_become_right_must_hold_as_long_again() {
    // All is right after some 300 ms, and known at once: only the wait reaches the second cell's change.
    let done = run(vec![
        (Expectation::Deny, turning(Verdict::Allowed, 200, Verdict::Rejected)),
        (Expectation::Allow, turning(Verdict::Allowed, 500, Verdict::Dropped)),
    ])
    .await;
    assert_eq!(done.outcomes(), [Outcome::Pass, Outcome::Fail]);
}

#[tokio::test(start_paused = true)]
async fn cells_that_work_only_when_asked_alone_do_not_go_on_for_ever() {
    // Right whenever it is asked again, wrong in every sweep of all.
    let shy = || -> Behaviour {
        Box::new(|_, times| saw(if times % 2 == 0 { Verdict::Allowed } else { Verdict::Dropped }))
    };
    let done = run(vec![(Expectation::Allow, shy()), (Expectation::Allow, steady(Verdict::Allowed))]).await;
    assert_eq!(done.settle_ms(), None);
    assert!(done.took < Duration::from_secs(8), "{:?}", done.took);
    assert_ne!(done.outcomes()[0], Outcome::Pass);
}

#[tokio::test(start_paused = true)]
async fn skipped_cells_are_left_alone() {
    let accepted = Instant::now();
    let cells = [cell(0, Via::PodIp)];
    let mut rows = [Row {
        cell: cells[0],
        expected: Expectation::Allow,
        observed: None,
        outcome: Outcome::Skipped,
        attempts: 0,
        rtt_us: 0,
        seen_as: None,
        topics: Topics::default(),
    }];
    let fake = Fake { accepted, probed: Mutex::new(vec![0]), behaviours: vec![steady(Verdict::Dropped)] };
    let limits =
        Limits { deadline: DEADLINE, settle: DEADLINE, quiet: DEADLINE, unanchored: DEADLINE, telling: true };
    let settling = Settling {
        prober: &fake,
        cells: &cells,
        rows: &mut rows,
        resolved_before: &|_| true,
        known: &BTreeSet::new(),
        limits,
    };
    settling.run(accepted, |_| {}).await;
    assert_eq!((rows[0].outcome, rows[0].observed, rows[0].attempts), (Outcome::Skipped, None, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_name_is_silence_only_where_it_was_answered_before() {
    let unanswered = || -> Behaviour {
        Box::new(|_, _| Observation::error("resolution: DNS query to 10.96.0.10 unanswered"))
    };
    let unknown = || -> Behaviour {
        Box::new(|_, _| Observation::error("resolution: 10.96.0.10 says that there is no such name"))
    };
    let done =
        run_via(Via::Dns, vec![(Expectation::Deny, unanswered()), (Expectation::Deny, unknown())]).await;
    assert_eq!(done.outcomes(), [Outcome::Pass, Outcome::Error]);
    assert_eq!(done.rows[0].observed, Some(Verdict::Dropped));
    let direct = run_via(Via::PodIp, vec![(Expectation::Deny, unanswered())]).await;
    assert_eq!(direct.outcomes(), [Outcome::Error]);
    let row = done.rows[0];
    let error = Observation::error("resolution: DNS query to 10.96.0.10 unanswered");
    assert_eq!(silence_of_dns(&row, error.clone(), &|_| false), error);
}

/// Two cells that are denied at some time, of which the first is known to be allowed.
async fn with_a_known_one(first: Behaviour, second: Behaviour) -> Done {
    let cells = vec![(Expectation::Deny, first), (Expectation::Deny, second)];
    run_known(Via::PodIp, true, &[(0, Verdict::Allowed)], cells).await
}

#[tokio::test(start_paused = true)]
async fn a_known_deviation_is_not_waited_for() {
    let done = with_a_known_one(steady(Verdict::Allowed), steady(Verdict::Dropped)).await;
    // It is wrong all the same: what is known is decided by those who know it.
    assert_eq!(done.outcomes(), [Outcome::Fail, Outcome::Pass]);
    assert_eq!(done.settle_ms(), Some(0));
    // A whole quiet time, since a wrong verdict may only be a late one; then the hold sweep.
    assert_eq!(done.took, Duration::from_millis(500) + DEADLINE);
    assert_eq!(done.rows[0].attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_counts_from_when_the_others_are_right() {
    let done = with_a_known_one(
        turning(Verdict::Allowed, 900, Verdict::Dropped),
        turning(Verdict::Allowed, 700, Verdict::Dropped),
    )
    .await;
    // It was late and is no deviation, and no flake either.
    assert_eq!(done.outcomes(), [Outcome::Pass; 2]);
    assert!(done.settle_ms().unwrap() >= 900);
    assert_eq!(done.settled.notes.get(&0).and_then(|note| note.changed), None);
}

#[tokio::test(start_paused = true)]
async fn another_wrong_verdict_and_errors_are_waited_for_until_the_limit() {
    for other in [Verdict::Rejected, Verdict::Error] {
        let cells = vec![(Expectation::Drop, steady(other)), (Expectation::Deny, steady(Verdict::Dropped))];
        let done = run_known(Via::PodIp, true, &[(0, Verdict::Allowed)], cells).await;
        assert_eq!(done.outcomes()[0], Expectation::Drop.compare(other));
        assert_eq!(done.settle_ms(), None);
        assert!(done.took >= Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_cell_that_was_right_and_shows_it_again_has_not_been_late() {
    // Right, then wrong in the hold sweep, as it is known to be.
    let flap = |_: Duration, times: u32| saw(if times == 1 { Verdict::Dropped } else { Verdict::Allowed });
    let done = with_a_known_one(Box::new(flap), steady(Verdict::Dropped)).await;
    assert_eq!(done.outcomes(), [Outcome::Fail, Outcome::Pass]);
    assert_eq!(done.settled.notes[&0].changed, Some((Verdict::Dropped, Verdict::Allowed)));
}
