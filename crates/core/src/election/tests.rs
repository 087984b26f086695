//! One coordinator's path, event by event. Every step names all that is said: [`World::expect`] compares whole answers.

use super::term::farewell;
use super::*;
use crate::protocol::request::StepDownRequest;
use crate::protocol::{Applied, Op};

const SESSION: i64 = 0x11;
const OTHER: i64 = 0x22;
const TIMEOUT: Duration = Duration::from_secs(10);
const STANDBY_DELAY: Duration = Duration::from_millis(300);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const CHANCE: u64 = 4;

/// A coordinator, and what time it is for it.
struct World {
    election: Election,
    now: Time,
}

impl World {
    fn new() -> Self {
        let settings = Settings { candidate: candidate(), standby_delay: STANDBY_DELAY, retry_after: RETRY_AFTER };
        Self { election: Election::new(settings), now: Time::at(Duration::ZERO) }
    }

    /// A coordinator with a session and this many others in front of it, whose first look is under way.
    fn in_line(position: usize) -> Self {
        let mut world = Self::new();
        world.expect(opened(SESSION), &[Effect::ReadQueue]);
        let mut names: Vec<_> = (0..position).map(other_node).collect();
        names.push(own_node(position));
        world.on(Event::QueueRead(names));
        world
    }

    /// A coordinator whose ballot for this epoch is under way.
    fn standing(epoch: i32) -> Self {
        let mut world = Self::in_line(0);
        let said = world.on(vacant(epoch - 1));
        assert!(matches!(said[..], [Effect::Stand(_)]), "{said:?}");
        world
    }

    /// A coordinator that rules since time zero.
    fn ruling(epoch: i32) -> Self {
        let mut world = Self::standing(epoch);
        world.expect(Event::BallotEnded(won(epoch)), &inauguration(epoch, Duration::ZERO, 0));
        world
    }

    fn at(mut self, mono: Duration) -> Self {
        self.now = Time::at(mono);
        self
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.election.on(event, self.now)
    }

    /// These effects, in this order, and nothing else.
    #[track_caller]
    fn expect(&mut self, event: Event, effects: &[Effect]) {
        let shown = format!("{event:?}");
        assert_eq!(self.on(event), effects, "after {shown}");
    }

    #[track_caller]
    fn expect_nothing(&mut self, event: Event) {
        self.expect(event, &[]);
    }

    /// The nonce of the only proof that this event asks for.
    #[track_caller]
    fn expect_proof(&mut self, event: Event, epoch: i32) -> u64 {
        let said = self.on(event);
        let [Effect::Prove { epoch: asked, nonce }] = said[..] else { panic!("expected one proof, got {said:?}") };
        assert_eq!(asked, epoch);
        nonce
    }
}

fn candidate() -> CoordinatorRecord {
    let bellwether = PROTOCOL_VERSION;
    let (name, host, http, version) = ("c1".into(), "h1".into(), "h1:9641".into(), "0.1.0".into());
    CoordinatorRecord { bellwether, name, host, pid: 7, http, version, epoch: None, since: None }
}

fn in_office(epoch: i32) -> Vec<u8> {
    encode(&CoordinatorRecord { epoch: Some(epoch), since: Some(Time::at(Duration::ZERO).wall), ..candidate() })
}

fn opened(session: i64) -> Event {
    Event::SessionOpened { session, timeout: TIMEOUT, chance: CHANCE }
}

fn own_node(sequence: usize) -> String {
    format!("{}{sequence:010}", queue_prefix(SESSION))
}

fn other_node(sequence: usize) -> String {
    // Sorts after ours as text: only the sequence counts.
    format!("standby-ffffffffffffffff-{sequence:010}")
}

fn vacant(epoch: i32) -> Event {
    Event::OfficeRead(Office { holder: None, epoch: Some((epoch, Vec::new())), farewell: Vec::new() })
}

fn held_by(owner: i64, epoch: i32) -> Event {
    let holder = Holder { owner, version: MASTER_VERSION, data: in_office(epoch) };
    Event::OfficeRead(Office { holder: Some(holder), epoch: Some((epoch, Vec::new())), farewell: Vec::new() })
}

fn won(epoch: i32) -> Outcome {
    Outcome::Applied(Applied { sets: vec![(1, 1, 5), (2, epoch, 5)] })
}

fn proven(nonce: u64, sent: Duration) -> Event {
    Event::ProofEnded { nonce, outcome: Outcome::applied(), sent }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn armed_proofs(sent: Duration) -> [Effect; 2] {
    [Effect::Arm(Timer::ProofDue, sent + TIMEOUT / 5), Effect::Arm(Timer::ProofStale, sent + TIMEOUT / 2)]
}

fn inauguration(epoch: i32, sent: Duration, sequence: usize) -> Vec<Effect> {
    let mut said = vec![Effect::Tell(Fact::Elected { epoch }), Effect::Rule { epoch }, Effect::LeaveQueue(own_node(sequence))];
    said.extend(armed_proofs(sent));
    said.push(Effect::WatchStepDown);
    said
}

/// The same without a connection.
fn inauguration_in_doubt(epoch: i32, sent: Duration) -> Vec<Effect> {
    let mut said = inauguration(epoch, sent, 0);
    said.pop();
    said.push(Effect::Pause);
    said
}

fn term(epoch: i32) -> Term {
    let (name, host, session, previous_ended) = ("c2".into(), "h2".into(), "0x22".into(), "there was none".into());
    Term { epoch, name, host, session, since: Time::at(Duration::ZERO).wall, previous_ended, vacant_ms: None }
}

/// The terms that a ballot would write.
fn terms_of(ballot: &Multi) -> Vec<Term> {
    let Op::Set { path, data, .. } = &ballot.ops[2] else { panic!("a ballot sets the epoch last: {ballot:?}") };
    assert_eq!(path, path::EPOCH);
    History::decode(data).terms
}

fn only_ballot(said: &[Effect]) -> Multi {
    match said {
        [Effect::Stand(ballot)] => ballot.clone(),
        other => panic!("expected one ballot, got {other:?}"),
    }
}

#[test]
fn the_first_of_an_empty_cluster_creates_the_epoch_and_rules() {
    let mut world = World::new();
    world.expect(opened(SESSION), &[Effect::ReadQueue]);
    world.expect(Event::QueueRead(Vec::new()), &[Effect::EnterQueue]);
    world.expect(Event::QueueEntered, &[Effect::ReadQueue]);
    world.expect(Event::QueueRead(vec![own_node(0)]), &[Effect::WatchOffice]);

    let empty = Office { holder: None, epoch: None, farewell: Vec::new() };
    world.expect(Event::OfficeRead(empty), &[Effect::CreateEpoch(first_epoch(CHANCE))]);
    world.expect(Event::EpochCreated, &[Effect::ReadOffice]);

    let ballot = only_ballot(&world.on(vacant(5)));
    assert_eq!(ballot.ops[0], Op::Create { path: path::MASTER.into(), data: in_office(6), ephemeral: true });
    assert_eq!(ballot.ops[1], Op::Set { path: path::MASTER.into(), data: in_office(6), version: Some(0) });
    assert!(matches!(&ballot.ops[2], Op::Set { path, version: Some(5), .. } if path == path::EPOCH));
    assert_eq!(ballot.len(), 3);
    assert_eq!(terms_of(&ballot)[0].previous_ended, "there was none");

    world.expect(Event::BallotEnded(won(6)), &inauguration(6, Duration::ZERO, 0));
    assert_eq!(world.election.confirmed_epoch(), Some(6));
}

#[test]
fn a_new_epoch_starts_at_a_version_of_chance() {
    for chance in [0, 1, 999, 1000, u64::MAX] {
        let multi = first_epoch(chance);
        assert_eq!(multi.len() as u64, 2 + chance % 1000);
        assert!(matches!(&multi.ops[0], Op::Create { path, ephemeral: false, .. } if path == path::EPOCH));
        assert!(multi.ops[1..].iter().all(|op| matches!(op, Op::Set { path, version: None, .. } if path == path::EPOCH)));
    }
}

#[test]
fn the_fence_checks_the_epoch_and_the_version_of_the_office() {
    let fence = fence(6);
    assert_eq!(fence, Multi::new().check("/bellwether/epoch", 6).check("/master", 1));
}

#[test]
fn the_second_waits_looks_again_and_stands_if_it_is_still_vacant() {
    let mut world = World::new();
    world.expect(opened(SESSION), &[Effect::ReadQueue]);
    let queue = vec![own_node(1), other_node(0)];
    world.expect(Event::QueueRead(queue), &[Effect::WatchPredecessor(other_node(0)), Effect::WatchOffice]);
    world.expect_nothing(held_by(OTHER, 5));

    let mut world = world.at(seconds(60));
    let delay = Effect::Arm(Timer::SecondInLine, seconds(60) + STANDBY_DELAY);
    world.expect(Event::OfficeVacant, &[delay]);
    world.expect_nothing(Event::OfficeVacant);
    world.expect_nothing(vacant(5));
    world.expect(Event::Rang(Timer::SecondInLine), &[Effect::ReadOffice]);
    assert_eq!(terms_of(&only_ballot(&world.on(vacant(5))))[0].epoch, 6);
}

#[test]
fn the_second_stays_in_line_when_the_first_took_the_office() {
    let mut world = World::in_line(1);
    world.expect(vacant(5), &[Effect::Arm(Timer::SecondInLine, STANDBY_DELAY)]);
    world.expect(Event::Rang(Timer::SecondInLine), &[Effect::ReadOffice]);
    world.expect_nothing(held_by(OTHER, 6));
    assert_eq!(*world.election.stage(), Stage::StandingBy { position: 1, patience: Patience::Idle });
}

#[test]
fn an_answer_from_before_the_vacancy_does_not_put_the_second_to_sleep() {
    let mut world = World::in_line(1);
    world.expect(Event::OfficeVacant, &[Effect::Arm(Timer::SecondInLine, STANDBY_DELAY)]);
    world.expect_nothing(held_by(OTHER, 5));
    world.expect(Event::Rang(Timer::SecondInLine), &[Effect::ReadOffice]);
    assert_eq!(terms_of(&only_ballot(&world.on(vacant(5))))[0].epoch, 6);
}

#[test]
fn the_third_watches_its_predecessor_alone() {
    let mut world = World::new();
    world.expect(opened(SESSION), &[Effect::ReadQueue]);
    let queue = vec![other_node(1), own_node(2), other_node(0)];
    world.expect(Event::QueueRead(queue), &[Effect::WatchPredecessor(other_node(1)), Effect::ReadOffice]);
    world.expect_nothing(vacant(5));
    world.expect_nothing(Event::OfficeVacant);
    world.expect_nothing(Event::Rang(Timer::SecondInLine));

    world.expect(Event::PredecessorGone, &[Effect::ReadQueue]);
    let queue = vec![own_node(2), other_node(0)];
    world.expect(Event::QueueRead(queue), &[Effect::WatchPredecessor(other_node(0)), Effect::WatchOffice]);
}

#[test]
fn a_read_that_failed_is_asked_again_later() {
    let mut world = World::in_line(0).at(seconds(1));
    world.expect(Event::ReadFailed, &[Effect::Arm(Timer::Retry, seconds(1) + RETRY_AFTER)]);
    world.expect(Event::Rang(Timer::Retry), &[Effect::ReadQueue]);
}

#[test]
fn a_ballot_whose_answer_was_lost_is_found_and_proven_and_rules_once() {
    let mut world = World::standing(6).at(seconds(1));
    world.expect_nothing(Event::SessionSuspended);
    world.expect_nothing(Event::BallotEnded(Outcome::Unknown));
    world.expect(Event::SessionResumed, &[Effect::WatchOffice]);
    let said = world.on(held_by(SESSION, 6));
    let [Effect::Tell(Fact::FoundInOffice), Effect::Prove { epoch: 6, nonce }] = said[..] else { panic!("{said:?}") };
    assert_eq!(*world.election.stage(), Stage::Claiming { epoch: 6 });
    assert_eq!(world.election.confirmed_epoch(), None);

    // Neither the office, read again, nor a late answer to the ballot changes anything: the fence alone proves.
    world.expect_nothing(held_by(SESSION, 6));
    world.expect_nothing(Event::BallotEnded(won(6)));
    world.expect(proven(nonce, seconds(1)), &inauguration(6, seconds(1), 0));
    world.expect_nothing(held_by(SESSION, 6));
    world.expect_nothing(Event::BallotEnded(won(6)));
    assert_eq!(world.election.confirmed_epoch(), Some(6));
}

#[test]
fn an_unproven_claim_opens_another_session() {
    let mut world = World::standing(6);
    world.expect(Event::BallotEnded(Outcome::Unknown), &[Effect::ReadOffice]);
    let said = world.on(held_by(SESSION, 6));
    let [_, Effect::Prove { nonce, .. }] = said[..] else { panic!("{said:?}") };
    let outcome = Outcome::Refused(Refusal::Fence(Why::BadVersion));
    world.expect(Event::ProofEnded { nonce, outcome, sent: Duration::ZERO }, &[Effect::ReopenSession]);
    world.expect_nothing(Event::SessionLost);
    world.expect(opened(0x33), &[Effect::ReadQueue]);
}

#[test]
fn a_ballot_that_was_lost_for_real_is_cast_again() {
    let mut world = World::standing(6);
    world.expect(Event::BallotEnded(Outcome::Unknown), &[Effect::ReadOffice]);
    world.expect(vacant(5), &[Effect::ReadQueue]);
    world.expect(Event::QueueRead(vec![own_node(0)]), &[Effect::WatchOffice]);
    assert_eq!(terms_of(&only_ballot(&world.on(vacant(5))))[0].epoch, 6);

    // The first one lands after all: the second meets it.
    let exists = Outcome::refused(0, Why::NodeExists);
    world.expect(Event::BallotEnded(exists), &[Effect::Tell(Fact::NotElected), Effect::ReadOffice]);
    let said = world.on(held_by(SESSION, 6));
    assert!(matches!(said[..], [Effect::Tell(Fact::FoundInOffice), Effect::Prove { epoch: 6, .. }]), "{said:?}");
}

#[test]
fn a_read_older_than_the_ballot_tells_nothing() {
    let mut world = World::standing(6);
    world.expect_nothing(vacant(5));
    world.expect_nothing(held_by(OTHER, 5));
    world.expect(Event::OfficeVacant, &[Effect::ReadOffice]);
    world.expect_nothing(vacant(5));
    world.expect(Event::BallotEnded(won(6)), &inauguration(6, Duration::ZERO, 0));
}

#[test]
fn a_ballot_lost_to_another_goes_back_to_the_queue() {
    let mut world = World::standing(6);
    let exists = Outcome::refused(0, Why::NodeExists);
    world.expect(Event::BallotEnded(exists), &[Effect::Tell(Fact::NotElected), Effect::ReadOffice]);
    world.expect(held_by(OTHER, 6), &[Effect::ReadQueue]);
    world.expect(Event::QueueRead(vec![own_node(0)]), &[Effect::WatchOffice]);
    world.expect_nothing(held_by(OTHER, 6));
}

#[test]
fn a_refused_ballot_looks_again_after_a_while() {
    let refusals =
        [Refusal::At { index: 2, why: Why::BadVersion }, Refusal::At { index: 2, why: Why::NoNode }, Refusal::Whole(Why::NotSent)];
    for refusal in refusals {
        let mut world = World::standing(6).at(seconds(2));
        let retry = Effect::Arm(Timer::Retry, seconds(2) + RETRY_AFTER);
        world.expect(Event::BallotEnded(Outcome::Refused(refusal)), &[retry]);
        assert_eq!(*world.election.stage(), Stage::Outside);
        world.expect(Event::Rang(Timer::Retry), &[Effect::ReadQueue]);
    }
}

#[test]
fn a_master_pauses_while_suspended_and_resumes_on_proof() {
    let mut world = World::ruling(6).at(seconds(3));
    world.expect(Event::SessionSuspended, &[Effect::Pause]);
    assert_eq!(world.election.confirmed_epoch(), None);
    world.expect_nothing(Event::SessionSuspended);
    world.expect_nothing(Event::Rang(Timer::ProofDue));
    world.expect_nothing(Event::Rang(Timer::ProofStale));

    let nonce = world.expect_proof(Event::SessionResumed, 6);
    assert_eq!(world.election.confirmed_epoch(), None);
    let [due, stale] = armed_proofs(seconds(3));
    world.expect(proven(nonce, seconds(3)), &[Effect::Resume, Effect::WatchStepDown, due, stale]);
    assert_eq!(world.election.confirmed_epoch(), Some(6));
}

#[test]
fn a_proof_from_before_a_suspension_does_not_settle_it() {
    let mut world = World::ruling(6).at(seconds(2));
    let before = world.expect_proof(Event::Rang(Timer::ProofDue), 6);
    world.expect(Event::SessionSuspended, &[Effect::Pause]);
    world.expect_nothing(proven(before, seconds(2)));
    let after = world.expect_proof(Event::SessionResumed, 6);
    world.expect_nothing(proven(before, seconds(2)));
    assert_eq!(world.election.confirmed_epoch(), None);
    let said = world.on(proven(after, seconds(2)));
    assert_eq!(said.first(), Some(&Effect::Resume));
}

#[test]
fn an_office_won_while_suspended_begins_paused() {
    let mut world = World::standing(6);
    world.expect_nothing(Event::SessionSuspended);
    world.expect(Event::BallotEnded(won(6)), &inauguration_in_doubt(6, Duration::ZERO));
    assert_eq!(world.election.confirmed_epoch(), None);

    let nonce = world.expect_proof(Event::SessionResumed, 6);
    let [due, stale] = armed_proofs(Duration::ZERO);
    world.expect(proven(nonce, Duration::ZERO), &[Effect::Resume, Effect::WatchStepDown, due, stale]);
}

#[test]
fn a_claim_proven_while_suspended_begins_paused() {
    let mut world = World::standing(6);
    world.expect(Event::BallotEnded(Outcome::Unknown), &[Effect::ReadOffice]);
    let said = world.on(held_by(SESSION, 6));
    let [_, Effect::Prove { nonce, .. }] = said[..] else { panic!("{said:?}") };
    world.expect_nothing(Event::SessionSuspended);
    world.expect(proven(nonce, Duration::ZERO), &inauguration_in_doubt(6, Duration::ZERO));
}

#[test]
fn a_proof_too_old_pauses_and_asks_for_another() {
    let mut world = World::ruling(6).at(seconds(4));
    world.expect_nothing(Event::Rang(Timer::ProofStale));
    let mut world = world.at(seconds(5));
    let said = world.on(Event::Rang(Timer::ProofStale));
    let [Effect::Pause, Effect::Prove { epoch: 6, nonce }] = said[..] else { panic!("{said:?}") };
    let outcome = Outcome::Unknown;
    let retry = Effect::Arm(Timer::Retry, seconds(5) + RETRY_AFTER);
    world.expect(Event::ProofEnded { nonce, outcome, sent: seconds(5) }, &[retry]);
    let again = world.expect_proof(Event::Rang(Timer::Retry), 6);
    assert_ne!(nonce, again);
    let [due, stale] = armed_proofs(seconds(5));
    world.expect(proven(again, seconds(5)), &[Effect::Resume, Effect::WatchStepDown, due, stale]);
}

#[test]
fn a_write_with_an_unknown_end_pauses_until_a_proof() {
    let mut world = World::ruling(6);
    let said = world.on(Event::WriteUnknown);
    assert!(matches!(said[..], [Effect::Pause, Effect::Prove { epoch: 6, .. }]), "{said:?}");
}

#[test]
fn a_refused_fence_ends_the_rule_and_the_session() {
    let mut world = World::ruling(6);
    let nonce = world.expect_proof(Event::OfficeVacant, 6);
    let outcome = Outcome::Refused(Refusal::Fence(Why::NoNode));
    let end = [Effect::EndRule(End::Fenced), Effect::ReopenSession];
    world.expect(Event::ProofEnded { nonce, outcome: outcome.clone(), sent: Duration::ZERO }, &end);
    world.expect_nothing(Event::ProofEnded { nonce, outcome, sent: Duration::ZERO });
    world.expect_nothing(Event::WriteFenced);

    let mut world = World::ruling(6);
    world.expect(Event::WriteFenced, &end);
    assert_eq!(world.election.confirmed_epoch(), None);
}

#[test]
fn a_lost_session_ends_the_rule() {
    let mut world = World::ruling(6);
    world.expect(Event::SessionLost, &[Effect::EndRule(End::SessionLost)]);
    world.expect_nothing(Event::SessionLost);
    world.expect(opened(OTHER), &[Effect::ReadQueue]);
}

#[test]
fn a_new_session_ends_the_rule_of_the_old_one() {
    let mut world = World::ruling(6);
    world.expect(opened(OTHER), &[Effect::EndRule(End::SessionLost), Effect::ReadQueue]);
}

#[test]
fn a_farewell_is_written_and_quoted_by_the_next_term() {
    let mut world = World::ruling(6);
    let said = world.on(Event::StopRequested { why: "upgrade".into() });
    let data = encode(&Farewell { epoch: 6, why: "upgrade".into() });
    let multi = Multi::new().set(path::FAREWELL, data.clone(), None).delete(path::MASTER, Some(1));
    assert_eq!(said, [Effect::EndRule(End::SteppedDown), Effect::Farewell { epoch: 6, multi }]);
    world.expect_nothing(Event::OfficeVacant);
    world.expect(Event::FarewellEnded, &[Effect::Leave]);

    let before = History::decode(b"").with(term(6)).encode();
    let vacancy = |epoch| Office { holder: None, epoch: Some((epoch, before.clone())), farewell: data.clone() };
    let next = terms_of(&only_ballot(&World::in_line(0).on(Event::OfficeRead(vacancy(6)))));
    assert_eq!(next[0], term(6));
    assert_eq!((next[1].epoch, next[1].previous_ended.as_str()), (7, "upgrade"));
    // The farewell of an earlier term says nothing about the last one.
    let next = terms_of(&only_ballot(&World::in_line(0).on(Event::OfficeRead(vacancy(7)))));
    assert_eq!(next[1].previous_ended, "its session ended");
}

fn wish(epoch: i32, version: i32) -> Event {
    let request = StepDownRequest { bellwether: PROTOCOL_VERSION, epoch, reason: Some("new disks".into()), by: None };
    Event::StepDownRead(Some((version, encode(&request))))
}

#[test]
fn who_is_asked_to_step_down_says_farewell_and_stands_in_a_new_session() {
    let mut world = World::ruling(6);
    world.expect(Event::StepDownAsked, &[Effect::WatchStepDown]);
    world.expect_nothing(Event::StepDownRead(None));
    let why = "it was asked to step down: new disks".to_owned();
    world.expect(wish(6, 0), &[Effect::EndRule(End::SteppedDown), farewell(6, why)]);
    assert_eq!(world.election.confirmed_epoch(), None);
    world.expect_nothing(wish(6, 0));
    world.expect_nothing(Event::OfficeVacant);
    world.expect_nothing(Event::Rang(Timer::ProofDue));
    world.expect(Event::FarewellEnded, &[Effect::ReopenSession]);
    world.expect_nothing(Event::SessionLost);
    world.expect(opened(OTHER), &[Effect::ReadQueue]);
    // Its old place was another session's: behind all others it begins anew.
    world.expect(Event::QueueRead(vec![own_node(0)]), &[Effect::EnterQueue]);
}

#[test]
fn a_wish_for_another_term_is_removed_and_does_nothing() {
    let mut world = World::ruling(6);
    let removed = |version| Effect::RemoveStepDown { epoch: 6, multi: Multi::new().delete(path::STEP_DOWN, Some(version)) };
    world.expect(wish(5, 3), &[removed(3)]);
    world.expect(wish(7, 4), &[removed(4)]);
    world.expect(Event::StepDownRead(Some((5, b"garbage".to_vec()))), &[removed(5)]);
    assert_eq!(world.election.confirmed_epoch(), Some(6));
}

#[test]
fn who_doubts_its_office_steps_down_when_that_is_proven() {
    let mut world = World::ruling(6);
    world.expect(Event::SessionSuspended, &[Effect::Pause]);
    world.expect_nothing(Event::StepDownAsked);
    world.expect_nothing(wish(6, 0));
    let nonce = world.expect_proof(Event::SessionResumed, 6);
    assert!(world.on(proven(nonce, Duration::ZERO)).contains(&Effect::WatchStepDown));
    assert!(matches!(world.on(wish(6, 0))[..], [Effect::EndRule(End::SteppedDown), Effect::Farewell { epoch: 6, .. }]));
    // Whether the farewell arrived or not, the session is given up.
    world.expect_nothing(Event::SessionSuspended);
    world.expect(Event::SessionResumed, &[Effect::ReopenSession]);
}

#[test]
fn who_steps_down_may_be_stopped() {
    let mut world = World::ruling(6);
    world.on(wish(6, 0));
    world.expect(Event::StopRequested { why: "stop".into() }, &[Effect::Leave]);
    world.expect(Event::FarewellEnded, &[Effect::Leave]);
}

#[test]
fn who_leaves_stays_away() {
    let mut world = World::in_line(1);
    world.expect(Event::StopRequested { why: "stop".into() }, &[Effect::Leave]);
    world.expect_nothing(Event::QueueRead(vec![own_node(0)]));
    world.expect_nothing(vacant(5));
    world.expect_nothing(Event::Rang(Timer::Retry));
    world.expect(Event::SessionLost, &[Effect::Leave]);
    world.expect(opened(OTHER), &[Effect::Leave]);
    world.expect_nothing(Event::QueueRead(Vec::new()));
}

#[test]
fn a_master_without_a_connection_leaves_without_a_farewell() {
    let mut world = World::ruling(6);
    world.expect(Event::SessionSuspended, &[Effect::Pause]);
    let why = "stop".into();
    world.expect(Event::StopRequested { why }, &[Effect::EndRule(End::SteppedDown), Effect::Leave]);
}

#[test]
fn a_persistent_master_is_refused_at_the_first_look_and_told_later() {
    let mut world = World::in_line(0);
    world.expect(held_by(0, 5), &[Effect::RefuseToStart]);

    let mut world = World::in_line(0);
    world.expect_nothing(held_by(OTHER, 5));
    world.expect(Event::OfficeVacant, &[Effect::ReadOffice]);
    world.expect(held_by(0, 5), &[Effect::Tell(Fact::OfficeObstructed)]);
    assert_eq!(*world.election.stage(), Stage::StandingBy { position: 0, patience: Patience::Idle });
}

#[test]
fn an_epoch_that_went_backwards_is_told_once() {
    let mut world = World::in_line(1);
    world.expect_nothing(held_by(OTHER, 5));
    world.expect(held_by(OTHER, 3), &[Effect::Tell(Fact::WentBackwards { seen: 5, found: Some(3) })]);
    world.expect_nothing(held_by(OTHER, 3));
    let holder = Holder { owner: OTHER, version: MASTER_VERSION, data: in_office(3) };
    let gone = Office { holder: Some(holder), epoch: None, farewell: Vec::new() };
    let told = Effect::Tell(Fact::WentBackwards { seen: 3, found: None });
    world.expect(Event::OfficeRead(gone.clone()), &[told]);
    world.expect_nothing(Event::OfficeRead(gone));
}

#[test]
fn an_event_without_a_session_says_nothing() {
    let mut world = World::new();
    world.expect_nothing(Event::SessionSuspended);
    world.expect_nothing(Event::SessionResumed);
    world.expect_nothing(Event::SessionLost);
    world.expect_nothing(Event::QueueRead(vec![own_node(0)]));
    world.expect_nothing(Event::QueueEntered);
    world.expect_nothing(Event::OfficeVacant);
    world.expect_nothing(vacant(5));
    world.expect_nothing(Event::BallotEnded(won(6)));
    world.expect_nothing(proven(0, Duration::ZERO));
    world.expect_nothing(Event::Rang(Timer::Retry));
}

#[test]
fn a_proof_vouches_for_half_a_timeout_and_doubt_ends_it_at_once() {
    let mut world = World::ruling(7);
    assert_eq!(world.election.confirmed_until(), Some(TIMEOUT / 2));
    world.on(Event::SessionSuspended);
    assert_eq!((world.election.confirmed_until(), world.election.confirmed_epoch()), (None, None));
    assert_eq!(World::in_line(0).election.confirmed_until(), None);
}
