//! The pass phrase of the guest: words that are easily read out, remembered and typed on a phone. It is made by chance, and where it was asked for
//! it is kept in a file that nobody but its owner may read.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use bip39::Language;

use super::state;
use crate::config::{Config, PassPhrase, WrongSetting};
use crate::os::{private_file, random};

/// How many words it has: with one of 2048 for each that is 55 bits, and guessing is slowed besides.
const WORDS: usize = 5;

/// How many bits one word is worth.
const BITS: usize = 11;

/// The file that it is kept in.
const FILE: &str = "pass-phrase";

/// The pass phrase of this run.
///
/// # Errors
/// [`WrongSetting`] where what is kept is none, or is not kept well; what the disk says.
pub(super) fn pass_phrase(config: &Config, which: &PassPhrase) -> anyhow::Result<String> {
    match which {
        PassPhrase::OfThisRun => Ok(made(u128::from_le_bytes(random::bytes()))),
        PassPhrase::Kept(beneath) => kept(&state::lan_folder(config, beneath.as_deref())?.join(FILE)),
    }
}

/// The words that these bits choose.
fn made(bits: u128) -> String {
    let list = Language::English.word_list();
    let word = |at: usize| list[(bits >> (BITS * at)) as usize % list.len()];
    (0..WORDS).map(word).collect::<Vec<_>>().join("-")
}

/// The one in this file, which is made if it is not there.
fn kept(file: &Path) -> anyhow::Result<String> {
    let wrong = |why: &str| Err(WrongSetting(format!("the pass phrase in {} {why}", file.display())).into());
    match private_file::read(file) {
        Ok(found) if found.is_open_to_others => {
            wrong("can be read by others than its owner: remove the file, and another one is made")
        }
        Ok(found) => match str::from_utf8(&found.bytes).map(str::trim) {
            Ok(text) if is_one(text) => Ok(text.to_owned()),
            _ => wrong("is none that was made here: remove the file, and another one is made"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let cannot_keep = || format!("cannot keep the pass phrase in {}", file.display());
            let phrase = made(u128::from_le_bytes(random::bytes()));
            private_file::make_folder(file.parent().unwrap_or(Path::new("."))).with_context(cannot_keep)?;
            private_file::write(file, phrase.as_bytes()).with_context(cannot_keep)?;
            Ok(phrase)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read the pass phrase in {}", file.display())),
    }
}

/// Whether this is what [`made`] makes. A shorter one would be guessed.
fn is_one(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    words.len() == WORDS && words.iter().all(|word| Language::English.word_list().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let bits = WORDS * BITS;
        assert!(bits >= 50 && Language::English.word_list().len() == 1 << BITS);
        let phrases: std::collections::HashSet<_> = (0..bits).map(|bit| made(1 << bit)).chain([made(0)]).collect();
        assert_eq!(phrases.len(), bits + 1);
        assert!(phrases.iter().all(|phrase| is_one(phrase)));
        assert_eq!(made(0), "abandon-abandon-abandon-abandon-abandon");
    }

    #[test]
    fn what_is_kept_stays_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("lan/pass-phrase");
        let phrase = kept(&file).expect("made");
        assert_eq!(kept(&file).expect("read"), phrase);
        for wrong in ["", "abandon", "a-b-c-d-e", "\u{fffd}"] {
            private_file::write(&file, wrong.as_bytes()).expect("written");
            let error = kept(&file).expect_err("no pass phrase");
            assert!(error.downcast_ref::<WrongSetting>().is_some(), "{error}");
        }
    }
}
