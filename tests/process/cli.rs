//! The command line, the variables and the file: what they are called, which of them wins, and what is said of a mistake.
//! The texts that users read are compared with files beside this one. `RENEW_SNAPSHOTS=1 cargo test --test behaviour cli::`
//! writes those files anew; the change is then reviewed like code.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use noclobber::cli::args::ShowHistory;
use noclobber::cli::{self, ProgramTask, UsageError};
use noclobber::config::{Anonymous, Config, Keep, Listen, StateFolder};
use noclobber::log::{LogFormat, LogLevel};
use noclobber::store::abilities::Tier;

use crate::harness::programs::StartProgram as _;
use crate::harness::{has_program, left_out};

#[test]
fn the_help_reads_as_it_was_reviewed() {
    compare("help.txt", &text_of(&run(&["--help"]), 0));
    compare("help_short.txt", &text_of(&run(&["-h"]), 0));
    compare("help_history.txt", &text_of(&run(&["history", "--help"]), 0));
    compare("help_restore.txt", &text_of(&run(&["restore", "--help"]), 0));
    compare("help_link.txt", &text_of(&run(&["link", "--help"]), 0));
    compare("help_doctor.txt", &text_of(&run(&["doctor", "--help"]), 0));
    compare("help_watch.txt", &text_of(&run(&["watch", "--help"]), 0));
    compare("help_mount_help.txt", &text_of(&run(&["mount-help", "--help"]), 0));
    compare("mount_help.txt", &text_of(&run(&["mount-help"]), 0));
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(text_of(&run(&["--version"]), 0).trim(), concat!("noclobber ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_default_in_the_help_is_the_real_one() {
    let plain = serve(&["noclobber"], &[]);
    let mut looked_at = 0;
    for option in cli::command().get_arguments() {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, end)) = help.split_once("[default: ") else { continue };
        let default = end.trim_end_matches(']');
        let (Some(name), false) = (option.get_long(), default.contains(' ')) else { continue };
        let same = serve(&["noclobber", &format!("--{name}={default}")], &[]);
        assert_eq!(same, plain, "--{name} {default}");
        looked_at += 1;
    }
    assert!(looked_at >= 14, "only {looked_at} defaults are in the help");
}

#[test]
fn a_plain_start_serves_the_current_folder_to_this_machine() {
    let config = serve(&["noclobber"], &[("HOME", "/home/ada")]);
    assert_eq!(config.folder, Path::new("."));
    assert_eq!(config.listen, [Listen::Tcp(None, "127.0.0.1:4918".parse().unwrap())]);
    assert_eq!(config.state, StateFolder::Beneath("/home/ada/.local/state/noclobber".into()));
    assert_eq!(config.history, Some(Keep { age_max: Duration::from_secs(30 * 86_400), percent_max: 10 }));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!((config.sync, config.watch, config.follow_symlinks), (true, true, false));
    assert_eq!((config.require_preconditions, config.anonymous), (false, None));
    assert_eq!((config.require_tier, config.force_tier), (None, None));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn every_option_arrives() {
    let config = serve(
        &[
            "noclobber",
            "share",
            "--listen",
            "127.0.0.1:0",
            "--listen=[::1]:80",
            "--listen",
            "unix:/run/n.sock",
            "--allow-host",
            "Files.Example.org",
            "--state",
            "s",
            "--history-days",
            "7",
            "--history-percent",
            "20",
            "--require-preconditions",
            "--require-tier",
            "a",
            "--force-tier",
            "C",
            "--force-time-grain",
            "4",
            "--no-watch",
            "--follow-symlinks",
            "--workers",
            "3",
            "--header-bytes-max",
            "1",
            "--header-seconds",
            "2",
            "--body-idle-seconds",
            "3",
            "--body-rate-min",
            "4",
            "--connections-max",
            "5",
            "--uploads-max",
            "6",
            "--copies-max",
            "14",
            "--hashing-max",
            "7",
            "--path-bytes-max",
            "8",
            "--upload-bytes-max",
            "9",
            "--cache-bytes",
            "10",
            "--properties-bytes-max",
            "13",
            "--keep-alive-seconds",
            "11",
            "--feed-changes-max",
            "15",
            "--feed-days",
            "16",
            "--tag-threshold",
            "12",
            "--log-level",
            "debug",
            "--log-format",
            "json",
            "--log-file",
            "l",
        ],
        &[],
    );
    let tcp = |text: &str| Listen::Tcp(None, text.parse::<SocketAddr>().unwrap());
    assert_eq!(config.folder, Path::new("share"));
    assert_eq!(config.listen, [tcp("127.0.0.1:0"), tcp("[::1]:80"), Listen::Unix("/run/n.sock".into())]);
    assert_eq!(config.allowed_hosts, ["files.example.org"]);
    assert_eq!(config.state, StateFolder::In("s".into()));
    assert_eq!(config.history, Some(Keep { age_max: Duration::from_secs(7 * 86_400), percent_max: 20 }));
    assert_eq!((config.require_tier, config.force_tier), (Some(Tier::A), Some(Tier::C)));
    assert_eq!(config.force_time_grain, Some(Duration::from_millis(4)));
    assert_eq!((config.require_preconditions, config.watch, config.follow_symlinks), (true, false, true));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!(config.log.file.as_deref(), Some(Path::new("l")));
    assert_eq!(config.workers.get(), 3);
    let limits = config.limits;
    assert_eq!(limits.header_bytes_max.get(), 1);
    assert_eq!(limits.header_time_max.as_secs(), 2);
    assert_eq!(limits.body_idle_max.as_secs(), 3);
    assert_eq!(limits.body_rate_min, 4);
    assert_eq!(limits.connections_max.get(), 5);
    assert_eq!(limits.uploads_max.get(), 6);
    assert_eq!(limits.copies_max, 14);
    assert_eq!(limits.hashing_max.get(), 7);
    assert_eq!(limits.path_bytes_max.get(), 8);
    assert_eq!(limits.upload_bytes_max.map(|bytes| bytes.get()), Some(9));
    assert_eq!(limits.cache_bytes, 10);
    assert_eq!(limits.properties_bytes_max, 13);
    assert_eq!(limits.keep_alive.as_secs(), 11);
    assert_eq!(limits.feed_changes_max.get(), 15);
    assert_eq!(limits.feed_age_max, Duration::from_secs(16 * 86_400));
    assert_eq!(limits.tag_threshold, 12);

    let bare = serve(&["noclobber", "--no-history", "--no-state", "--no-sync"], &[]);
    assert_eq!((bare.history, bare.state, bare.sync), (None, StateFolder::Memory, false));
    assert!(bare.warnings.iter().any(|warning| warning.contains("--no-sync")), "{:?}", bare.warnings);
}

#[test]
fn the_readme_lists_the_same_options_under_the_same_headings() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let in_table = |line: &&str| line.starts_with("| `--") || line.starts_with("| **");
    let listed: Vec<String> = readme.lines().filter(in_table).map(first_cells).collect();
    let mut wanted = Vec::new();
    let mut heading = String::new();
    for option in cli::command().get_arguments().filter(|option| !option.is_hide_set()) {
        let Some(name) = option.get_long().filter(|name| !["help", "version"].contains(name)) else { continue };
        let group = format!("**{}**|", option.get_help_heading().unwrap_or_default());
        if group != heading {
            wanted.push(group.clone());
            heading = group;
        }
        let value = match option.get_action().takes_values() {
            true => option.get_value_names().map_or(String::new(), |names| format!(" {}", names[0])),
            false => String::new(),
        };
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let default = match help.split_once("[default: ") {
            Some((_, end)) if end.contains(' ') => end.trim_end_matches(']').to_owned(),
            Some((_, end)) => format!("`{}`", end.trim_end_matches(']')),
            None if value.is_empty() => "off".to_owned(),
            None => "none".to_owned(),
        };
        wanted.push(format!("`--{name}{value}`|{default}"));
    }
    assert_eq!(listed, wanted);
}

/// The first two cells of a row of the README's table.
fn first_cells(row: &str) -> String {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    format!("{}|{}", cells[1], cells[2])
}

/// An address says by itself whether it speaks HTTPS; where it does not, it does if there is a certificate.
#[test]
fn an_address_speaks_https_where_there_is_a_certificate() {
    use noclobber::config::{Certificate, Scheme::*};
    let files = Certificate::Files { certificate: "c".into(), key: "k".into() };
    let made = Certificate::Made(Some("/s".into()));
    let (plain, none): (&[&str], &[&str]) = (&["http"], &[]);
    for (words, certificate, schemes) in [
        (none, None, [Http]),
        (plain, None, [Http]),
        (&["--tls"], Some(&made), [Https]),
        (&["--tls", "http"], Some(&made), [Http]),
        (&["--tls", "https"], Some(&made), [Https]),
        (&["--tls-cert=c", "--tls-key=k"], Some(&files), [Https]),
        (&["--tls-key=k", "--tls-cert=c", "http"], Some(&files), [Http]),
        (&["--tls", "--tls-cert=c", "--tls-key=k", "https"], Some(&files), [Https]),
    ] {
        let words = words.iter().map(|word| match *word {
            "http" => "--listen=http://127.0.0.1:1",
            "https" => "--listen=https://127.0.0.1:1/",
            word => word,
        });
        let words: Vec<&str> = ["noclobber", "--state=/s"].into_iter().chain(words).collect();
        let config = serve(&words, &[]);
        let found: Vec<_> = config
            .listen
            .iter()
            .map(|listen| match listen {
                Listen::Tcp(said, _) => config.scheme(*said),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!((config.certificate.as_ref(), &found[..]), (certificate, &schemes[..]), "{words:?}");
    }
    for (words, told) in [
        (&["noclobber", "--listen=https://127.0.0.1:1"][..], "--listen https://127.0.0.1:1 takes a certificate"),
        (&["noclobber", "--tls-cert=c"], "--tls-key"),
        (&["noclobber", "--tls-key=k"], "--tls-cert"),
        (&["noclobber", "--tls", "--listen=ftp://127.0.0.1:1"], "http://"),
        (&["noclobber", "--tls", "--listen=https://0.0.0.0:1"], "--anonymous"),
        (&["noclobber", "--tls", "--listen=https://localhost:1"], "not an address"),
    ] {
        let refused = refused(words, &[]);
        assert!(refused.contains(told), "{words:?}: {refused}");
    }
}

/// Every option that the program knows, as a variable and as a key: none of the three ways can be forgotten.
#[test]
fn a_variable_and_a_key_say_the_same_as_the_option() {
    let home = tempfile::tempdir().unwrap();
    let users = home.path().join("users.toml").to_str().unwrap().to_owned();
    std::fs::write(&users, "").unwrap();
    let values = |name: &str| match name {
        "users" => &users,
        "base-path" => "/files",
        "trusted-proxy" => "10.0.0.0/8",
        "user-header" => "remote-user",
        "listen" => "127.0.0.1:81",
        "allow-host" => "a.example",
        "allow-origin" => "https://a.example",
        "require-tier" | "force-tier" => "B",
        "log-level" => "trace",
        "log-format" => "json",
        "anonymous" => "create",
        "umask" => "027",
        "user" => "nobody",
        "file-mode" => "0640",
        "dir-mode" => "2770",
        "state" => "/s",
        _ => "5",
    };
    let mut looked_at = 0;
    for option in cli::command().get_arguments() {
        let Some(name) = option.get_long().filter(|name| !["help", "version", "config"].contains(name)) else {
            continue;
        };
        let is_flag = !option.get_action().takes_values();
        let value = values(name);
        let word = if is_flag { format!("--{name}") } else { format!("--{name}={value}") };
        // Two that are given together.
        let beside: &[&str] = match name {
            "tls-cert" => &["noclobber", "--tls-key=k"],
            "tls-key" => &["noclobber", "--tls-cert=c"],
            "remember" => &["noclobber", "--lan"],
            _ => &["noclobber"],
        };
        let serve_with = |words: &[&str], variables: &[(&str, &str)]| serve(&[beside, words].concat(), variables);
        let by_option = serve_with(&[&word], &[]);

        let variable = format!("NOCLOBBER_{}", name.to_ascii_uppercase().replace('-', "_"));
        let said = if is_flag { "true" } else { value };
        assert_eq!(serve_with(&[], &[(&variable, said)]), by_option, "{variable}={said}");

        let quoted = match value.parse::<u64>() {
            _ if is_flag => "true".to_owned(),
            Ok(_) if ["umask", "file-mode", "dir-mode"].contains(&name) => format!("\"{value}\""),
            Ok(number) => number.to_string(),
            Err(_) if ["listen", "allow-host", "trusted-proxy"].contains(&name) => format!("[\"{value}\"]"),
            Err(_) => format!("\"{value}\""),
        };
        let file = written(&home, &format!("{name} = {quoted}\n"));
        assert_eq!(serve_with(&["--config", &file], &[]), by_option, "{name} = {quoted}");
        looked_at += 1;
    }
    assert!(looked_at >= 29, "only {looked_at} options were looked at");
}

#[test]
fn an_option_beats_a_variable_and_a_variable_beats_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file =
        written(&home, "history-days = 1\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nfolder = \"from-file\"\n");
    let days = |config: &Config| config.history.unwrap().age_max.as_secs() / 86_400;
    for (words, variables, wanted) in [
        (&[][..], &[][..], (30, 1, ".")),
        (&["--config", &file][..], &[][..], (1, 2, "from-file")),
        (&[], &[("NOCLOBBER_CONFIG", file.as_str())], (1, 2, "from-file")),
        (&["--config", &file], &[("NOCLOBBER_HISTORY_DAYS", "2")], (2, 2, "from-file")),
        (&["--config", &file], &[("NOCLOBBER_HISTORY_DAYS", "")], (1, 2, "from-file")),
        (&["--config", &file], &[("NOCLOBBER_LISTEN", "127.0.0.1:3")], (1, 1, "from-file")),
        (&["--config", &file], &[("NOCLOBBER_FOLDER", "from-variable")], (1, 2, "from-variable")),
        (&["--config", &file, "--history-days=3"], &[("NOCLOBBER_HISTORY_DAYS", "2")], (3, 2, "from-file")),
        (&["--config", &file, "--listen=127.0.0.1:4"], &[("NOCLOBBER_LISTEN", "127.0.0.1:3")], (1, 1, "from-file")),
        (&["given", "--config", &file], &[("NOCLOBBER_FOLDER", "from-variable")], (1, 2, "given")),
        (&["--config", &file], &[("NOCLOBBER_CONFIG", "/not/there.toml")], (1, 2, "from-file")),
    ] {
        let words: Vec<&str> = std::iter::once("noclobber").chain(words.iter().copied()).collect();
        let config = serve(&words, variables);
        let found = (days(&config), config.listen.len(), config.folder.to_str().unwrap());
        assert_eq!(found, wanted, "{words:?} {variables:?}");
    }
}

#[test]
fn what_rules_out_an_option_follows_the_same_order() {
    let home = tempfile::tempdir().unwrap();
    let with_state = written(&home, "state = \"/from-file\"\nno-history = true\n");
    let file = ["noclobber", "--config", &with_state];
    let without = [&file[..], &["--no-state"]].concat();
    assert_eq!(serve(&without, &[]).state, StateFolder::Memory);
    assert_eq!(serve(&file, &[("NOCLOBBER_NO_STATE", "1")]).state, StateFolder::Memory);
    assert_eq!(serve(&file, &[("NOCLOBBER_NO_STATE", "0")]).state, StateFolder::In("/from-file".into()));
    assert_eq!(serve(&without, &[("NOCLOBBER_STATE", "/from-variable")]).state, StateFolder::Memory);
    let with = [&file[..], &["--state", "/given"]].concat();
    assert_eq!(serve(&with, &[("NOCLOBBER_NO_STATE", "true")]).state, StateFolder::In("/given".into()));
    // A flag that the file sets is taken back by a variable.
    assert_eq!(serve(&file, &[]).history, None);
    assert!(serve(&file, &[("NOCLOBBER_NO_HISTORY", "false")]).history.is_some());
}

#[test]
fn a_mistake_in_the_file_names_the_file_and_the_line() {
    let home = tempfile::tempdir().unwrap();
    for (text, line, why) in [
        ("# One.\n\nhistory-dayz = 3\n", 3, "'history-dayz' is not the name of a setting"),
        ("history-days = 3\nhistory-percent = 101\n", 2, "101 is not in 1..=100"),
        ("history-days = -1\n", 1, "-1"),
        ("history-days = 1.5\n", 1, "cannot be a number with a point"),
        ("history-days = 3\nhistory-days = 4\n", 2, "duplicate key"),
        ("\nhistory-days = \"soon\"\n", 2, "'soon'"),
        ("\n\n\nlog-format = \"xml\"\n", 4, "[possible values: text, json, common, combined]"),
        ("file-mode = 0o640\n", 1, "'file-mode' is a text in quotes"),
        ("\numask = 27\n", 2, "'umask' is a text in quotes"),
        ("dir-mode = \"0999\"\n", 1, "octal"),
        ("no-sync = \"yes\"\n", 1, "'no-sync' is either true or false"),
        ("no-sync = 1\n", 1, "'no-sync' is either true or false"),
        ("listen = [\n  \"127.0.0.1:1\",\n  \"localhost\",\n]\n", 1, "'localhost'"),
        ("listen = [1]\n", 1, "a list of texts"),
        ("log-level = [\"info\"]\n", 1, "cannot be a list"),
        ("[history]\ndays = 3\n", 1, "'history' is not the name of a setting"),
        ("workers = 2\nallow-host = \"https://a.example/\"\n", 2, "a host name is wanted"),
        ("config = \"other.toml\"\n", 1, "cannot name another file"),
        ("help = true\n", 1, "'help' is not the name of a setting"),
        ("workers = 2\nlisten = \n", 2, ""),
        ("workers = 2\n= 3\n", 2, ""),
    ] {
        let file = written(&home, text);
        let output = run(&["--config", &file]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}{told}");
        assert!(told.starts_with(&format!("error: {file}:{line}: ")), "{text}{told}");
        assert!(told.contains(why), "{text}{told}");
    }
    let gone = home.path().join("gone.toml").to_str().unwrap().to_owned();
    assert_told(&run(&["--config", &gone]), &gone);
    fs::write(&gone, b"workers = \xff").unwrap();
    assert_told(&run(&["--config", &gone]), &gone);
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    for (variable, value, why) in [
        ("NOCLOBBER_HISTORY_DAYS", "0", "0 is not in 1..=36500"),
        ("NOCLOBBER_UPLOAD_BYTES_MAX", "1G", "invalid digit"),
        ("NOCLOBBER_NO_WATCH", "yes", "neither true nor false"),
        ("NOCLOBBER_LISTEN", "127.0.0.1:1,4918", "'4918'"),
        ("NOCLOBBER_REQUIRE_TIER", "D", "[possible values: A, B, C]"),
    ] {
        let output = command().env(variable, value).run().unwrap();
        assert_told(&output, &format!("error: {variable}: "));
        assert_told(&output, why);
    }
}

#[test]
fn an_unknown_variable_is_told_but_does_not_stop_the_start() {
    // Kubernetes sets this one for a service that is called noclobber.
    let config = serve(&["noclobber"], &[("NOCLOBBER_PORT", "tcp://10.0.0.1:80"), ("NOCLOBBERISH", "1")]);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("NOCLOBBER_PORT"), "{:?}", config.warnings);
}

#[test]
fn an_address_beyond_this_machine_needs_a_word_for_it() {
    for local in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/run/x", "unix:x"] {
        serve(&["noclobber", "--listen", local], &[]);
    }
    for open in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"] {
        let told = refused(&["noclobber", "--listen", "127.0.0.1:1", "--listen", open], &[]);
        assert!(told.contains("--anonymous") && told.contains(open), "{told}");
        serve(&["noclobber", "--anonymous", "--listen", open], &[]);
        serve(&["noclobber", "--anonymous", "read", "--listen", open], &[]);
    }
    assert_told(&run(&["--listen", "0.0.0.0:0"]), "--anonymous");
}

/// The word may be left out, so that a folder may stand behind the option; a folder that is called as one of the words is written `./read`.
#[test]
fn what_anybody_may_do_is_said_in_a_word_or_with_none() {
    use Anonymous::{Create, Read, Write};
    for (words, anonymous, folder) in [
        (&["--anonymous"][..], Write, "."),
        (&["--anonymous", "folder"], Write, "folder"),
        (&["--anonymous", "read"], Read, "."),
        (&["--anonymous", "read", "folder"], Read, "folder"),
        (&["--anonymous", "create", "read"], Create, "read"),
        (&["--anonymous", "write", "--no-watch", "folder"], Write, "folder"),
        (&["--anonymous=create", "folder"], Create, "folder"),
        (&["folder", "--anonymous", "create"], Create, "folder"),
        (&["--anonymous", "./read"], Write, "./read"),
        (&["--anonymous", "--", "read"], Write, "read"),
    ] {
        let all: Vec<&str> = ["noclobber"].into_iter().chain(words.iter().copied()).collect();
        let config = serve(&all, &[]);
        assert_eq!((config.anonymous, config.folder.to_str()), (Some(anonymous), Some(folder)), "{words:?}");
    }
    assert_eq!(serve(&["noclobber", "--", "--anonymous"], &[]).anonymous, None);
    for words in [&["noclobber", "--anonymous=all"][..], &["noclobber", "--anonymous="]] {
        assert!(refused(words, &[]).contains("--anonymous"), "{words:?}");
    }
    for (value, anonymous) in [("read", Read), ("create", Create), ("true", Write), ("1", Write)] {
        let config = serve(&["noclobber", "--listen", "0.0.0.0:1"], &[("NOCLOBBER_ANONYMOUS", value)]);
        assert_eq!(config.anonymous, Some(anonymous), "{value}");
    }
    for variable in ["false", "0"] {
        refused(&["noclobber", "--listen", "0.0.0.0:1"], &[("NOCLOBBER_ANONYMOUS", variable)]);
    }
    assert!(refused(&["noclobber"], &[("NOCLOBBER_ANONYMOUS", "all")]).contains("NOCLOBBER_ANONYMOUS"));
    let made = tempfile::tempdir().unwrap();
    let file = made.path().join("settings.toml");
    let with = format!("--config={}", file.display());
    for (key, anonymous) in [("\"read\"", Read), ("\"create\"", Create), ("true", Write)] {
        fs::write(&file, format!("anonymous = {key}\nlisten = [\"0.0.0.0:1\"]\n")).unwrap();
        assert_eq!(serve(&["noclobber", &with], &[]).anonymous, Some(anonymous), "{key}");
    }
    for key in ["false", "\"all\"", "7"] {
        fs::write(&file, format!("anonymous = {key}\nlisten = [\"0.0.0.0:1\"]\n")).unwrap();
        refused(&["noclobber", &with], &[]);
    }
}

#[test]
fn bad_usage_ends_with_2() {
    for (words, told) in [
        (&["--not-an-option"][..], "--not-an-option"),
        (&["one", "two"], "two"),
        (&["--workers", "0"], "--workers"),
        (&["--header-seconds", "0"], "--header-seconds"),
        (&["--keep-alive-seconds", "86401"], "86401"),
        (&["--listen", "localhost:80"], "127.0.0.1:4918"),
        (&["--listen", "4918"], "4918"),
        (&["--listen", "unix:"], "unix:"),
        (&["--allow-host", "a.example:80"], "a.example:80"),
        (&["--allow-host", ""], "--allow-host"),
        (&["--history-percent", "0"], "--history-percent"),
        (&["--feed-changes-max", "0"], "--feed-changes-max"),
        (&["--feed-days", "0"], "--feed-days"),
        (&["--require-tier", "D"], "D"),
        (&["--log-level", "loud"], "loud"),
        (&["restore", "a.txt"], "<VERSION>"),
        (&["history", "--workers", "3"], "--workers"),
        (&["completions", "csh"], "csh"),
        (&["mount-help", "ftp://nas/"], "http://192.168.1.2:4918/"),
        (&["mount-help", "http://nas/$(reboot)/"], "the address of a server is wanted"),
        (&["--no-watch", "history"], "history"),
    ] {
        assert_told(&run(words), told);
    }
    let long = format!("unix:/{}", "x".repeat(107));
    assert_told(&run(&["--listen", &long]), "107");
}

#[test]
fn the_other_commands_take_their_words() {
    let wanted = |words: &[&str]| cli::read(words, no_variables()).unwrap();
    let ProgramTask::History(which) = wanted(&["noclobber", "history"]) else { panic!("the history was asked for") };
    assert_eq!(which, ShowHistory { path: None, folder: ".".into(), json: false });
    let ProgramTask::History(which) = wanted(&["noclobber", "history", "a/b", "--json", "--folder", "/s"]) else {
        panic!("the history was asked for")
    };
    assert_eq!(which, ShowHistory { path: Some("a/b".into()), folder: "/s".into(), json: true });
    let ProgramTask::Restore(which, config) = wanted(&["noclobber", "restore", "a", "v", "--folder", "/s"]) else {
        panic!("a version was asked for")
    };
    assert_eq!((which.path, which.version, which.folder), ("a".into(), "v".to_owned(), Some(PathBuf::from("/s"))));
    assert_eq!(config.folder, Path::new("/s"));
    let ProgramTask::MountHelp(address) = wanted(&["noclobber", "mount-help"]) else { panic!("help was asked for") };
    assert_eq!(address, "http://127.0.0.1:4918/".parse().unwrap());
    let config = serve(&["noclobber"], &[]);
    assert_eq!(format!("http://{}/", config.listen[0]).parse(), Ok(address), "it is where a plain start listens");
    // A folder that is called like a command.
    assert_eq!(serve(&["noclobber", "./history"], &[]).folder, Path::new("./history"));
}

/// A version is brought back with the state that a server would have.
#[test]
fn a_restore_finds_the_state_as_a_server_does() {
    let state = |words: &[&str], set: &[(&str, &str)]| {
        let words = [&["noclobber", "restore", "a", "v"], words].concat();
        let ProgramTask::Restore(_, config) = read(&words, set).unwrap() else { panic!("a version was asked for") };
        config.state
    };
    let folder = tempfile::tempdir().unwrap();
    let file = written(&folder, "state = \"/from-file\"\n");
    let home = ("XDG_STATE_HOME", "/home/state");
    let table = [
        (vec![], vec![], StateFolder::Memory),
        (
            vec![],
            vec![home, ("NOCLOBBER_LISTEN", "0.0.0.0:80"), ("NOCLOBBER_CONFIG", "")],
            StateFolder::Beneath("/home/state/noclobber".into()),
        ),
        (vec![], vec![home, ("NOCLOBBER_CONFIG", &file)], StateFolder::In("/from-file".into())),
        (vec!["--config", &file], vec![home, ("NOCLOBBER_CONFIG", "/nothing")], StateFolder::In("/from-file".into())),
        (vec!["--config", &file], vec![home, ("NOCLOBBER_STATE", "/s")], StateFolder::In("/s".into())),
        (vec!["--config", &file, "--state", "/t"], vec![home], StateFolder::In("/t".into())),
        (vec!["--config", &file, "--no-state"], vec![home], StateFolder::Memory),
        (vec![], vec![home, ("NOCLOBBER_STATE", "/s")], StateFolder::In("/s".into())),
        (vec![], vec![home, ("NOCLOBBER_NO_STATE", "1")], StateFolder::Memory),
        (vec!["--state", "/t"], vec![home, ("NOCLOBBER_STATE", "/s")], StateFolder::In("/t".into())),
        (vec!["--state", "/t"], vec![home, ("NOCLOBBER_NO_STATE", "1")], StateFolder::In("/t".into())),
        (vec!["--no-state"], vec![home, ("NOCLOBBER_STATE", "/s")], StateFolder::Memory),
    ];
    for (words, set, expected) in table {
        assert_eq!(state(&words, &set), expected, "{words:?} {set:?}");
    }
}

/// The other settings of a server hold for a restore, too, as long as they are not about clients.
#[test]
fn a_restore_has_the_settings_of_the_server() {
    let home = tempfile::tempdir().unwrap();
    let lines = "folder = \"/from-file\"\nfollow-symlinks = true\nproperties-bytes-max = 7\nhistory-days = 90\n";
    let file = written(&home, lines);
    let set = [("NOCLOBBER_LOG_LEVEL", "off"), ("NOCLOBBER_REQUIRE_PRECONDITIONS", "1"), ("NOCLOBBER_NO_HISTORY", "1")];
    for (more, folder, kept) in [(&[][..], "/from-file", 90), (&["--folder", "/s"], "/s", 90), (&[], "/from-file", 30)]
    {
        let words = [&["noclobber", "restore", "a", "v", "--config", &file], more].concat();
        let set = if kept == 90 { &set[..2] } else { &set[..] };
        let Ok(ProgramTask::Restore(_, config)) = read(&words, set) else { panic!("a version was asked for") };
        assert_eq!(config.folder, Path::new(folder));
        assert!(config.follow_symlinks && !config.require_preconditions);
        assert_eq!(config.limits.properties_bytes_max, 7);
        assert_eq!(config.history.unwrap().age_max.as_secs(), kept * 86_400);
        assert_eq!(config.log.level, LogLevel::Info);
    }
    let told = refused(&["noclobber", "restore", "a", "v", "--config", "/not/there.toml"], &[]);
    assert!(told.contains("/not/there.toml"), "{told}");
}

/// Whoever asks how to connect gets commands to copy, with the address in them; the README says in short what it says at length.
#[test]
fn the_steps_to_connect_have_the_address_in_them() {
    let text = text_of(&run(&["mount-help", "https://files.example.org:8443/team/"]), 0);
    for words in [
        "net use N: https://files.example.org:8443/team\n",
        "net use N: \\\\files.example.org@SSL@8443\\team\n",
        "mount_webdav https://files.example.org:8443/team/ ~/noclobber\n",
        "gio mount davs://files.example.org:8443/team/\n",
        "webdavs://files.example.org:8443/team/\n",
        "rclone config create noclobber webdav url=https://files.example.org:8443/team/ vendor=owncloud\n",
        "FileSizeLimitInBytes",
        "FileAttributesLimitInBytes",
        "BasicAuthLevel",
        "buf_size 256\n",
    ] {
        assert!(text.contains(words), "'{words}' is not in: {text}");
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Connecting\n").expect("a section on connecting");
    let section = section.split("\n## ").next().unwrap();
    for words in
        ["noclobber mount-help", "Windows", "macOS", "GNOME", "KDE", "davfs2", "rclone", "LibreOffice", "buf_size 256"]
    {
        assert!(section.contains(words), "the README does not say how to connect from {words}");
    }
}

#[test]
fn the_completions_know_the_options_and_the_shells_accept_them() {
    let home = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute"), ("elvish", ""), ("powershell", "")]
    {
        let script = text_of(&run(&["completions", shell]), 0);
        for word in ["require-preconditions", "history-days", "restore"] {
            assert!(script.contains(word), "the {shell} script lacks {word}");
        }
        if check.is_empty() {
            continue;
        }
        if !has_program(shell) {
            left_out(&format!("the completion script of {shell}"), &format!("{shell} is not installed"));
            continue;
        }
        let file = home.path().join(shell);
        fs::write(&file, script).unwrap();
        let checked = Command::new(shell).arg(check).arg(&file).run().unwrap();
        assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_manual_page_names_every_option() {
    let page = text_of(&run(&["man"]), 0);
    assert!(page.contains(".TH noclobber 1"), "{}", &page[..200.min(page.len())]);
    for option in cli::command().get_arguments().filter(|option| !option.is_hide_set()) {
        let Some(name) = option.get_long() else { continue };
        let written = name.replace('-', r"\-");
        assert!(page.contains(&format!(r"\-\-{written}")), "the page lacks --{name}");
    }
    assert!(!page.contains("force"), "the page shows what is hidden");
    if !has_program("man") {
        return left_out("the manual page, rendered", "man is not installed");
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("noclobber.1");
    fs::write(&file, &page).unwrap();
    let shown = Command::new("man").args(["--warnings", "-l"]).arg(&file).run().unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("WHERE IT LISTENS"));
}

/// The program, without anything that the surroundings could tell it.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    let set = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NOCLOBBER_"));
    set.for_each(|(name, _)| _ = command.env_remove(name));
    command.env("COLUMNS", "100").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    command().args(words).run().expect("the program can be run")
}

#[track_caller]
fn text_of(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("the program prints UTF-8")
}

/// It ended as bad usage does: with 2, nothing on standard output, and these words.
#[track_caller]
fn assert_told(output: &Output, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty());
    assert!(told.contains(words), "'{words}' is not in: {told}");
}

#[track_caller]
fn compare(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("RENEW_SNAPSHOTS").is_some() {
        fs::write(&file, found).expect("a snapshot can be written");
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, reviewed, "tests/snapshots/{name} says otherwise; RENEW_SNAPSHOTS=1 writes it anew");
}

fn no_variables() -> Vec<(OsString, OsString)> {
    Vec::new()
}

fn read(words: &[&str], variables: &[(&str, &str)]) -> Result<ProgramTask, UsageError> {
    cli::read(words, variables.iter().map(|(name, value)| (name.into(), value.into())))
}

#[track_caller]
fn serve(words: &[&str], variables: &[(&str, &str)]) -> Config {
    match read(words, variables) {
        Ok(ProgramTask::Serve(config)) => *config,
        other => panic!("{words:?} {variables:?}: {other:?}"),
    }
}

#[track_caller]
fn refused(words: &[&str], variables: &[(&str, &str)]) -> String {
    read(words, variables).expect_err("this is bad usage").to_string()
}

/// Writes the settings' file and tells its path.
fn written(home: &tempfile::TempDir, text: &str) -> String {
    let file = home.path().join("noclobber.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}
