//! What has been written of something for clients, so that it is not written again while nothing about it is otherwise: a few forms of it.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::model::stamp::Timestamp;

/// How many forms are kept: clients of a folder ask for the same in few ways.
const FORMS_MAX: usize = 4;

/// What one form takes besides its bytes.
const FORM_BYTES: usize = 160;

/// The forms that are kept.
#[derive(Debug, Default)]
pub struct KeptForms(Mutex<Vec<KeptForm>>);

#[derive(Debug)]
struct KeptForm {
    /// All that its bytes depend on besides what they tell of.
    form: Box<[u8]>,
    /// When it was written. A clock that was set back makes other dates of it.
    written: Timestamp,
    bytes: Bytes,
}

impl KeptForms {
    /// What was written in this form.
    pub fn find(&self, form: &[u8], now: Timestamp) -> Option<Bytes> {
        let forms = self.0.lock();
        let kept = forms.iter().find(|kept| &*kept.form == form && kept.written <= now)?;
        Some(kept.bytes.clone())
    }

    /// Keeps it, in the place of the oldest if there are many.
    pub fn keep(&self, form: &[u8], bytes: &Bytes, now: Timestamp) {
        let mut forms = self.0.lock();
        forms.retain(|kept| &*kept.form != form);
        if forms.len() == FORMS_MAX {
            forms.remove(0);
        }
        forms.push(KeptForm { form: form.into(), written: now, bytes: bytes.clone() });
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.get_mut().clear();
    }

    /// How much they take, in bytes.
    pub fn weight(&self) -> usize {
        self.0.lock().iter().map(|kept| FORM_BYTES + kept.form.len() + kept.bytes.len()).sum()
    }
}

impl Clone for KeptForms {
    /// What is written of a thing is not that of its copy, which is about to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_found_by_all_that_it_depends_on_until_the_clock_goes_back() {
        let forms = KeptForms::default();
        let at = |seconds| Timestamp::new(seconds, 0);
        forms.keep(b"a", &Bytes::from_static(b"one"), at(10));
        assert_eq!(forms.find(b"a", at(10)).as_deref(), Some(&b"one"[..]));
        assert_eq!(forms.find(b"a", at(9)), None);
        assert_eq!(forms.find(b"b", at(10)), None);
        forms.keep(b"a", &Bytes::from_static(b"two"), at(11));
        assert_eq!(forms.find(b"a", at(11)).as_deref(), Some(&b"two"[..]));
        assert_eq!(forms.clone().find(b"a", at(11)), None);
    }

    #[test]
    fn the_oldest_of_many_forms_goes() {
        let forms = KeptForms::default();
        let now = Timestamp::new(1, 0);
        for form in 0..=FORMS_MAX as u8 {
            forms.keep(&[form], &Bytes::from_static(b"x"), now);
        }
        assert_eq!(forms.find(&[0], now), None);
        assert!((1..=FORMS_MAX as u8).all(|form| forms.find(&[form], now).is_some()));
    }
}
