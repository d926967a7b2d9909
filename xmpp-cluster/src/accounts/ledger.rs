//! What is written here, what others bring, and what was cut short.

use std::collections::BTreeMap;

use xmpp_core::BareJid;
use xmpp_core::account::AccountChange;
use xmpp_core::store::{JournalEntry, Mark, PrivateElement, Record, Result, StoreError};
use xmpp_core::time::Timestamp;

use super::Ledger;
use super::record::{Known, Subject};
use super::turns::Turn;
use crate::clock::Stamp;

/// Accounts that are read at once when they are adopted.
pub(super) const ADOPTED: usize = 100;

/// What was brought could not be taken as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Store(#[from] xmpp_core::store::StoreError),
    #[error(transparent)]
    Clock(#[from] crate::clock::TooFarAhead),
}

/// A record, as it is known.
struct Place {
    subject: Subject,
    known: Known,
}

impl Ledger {
    // --- what is written here ---

    /// Waits for the turn of an account, and brings to its end what was begun with it.
    pub(super) async fn turn(&self, account: &BareJid) -> Result<Turn> {
        let turn = self.0.turns.of(account).await;
        let mark = self.state().marks.get(account).copied();
        if let Some(mark) = mark {
            self.settle(account, mark).await?;
        }
        Ok(turn)
    }

    /// The turn of somebody who is about to delete the account, step by step. If it is not done to the end, all is as
    /// the records have it when it is somebody else's turn.
    pub(super) async fn turn_to_forget(&self, account: &BareJid) -> Result<Turn> {
        let turn = self.0.turns.of(account).await;
        let mark = self.state().marks.get(account).copied();
        if mark == Some(Mark::Writing) {
            self.settle(account, Mark::Writing).await?;
        }
        if mark != Some(Mark::Applying) && self.epoch(account).await?.is_some() {
            self.begin(account, Mark::Applying, Vec::new()).await?;
        }
        Ok(turn)
    }

    /// The epoch of an account that exists, as far as the journal knows.
    pub(super) async fn epoch(&self, account: &BareJid) -> Result<Option<Option<Stamp>>> {
        let known = self.known(account, &Subject::Account).await?;
        let alive = known.filter(|known| known.credentials().is_some());
        Ok(alive.map(|known| known.last_deletion()))
    }

    /// Says that something is being written to the stores.
    pub(super) async fn begin(
        &self,
        account: &BareJid,
        mark: Mark,
        put: Vec<Record>,
    ) -> Result<()> {
        // Before anything waits: whoever calls may be dropped.
        self.state().marks.insert(account.clone(), mark);
        let entry = JournalEntry {
            put,
            marks: vec![(account.clone(), Some(mark))],
            ..JournalEntry::default()
        };
        self.write(entry).await
    }

    /// Names a subject that the stores cannot list, so that it is looked at if its first change is cut short.
    pub(super) async fn named(
        &self,
        account: &BareJid,
        subject: &Subject,
        epoch: &Option<Stamp>,
    ) -> Result<Option<Record>> {
        let Subject::Private(..) = subject else {
            return Ok(None);
        };
        let known = self.known(account, subject).await?;
        if known.is_some_and(|known| known.epoch >= *epoch) {
            return Ok(None);
        }
        let nothing = Known::nothing(subject, epoch.clone(), self.oldest());
        Ok(Some(record(account, subject, &nothing, 0)))
    }

    /// A stamp before all others of this node.
    fn oldest(&self) -> Stamp {
        let mut stamp = self.stamp();
        (stamp.time, stamp.count) = (Timestamp(0), 0);
        stamp
    }

    /// Writes down what was written to the stores.
    pub(super) async fn end(&self, account: &BareJid, put: Vec<Record>) -> Result<()> {
        let marks = vec![(account.clone(), None)];
        let entry = JournalEntry {
            put,
            marks,
            ..JournalEntry::default()
        };
        self.write(entry).await
    }

    /// Changes what is known of a subject; `None` if it stays.
    pub(super) async fn edit(
        &self,
        account: &BareJid,
        subject: &Subject,
        epoch: Option<Stamp>,
        change: impl FnOnce(&mut Known, Stamp),
    ) -> Result<Option<Record>> {
        let at = self.stamp();
        let before = self.known(account, subject).await?;
        let before = before.filter(|before| before.epoch >= epoch);
        let mut known = match &before {
            Some(before) => before.clone(),
            None => Known::nothing(subject, epoch, at.clone()),
        };
        change(&mut known, at);
        Ok((before.as_ref() != Some(&known)).then(|| record(account, subject, &known, 0)))
    }

    /// An account was deleted from the stores, or made.
    pub(super) async fn deleted(&self, account: &BareJid) -> Result<()> {
        let deleted = self
            .edit(account, &Subject::Account, None, Known::delete)
            .await?;
        let remove = self.data(account).await?;
        let entry = JournalEntry {
            put: deleted.into_iter().collect(),
            remove,
            marks: vec![(account.clone(), None)],
            ..JournalEntry::default()
        };
        self.write(entry).await
    }

    async fn data(&self, account: &BareJid) -> Result<Vec<(BareJid, String)>> {
        let records = self.0.journal.records(account).await?;
        let data = records
            .into_iter()
            .filter(|record| record.key != Subject::Account.key());
        Ok(data.map(|record| (record.account, record.key)).collect())
    }

    pub(super) async fn known(
        &self,
        account: &BareJid,
        subject: &Subject,
    ) -> Result<Option<Known>> {
        let record = self.0.journal.record(account, &subject.key()).await?;
        Ok(record
            .and_then(|record| read(&record))
            .map(|place| place.known))
    }

    // --- what was cut short ---

    async fn settle(&self, account: &BareJid, mark: Mark) -> Result<()> {
        // Whatever was dropped half-way has come into the stores before this, where one queue writes both.
        self.begin(account, mark, Vec::new()).await?;
        match mark {
            Mark::Applying => self.apply(account).await,
            Mark::Writing => self.compare(account, None).await,
        }
    }

    /// Has the stores have what the records say.
    async fn apply(&self, account: &BareJid) -> Result<()> {
        let all = self.places(account).await?;
        let known = all.get(&Subject::Account.key());
        let (exists, _) = self.project_account(account, known, false).await?;
        if exists {
            self.clear(account, &all).await?;
            for place in all.values() {
                self.project(account, place).await?;
            }
        }
        self.end(account, Vec::new()).await
    }

    /// What has come of an account before it was made here.
    pub(super) async fn apply_early(&self, account: &BareJid) -> Result<()> {
        if self.data(account).await?.is_empty() {
            return Ok(());
        }
        self.begin(account, Mark::Applying, Vec::new()).await?;
        self.apply(account).await
    }

    /// Takes from the stores what the journal has nothing of.
    async fn clear(&self, account: &BareJid, all: &BTreeMap<String, Place>) -> Result<()> {
        let stores = &self.0.stores;
        for item in stores.rosters.load(account).await?.items {
            if !all.contains_key(&Subject::Contact(item.jid.clone()).key()) {
                stores.rosters.remove(account, &item.jid).await?;
            }
        }
        let mut blocked = stores.block_lists.load(account).await?;
        blocked.retain(|jid| !all.contains_key(&Subject::Blocked(jid.clone()).key()));
        stores.block_lists.change(account, &[], &blocked).await?;
        if !all.contains_key(&Subject::VCard.key()) {
            stores.vcards.forget(account).await?;
        }
        Ok(())
    }

    /// Takes an account into the journal that is not there.
    pub(super) async fn adopt_account(&self, account: &BareJid) -> Result<bool> {
        let _turn = self.turn(account).await?;
        if self.known(account, &Subject::Account).await?.is_some() {
            return Ok(false);
        }
        self.compare(account, Some(self.oldest())).await?;
        Ok(true)
    }

    /// What the stores have and the journal has not was written here: at that time, or now.
    async fn compare(&self, account: &BareJid, at: Option<Stamp>) -> Result<()> {
        let stores = &self.0.stores;
        let at = at.unwrap_or_else(|| self.stamp());
        let all = self.places(account).await?;
        let of_account = all.get(&Subject::Account.key());
        let Some(keys) = stores.accounts.credentials(account).await? else {
            let was = of_account.is_some_and(|of| of.known.credentials().is_some());
            return match was {
                true => self.deleted(account).await,
                false => self.end(account, Vec::new()).await,
            };
        };
        // Else what there is of it has come before it was made here.
        let known = of_account.is_some_and(|of| of.known.credentials().is_some());
        let mut put = Vec::new();
        let mut change = |subject: Subject, epoch: &Option<Stamp>, change: &dyn Fn(&mut Known)| {
            let before = all.get(&subject.key()).map(|place| &place.known);
            let before = before.filter(|before| before.epoch >= *epoch);
            let nothing = || Known::nothing(&subject, epoch.clone(), at.clone());
            let mut known = before.cloned().unwrap_or_else(nothing);
            change(&mut known);
            if before != Some(&known) {
                put.push(record(account, &subject, &known, 0));
            }
        };
        if of_account.and_then(|of| of.known.credentials()) != Some(&keys) {
            change(Subject::Account, &None, &|known| {
                known.set_credentials(&keys, at.clone());
            });
        }
        let epoch = of_account.and_then(|of| of.known.last_deletion());
        let items = stores.rosters.load(account).await?.items;
        for item in &items {
            let subject = Subject::Contact(item.jid.clone());
            change(subject, &epoch, &|known| known.put(item, &at));
        }
        let blocked = stores.block_lists.load(account).await?;
        for jid in &blocked {
            let subject = Subject::Blocked(jid.clone());
            change(subject, &epoch, &|known| known.set_blocked(true, &at));
        }
        let vcard = stores.vcards.load(account).await?;
        for place in all.values().filter(|_| known) {
            let subject = place.subject.clone();
            match &place.subject {
                Subject::Contact(jid)
                    if items.iter().all(|item| item.jid != *jid)
                        && place.known.item(jid).is_some() =>
                {
                    change(subject, &epoch, &|known| known.remove(at.clone()));
                }
                Subject::Blocked(jid) if !blocked.contains(jid) => {
                    change(subject, &epoch, &|known| known.set_blocked(false, &at));
                }
                Subject::Private(name, namespace) => {
                    let stored = stores.private_xml.load(account, name, namespace).await?;
                    if place.known.text() != stored.as_deref() {
                        change(subject, &epoch, &|known| {
                            known.set_text(stored.as_deref(), at.clone());
                        });
                    }
                }
                _ => {}
            }
        }
        let before = all.get(&Subject::VCard.key());
        if vcard.is_some() && before.and_then(|place| place.known.text()) != vcard.as_deref() {
            change(Subject::VCard, &epoch, &|known| {
                known.set_text(vcard.as_deref(), at.clone());
            });
        }
        self.end(account, put).await?;
        match known {
            true => Ok(()),
            false => self.apply_early(account).await,
        }
    }

    async fn places(&self, account: &BareJid) -> Result<BTreeMap<String, Place>> {
        let records = self.0.journal.records(account).await?;
        let read = |record: Record| read(&record).map(|place| (record.key, place));
        Ok(records.into_iter().filter_map(read).collect())
    }

    // --- what others bring ---

    /// Adds what the store with that journal has, up to a number of its own; which accounts are different now.
    pub(super) async fn take(
        &self,
        log: u64,
        last: u64,
        records: &[Record],
    ) -> std::result::Result<Vec<(BareJid, AccountChange)>, NotTaken> {
        let mut changed = Vec::new();
        let mut rest = records;
        while let Some(first) = rest.first() {
            let of = |record: &Record| record.account == first.account;
            let end = rest
                .iter()
                .position(|record| !of(record))
                .unwrap_or(rest.len());
            let (these, behind) = rest.split_at(end);
            rest = behind;
            let change = self.take_account(&first.account, log, these).await?;
            changed.extend(change.map(|change| (first.account.clone(), change)));
        }
        let head = Some((log, last));
        self.write(JournalEntry {
            head,
            ..JournalEntry::default()
        })
        .await?;
        Ok(changed)
    }

    /// Records of one account.
    async fn take_account(
        &self,
        account: &BareJid,
        log: u64,
        records: &[Record],
    ) -> std::result::Result<Option<AccountChange>, NotTaken> {
        let _turn = self.turn(account).await?;
        let (mut put, mut places) = (Vec::new(), Vec::new());
        let before = self.known(account, &Subject::Account).await?;
        let mut present = before.clone();
        // What says that it exists, and in which epoch, first.
        let mut brought: Vec<Place> = records.iter().filter_map(read).collect();
        brought.sort_by_key(|place| place.subject != Subject::Account);
        for Place { subject, known } in brought {
            let now = self.0.clock.now().utc;
            if let Some(latest) = known.latest() {
                self.state().stamps.see(latest, now)?;
            }
            let epoch = present.as_ref().and_then(Known::last_deletion);
            // Of an account that was deleted since.
            if subject != Subject::Account && known.epoch < epoch {
                continue;
            }
            let mine = self.known(account, &subject).await?;
            let mut sum = mine.clone().unwrap_or_else(|| known.clone());
            sum.merge(&known);
            if mine.as_ref() == Some(&sum) {
                continue;
            }
            if subject == Subject::Account {
                present = Some(sum.clone());
            }
            let source = if sum == known { log } else { 0 };
            put.push(record(account, &subject, &sum, source));
            let known = sum;
            places.push(Place { subject, known });
        }
        if put.is_empty() {
            return Ok(None);
        }
        let epoch = |known: &Option<Known>| known.as_ref().and_then(Known::last_deletion);
        let mut entry = JournalEntry {
            put,
            ..JournalEntry::default()
        };
        let anew = epoch(&before) != epoch(&present);
        if anew {
            // Their own epoch tells which may stay.
            let stays = |place: &Place| place.known.epoch >= epoch(&present);
            let known = self.places(account).await?.into_iter();
            let void = known.filter(|(key, place)| *key != Subject::Account.key() && !stays(place));
            entry.remove = void.map(|(key, _)| (account.clone(), key)).collect();
        }
        entry.marks = vec![(account.clone(), Some(Mark::Applying))];
        self.state().marks.insert(account.clone(), Mark::Applying);
        self.write(entry).await?;
        let subject = Subject::Account;
        let known = present.map(|known| Place { subject, known });
        let (exists, change) = self.project_account(account, known.as_ref(), anew).await?;
        if exists {
            // What has come ahead of its account is written with it.
            let with_account = places.iter().any(|place| place.subject == Subject::Account);
            let all = match with_account {
                true => self.places(account).await?.into_values().collect(),
                false => places,
            };
            for place in &all {
                self.project(account, place).await?;
            }
        }
        self.end(account, Vec::new()).await?;
        Ok(match change {
            Some(Made::Gone | Made::Anew) => Some(AccountChange::Removed),
            _ if exists => Some(AccountChange::Data),
            _ => None,
        })
    }

    /// Has the stores have the account, or not, unless they refuse that: who the users are is decided elsewhere then.
    async fn project_account(
        &self,
        account: &BareJid,
        known: Option<&Place>,
        anew: bool,
    ) -> Result<(bool, Option<Made>)> {
        match self.write_account(account, known, anew).await {
            Err(StoreError::Refused(why)) => {
                tracing::info!(%account, why, "refused by a store");
                let exists = self.0.stores.accounts.exists(account).await?;
                Ok((exists, None))
            }
            written => written,
        }
    }

    /// Has the stores have the account, or not; `anew` if what they have may be of an earlier one. Whether it exists now.
    async fn write_account(
        &self,
        account: &BareJid,
        known: Option<&Place>,
        anew: bool,
    ) -> Result<(bool, Option<Made>)> {
        let stores = &self.0.stores;
        let keys = known.and_then(|place| place.known.credentials());
        let stored = stores.accounts.credentials(account).await?;
        let Some(keys) = keys else {
            // One that the journal knows nothing of is nobody's to delete.
            if stored.is_none() || known.is_none() {
                return Ok((false, None));
            }
            stores.delete(account).await?;
            return Ok((false, Some(Made::Gone)));
        };
        let mut made = Made::New;
        if anew && stored.is_some() {
            stores.delete(account).await?;
            made = Made::Anew;
        } else if let Some(stored) = stored {
            if stored != *keys {
                stores.accounts.set_credentials(account, keys).await?;
            }
            return Ok((true, None));
        }
        stores.accounts.create(account, keys).await?;
        Ok((true, Some(made)))
    }

    /// Writes what is known of a subject to the stores. One that refuses it is not meant to have it.
    async fn project(&self, account: &BareJid, place: &Place) -> Result<()> {
        match self.write_place(account, place).await {
            Err(StoreError::Refused(why)) => {
                tracing::info!(%account, key = place.subject.key(), why, "refused by a store");
                Ok(())
            }
            written => written,
        }
    }

    async fn write_place(&self, account: &BareJid, place: &Place) -> Result<()> {
        let stores = &self.0.stores;
        let known = &place.known;
        match &place.subject {
            Subject::Account => {}
            Subject::Contact(jid) => {
                match known.item(jid) {
                    Some(item) => stores.rosters.put(account, &item).await?,
                    None => stores.rosters.remove(account, jid).await?,
                };
            }
            Subject::Blocked(jid) => {
                let jid = std::slice::from_ref(jid);
                let (add, remove) = match known.is_blocked() {
                    true => (jid, &[][..]),
                    false => (&[][..], jid),
                };
                stores.block_lists.change(account, add, remove).await?;
            }
            Subject::VCard => {
                if let Some(xml) = known.text() {
                    stores.vcards.save(account, xml).await?;
                }
            }
            Subject::Private(name, namespace) => {
                if let Some(xml) = known.text() {
                    let element = PrivateElement {
                        name: name.clone(),
                        namespace: namespace.clone(),
                        xml: xml.to_owned(),
                    };
                    // Where it was written it has kept to the limit.
                    let (elements, limit) = ([element], usize::MAX);
                    stores.private_xml.save(account, &elements, limit).await?;
                }
            }
        }
        Ok(())
    }
}

/// What has become of an account in the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    New,
    /// In place of one that was deleted.
    Anew,
    Gone,
}

pub(super) fn record(account: &BareJid, subject: &Subject, known: &Known, source: u64) -> Record {
    Record {
        account: account.clone(),
        key: subject.key(),
        body: known.encode(),
        source,
        number: 0,
    }
}

/// `None` for what this release does not know, and what is damaged.
fn read(record: &Record) -> Option<Place> {
    let subject = Subject::parse(&record.key)?;
    match Known::decode(&subject, &record.body) {
        Ok(known) => Some(Place { subject, known }),
        Err(error) => {
            tracing::error!(account = %record.account, key = record.key, %error, "record not read");
            None
        }
    }
}
