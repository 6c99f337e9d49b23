//! The processes that were heard lately.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::id::Id;

/// Most processes that are remembered. A hostile one can have many names.
const MOST: usize = 10_000;

/// Processes, each with the latest that it has said of itself.
pub(crate) struct Roster<T> {
    members: Mutex<HashMap<Id, Member<T>>>,
    /// Time after which a silent process is lost.
    silence: Duration,
}

struct Member<T> {
    heard: Instant,
    news: T,
    /// Dropped when it is lost.
    alive: watch::Sender<()>,
}

/// Waits for the loss of a process.
pub(crate) struct Loss(watch::Receiver<()>);

impl Loss {
    /// Returns when the process was lost.
    pub(crate) async fn wait(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl<T: Clone> Roster<T> {
    pub(crate) fn new(silence: Duration) -> Self {
        Self { members: Mutex::default(), silence }
    }

    /// Records that a process was heard. Returns true if it is a new one.
    pub(crate) fn hear(&self, id: Id, news: T, now: Instant) -> bool {
        let mut members = self.members.lock();
        if let Some(member) = members.get_mut(&id) {
            (member.heard, member.news) = (now, news);
            return false;
        }
        let room = members.len() < MOST;
        if room {
            members.insert(id, Member { heard: now, news, alive: watch::Sender::new(()) });
        }
        room
    }

    /// Forgets processes that were silent for too long. Returns them.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Id> {
        let mut members = self.members.lock();
        let silent = |member: &Member<T>| now.saturating_duration_since(member.heard) >= self.silence;
        let lost: Vec<Id> = members.iter().filter(|(_, member)| silent(member)).map(|(id, _)| *id).collect();
        for id in &lost {
            members.remove(id);
        }
        lost
    }

    /// Waits for the loss of a process; `None` if it is not known.
    pub(crate) fn loss(&self, id: Id) -> Option<Loss> {
        self.members.lock().get(&id).map(|member| Loss(member.alive.subscribe()))
    }

    /// Returns true if a process was heard lately.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.members.lock().contains_key(&id)
    }

    /// The latest of all.
    pub(crate) fn all(&self) -> Vec<(Id, T)> {
        self.members.lock().iter().map(|(id, member)| (*id, member.news.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_process_is_lost_and_who_waits_for_that_learns_it() {
        let roster = Roster::new(Duration::from_secs(3));
        let (start, id, other) = (Instant::now(), Id::new(), Id::new());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(roster.hear(id, 1, start) && roster.hear(other, 2, at(2)));
        assert!(!roster.hear(id, 3, at(1)), "it is known");
        let mut loss = roster.loss(id).unwrap();
        assert_eq!(roster.expire(at(3)), []);
        assert_eq!(roster.expire(at(4)), [id]);
        loss.wait().await;
        assert!(!roster.knows(id) && roster.loss(id).is_none());
        assert_eq!(roster.all(), [(other, 2)]);
    }

    #[test]
    fn no_more_are_remembered_than_there_may_be() {
        let roster = Roster::new(Duration::from_secs(3));
        let now = Instant::now();
        for _ in 0..MOST {
            assert!(roster.hear(Id::new(), (), now));
        }
        let id = Id::new();
        assert!(!roster.hear(id, (), now) && !roster.knows(id));
    }
}
