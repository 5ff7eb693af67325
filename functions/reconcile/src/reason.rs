//! The reason of a verdict, in words for the person who reads it at night.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::claim::{DoubtCause, Witness};
use crate::target::Addresses;

/// Which rule made a verdict, and the claims that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// Two independent claims.
    Quorum {
        /// Who makes them.
        witnesses: [Witness; 2],
        /// For these addresses.
        addresses: Addresses,
    },
    /// A claim for something else than DNS says.
    Contradiction {
        /// What DNS says.
        dns: Addresses,
        /// Who says otherwise.
        witness: Witness,
        /// What it says.
        other: Addresses,
    },
    /// How long one witness has said the same.
    Patience {
        /// Who says it.
        witness: Witness,
        /// What it says.
        addresses: Addresses,
        /// Who says so too.
        supporter: Option<Witness>,
        /// For how long it has, since the doubt.
        lasted: Duration,
        /// How long it must.
        needed: Duration,
        /// The newest doubt, and how long ago it arose.
        doubt: Option<(DoubtCause, Duration)>,
    },
    /// One claim where one is enough: it takes no writer away.
    Claim {
        /// Who makes it.
        witness: Witness,
        /// For these addresses.
        addresses: Addresses,
    },
    /// The databases themselves: this one alone takes writes.
    Role {
        /// Its address.
        address: IpAddr,
    },
    /// The registered database takes writes; others have good reason to name a silent one.
    #[strum(serialize = "contradiction")]
    Disputed {
        /// The address of the one that takes writes.
        writer: IpAddr,
        /// What the others name.
        other: Addresses,
        /// Whether a failover event names it; else DNS and the RDS API do.
        by_event: bool,
    },
    /// The group is empty, and the RDS API has some time to agree with DNS before it is filled.
    Empty {
        /// Who names what it is to be filled with.
        witness: Witness,
        /// That.
        addresses: Addresses,
        /// For how long the group has been empty.
        lasted: Duration,
        /// How long the RDS API has.
        needed: Duration,
    },
    /// The database that others name says that it is read only.
    #[strum(serialize = "contradiction")]
    ReadOnly {
        /// Its address.
        address: IpAddr,
    },
    /// Several databases take writes: one of them does not know yet that it is fenced.
    #[strum(serialize = "contradiction")]
    SeveralWriters {
        /// Their addresses.
        addresses: Addresses,
    },
    /// DNS has not answered.
    #[strum(serialize = "no-answer")]
    NoDnsAnswer,
    /// An answer that is too old to count.
    #[strum(serialize = "stale")]
    StaleDnsAnswer {
        /// Whose.
        witness: Witness,
        /// How long ago it came.
        age: Duration,
    },
}

impl Reason {
    pub(crate) fn claim(witness: Witness, addresses: &Addresses) -> Reason {
        Reason::Claim { witness, addresses: addresses.clone() }
    }

    pub(crate) fn no_current_dns_answer(age: Option<Duration>) -> Reason {
        age.map_or(Reason::NoDnsAnswer, |age| Reason::StaleDnsAnswer { witness: Witness::Dns, age })
    }

    pub(crate) fn lacks_dns_answer(&self) -> bool {
        matches!(self, Reason::NoDnsAnswer | Reason::StaleDnsAnswer { .. })
    }

    pub(crate) fn is_contradiction(&self) -> bool {
        matches!(
            self,
            Reason::Contradiction { .. }
                | Reason::ReadOnly { .. }
                | Reason::SeveralWriters { .. }
                | Reason::Disputed { .. }
        )
    }

    /// The rule in one word: several reasons may be of one.
    pub fn rule(&self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Reason::Quorum { witnesses: [one, other], addresses } => {
                write!(f, "{one} and {other} name {addresses}")
            }
            Reason::Contradiction { dns, witness, other } => {
                write!(f, "DNS names {dns} and {witness} names {other}")
            }
            Reason::Patience { witness, addresses, supporter, lasted, needed, doubt } => {
                match supporter {
                    Some(supporter) => write!(f, "{witness} and {supporter} name {addresses}")?,
                    None => write!(f, "{witness} alone names {addresses}")?,
                }
                write!(f, " for {} of {} s", lasted.as_secs(), needed.as_secs())?;
                doubt.map_or(Ok(()), |(cause, age)| write!(f, ", because {}", cause.describe(age)))
            }
            Reason::Claim { witness, addresses } => write!(f, "{witness} names {addresses}"),
            Reason::Role { address } => {
                write!(f, "the database at {address} takes writes, and no other does")
            }
            Reason::Disputed { writer, other, by_event } => {
                let others =
                    if *by_event { "a failover event names" } else { "DNS and the RDS API name" };
                write!(
                    f,
                    "the database at {writer} takes writes, but {others} {other}, which does not \
                     say that it does"
                )
            }
            Reason::Empty { witness, addresses, lasted, needed } if lasted < needed => write!(
                f,
                "{witness} names {addresses} for an empty group, and the RDS API has {} of {} s \
                 left to agree",
                (*needed - *lasted).as_secs(),
                needed.as_secs()
            ),
            Reason::Empty { witness, addresses, needed, .. } => {
                write!(
                    f,
                    "{witness} alone names {addresses}, and the group has been empty for {} s",
                    needed.as_secs()
                )
            }
            Reason::ReadOnly { address } => {
                write!(f, "the database at {address} says that it is read only")
            }
            Reason::SeveralWriters { addresses } => {
                write!(f, "the databases at {addresses} take writes at once")
            }
            Reason::NoDnsAnswer => f.write_str("DNS does not answer"),
            Reason::StaleDnsAnswer { witness, age } => {
                write!(
                    f,
                    "the last answer of {witness} came {} s ago and is too old to count",
                    age.as_secs()
                )
            }
        }
    }
}
