//! The facts of one withdrawal, and how they look to a rule (`policies/schema.cedarschema`).

use std::collections::HashSet;
use std::time::Duration;

use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Money;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, Request, RestrictedExpression, Schema,
};

/// What the gateway knows about a withdrawal when it asks for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The customer's bank.
    pub institution: InstitutionId,
    /// The account to be debited.
    pub account: AccountId,
    /// The phone that signed the approval.
    pub device: DeviceId,
    /// The machine that is to pay.
    pub atm: AtmId,
    /// How much.
    pub amount: Money,
    /// How long ago the phone was bound to the account. Give zero if that is not known: rules are stricter with the young.
    pub device_age: Duration,
    /// Whether the customer chose the amount at the machine (inside the signed code) and not in the app.
    pub amount_chosen_at_atm: bool,
    /// The hour of the day in the institution's time zone, 0 to 23. Any other value is answered with a forbid.
    pub local_hour: u8,
}

/// The names of the schema, parsed once.
#[derive(Debug)]
pub(crate) struct EntityModel {
    institution: EntityTypeName,
    account: EntityTypeName,
    device: EntityTypeName,
    atm: EntityTypeName,
    withdraw: EntityUid,
}

impl EntityModel {
    pub(crate) fn new() -> Result<Self, Box<ParseErrors>> {
        Ok(Self {
            institution: "Institution".parse()?,
            account: "Account".parse()?,
            device: "Device".parse()?,
            atm: "Atm".parse()?,
            withdraw: EntityUid::from_type_name_and_id("Action".parse()?, EntityId::new("withdraw")),
        })
    }
}

impl Facts {
    /// The question as Cedar takes it, or none if a fact is out of its range. It is checked against the schema: the rules were
    /// validated for exactly this shape, and a question of another shape could make them fail or stay silent.
    pub(crate) fn question(&self, model: &EntityModel, schema: &Schema) -> Option<(Request, Entities)> {
        let institution =
            EntityUid::from_type_name_and_id(model.institution.clone(), EntityId::new(self.institution.as_str()));
        let account = self.owned(&model.account, self.account.as_str());
        let device = self.owned(&model.device, self.device.as_str());
        let atm = EntityUid::from_type_name_and_id(model.atm.clone(), EntityId::new(self.atm.as_str()));

        let context = self.context(device.clone())?;
        let request = Request::new(account.clone(), model.withdraw.clone(), atm, context, Some(schema)).ok()?;

        let of_institution = HashSet::from([institution]);
        let members =
            [Entity::new_no_attrs(account, of_institution.clone()), Entity::new_no_attrs(device, of_institution)];
        // Always the same two shapes, so they are not checked against the schema each time; `tests/deciding.rs` shows that rules
        // see them.
        let entities = Entities::from_entities(members, None).ok()?;
        Some((request, entities))
    }

    fn context(&self, device: EntityUid) -> Option<Context> {
        if self.local_hour > 23 {
            return None;
        }
        let long = |number: u64| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
        let facts = [
            ("device", RestrictedExpression::new_entity_uid(device)),
            ("device_age_minutes", long(self.device_age.as_secs() / 60)),
            ("amount_minor_units", long(self.amount.minor_units())),
            ("currency", RestrictedExpression::new_string(self.amount.currency().to_string())),
            ("amount_chosen_at_atm", RestrictedExpression::new_bool(self.amount_chosen_at_atm)),
            ("local_hour", long(u64::from(self.local_hour))),
        ];
        Context::from_pairs(facts.map(|(name, value)| (name.to_owned(), value))).ok()
    }

    /// Two institutions may use one name for different accounts or phones; ids have no slash, so this keeps them apart.
    fn owned(&self, type_name: &EntityTypeName, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(format!("{}/{id}", self.institution)))
    }
}
