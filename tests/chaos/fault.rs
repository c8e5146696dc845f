//! The faults of the battery.

/// What is done to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    ReplicaKilled,
    ReplicaFrozen,
    ReplicaRestarted,
    ReplicaBroken,
    ReplicaCrowded,
    ReplicaCutOff,
    ReplicaDiskFull,
    PrimaryKilled,
    PrimaryFrozen,
    PrimaryCutOff,
    Switchover,
    AnnouncedSwitchover,
    Failover,
    FailoverFromFrozen,
    FailoverFromCutOff,
    Reload,
    Upgrade,
}

pub const FAULTS: [Fault; 17] = [
    Fault::ReplicaKilled,
    Fault::Switchover,
    Fault::ReplicaFrozen,
    Fault::PrimaryKilled,
    Fault::ReplicaCutOff,
    Fault::Failover,
    Fault::ReplicaRestarted,
    Fault::Reload,
    Fault::PrimaryFrozen,
    Fault::ReplicaBroken,
    Fault::PrimaryCutOff,
    Fault::FailoverFromFrozen,
    Fault::ReplicaCrowded,
    Fault::ReplicaDiskFull,
    Fault::AnnouncedSwitchover,
    Fault::FailoverFromCutOff,
    Fault::Upgrade,
];

impl Fault {
    /// The primary goes on.
    pub fn is_of_replica(self) -> bool {
        matches!(
            self,
            Fault::ReplicaKilled
                | Fault::ReplicaFrozen
                | Fault::ReplicaRestarted
                | Fault::ReplicaBroken
                | Fault::ReplicaCrowded
                | Fault::ReplicaCutOff
                | Fault::ReplicaDiskFull
                | Fault::Reload
                | Fault::Upgrade
        )
    }
}
