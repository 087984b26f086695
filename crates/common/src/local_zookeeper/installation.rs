//! Where this machine keeps ZooKeeper and Java.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Error;

/// What Debian's package tells its own scripts.
const DEBIAN_ENVIRONMENT: &str = "/etc/zookeeper/conf/environment";
/// Debian's class path has no backend for its logging interface; this one comes with the interface, in the same package. Adding
/// all of `/usr/share/java` instead does not work: on a bare machine two bridges there exclude one another.
const DEBIAN_LOGGING: &str = "/usr/share/java/slf4j-simple.jar";
/// Nor has it what Netty's TLS needs.
const DEBIAN_NETTY: [&str; 3] =
    ["/usr/share/java/netty-codec.jar", "/usr/share/java/netty-resolver.jar", "/usr/share/java/netty-transport-native-unix-common.jar"];

/// A ZooKeeper that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The Java launcher.
    pub java: PathBuf,
    /// What its `-cp` takes.
    pub class_path: OsString,
}

impl Installation {
    /// Finds ZooKeeper: `ZOOKEEPER_HOME` if it is set, else Debian's package. Finds Java: `JAVA_HOME` if it is set, else `PATH`.
    ///
    /// # Errors
    /// [`Error::NoZookeeper`], [`Error::BadHome`] and [`Error::NoJava`] say what to install or set.
    pub fn find() -> Result<Self, Error> {
        Self::find_with(&|name| std::env::var_os(name).filter(|value| !value.is_empty()), Path::new(DEBIAN_ENVIRONMENT))
    }

    fn find_with(variable: &dyn Fn(&str) -> Option<OsString>, debian: &Path) -> Result<Self, Error> {
        let class_path = match variable("ZOOKEEPER_HOME") {
            Some(home) => class_path_of_home(Path::new(&home))?,
            None => class_path_of_debian(debian).ok_or(Error::NoZookeeper)?,
        };
        let java = match variable("JAVA_HOME") {
            Some(home) => Some(Path::new(&home).join("bin/java")).filter(|java| java.is_file()),
            None => variable("PATH").and_then(|path| {
                std::env::split_paths(&path).map(|dir| dir.join("java")).find(|java| java.is_absolute() && java.is_file())
            }),
        };
        Ok(Self { java: java.ok_or(Error::NoJava)?, class_path })
    }
}

/// An unpacked release: its configuration (for logging), and every jar of `lib/`; before 3.5 the main one lay beside it.
fn class_path_of_home(home: &Path) -> Result<OsString, Error> {
    let mut jars = jars_in(home, "zookeeper-");
    jars.extend(jars_in(&home.join("lib"), ""));
    if !jars.iter().any(|jar| file_name(jar).starts_with("zookeeper-")) {
        return Err(Error::BadHome { home: home.to_owned() });
    }
    jars.insert(0, home.join("conf"));
    std::env::join_paths(jars).map_err(|_| Error::BadHome { home: home.to_owned() })
}

fn jars_in(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut jars: Vec<PathBuf> = entries.filter(|path| is_jar(path) && file_name(path).starts_with(prefix)).collect();
    jars.sort();
    jars
}

fn is_jar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jar")
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The class path of the package's own start script. Removing a package may leave its configuration behind: every jar must exist.
fn class_path_of_debian(environment: &Path) -> Option<OsString> {
    let text = std::fs::read_to_string(environment).ok()?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("CLASSPATH="))?;
    let mut entries: Vec<PathBuf> = std::env::split_paths(value.trim().trim_matches(['"', '\''])).collect();
    let complete = entries.iter().any(|path| is_jar(path)) && entries.iter().filter(|path| is_jar(path)).all(|jar| jar.is_file());
    if !complete {
        return None;
    }
    let more = std::iter::once(DEBIAN_LOGGING).chain(DEBIAN_NETTY).map(PathBuf::from);
    entries.extend(more.filter(|jar| jar.is_file()));
    std::env::join_paths(entries).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a `java` and nothing else.
    fn machine(dir: &Path) -> Vec<(&'static str, OsString)> {
        let bin = dir.join("bin");
        std::fs::create_dir_all(&bin).expect("a directory");
        std::fs::write(bin.join("java"), "").expect("a file");
        vec![("PATH", bin.into_os_string())]
    }

    fn find(variables: &[(&str, OsString)], debian: &Path) -> Result<Installation, Error> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        Installation::find_with(&lookup, debian)
    }

    #[test]
    fn a_machine_without_zookeeper_says_what_to_install() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = find(&machine(dir.path()), &dir.path().join("environment")).expect_err("there is none");
        assert!(matches!(error, Error::NoZookeeper));
        let text = error.to_string();
        assert!(text.contains("apt-get install zookeeper") && text.contains("ZOOKEEPER_HOME"), "{text}");
    }

    #[test]
    fn a_removed_package_is_not_found_by_its_configuration() {
        let dir = tempfile::tempdir().expect("a directory");
        let (environment, jar) = (dir.path().join("environment"), dir.path().join("zookeeper.jar"));
        std::fs::write(&environment, format!("JAVA_OPTS=\"\"\nCLASSPATH=\"/etc/zk:{}\"\n", jar.display())).expect("a file");
        assert!(matches!(find(&machine(dir.path()), &environment), Err(Error::NoZookeeper)));
        std::fs::write(&jar, "").expect("a file");
        let found = find(&machine(dir.path()), &environment).expect("found");
        assert!(found.class_path.to_string_lossy().starts_with(&format!("/etc/zk:{}", jar.display())), "{found:?}");
    }

    #[test]
    fn an_unpacked_release_comes_before_the_package() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join("apache-zookeeper");
        std::fs::create_dir_all(home.join("lib")).expect("a directory");
        let mut variables = machine(dir.path());
        variables.push(("ZOOKEEPER_HOME", home.clone().into_os_string()));
        assert!(matches!(find(&variables, Path::new(DEBIAN_ENVIRONMENT)), Err(Error::BadHome { .. })));
        for jar in ["zookeeper-3.9.3.jar", "netty-4.jar"] {
            std::fs::write(home.join("lib").join(jar), "").expect("a file");
        }
        let found = find(&variables, Path::new(DEBIAN_ENVIRONMENT)).expect("found");
        let lib = home.join("lib").display().to_string();
        let expected = format!("{}:{lib}/netty-4.jar:{lib}/zookeeper-3.9.3.jar", home.join("conf").display());
        assert_eq!(found.class_path.to_string_lossy(), expected);
    }

    #[test]
    fn a_machine_without_java_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let (environment, jar) = (dir.path().join("environment"), dir.path().join("zookeeper.jar"));
        std::fs::write(&jar, "").expect("a file");
        std::fs::write(&environment, format!("CLASSPATH={}\n", jar.display())).expect("a file");
        assert!(matches!(find(&[], &environment), Err(Error::NoJava)));
    }
}
