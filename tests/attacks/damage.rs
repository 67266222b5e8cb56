//! What must hold of a vault of which one object is not what it should be: how far that reaches, and what is said of it.

use crate::{
    tools::{Kind, Object},
    victim::{Victim, service},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// A line of `verify`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) object: String,
    pub(crate) what: String,
    pub(crate) fault: String,
    pub(crate) service: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<u64>,
}

impl Damage {
    fn of(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        Self {
            object: text("object").unwrap(),
            what: text("what").unwrap(),
            fault: text("fault").unwrap(),
            service: text("service"),
            name: text("name"),
            version: line["version"].as_u64(),
        }
    }
}

impl Victim {
    /// What `verify` finds, with exit code 7 when that is anything.
    #[track_caller]
    pub(crate) fn damage(&self) -> Vec<Damage> {
        let outcome = self.world.line("verify --json").outcome();
        let report = outcome.json();
        assert_eq!(report["rolled_back"], Value::Null);
        let damage: Vec<Damage> = report["damage"].as_array().unwrap().iter().map(Damage::of).collect();
        let code = if damage.is_empty() { 0 } else { 7 };
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        damage
    }

    /// What must hold when this one object is not what it should be, and all others are.
    #[track_caller]
    pub(crate) fn assert_only(&self, object: &Object, fault: &str) {
        let id = object.id.to_string();
        let sentence = format!("tampered with: the {} object {id} is {fault}", object.kind.name());
        match object.kind {
            Kind::VaultKey => return self.all_refused(7, &[&sentence, "`claviger verify` names"]),
            Kind::Root => self.nothing_read(7, &[&sentence, "`claviger verify` names"]),
            _ => {}
        }
        let refused = self.refused();
        for said in refused.values() {
            assert!(said.contains(&sentence), "nothing of {sentence:?}: {said}");
        }
        self.check_extent(object.kind, &refused.keys().copied().collect());
        if object.kind == Kind::PastHead {
            return;
        }

        let damage = self.damage();
        assert_eq!(damage.len(), 1, "{damage:?}");
        let found = &damage[0];
        assert_eq!((found.object.as_str(), found.fault.as_str()), (id.as_str(), fault), "{found:?}");
        assert_eq!(found.what, object.kind.name(), "{found:?}");
        self.check_names(object.kind, found, &refused.keys().copied().collect());
        self.check_others(object.kind, refused.keys().next().copied(), &sentence);
    }

    /// This object, and no other, is named by `verify`, or by the error when nothing can be opened at all.
    #[track_caller]
    pub(crate) fn assert_named(&self, object: &Object, fault: &str) {
        match object.kind {
            Kind::VaultKey => {
                self.world
                    .line("verify")
                    .fails(7, &[&format!("the vault key object {} is {fault}", object.id)]);
            }
            Kind::PastHead => {}
            _ => {
                let damage = self.damage();
                let found: Vec<_> =
                    damage.iter().map(|found| (found.object.as_str(), found.fault.as_str())).collect();
                assert_eq!(found, [(object.id.to_string().as_str(), fault)]);
            }
        }
    }

    /// How far damage of this kind may reach.
    fn check_extent(&self, kind: Kind, refused: &BTreeSet<&str>) {
        let services: BTreeSet<&str> = refused.iter().map(|line| service(line)).collect();
        let whole = |name: &str| {
            self.values.keys().all(|line| service(line) != name || refused.contains(&line.as_str()))
        };
        match kind {
            Kind::Recipients | Kind::AuditKey | Kind::PastHead => assert_eq!(refused.len(), 0, "{refused:?}"),
            Kind::VaultKey | Kind::Root => assert_eq!(refused.len(), self.values.len()),
            Kind::Node => {
                assert!(!services.is_empty() && refused.len() < self.values.len(), "{refused:?}");
                assert!(services.into_iter().all(whole), "{refused:?}");
            }
            Kind::Service | Kind::DataKey => {
                assert_eq!(services.len(), 1, "{refused:?}");
                assert!(services.into_iter().all(whole), "{refused:?}");
            }
            Kind::Page => assert!(refused.len() == 1 && services.contains("paged"), "{refused:?}"),
            // One of the many on the pages may be none of those that are read.
            Kind::Credential => assert!(refused.len() <= 1, "{refused:?}"),
        }
    }

    /// `verify` names whose object it is where anything above it tells.
    fn check_names(&self, kind: Kind, found: &Damage, refused: &BTreeSet<&str>) {
        let owner = refused.iter().next().map(|line| service(line).to_owned());
        match kind {
            Kind::DataKey | Kind::Page => assert_eq!(found.service, owner, "{found:?}"),
            Kind::Credential => {
                let (service, name) = (found.service.clone().unwrap(), found.name.clone().unwrap());
                let version = found.version.unwrap();
                assert!(owner.is_none_or(|owner| owner == service));
                let shown = self.world.line("verify").outcome();
                let line = format!("DAMAGED  {service}/{name} version {version}");
                assert!(shown.text().contains(&line), "{}", shown.text());
            }
            _ => assert_eq!(found.service, None, "{found:?}"),
        }
    }

    /// The commands beside `get`.
    fn check_others(&self, kind: Kind, refused: Option<&str>, sentence: &str) {
        let says = [sentence, "`claviger verify` names"];
        match kind {
            // What lies above it is whole, so lists and histories are.
            Kind::Recipients | Kind::AuditKey | Kind::DataKey | Kind::Credential => {
                assert_eq!(
                    self.world.line("list --json").ok().json().as_array().unwrap().len(),
                    self.credentials()
                );
            }
            _ => {
                self.world.line("list --json").fails(7, &says);
                if kind != Kind::Page {
                    self.world.line("status").fails(7, &says);
                }
            }
        }
        match kind {
            Kind::Recipients => {
                self.refuses_to_write("new", &says);
            }
            Kind::AuditKey => {
                self.world.line("audit show").fails(7, &says);
            }
            _ => {}
        }
        self.world.line("gc --now").fails(7, &says);
        let Some(line) = refused else { return };
        let reference = line.split_once(' ').map_or(line, |(reference, _)| reference);
        match kind {
            Kind::DataKey => {
                self.world.line(&format!("history {reference}")).ok();
                self.refuses_to_write(reference, &says);
            }
            Kind::Credential => {
                self.world.line(&format!("history {reference}")).ok();
            }
            _ => {
                self.world.line(&format!("history {reference}")).fails(7, &says);
                self.refuses_to_write(reference, &says);
            }
        }
    }
}
