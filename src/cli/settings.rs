//! Settings from variables and from the file: each becomes words of the command line, so that all three are read in one way.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::CommandFactory;
use clap::builder::ArgAction;
use toml::Spanned;

use super::args::Cli;
use super::usage_error::UsageError;
use crate::access;

/// What every variable begins with; the rest is the option's name in capitals, with `_` for `-`.
const VARIABLE: &str = "NOCLOBBER_";

/// The one setting that is not an option: on the command line it is the word without a name.
pub(super) const FOLDER: &str = "folder";

/// The settings whose numbers are octal.
const OCTAL: [&str; 3] = ["umask", "file-mode", "dir-mode"];

/// A setting from the file or from a variable, not yet looked into.
pub(super) struct Setting {
    /// The option without its dashes.
    pub(super) name: String,
    pub(super) values: Vec<OsString>,
}

impl Setting {
    /// The setting as words of the command line; none for a flag that is off, and none for the folder.
    pub(super) fn words(&self) -> Vec<OsString> {
        if self.name == FOLDER {
            return Vec::new();
        }
        let option = |value: &OsString| {
            let mut word = OsString::from(format!("--{}=", self.name));
            word.push(value);
            word
        };
        match may_stand_alone(&self.name) {
            true if self.values == ["true"] => vec![format!("--{}", self.name).into()],
            true if self.values == ["false"] => Vec::new(),
            _ => self.values.iter().map(option).collect(),
        }
    }

    /// Asks the parser of the command line what it thinks of this setting alone; `place` says where it stands.
    fn checked(self, place: &str) -> Result<Self, UsageError> {
        let words = std::iter::once(OsString::from("noclobber")).chain(self.words());
        match Cli::command().try_get_matches_from(words) {
            Ok(_) => Ok(self),
            Err(error) => Err(UsageError::Setting(format!("{place}: {}", reason(&error)))),
        }
    }
}

/// What clap says, without its "error:" and without the usage behind it, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    lines.join(" ")
}

/// The id that clap gives to an option.
pub(super) fn id_of(name: &str) -> String {
    name.replace('-', "_")
}

fn option_of(name: &str) -> Option<clap::Arg> {
    Cli::command().get_arguments().find(|argument| argument.get_long() == Some(name)).cloned()
}

fn is_flag(name: &str) -> bool {
    option_of(name).is_some_and(|option| matches!(option.get_action(), ArgAction::SetTrue))
}

/// Whether the option may be given without a value.
fn may_stand_alone(name: &str) -> bool {
    let takes_none = |option: &clap::Arg| option.get_num_args().is_some_and(|count| count.min_values() == 0);
    is_flag(name) || option_of(name).is_some_and(|option| takes_none(&option))
}

fn is_list(name: &str) -> bool {
    option_of(name).is_some_and(|option| matches!(option.get_action(), ArgAction::Append))
}

/// The value of a variable; an empty one counts as not set.
pub(super) fn variable<'a>(variables: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a OsStr> {
    variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
}

/// The settings that variables make, and a warning for each that makes none.
///
/// An unknown one does not stop the start: a container's surroundings set variables of their own for everything that is
/// called `noclobber` (`NOCLOBBER_PORT`, `NOCLOBBER_SERVICE_HOST`).
pub(super) fn settings_of_variables(
    variables: &BTreeMap<OsString, OsString>,
) -> Result<(Vec<Setting>, Vec<String>), UsageError> {
    let (mut settings, mut warnings) = (Vec::new(), Vec::new());
    for (variable, value) in variables {
        let Some(end) = variable.to_str().and_then(|text| text.strip_prefix(VARIABLE)) else { continue };
        let name = end.to_ascii_lowercase().replace('_', "-");
        let is_known = name == FOLDER || option_of(&name).is_some();
        if !is_known || end != end.to_ascii_uppercase() {
            warnings.push(format!("{VARIABLE}{} is not the name of a setting; it is ignored", end.escape_default()));
            continue;
        }
        if value.is_empty() || name == "config" {
            continue;
        }
        let place = format!("{VARIABLE}{end}");
        let values = values_of_variable(&name, value).map_err(|why| UsageError::Setting(format!("{place}: {why}")))?;
        settings.push(Setting { name, values }.checked(&place)?);
    }
    Ok((settings, warnings))
}

fn values_of_variable(name: &str, value: &OsStr) -> Result<Vec<OsString>, String> {
    if is_flag(name) {
        return match value.to_str() {
            Some("true" | "1") => Ok(vec!["true".into()]),
            Some("false" | "0") => Ok(vec!["false".into()]),
            _ => Err(format!("'{}' is neither true nor false", value.display())),
        };
    }
    match value.to_str() {
        Some("true" | "1") if may_stand_alone(name) => Ok(vec!["true".into()]),
        Some("false" | "0") if may_stand_alone(name) => Ok(vec!["false".into()]),
        Some(list) if is_list(name) => {
            Ok(list.split([',', ' ']).filter(|item| !item.is_empty()).map(OsString::from).collect())
        }
        _ => Ok(vec![value.to_owned()]),
    }
}

/// The settings of a file; an error names the file and the line.
pub(super) fn settings_of_file(path: &Path) -> Result<Vec<Setting>, UsageError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| UsageError::Setting(format!("cannot read {}: {error}", path.display())))?;
    let place = |at: usize| {
        let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", path.display())
    };
    let keys: BTreeMap<Spanned<String>, Spanned<toml::Value>> = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        UsageError::Setting(format!("{}: {}", place(at), error.message()))
    })?;
    let settings = keys.into_iter().filter(|(key, value)| !is_about_users(key.get_ref(), value.get_ref()));
    settings.map(|(key, value)| setting_of_key(&key, &value, place(key.span().start))).collect()
}

/// Whether a file of settings holds users or rules, too.
pub(super) fn holds_users(path: &Path) -> bool {
    let tables = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    tables.is_some_and(|tables| tables.iter().any(|(key, value)| is_about_users(key, value)))
}

/// Whether a key is about who may come in, and no setting. `users` may be the name of another file.
fn is_about_users(key: &str, value: &toml::Value) -> bool {
    access::file::TABLES.contains(&key) && !value.is_str()
}

fn setting_of_key(key: &Spanned<String>, value: &Spanned<toml::Value>, place: String) -> Result<Setting, UsageError> {
    let name = key.get_ref();
    let wrong = |why: String| UsageError::Setting(format!("{place}: {why}"));
    if name == "config" {
        return Err(wrong("the file cannot name another file".to_owned()));
    }
    if name != FOLDER && option_of(name).is_none() {
        let why = format!("'{}' is not the name of a setting; 'noclobber --help' lists them", name.escape_default());
        return Err(wrong(why));
    }
    let values = match value.get_ref() {
        toml::Value::Boolean(on) if may_stand_alone(name) => vec![on.to_string().into()],
        _ if is_flag(name) => return Err(wrong(format!("'{name}' is either true or false, without quotes"))),
        toml::Value::Array(items) if is_list(name) => {
            let texts = items.iter().map(|item| item.as_str().map(OsString::from));
            texts.collect::<Option<_>>().ok_or_else(|| wrong(format!("'{name}' is a list of texts in quotes")))?
        }
        toml::Value::String(text) => vec![text.into()],
        // What TOML writes as a number in octal would arrive in decimal.
        toml::Value::Integer(_) if OCTAL.contains(&&**name) => {
            return Err(wrong(format!("'{name}' is a text in quotes, like \"0640\"")));
        }
        toml::Value::Integer(number) => vec![number.to_string().into()],
        other => return Err(wrong(format!("'{name}' cannot be {}", indefinite(other)))),
    };
    Setting { name: name.clone(), values }.checked(&place)
}

fn indefinite(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a text",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a number with a point",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}
