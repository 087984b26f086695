//! The secrets: where they are read from, who else may read them, and that they are shown nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::World;

#[test]
fn the_secret_is_read_and_never_shown() {
    let world = World::new().file("auth", "");
    let auth_file = world.sources.files[0].clone();
    close(&auth_file, 0o640);
    let with = |text: &str| {
        fs::write(&auth_file, text).expect("written");
        World::new().set("zookeeper.auth_scheme=digest").set(&format!("zookeeper.auth_file={}", auth_file.display())).load()
    };
    let settings = with("user:hunter2\n").expect("good settings");
    assert_eq!(settings.zookeeper.auth(), Some(("digest".into(), b"user:hunter2".to_vec())));
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&settings).expect("JSON").contains("hunter2"));

    let error = with("hunter2\n").expect_err("no user").to_string();
    assert!(error.ends_with("(--set zookeeper.auth_file): the file must hold user:password for auth_scheme \"digest\""), "{error}");
    assert!(!error.contains("hunter2"));
    assert!(with("\n").expect_err("empty").to_string().ends_with("the file is empty; write the secret into it"));
    fs::remove_file(&auth_file).expect("removed");
    let world = World::new().set("zookeeper.auth_scheme=digest").set("zookeeper.auth_file=/nowhere/secret");
    let missing =
        "zookeeper.auth_file = \"/nowhere/secret\" (--set zookeeper.auth_file): cannot be read: No such file or directory (os error 2)";
    assert_eq!(world.problems(), [missing]);
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let world = World::new().file("auth", "user:hunter2");
    let auth_file = world.sources.files[0].clone();
    let with_mode = |mode: u32| {
        close(&auth_file, mode);
        World::new().set("zookeeper.auth_scheme=digest").set(&format!("zookeeper.auth_file={}", auth_file.display())).load()
    };
    for good in [0o400, 0o600, 0o440, 0o640] {
        assert!(with_mode(good).is_ok(), "{good:o}");
    }
    for bad in [0o644, 0o604, 0o660, 0o602, 0o777] {
        let error = with_mode(bad).expect_err("open").to_string();
        let told = format!("others may read or change the secret (mode {bad:03o}); close it: chmod 0640 {}", auth_file.display());
        assert!(error.contains(&told) && !error.contains("hunter2"), "{error}");
    }
    close(&auth_file, 0o600);
    fs::write(&auth_file, [b'x'; 5000]).expect("written");
    assert!(with_mode(0o600).expect_err("long").to_string().ends_with("is longer than 4096 bytes; it must hold nothing but the secret"));
}

#[test]
fn a_credential_of_systemd_stands_in_for_the_file() {
    let world = World::new().file("zookeeper-auth", "user:hunter2\n");
    close(&world.sources.files[0], 0o400);
    let directory = world.dir.path().display().to_string();
    let with = |set: &str| World::new().variable("CREDENTIALS_DIRECTORY", &directory).set(set);
    let settings = with("zookeeper.auth_scheme=digest").settings();
    assert_eq!(settings.zookeeper.auth(), Some(("digest".into(), b"user:hunter2".to_vec())));
    assert_eq!(with("worker.slots=1").settings().zookeeper.auth(), None, "nobody asked for it");

    let empty = World::new().variable("CREDENTIALS_DIRECTORY", "/nowhere").set("zookeeper.auth_scheme=digest");
    assert!(empty.problems()[0].contains("systemd gave no credential"));
    fs::set_permissions(&world.sources.files[0], fs::Permissions::from_mode(0o644)).expect("a mode");
    let open = with("zookeeper.auth_scheme=digest").problems();
    assert!(open.len() == 1 && open[0].contains("zookeeper-auth: others may read"), "{open:?}");
}

#[test]
fn a_token_is_long_enough_and_one_word_and_never_shown() {
    let world = World::new().file("token", "");
    let file = world.sources.files[0].clone();
    close(&file, 0o640);
    let with = |text: &str| {
        fs::write(&file, text).expect("written");
        World::new().set(&format!("http.token_file={}", file.display())).load()
    };
    let settings = with("0123456789abcdef\n").expect("a token");
    assert_eq!(settings.http.token.as_ref().map(|token| token.reveal().to_vec()), Some(b"0123456789abcdef".to_vec()));
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    for (bad, told) in [
        ("0123456789abcde", "has 15 characters"),
        ("0123456789 abcdef", "without blanks"),
        ("0123456789abcdéf", "printable ASCII"),
        ("", "empty"),
    ] {
        let error = with(bad).expect_err("a bad token").to_string();
        assert!(error.contains("http.token_file = ") && error.contains(told) && !error.contains("0123456789"), "{error}");
    }
    assert_eq!(World::new().load().expect("defaults").http.token, None);
}

fn close(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("a mode");
}
