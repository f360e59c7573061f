//! Rules by path: who may do what, and where. Of the rules that concern somebody, the one of the most specific path holds, and of those the one of
//! the most specific who.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::grants::Grants;
use super::path::{PathError, SharePath};
use super::principal::Principal;
use super::rights::Rights;

/// What stands for the user's name in the path of a rule.
const USER: &str = "{user}";

/// The path of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RulePath(Box<str>);

/// Whom a rule concerns; the later ones are more specific.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// Everybody, whether or not they have said who they are.
    Everybody,
    /// Whoever has signed in.
    SignedIn,
    /// The members of a group.
    Group(Arc<str>),
    /// One user.
    User(Arc<str>),
}

/// A rule: at a path, somebody has these rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub path: RulePath,
    /// For whom.
    pub who: Who,
    /// What they may do.
    pub rights: Rights,
    /// The line that says so, from 1 on; `None` if none does.
    pub line: Option<usize>,
}

/// Somebody, and the groups that they are in.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Who it is.
    pub principal: &'a Principal,
    /// The groups.
    pub groups: &'a [Arc<str>],
}

/// The path of a rule that leads nowhere in the share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRulePath {
    /// It does not begin at the top of the share.
    #[error("the path of a rule begins with a slash, which is the folder that is shared")]
    Relative,
    /// It is no path in the share.
    #[error("the path is not one in the folder that is shared: {0}")]
    NotInShare(#[from] PathError),
}

impl FromStr for RulePath {
    type Err = BadRulePath;

    fn from_str(text: &str) -> Result<Self, BadRulePath> {
        let inside = text.strip_prefix('/').ok_or(BadRulePath::Relative)?;
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        SharePath::parse_disk(inside.replace(USER, "user").as_bytes())?;
        Ok(Self(inside.into()))
    }
}

impl fmt::Display for RulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl RulePath {
    /// The top of the share.
    pub fn top() -> Self {
        Self("".into())
    }

    /// The path for this principal; `None` where it takes a name, and they have none.
    fn of(&self, principal: &Principal) -> Option<SharePath> {
        let path = match principal {
            Principal::Named(name) => SharePath::parse_disk(self.0.replace(USER, name).as_bytes()),
            Principal::Anonymous | Principal::Link(_) if self.is_for_each_user() => return None,
            Principal::Anonymous | Principal::Link(_) => SharePath::parse_disk(self.0.as_bytes()),
        };
        path.ok()
    }

    fn is_for_each_user(&self) -> bool {
        self.0.contains(USER)
    }
}

impl Who {
    fn concerns(&self, member: Member<'_>) -> bool {
        match (self, member.principal) {
            (Self::Everybody, _) | (Self::SignedIn, Principal::Named(_)) => true,
            (Self::Group(group), Principal::Named(_)) => member.groups.contains(group),
            (Self::User(user), Principal::Named(name)) => user == name,
            (Self::SignedIn | Self::Group(_) | Self::User(_), Principal::Anonymous | Principal::Link(_)) => false,
        }
    }

    fn specificity(&self) -> u8 {
        match self {
            Self::Everybody => 0,
            Self::SignedIn => 1,
            Self::Group(_) => 2,
            Self::User(_) => 3,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::SignedIn => f.write_str("signed-in"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("everybody", _) => Ok(Self::Everybody),
            ("signed-in", _) => Ok(Self::SignedIn),
            (_, Some(("group", group))) if !group.is_empty() => Ok(Self::Group(group.into())),
            (_, Some(("user", user))) if !user.is_empty() => Ok(Self::User(user.into())),
            _ => Err(format!(
                "'{}' is nobody: everybody, signed-in, user:NAME or group:NAME is wanted",
                text.escape_default()
            )),
        }
    }
}

impl Rule {
    /// How much it prevails over another one of the same path: by whom it concerns, and then by whether the path is written out.
    fn precedence(&self) -> (u8, bool) {
        (self.who.specificity(), !self.path.is_for_each_user())
    }
}

/// What these rules give to somebody. Several groups that they are in give what each of them gives.
pub fn grants(rules: &[Rule], member: Member<'_>) -> Grants {
    let mut best: HashMap<SharePath, ((u8, bool), Rights)> = HashMap::new();
    for rule in rules.iter().filter(|rule| rule.who.concerns(member)) {
        let Some(path) = rule.path.of(member.principal) else { continue };
        match best.entry(path) {
            Entry::Vacant(free) => {
                free.insert((rule.precedence(), rule.rights));
            }
            Entry::Occupied(mut there) => {
                let (precedence, rights) = *there.get();
                match rule.precedence().cmp(&precedence) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => *there.get_mut() = (precedence, rights | rule.rights),
                    std::cmp::Ordering::Greater => *there.get_mut() = (rule.precedence(), rule.rights),
                }
            }
        }
    }
    Grants::by_path(best.into_iter().map(|(path, (_, rights))| (path, rights)))
}

/// The rules that decide what somebody may do at a path; none if no rule speaks of it.
pub fn deciding<'r>(rules: &'r [Rule], member: Member<'_>, path: &SharePath) -> Vec<&'r Rule> {
    let depth = |rule: &Rule| {
        let place = rule.path.of(member.principal)?;
        path.is_within(&place).then(|| place.names().count())
    };
    let concerned = rules.iter().filter(|rule| rule.who.concerns(member));
    let ranked: Vec<_> = concerned.filter_map(|rule| Some(((depth(rule)?, rule.precedence()), rule))).collect();
    let Some(best) = ranked.iter().map(|(rank, _)| *rank).max() else { return Vec::new() };
    ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, rule)| rule).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "ann", "{user}"];

    fn rule_path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..4)
            .prop_map(|names| format!("/{}", names.join("/")))
    }

    fn who() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["everybody", "signed-in", "group:g", "group:h", "user:ann", "user:bob"])
    }

    fn rules() -> impl Strategy<Value = Vec<Rule>> {
        let rule = (rule_path(), who(), any::<u8>()).prop_map(|(path, who, rights)| Rule {
            path: path.parse().expect("a path"),
            who: who.parse().expect("somebody"),
            rights: Rights::from_bits_truncate(rights),
            line: None,
        });
        let once = |mut rules: Vec<Rule>| {
            let mut said = std::collections::HashSet::new();
            rules.retain(|rule| said.insert((rule.path.clone(), rule.who.clone())));
            rules
        };
        prop::collection::vec(rule, 0..12).prop_map(once)
    }

    /// The reference: of the rules that concern somebody, those of the longest path, and of these those of the most specific who.
    fn by_reference(rules: &[Rule], name: Option<&str>, groups: &[&str], path: &str) -> Rights {
        let who = |rule: &Rule| match rule.who.to_string().split_once(':') {
            None => (rule.who == Who::Everybody || name.is_some()).then_some(u8::from(rule.who != Who::Everybody)),
            Some(("group", group)) => (name.is_some() && groups.contains(&group)).then_some(2),
            Some((_, user)) => (name == Some(user)).then_some(3),
        };
        let place = |rule: &Rule| {
            let place = rule.path.to_string();
            if name.is_none() && place.contains(USER) {
                None
            } else {
                Some(place.replace(USER, name.unwrap_or_default()))
            }
        };
        let is_in = |place: &str| place == "/" || path == place || path.starts_with(&format!("{place}/"));
        let rank = |rule: &Rule| {
            let place = place(rule).filter(|place| is_in(place))?;
            let written_out = !rule.path.to_string().contains(USER);
            Some((place.len(), who(rule)?, written_out))
        };
        let best = rules.iter().filter_map(rank).max();
        rules
            .iter()
            .filter(|rule| best.is_some() && rank(rule) == best)
            .fold(Rights::empty(), |all, rule| all | rule.rights)
    }

    proptest! {
        #[test]
        fn random_rules_give_what_the_reference_says(rules in rules(), path in rule_path(), who in 0..3usize) {
            let (name, groups): (Option<&str>, &[&str]) = [(None, &[][..]), (Some("ann"), &["g", "h"]), (Some("bob"), &["g"])][who];
            let path = path.replace(USER, "ann");
            let principal = name.map_or(Principal::Anonymous, Principal::named);
            let groups_of: Vec<Arc<str>> = groups.iter().map(|group| Arc::from(*group)).collect();
            let member = Member { principal: &principal, groups: &groups_of };
            let inside = SharePath::parse_disk(path.trim_start_matches('/').as_bytes()).expect("a path");
            let grants = grants(&rules, member);
            let expected = by_reference(&rules, name, groups, &path);
            prop_assert_eq!(grants.at(&inside), expected);
            let deciding = deciding(&rules, member, &inside);
            prop_assert_eq!(deciding.iter().fold(Rights::empty(), |all, rule| all | rule.rights), expected);
            // What holds throughout holds at every path below, also where names are spelt otherwise.
            let throughout = grants.throughout(&inside);
            for name in ["a", "b", "ann", "A", "Ann", "c"] {
                let below = inside.join(&super::super::path::Name::new(name.as_bytes()).expect("a name"));
                prop_assert!(grants.at(&below).contains(throughout));
                let folded = SharePath::parse_disk(&below.folded()).expect("a path");
                prop_assert!(grants.at(&folded).contains(grants.at(&below)), "another spelling gives no more");
            }
        }
    }

    #[test]
    fn a_name_that_some_file_system_takes_for_another_has_what_both_give() {
        let rule =
            |path: &str, rights| Rule { path: path.parse().expect("a path"), who: Who::Everybody, rights, line: None };
        let rules = [
            rule("/", Rights::LOOK),
            rule("/secret", Rights::empty()),
            rule("/open", Rights::all()),
            rule("/Über", Rights::empty()),
        ];
        let grants = grants(&rules, Member { principal: &Principal::Anonymous, groups: &[] });
        let at = |path: &str| grants.at(&SharePath::parse_disk(path.as_bytes()).expect("a path"));
        for spelling in
            ["secret", "SECRET", "Secret/x", "secret.", "se\u{200b}cret", "\u{ff53}ecret", "U\u{308}ber", "über/a"]
        {
            assert_eq!(at(spelling), Rights::empty(), "{spelling}");
        }
        assert_eq!((at("open"), at("OPEN"), at("other")), (Rights::all(), Rights::LOOK, Rights::LOOK));
    }
}
