//! What a client does.

use std::sync::Arc;

use bellwether_core::protocol::Outcome;

use super::super::client;
use super::{Broken, Rules, World, of_execution};

impl World {
    pub(crate) fn feed_client(&mut self, index: usize, event: client::Event, rules: &Rules) {
        let wrong = self.clients[index].edit().feed(event, rules.variant);
        wrong.into_iter().for_each(|what| self.break_with(Broken::Submission(what)));
        let client = &self.clients[index];
        let told_otherwise = client.refused.iter().any(|task| self.submitted.contains_key(task));
        if told_otherwise {
            self.break_with(Broken::Submission("a client is told that nothing was submitted, and it was"));
        }
    }

    pub(crate) fn open_client(&mut self, index: usize, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        self.clients[index].edit().open(session);
        self.feed_client(index, client::Event::Connected, rules);
    }

    pub(crate) fn execute_client(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let client = self.clients[index].edit();
        let Some(link) = &mut client.link else { return };
        link.ghosts.clear();
        let session = link.session;
        let (ticket, multi) = match link.requests.pop_front() {
            None => return,
            Some(client::Request::Write(ticket, multi)) => (ticket, multi),
            Some(client::Request::ReadGuard(ticket, path)) => {
                let found = self.zookeeper.get(&path).map(|node| node.data);
                // An answer that is lost is as good as an outcome that is not known.
                let answer = match lost {
                    None => client::Event::GuardRead { ticket, found },
                    Some(_) => client::Event::WriteEnded { ticket, outcome: Outcome::Unknown },
                };
                let link = self.clients[index].edit().link.iter_mut();
                return link.for_each(|link| link.answers.push_back(answer.clone()));
            }
        };
        let outcome = match lost {
            Some(false) => {
                link.ghosts.push_back(Arc::new(multi));
                Outcome::Unknown
            }
            None | Some(true) => {
                let outcome = of_execution(&self.commit(session, &multi));
                if lost.is_some() { Outcome::Unknown } else { outcome }
            }
        };
        let _ = rules;
        if let Some(link) = &mut self.clients[index].edit().link {
            link.answers.push_back(client::Event::WriteEnded { ticket, outcome });
        }
    }

    pub(crate) fn forget_client_session(&mut self, index: usize) {
        let Some(mut link) = self.clients[index].edit().link.take() else { return };
        let mut ghosts = std::mem::take(&mut link.ghosts);
        ghosts.extend(link.requests.iter().filter_map(|request| match request {
            client::Request::Write(_, multi) => Some(Arc::new(multi.clone())),
            client::Request::ReadGuard(..) => None,
        }));
        self.leave_behind(link.session, ghosts);
    }
}
