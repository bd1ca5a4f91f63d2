//! How long rotation leaves a slot alone for which no key could be made: an HSM whose user may make none, or that is full, says
//! so every time, and each try leaves a row, a row of the audit log and whatever an HSM does that fails.

use std::time::{Duration, Instant};

use super::{Slot, registry::RegistryError, rotation::Due};
use crate::hsm::HsmError;

/// The first wait, about the time between two looks at the keys.
const FIRST: Duration = Duration::from_secs(10);
/// The longest one: somebody who has mended it need not wait, as keys are made by command at once.
const LONGEST: Duration = Duration::from_hours(1);
/// The longest one while the HSM is away, which ends by itself.
const LONGEST_AWAY: Duration = Duration::from_mins(1);

/// The slots that wait.
#[derive(Debug, Default)]
pub(super) struct Waits(Vec<Wait>);

#[derive(Debug)]
struct Wait {
    slot: Slot,
    why: RegistryError,
    pause: Duration,
    until: Instant,
}

impl Waits {
    /// No key could be made for a slot. Gives how long it waits from `moment` on: twice as long as before, unless that was long ago.
    pub(super) fn begin(&mut self, slot: &Slot, why: &RegistryError, moment: Instant) -> Duration {
        let is_away = matches!(why, RegistryError::Hsm(HsmError::Unavailable(_) | HsmError::Deadline(_)));
        let longest = if is_away { LONGEST_AWAY } else { LONGEST };
        self.0.retain(|wait| moment < wait.until + LONGEST);
        let before = self.0.iter().position(|wait| wait.slot == *slot).map(|place| self.0.swap_remove(place));
        let pause = before.map_or(FIRST, |before| before.pause.saturating_mul(2).min(longest));
        self.0.push(Wait { slot: slot.clone(), why: why.clone(), pause, until: moment + pause });
        pause
    }

    /// Whether something is left alone for now.
    pub(super) fn hold(&self, due: &Due, moment: Instant) -> bool {
        matches!(due, Due::Generate(slot) if self.holds(slot, moment).is_some())
    }

    /// Why a slot is left alone for now, if it is.
    pub(super) fn holds(&self, slot: &Slot, moment: Instant) -> Option<&RegistryError> {
        self.0.iter().find(|wait| wait.slot == *slot && moment < wait.until).map(|wait| &wait.why)
    }

    /// A key was made.
    pub(super) fn end(&mut self, slot: &Slot) {
        self.0.retain(|wait| wait.slot != *slot);
    }

    /// Forgets slots that need no key any more, or another kind of key: whoever made one, or changed the profile, has mended it.
    pub(super) fn retain(&mut self, due: &[Due]) {
        self.0.retain(|wait| due.iter().any(|due| matches!(due, Due::Generate(slot) if *slot == wait.slot)));
    }
}

#[cfg(test)]
mod tests {
    use edgeseal_core::Algorithm;

    use super::*;
    use crate::keys::Purpose;

    fn slot(profile: &str) -> Slot {
        Slot {
            purpose: Purpose::Token,
            issuer: String::new(),
            profile: profile.to_owned(),
            agent: None,
            algorithm: Algorithm::Es256,
            rsa_bits: 0,
            max_lifetime: 3_600,
            rotate_after: None,
            publish_ahead: 0,
            valid_for: None,
        }
    }

    #[test]
    fn a_wait_doubles_up_to_an_hour_and_ends_with_what_it_waited_for() {
        let began = Instant::now();
        let (web, app) = (Due::Generate(slot("web")), Due::Generate(slot("app")));
        let mut waits = Waits::default();
        let refused = HsmError::Refused("CKR_DEVICE_MEMORY".to_owned()).into();
        let pauses: Vec<u64> = (0..11).map(|_| waits.begin(&slot("web"), &refused, began).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert!(waits.hold(&web, began + Duration::from_secs(3_599)) && !waits.hold(&app, began));
        assert!(!waits.hold(&web, began + LONGEST));
        waits.retain(&[app.clone(), web.clone()]);
        assert!(waits.hold(&web, began));
        // The profile wants another key now.
        assert!(!waits.hold(&Due::Generate(Slot { algorithm: Algorithm::Rs256, ..slot("web") }), began));
        // One that is away comes back by itself.
        let away = HsmError::Unavailable("gone".to_owned()).into();
        assert_eq!(waits.begin(&slot("web"), &away, began), LONGEST_AWAY);
        assert_eq!(waits.holds(&slot("web"), began), Some(&away));
        waits.retain(&[app]);
        assert!(!waits.hold(&web, began));
        assert_eq!(waits.begin(&slot("web"), &away, began), FIRST);
        assert_eq!(waits.begin(&slot("web"), &away, began + FIRST), 2 * FIRST);
        assert_eq!(waits.begin(&slot("web"), &away, began + 3 * FIRST + LONGEST), FIRST, "that was another time");
    }
}
