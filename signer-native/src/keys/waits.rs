//! How long what an HSM would not do is left alone: one whose user may make no key, or that is full, or that keeps a key which is to be
//! destroyed, says so every time, and each try leaves a row, a row of the audit log and whatever an HSM does that fails.

use std::time::{Duration, Instant};

use super::{registry::RegistryError, rotation::Due};
use crate::hsm::HsmError;

/// The first wait, about the time between two looks at the keys.
const FIRST: Duration = Duration::from_secs(10);
/// The longest one: somebody who has mended it need not wait for a key, as keys are made by command at once.
const LONGEST: Duration = Duration::from_hours(1);
/// The longest one while the HSM is away, which ends by itself.
const LONGEST_AWAY: Duration = Duration::from_mins(1);

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waits(Vec<Wait>);

#[derive(Debug)]
struct Wait {
    due: Due,
    why: RegistryError,
    pause: Duration,
    until: Instant,
}

impl Waits {
    /// The HSM did not do what is due. Gives how long that waits from `moment` on: twice as long as before, unless that was long ago.
    pub(super) fn begin(&mut self, due: &Due, why: &RegistryError, moment: Instant) -> Duration {
        let is_away = matches!(why, RegistryError::Hsm(HsmError::Unavailable(_) | HsmError::Deadline(_)));
        let longest = if is_away { LONGEST_AWAY } else { LONGEST };
        self.0.retain(|wait| moment < wait.until + LONGEST);
        let before = self.0.iter().position(|wait| wait.due == *due).map(|place| self.0.swap_remove(place));
        let pause = before.map_or(FIRST, |before| before.pause.saturating_mul(2).min(longest));
        self.0.push(Wait { due: due.clone(), why: why.clone(), pause, until: moment + pause });
        pause
    }

    /// Why something is left alone for now, if it is.
    pub(super) fn holds(&self, due: &Due, moment: Instant) -> Option<&RegistryError> {
        self.0.iter().find(|wait| wait.due == *due && moment < wait.until).map(|wait| &wait.why)
    }

    /// It was done.
    pub(super) fn end(&mut self, due: &Due) {
        self.0.retain(|wait| wait.due != *due);
    }

    /// Forgets what is not due any more. Whoever made a key, changed the profile so that it needs another one, or called a destruction off, has mended it.
    pub(super) fn retain(&mut self, due: &[Due]) {
        self.0.retain(|wait| due.contains(&wait.due));
    }
}

#[cfg(test)]
mod tests {
    use edgeseal_core::Algorithm;

    use super::*;
    use crate::{
        hsm::KeyId,
        keys::{Command, Purpose, Slot},
    };

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
        let holds = |waits: &Waits, due: &Due, moment| waits.holds(due, moment).is_some();
        let began = Instant::now();
        let (web, app) = (Due::Generate(slot("web")), Due::Generate(slot("app")));
        let mut waits = Waits::default();
        let refused = HsmError::Refused("CKR_DEVICE_MEMORY".to_owned()).into();
        let pauses: Vec<u64> = (0..11).map(|_| waits.begin(&web, &refused, began).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert!(holds(&waits, &web, began + Duration::from_secs(3_599)) && !holds(&waits, &app, began));
        assert!(!holds(&waits, &web, began + LONGEST));
        waits.retain(&[app.clone(), web.clone()]);
        assert!(holds(&waits, &web, began));
        let destroy = Due::Step(KeyId::random().unwrap(), Command::Destroy);
        assert_eq!(waits.begin(&destroy, &refused, began), FIRST);
        assert!(holds(&waits, &destroy, began) && !holds(&waits, &Due::Step(KeyId::random().unwrap(), Command::Destroy), began));
        // The profile wants another key now.
        assert!(!holds(&waits, &Due::Generate(Slot { algorithm: Algorithm::Rs256, ..slot("web") }), began));
        // One that is away comes back by itself.
        let away = HsmError::Unavailable("gone".to_owned()).into();
        assert_eq!(waits.begin(&web, &away, began), LONGEST_AWAY);
        assert_eq!(waits.holds(&web, began), Some(&away));
        waits.retain(&[app]);
        assert!(!holds(&waits, &web, began));
        assert_eq!(waits.begin(&web, &away, began), FIRST);
        assert_eq!(waits.begin(&web, &away, began + FIRST), 2 * FIRST);
        assert_eq!(waits.begin(&web, &away, began + 3 * FIRST + LONGEST), FIRST, "that was another time");
    }
}
