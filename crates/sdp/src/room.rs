//! The members of a room and who of them hears whom: values that both the call and the media threads
//! know.
//!
//! ```text
//! talking    caller ⇄ agent          warm transfer   caller ◀ music, supervisor ⇄ agent
//! bridged    caller ⇄ callee         conference      everybody ⇄ everybody
//! ```

use std::fmt;

/// A member's place in its room. Legs have the places from 0 on, in the order in which they came in;
/// the agent has the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(u8);

impl Default for Member {
    fn default() -> Self {
        Self::FIRST
    }
}

impl Member {
    /// Places in a room: enough for a caller, a callee, a supervisor, an agent and those to come while
    /// others leave.
    pub const COUNT: usize = 8;
    /// The leg that the call began with.
    pub const FIRST: Self = Self(0);
    /// The agent.
    pub const AGENT: Self = Self(7);

    /// The leg of that place; `None` where a room has no such place for legs.
    #[must_use]
    pub const fn leg(place: usize) -> Option<Self> {
        if place < Self::AGENT.0 as usize { Some(Self(place as u8)) } else { None }
    }

    /// Its place.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// Whether it is the agent.
    #[must_use]
    pub const fn is_agent(self) -> bool {
        self.0 == Self::AGENT.0
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_agent() {
            true => f.write_str("agent"),
            false => write!(f, "leg {}", self.0),
        }
    }
}

/// A set of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Members(u8);

impl Members {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// These.
    #[must_use]
    pub fn of(members: &[Member]) -> Self {
        members.iter().fold(Self::NONE, |set, member| set.with(*member))
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, member: Member) -> Self {
        Self(self.0 | 1 << member.0)
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, member: Member) -> Self {
        Self(self.0 & !(1 << member.0))
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, member: Member) -> bool {
        self.0 & 1 << member.0 != 0
    }

    /// How many.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other, by place.
    pub fn iter(self) -> impl Iterator<Item = Member> {
        (0..Member::COUNT as u8).map(Member).filter(move |member| self.contains(*member))
    }
}

/// Who hears whom. Nobody hears itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hearing([Members; Member::COUNT]);

impl Hearing {
    /// These hear one another; nobody else hears or is heard.
    #[must_use]
    pub fn among(members: Members) -> Self {
        let mut hearing = Self::default();
        for member in members.iter() {
            hearing.set(member, members);
        }
        hearing
    }

    /// Those that a member hears.
    #[must_use]
    pub const fn of(&self, listener: Member) -> Members {
        self.0[listener.place()]
    }

    /// Has a member hear these, itself left out.
    pub const fn set(&mut self, listener: Member, speakers: Members) {
        self.0[listener.place()] = speakers.without(listener);
    }

    /// Those that hear a member.
    #[must_use]
    pub fn listeners(&self, speaker: Member) -> Members {
        let all = (0..Member::COUNT as u8).map(Member);
        all.filter(|who| self.of(*who).contains(speaker)).fold(Members::NONE, Members::with)
    }

    /// One member has the place of another: it hears and is heard as that was.
    pub fn hand_over(&mut self, old: Member, new: Member) {
        for heard in self.0.iter_mut().filter(|heard| heard.contains(old)) {
            *heard = heard.without(old).with(new);
        }
        self.set(new, self.of(old));
        self.set(old, Members::NONE);
    }

    /// Nobody hears this member any more.
    pub fn mute(&mut self, speaker: Member) {
        for heard in &mut self.0 {
            *heard = heard.without(speaker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_talk_hear_one_another_and_not_themselves() {
        let (caller, callee) = (Member::FIRST, Member::leg(1).expect("a place"));
        let all = Members::of(&[caller, callee, Member::AGENT]);
        let mut hearing = Hearing::among(all);
        assert_eq!(hearing.of(caller), Members::of(&[callee, Member::AGENT]));
        assert_eq!(hearing.listeners(Member::AGENT), Members::of(&[caller, callee]));
        hearing.mute(caller);
        assert_eq!(hearing.of(callee), Members::of(&[Member::AGENT]));
        assert_eq!(hearing.of(caller).len(), 2, "who is muted goes on hearing");
        assert_eq!(Member::leg(7), None);
    }

    #[test]
    fn who_has_anothers_place_hears_and_is_heard_as_that_was() {
        let leg = |place| Member::leg(place).expect("a place");
        let mut hearing = Hearing::among(Members::of(&[leg(0), leg(1)]));
        hearing.set(Member::AGENT, Members::of(&[leg(0)]));
        hearing.hand_over(leg(0), leg(2));
        let mut expected = Hearing::among(Members::of(&[leg(2), leg(1)]));
        expected.set(Member::AGENT, Members::of(&[leg(2)]));
        assert_eq!(hearing, expected);
    }
}
