//! What a leader knows under the append grant, and its rules: which index a quorum has, and when it is confirmed that it
//! still leads. Raft hears of all of it afterwards, in order, and comes to the same (docs/replication.md).

/// Another member, as raft knows it when it gives the grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantMember {
    /// Its id.
    pub id: u64,
    /// Whether it is a voter.
    pub votes: bool,
    /// The last entry that is known to be durable there and equal.
    pub matched: u64,
}

/// Who decides with the leader; never a joint configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quorum {
    /// Whether this member is a voter itself.
    pub own_vote: bool,
    /// Raft's commit index.
    pub committed: u64,
    /// All others.
    pub members: Vec<GrantMember>,
}

/// What became of a wish to stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Streamed {
    /// Nothing: raft must first learn of what was stamped meanwhile.
    Refused,
    /// Fewer than a quorum: commits wait for what raft sends.
    Minority,
    /// A quorum, this member among it: commits need nothing of raft.
    Quorum,
}

/// How entries are committed under the grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantKind {
    /// Stable is committed, and reads need nobody else.
    SoleVoter,
    /// What a quorum has is committed, and confirms reads.
    Quorum(Quorum),
}

struct Member {
    id: u64,
    votes: bool,
    matched: u64,
    /// Stamped entries are sent to it at once.
    streamed: bool,
    /// The commit index that it was told.
    told: u64,
}

/// A round of heartbeats that confirms the leader for the reads of one context.
struct Round {
    number: u64,
    ctx: u64,
    /// The commit index when the round began.
    index: u64,
    confirmed: Vec<u64>,
}

/// What the grant of a leader with other voters holds.
pub(super) struct Leading {
    term: u64,
    /// Entries from here on are of this term, so a quorum commits them.
    first: u64,
    own_vote: bool,
    /// Last own entry on stable storage.
    stable: u64,
    committed: u64,
    members: Vec<Member>,
    round: Option<Round>,
}

impl Leading {
    pub fn new(term: u64, first: u64, quorum: Quorum) -> Self {
        let members = quorum.members.into_iter().map(|member| Member {
            id: member.id,
            votes: member.votes,
            matched: member.matched,
            streamed: false,
            told: 0,
        });
        Self {
            term,
            first,
            own_vote: quorum.own_vote,
            stable: first - 1,
            committed: quorum.committed,
            members: members.collect(),
            round: None,
        }
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    /// The highest index that a majority of the voters has on stable storage; 0 without voters.
    fn quorum_index(&self) -> u64 {
        let voters = self.members.iter().filter(|member| member.votes);
        let mut indices: Vec<u64> = voters.map(|member| member.matched).collect();
        indices.extend(self.own_vote.then_some(self.stable));
        indices.sort_unstable_by(|a, b| b.cmp(a));
        indices.get(indices.len() / 2).copied().unwrap_or(0)
    }

    /// The new commit index, if it moves. An entry of an earlier term is never committed by counting.
    pub fn advance(&mut self) -> Option<u64> {
        let index = self.quorum_index();
        if index < self.first || index <= self.committed {
            return None;
        }
        self.committed = index;
        Some(index)
    }

    /// Whether these, with this member, are a majority.
    fn is_majority(&self, confirmed: usize) -> bool {
        let others = self.members.iter().filter(|member| member.votes).count();
        let own = usize::from(self.own_vote);
        2 * (confirmed + own) > others + own
    }

    /// The term of the grant.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// What is committed of the log.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// From now on stamped entries go to exactly these members at once.
    pub fn stream(&mut self, members: &[u64]) -> Streamed {
        for member in &mut self.members {
            member.streamed = members.contains(&member.id);
        }
        let voters = self.members.iter().filter(|member| member.votes);
        if self.is_majority(voters.filter(|member| member.streamed).count()) {
            Streamed::Quorum
        } else {
            Streamed::Minority
        }
    }

    /// The members that a stamped entry goes to, and with it the commit index.
    pub fn streamed(&mut self) -> impl Iterator<Item = u64> {
        let committed = self.committed;
        let streamed = self.members.iter_mut().filter(|member| member.streamed);
        streamed.map(move |member| {
            member.told = committed;
            member.id
        })
    }

    /// A member has everything up to `index` on stable storage. False if nothing is known of it.
    pub fn acknowledged(&mut self, from: u64, index: u64) -> bool {
        let Some(member) = self.member(from) else {
            return false;
        };
        member.matched = member.matched.max(index);
        true
    }

    /// Own entries are on stable storage up to `index`.
    pub fn own_stable(&mut self, index: u64) {
        self.stable = self.stable.max(index);
    }

    /// The members that have more of what is committed than they were told, and up to where; they are told now.
    pub fn untold(&mut self) -> impl Iterator<Item = (u64, u64)> {
        let committed = self.committed;
        let streamed = self.members.iter_mut().filter(|member| member.streamed);
        streamed.filter_map(move |member| {
            let commit = member.matched.min(committed);
            if commit <= member.told {
                return None;
            }
            member.told = commit;
            Some((member.id, commit))
        })
    }

    /// Begins a round for the reads of `ctx`, which may see what is committed up to `index`.
    pub fn begin_round(&mut self, number: u64, ctx: u64, index: u64) {
        self.round = Some(Round {
            number,
            ctx,
            index,
            confirmed: Vec::new(),
        });
    }

    /// The number of the round that goes on.
    pub fn round(&self) -> Option<u64> {
        self.round.as_ref().map(|round| round.number)
    }

    /// Who is asked in a round, each with the commit index that it may know.
    pub fn voters(&self) -> impl Iterator<Item = (u64, u64)> {
        let voters = self.members.iter().filter(|member| member.votes);
        voters.map(|member| (member.id, member.matched.min(self.committed)))
    }

    /// A member answered in the round `number`. Once a majority has, the reads that it was made for, and their index.
    pub fn heard(&mut self, from: u64, number: u64) -> Option<(u64, u64)> {
        if !self.member(from).is_some_and(|member| member.votes) {
            return None;
        }
        // An answer to an older round says nothing about this one's reads.
        let round = self.round.as_mut().filter(|r| r.number == number)?;
        if !round.confirmed.contains(&from) {
            round.confirmed.push(from);
        }
        let confirmed = round.confirmed.len();
        if !self.is_majority(confirmed) {
            return None;
        }
        let round = self.round.take()?;
        Some((round.ctx, round.index))
    }

    /// The reads that a round was made for and that are not confirmed.
    pub fn unconfirmed(&self) -> Option<u64> {
        self.round.as_ref().map(|round| round.ctx)
    }
}
