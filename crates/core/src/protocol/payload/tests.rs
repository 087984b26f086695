//! The dialects, by example and by property.

use proptest::prelude::*;

use super::*;

fn shell(line: &str) -> Command {
    Command::Shell(line.to_owned())
}

fn argv(arguments: &[&str]) -> Command {
    Command::Argv(arguments.iter().map(|a| (*a).to_owned()).collect())
}

#[test]
fn plain_text_is_a_shell_line() {
    for line in ["sleep 1", "[ -f x ] && rm x", "{ echo a; }", "{\"other\": 1}", "  leading", "é"] {
        let task = decode(line.as_bytes()).unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!((task.dialect, task.command), (Dialect::Plain, shell(line)));
    }
}

#[test]
fn an_array_of_strings_is_argv_and_any_other_array_is_rejected() {
    assert_eq!(decode(br#"["echo","a b"]"#).unwrap().command, argv(&["echo", "a b"]));
    for bad in ["[1]", "[\"a\", 2]", "[[\"a\"]]", "[null]"] {
        assert_eq!(decode(bad.as_bytes()), Err(Rejection::NotArgv), "{bad}");
    }
    assert_eq!(decode("[".repeat(400).as_bytes()), Err(Rejection::NotArgv));
    assert_eq!(decode(b"[]"), Err(Rejection::Empty));
    assert_eq!(decode(br#"[""]"#), Err(Rejection::Empty));
}

#[test]
fn an_envelope_is_strict() {
    let task = decode(br#"{"bellwether":1,"argv":["true"],"priority":3}"#).unwrap();
    assert_eq!((task.dialect, task.command, task.envelope.priority), (Dialect::Envelope, argv(&["true"]), 3));
    assert!(
        matches!(decode(br#"{"bellwether":1,"argv":["true"],"pirority":3}"#), Err(Rejection::BadEnvelope(at)) if at.contains("pirority"))
    );
    assert!(matches!(decode(br#"{"bellwether":1,"argv":["a"],"shell":"b"}"#), Err(Rejection::BadEnvelope(_))));
    assert!(matches!(decode(br#"{"bellwether":"one","argv":["a"]}"#), Err(Rejection::BadEnvelope(_))));
    assert!(matches!(decode(br#"{"bellwether":0,"argv":["a"]}"#), Err(Rejection::BadEnvelope(_))));
    assert_eq!(decode(br#"{"bellwether":2,"anything":["a"]}"#), Err(Rejection::Newer(2)));
    assert_eq!(decode(br#"{"bellwether":1}"#), Err(Rejection::Empty));
    assert!(matches!(decode(br#"{"bellwether":1,"argv":["a"],"env":{"A=B":"c"}}"#), Err(Rejection::BadEnvelope(_))));
}

#[test]
fn what_no_process_can_be_given_is_rejected() {
    assert_eq!(decode(b""), Err(Rejection::Empty));
    assert_eq!(decode(b" \n\t "), Err(Rejection::Empty));
    assert_eq!(decode(b"\xff\xfe"), Err(Rejection::NotUtf8));
    assert_eq!(decode(b"echo \0"), Err(Rejection::NulByte));
    assert_eq!(decode(&vec![b'x'; PAYLOAD_BYTES_MAX + 1]), Err(Rejection::TooLarge(PAYLOAD_BYTES_MAX + 1)));
    assert_eq!(decode(&vec![b'x'; ARGUMENT_BYTES_MAX + 1]), Err(Rejection::ArgumentTooLong(ARGUMENT_BYTES_MAX + 1)));
    assert!(decode(&vec![b'x'; ARGUMENT_BYTES_MAX]).is_ok());
}

#[test]
fn no_word_of_the_closed_list_contains_what_the_books_client_looks_for() {
    for rejection in
        [Rejection::Empty, Rejection::NotUtf8, Rejection::NotArgv, Rejection::Newer(2), Rejection::HasChildren, Rejection::NoRight]
    {
        assert!(!rejection.word().contains("done"));
    }
}

#[test]
fn wrapping_keeps_command_and_dialect() {
    let mut task = decode(b"sleep 1").unwrap();
    task.envelope.losses = 2;
    let wrapped = decode(&task.encode()).unwrap();
    assert_eq!((wrapped.dialect, &wrapped.command, wrapped.envelope.losses), (Dialect::Plain, &shell("sleep 1"), 2));
    assert_eq!(wrapped.envelope.attempt(), 3);
}

#[test]
fn what_we_wrapped_may_be_larger_than_what_others_submit() {
    let mut task = decode(&vec![b'x'; ARGUMENT_BYTES_MAX]).unwrap();
    task.envelope.stdin = Some("y".repeat(PAYLOAD_BYTES_MAX - ARGUMENT_BYTES_MAX));
    let fresh = task.encode();
    assert_eq!(decode_waiting(&fresh), Err(Rejection::TooLarge(fresh.len())));
    task.envelope.failures = 1;
    assert_eq!(decode_waiting(&task.encode()), Ok(task));
}

#[test]
fn failures_and_losses_are_both_attempts() {
    let mut envelope = Envelope::new(shell("x"));
    (envelope.failures, envelope.losses, envelope.delay_ms) = (2, 1, 5);
    assert_eq!((envelope.attempts_made(), envelope.attempt()), (3, 4));
    envelope.start_over();
    assert_eq!(envelope, Envelope::new(shell("x")));
}

#[test]
fn a_command_is_shown_on_one_short_line() {
    assert_eq!(shell("a\nb").display(10), "a b");
    assert_eq!(shell("abcdefgh").display(4), "abc…");
}

proptest! {
    #[test]
    fn no_payload_panics_and_what_decodes_survives_its_own_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(task) = decode(&bytes) {
            prop_assert_eq!(decode_assigned(&task.encode()), Ok(task));
        }
    }

    #[test]
    fn no_text_panics_and_what_decodes_survives_its_own_encoding(text in "\\PC{0,200}") {
        if let Ok(task) = decode(text.as_bytes()) {
            prop_assert_eq!(decode_assigned(&task.encode()), Ok(task));
        }
    }
}

#[test]
fn an_envelope_that_is_nested_too_deeply_to_be_read_is_not_run_as_a_shell_line() {
    for depth in [127, 200, 100_000] {
        let deep = format!(r#"{{"bellwether":1,"argv":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(decode_assigned(deep.as_bytes()).map_err(|why| why.word()), Err("bad-envelope"), "{depth}");
    }
}
