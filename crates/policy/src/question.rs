//! How facts look to a rule: the entities and the context of `policies/schema.cedarschema`.

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, Request, RestrictedExpression, Schema,
};

use crate::facts::Facts;

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

    /// The question as Cedar takes it, or none if a fact is out of its range. It is checked against the schema: the rules were
    /// validated for exactly this shape, and a question of another shape could make them fail or stay silent.
    pub(crate) fn question(&self, facts: &Facts, schema: &Schema) -> Option<(Request, Entities)> {
        let institution = uid(&self.institution, facts.institution.as_str());
        let account = owned(&self.account, facts, facts.account.as_str());
        let device = owned(&self.device, facts, facts.device.as_str());
        let atm = uid(&self.atm, facts.atm.as_str());

        let context = context(facts, &institution, &device)?;
        let request = Request::new(account.clone(), self.withdraw.clone(), atm.clone(), context, Some(schema)).ok()?;

        let members = [
            entity(institution.clone(), of_institution(facts), None)?,
            entity(account, of_account(facts), Some(institution.clone()))?,
            entity(device, of_device(facts), Some(institution))?,
            entity(atm, of_atm(facts), None)?,
        ];
        // Always the same four shapes, so they are not checked against the schema each time; a test does it once.
        let entities = Entities::from_entities(members, None).ok()?;
        Some((request, entities))
    }
}

type Attribute = (&'static str, RestrictedExpression);

fn entity<const N: usize>(uid: EntityUid, known: [Attribute; N], parent: Option<EntityUid>) -> Option<Entity> {
    Entity::new_with_tags(uid, named(known), parent, []).ok()
}

fn context(facts: &Facts, institution: &EntityUid, device: &EntityUid) -> Option<Context> {
    if facts.local_hour > 23 {
        return None;
    }
    let mut known = vec![
        ("institution", RestrictedExpression::new_entity_uid(institution.clone())),
        ("device", RestrictedExpression::new_entity_uid(device.clone())),
        ("amount", long(facts.amount.minor_units())),
        ("currency", word(facts.amount.currency().as_str())),
        ("amount_chosen_at_atm", RestrictedExpression::new_bool(facts.amount_chosen_at_atm)),
        ("local_hour", long(facts.local_hour)),
    ];
    if let Some(metres) = facts.distance_phone_atm_m {
        known.push(("phone_to_atm_m", long(metres)));
    }
    if let (Some(km), Some(minutes)) = (facts.km_since_last_withdrawal, facts.minutes_since_last_withdrawal) {
        let travel = named([("km", long(km)), ("minutes", long(minutes))]);
        known.push(("travel", RestrictedExpression::new_record(travel).ok()?));
    }
    Context::from_pairs(named(known)).ok()
}

fn of_institution(facts: &Facts) -> [Attribute; 3] {
    [
        ("new_device_withdrawals_1h", long(facts.new_device_withdrawals_at_institution_1h)),
        ("new_device_usual_1h_milli", long(facts.new_device_usual_at_institution_1h_milli)),
        ("alarmed_7d", RestrictedExpression::new_bool(facts.institution_alarmed_7d)),
    ]
}

fn of_account(facts: &Facts) -> [Attribute; 3] {
    [
        ("usual_amount", long(facts.account_usual_amount)),
        ("withdrawals_90d", long(facts.account_withdrawals_90d)),
        ("devices_30d", long(facts.devices_on_account_30d)),
    ]
}

fn of_device(facts: &Facts) -> [Attribute; 8] {
    let age_s = facts.device_age.as_secs();
    [
        ("age_minutes", long(age_s / 60)),
        ("age_hours", long(age_s / 3_600)),
        ("age_days", long(age_s / 86_400)),
        ("channel", word(facts.device_channel.as_str())),
        ("attestation", word(facts.device_attestation.name())),
        ("accounts_30d", long(facts.accounts_on_device_30d)),
        ("drawn_7d", long(facts.device_drawn_7d)),
        ("failed_attempts", long(facts.failed_attempts)),
    ]
}

fn of_atm(facts: &Facts) -> [Attribute; 2] {
    [
        ("new_device_withdrawals_1h", long(facts.new_device_withdrawals_at_atm_1h)),
        ("evidence_grade", word(facts.evidence_grade.name())),
    ]
}

fn named(known: impl IntoIterator<Item = Attribute>) -> impl Iterator<Item = (String, RestrictedExpression)> {
    known.into_iter().map(|(name, value)| (name.to_owned(), value))
}

/// What does not fit 63 bits is as good as endless; no fact comes near it.
fn long(number: impl Into<u64>) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(number.into()).unwrap_or(i64::MAX))
}

fn word(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn uid(type_name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(id))
}

/// Two institutions may use one name for different accounts or phones; ids have no slash, so this keeps them apart.
fn owned(type_name: &EntityTypeName, facts: &Facts, id: &str) -> EntityUid {
    uid(type_name, &format!("{}/{id}", facts.institution))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, sources};

    #[test]
    fn the_entities_have_the_shape_of_the_schema() {
        let (schema, warnings) = Schema::from_cedarschema_str(&sources::schema().text).unwrap();
        assert_eq!(warnings.count(), 0);
        let ordinary = cases::ordinary_customer().unwrap();
        let (_, entities) = EntityModel::new().unwrap().question(&ordinary, &schema).unwrap();
        let checked = Entities::from_entities(entities.iter().cloned(), Some(&schema));
        assert!(checked.is_ok(), "{:?}", checked.err());
        assert_eq!(entities.len(), 4);
    }
}
