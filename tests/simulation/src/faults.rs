//! What is wrong with the sources in some kinds of worlds, for longer than outages last.
//!
//! It has random numbers of its own: nothing else in a world depends on it.

mod lapses;

use std::ops::Range;

use base::database::ClusterMember;
use fastrand::Rng;
use reconcile::claim::Role;

use crate::database::{Change, Database, Host, What};
use crate::dice::{Dice, Moment, SECOND, Topic, chance};
use crate::distributions::faults as d;
use crate::kinds::Kind;

pub(crate) use lapses::{Lapses, Shut};

/// What is wrong in a world.
#[derive(Debug, Default)]
pub struct Faults {
    /// When no name is answered at all.
    silences: Vec<Range<Moment>>,
    /// What the second name server is like, where there are two.
    second: Option<Second>,
    /// Whether each description of the group takes long.
    pub(crate) is_group_slow: bool,
    /// The member whose name leads nowhere, and how that shows.
    unresolved: Option<(usize, Served)>,
    /// When the RDS API flags two members as the writer, or none.
    flags: Vec<(Range<Moment>, Flags)>,
    /// What the databases do after a switchover.
    grudges: Vec<Grudge>,
    /// What they do by themselves.
    pub(crate) lapses: Lapses,
}

/// The second of two name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// It says of every name that it does not exist.
    KnowsNothing,
    /// Its answers are so old.
    Outdated(Moment),
}

/// What a name server does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It answers what was true then.
    AsOf(Moment),
    /// It is silent.
    Silent,
    /// It fails.
    Fails,
    /// It says that there is no such name.
    NoSuchName,
}

impl Served {
    /// Whether no other name server is asked after it.
    pub(crate) fn is_answer(self) -> bool {
        matches!(self, Served::AsOf(_) | Served::NoSuchName)
    }
}

/// Whom the RDS API flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flags {
    /// The old and the new writer.
    Two([usize; 2]),
    /// Nobody.
    None,
}

/// What the databases do after a switchover.
#[derive(Debug)]
struct Grudge {
    blue: Host,
    /// Until then blue says that it takes writes.
    blue_until: Moment,
    green: Vec<Host>,
    /// Until then green lets nobody in.
    green_until: Moment,
    from: Moment,
}

impl Faults {
    /// What is wrong in a world of this kind.
    pub(crate) fn new(kind: Kind, database: &Database, dice: Dice) -> Faults {
        let rng = &mut dice.of(Topic::Fault, [0; 3]);
        let none = Faults::default();
        match kind {
            Kind::HangingDns => Faults { silences: around(database, rng, d::hang), ..none },
            Kind::TwoDnsServers => {
                let second = match chance(rng, d::KNOWS_NOTHING) {
                    true => Second::KnowsNothing,
                    false => Second::Outdated(d::staleness(rng)),
                };
                Faults {
                    second: Some(second),
                    silences: around(database, rng, d::server_hang),
                    ..none
                }
            }
            Kind::SlowDescriptions => Faults { is_group_slow: true, ..none },
            Kind::UnresolvedMember => {
                let served =
                    if chance(rng, d::UNANSWERED) { Served::Silent } else { Served::NoSuchName };
                Faults { unresolved: Some((rng.usize(..database.members.len()), served)), ..none }
            }
            Kind::UnclearReaders if database.is_secondary => {
                Faults { flags: vec![(0..Moment::MAX, Flags::None)], ..none }
            }
            Kind::UnclearWriter | Kind::UnclearReaders => {
                Faults { flags: flags(database, rng), ..none }
            }
            Kind::BlueTakesWrites => Faults { grudges: grudges(database, rng), ..none },
            Kind::Path => Faults { lapses: Lapses::new(database, rng), ..none },
            _ => none,
        }
    }

    /// From here on nothing is wrong that ever ends.
    pub(crate) fn over(&self) -> Moment {
        let ends = self.silences.iter().map(|silence| silence.end);
        let ends = ends.chain(self.flags.iter().map(|(range, _)| range.end));
        let ends = ends.chain(self.lapses.ends());
        let ends = ends
            .chain(self.grudges.iter().flat_map(|grudge| [grudge.blue_until, grudge.green_until]));
        let stale = match self.second {
            Some(Second::Outdated(by)) => by,
            _ => 0,
        };
        ends.filter(|until| *until < Moment::MAX).max().unwrap_or(0) + stale
    }

    /// How many name servers the function has.
    pub(crate) fn servers(&self) -> usize {
        if self.second.is_some() { 2 } else { 1 }
    }

    /// What a name server does with a question.
    pub(crate) fn serve(&self, dice: Dice, server: usize, at: Moment) -> Served {
        let is_silent = self.silences.iter().any(|silence| silence.contains(&at));
        match (server, self.second) {
            (0, _) if is_silent => Served::Silent,
            (0, Some(_))
                if chance(&mut dice.of(Topic::Fault, [1, at / SECOND, 0]), d::SERVER_FAILS) =>
            {
                Served::Fails
            }
            (0, _) | (_, None) => Served::AsOf(at),
            (_, Some(Second::KnowsNothing)) => Served::NoSuchName,
            (_, Some(Second::Outdated(by))) => Served::AsOf(at.saturating_sub(by)),
        }
    }

    /// What becomes of a question for a member's name if it leads nowhere.
    pub(crate) fn nowhere(&self, member: usize) -> Option<Served> {
        self.unresolved.filter(|(unresolved, _)| *unresolved == member).map(|(_, served)| served)
    }

    /// The moments of which the name servers that answer now speak.
    pub(crate) fn answered_moments(&self, dice: Dice, now: Moment) -> impl Iterator<Item = Moment> {
        (0..self.servers()).filter_map(move |server| match self.serve(dice, server, now) {
            Served::AsOf(moment) => Some(moment),
            _ => None,
        })
    }

    /// Whether the RDS API flags one member as the writer.
    pub(crate) fn is_flag_clear(&self, at: Moment) -> bool {
        self.flagged(at).is_none()
    }

    /// Whether the RDS API's answer leads to one writer.
    pub(crate) fn names_writer(&self, database: &Database, at: Moment) -> bool {
        self.is_flag_clear(at) && self.nowhere(database.writer_by_topology(at)).is_none()
    }

    /// Flags as the RDS API does.
    pub(crate) fn flag(&self, members: &mut [ClusterMember], known: &Database, at: Moment) {
        let Some(flags) = self.flagged(at) else { return };
        for member in members {
            let number = known.members.iter().position(|known| known.id == member.id);
            member.is_writer = match flags {
                Flags::None => false,
                Flags::Two(two) => number.is_some_and(|number| two.contains(&number)),
            };
        }
    }

    /// What a database says instead of what it would say, after a switchover that went wrong.
    pub(crate) fn role(&self, host: Host, role: Option<Role>, at: Moment) -> Option<Role> {
        if self.insists(host, at) {
            return Some(Role::Writer);
        }
        let is_shut = |grudge: &Grudge| {
            grudge.green.contains(&host) && (grudge.from..grudge.green_until).contains(&at)
        };
        role.filter(|_| !self.grudges.iter().any(is_shut) && self.lapses.shut(host, at).is_none())
    }

    /// As [`Faults::role`], in a session of its own.
    pub(crate) fn role_anew(&self, host: Host, role: Option<Role>, at: Moment) -> Option<Role> {
        match self.lapses.is_relapsed(host, at) {
            true => Some(Role::Writer),
            false => self.role(host, role, at),
        }
    }

    /// Whether the database of this host says that it takes writes, whatever has become of it.
    pub(crate) fn insists(&self, host: Host, at: Moment) -> bool {
        self.grudges
            .iter()
            .any(|grudge| grudge.blue == host && (grudge.from..grudge.blue_until).contains(&at))
    }

    /// Whether any database does for good.
    pub(crate) fn is_disputed(&self) -> bool {
        self.grudges.iter().any(|grudge| grudge.blue_until == Moment::MAX)
    }

    /// What is wrong, in words for a trace.
    pub(crate) fn story(&self, database: &Database) -> Vec<(Moment, String)> {
        let name = |host: Host| database.hosts[host].0;
        let mut story = Vec::new();
        let mut tell = |from: Moment, until: Moment, what: String| {
            story.push((from, format!("world     {what}")));
            if until < Moment::MAX {
                story.push((until, format!("world     it is over that {what}")));
            }
        };
        for silence in &self.silences {
            tell(silence.start, silence.end, "the first name server is silent".to_owned());
        }
        if let Some(second) = self.second {
            tell(0, Moment::MAX, format!("there is a second name server: {second:?}"));
        }
        if let Some((member, served)) = self.unresolved {
            tell(
                0,
                Moment::MAX,
                format!("the name of {} leads nowhere: {served:?}", database.members[member].id),
            );
        }
        for (range, flags) in &self.flags {
            tell(range.start, range.end, format!("the RDS API flags {flags:?}"));
        }
        for grudge in self.grudges.iter().filter(|grudge| grudge.from < grudge.blue_until) {
            tell(
                grudge.from,
                grudge.blue_until,
                format!("{} says that it takes writes", name(grudge.blue)),
            );
        }
        for grudge in self.grudges.iter().filter(|grudge| grudge.from < grudge.green_until) {
            let green: Vec<String> =
                grudge.green.iter().map(|host| name(*host).to_string()).collect();
            tell(grudge.from, grudge.green_until, format!("{} let nobody in", green.join(", ")));
        }
        for (range, what) in self.lapses.told(database) {
            tell(range.start, range.end, what);
        }
        story
    }

    fn flagged(&self, at: Moment) -> Option<Flags> {
        self.flags.iter().rev().find(|(range, _)| range.contains(&at)).map(|(_, flags)| *flags)
    }
}

/// What may happen around each change of the database, in milliseconds from its begin.
fn around(
    database: &Database,
    rng: &mut Rng,
    draw: fn(&mut Rng) -> Option<Range<i64>>,
) -> Vec<Range<Moment>> {
    let moment = |change: &Change, offset: i64| change.started.saturating_add_signed(offset);
    let drawn = database.changes.iter().filter_map(|change| draw(rng).map(|range| (change, range)));
    drawn.map(|(change, Range { start, end })| moment(change, start)..moment(change, end)).collect()
}

fn flags(database: &Database, rng: &mut Rng) -> Vec<(Range<Moment>, Flags)> {
    let member = |host: Host| database.hosts[host].1;
    let mut flags = Vec::new();
    for change in database.changes.iter().filter(|change| change.what == What::Failover) {
        let kind = match rng.f64() {
            x if x < d::FLAGGED => Flags::Two([member(change.from), member(change.to)]),
            x if x < 2.0 * d::FLAGGED => Flags::None,
            _ => continue,
        };
        let from = change.started + (change.moved - change.started) / 2;
        flags.push((from..change.topology.max(change.moved) + d::flags_clear(rng), kind));
    }
    flags
}

fn grudges(database: &Database, rng: &mut Rng) -> Vec<Grudge> {
    let mut grudges = Vec::new();
    for change in
        database.changes.iter().filter(|change| matches!(change.what, What::Switchover { .. }))
    {
        let mut until = |chance_of_it: f64| match chance(rng, chance_of_it) {
            true => d::stubbornness(rng).map_or(Moment::MAX, |time| change.moved + time),
            false => change.started,
        };
        let (blue_until, green_until) = (until(d::BLUE_TAKES_WRITES), until(d::GREEN_REFUSES));
        let (blue, green, from) = (change.from, change.replaced.clone(), change.started);
        grudges.push(Grudge { blue, blue_until, green, green_until, from });
    }
    grudges
}
