//! A worker registers, and learns that it is registered no more.

use super::*;

#[test]
fn a_worker_registers_once_the_box_first() {
    let mut world = World::with(1, OnDoubt::Kill);
    let said = world.on(Event::SessionOpened { session: 1, timeout: TIMEOUT });
    let [Effect::Register(multi)] = &said[..] else { panic!("{said:?}") };
    let paths: Vec<_> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths, ["/assign/w-0000000000000001", "/workers/w-0000000000000001"]);
    assert!(!world.agent.is_registered());
    world.is_registered();
    assert!(world.agent.is_registered());
}

#[test]
fn a_registration_whose_answer_was_lost_is_looked_for() {
    let mut world = World::with(1, OnDoubt::Kill);
    world.opens();
    world.expect(Event::RegisterEnded(Outcome::Unknown), &[Effect::ReadRegistration]);
    let said = world.on(Event::RegistrationRead(false));
    assert!(matches!(said[..], [Effect::Register(_)]), "{said:?}");
    // It had been applied after all, behind the look.
    world.expect(Event::RegisterEnded(Outcome::refused(0, Why::NodeExists)), &[Effect::ReadRegistration]);
    let resync = world.q();
    let said = [Effect::Tell(Fact::Registered(world.me())), Effect::Resync(resync), Effect::ReadEpoch];
    world.expect(Event::RegistrationRead(true), &said);
    world.expect(Event::RegistrationRead(true), &[]);
}

#[test]
fn a_registration_without_a_layout_is_tried_again_when_it_is_mended() {
    let mut world = World::with(1, OnDoubt::Kill);
    world.opens();
    let said = [Effect::MendLayout, retries(Duration::ZERO)];
    world.expect(Event::RegisterEnded(Outcome::refused(0, Why::NoNode)), &said);
    let said = world.on(Event::Rang(Timer::Retry));
    assert!(matches!(said[..], [Effect::Register(_)]), "{said:?}");
}

#[test]
fn a_registration_or_a_box_that_was_deleted_by_hand_ends_the_incarnation() {
    for change in [Change::WorkerGone, Change::BoxGone] {
        let mut world = World::registered(1);
        world.runs("t", 5, ENVELOPE);
        let said = [Effect::KillAll, killed(1, KillReason::Unregistered), Effect::ReopenSession];
        world.expect(Event::Changed(vec![change(world.me())]), &said);
        world.expect(Event::Changed(vec![change(world.me())]), &[]);
    }
    let mut world = World::registered(1);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    world.expect(Event::BoxListed(world.asked, None), &[Effect::ReopenSession]);
}
