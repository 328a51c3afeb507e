use super::*;
use crate::step::{Made, Making};

/// A step of a kind, with inputs and a setting.
struct Toy {
    kind: &'static str,
    name: &'static str,
    setting: u64,
    inputs: Vec<Arc<dyn Step>>,
}

impl Step for Toy {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn name(&self) -> String {
        self.name.to_owned()
    }
    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        ["first", "second"].into_iter().zip(self.inputs.iter().cloned()).collect()
    }
    fn recipe(&self, _: &mut Hashes<'_>) -> Result<Value> {
        Ok(json!({ "setting": self.setting }))
    }
    fn make(&self, _: &Making<'_>) -> Result<Made> {
        Ok(Made::default())
    }
    fn reads_the_run(&self) -> bool {
        self.kind == "report"
    }
}

fn step(kind: &'static str, name: &'static str, setting: u64, inputs: &[&Arc<dyn Step>]) -> Arc<dyn Step> {
    Arc::new(Toy { kind, name, setting, inputs: inputs.iter().map(|input| Arc::clone(input)).collect() })
}

fn plan(steps: &[&Arc<dyn Step>]) -> Plan {
    let order = ["text", "model", "stage", "report"];
    Plan::of_steps(steps.iter().copied(), &order, &Registry::new(), "program", &Host::detached(), None).unwrap()
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(Planned::id).collect()
}

/// Two models, one of which begins from the other, and a stage of each, over texts.
fn steps(setting: u64) -> [Arc<dyn Step>; 3] {
    let (train, valid) = (step("text", "train", 0, &[]), step("text", "valid", 0, &[]));
    let first = step("model", "first", setting, &[&train]);
    let second = step("model", "second", 0, &[&first]);
    let early = step("stage", "early", 0, &[&first, &valid]);
    let late = step("stage", "late", 0, &[&second, &valid]);
    [late, early, second]
}

#[test]
fn steps_stand_by_kind_behind_what_they_need_and_once() {
    let [late, early, second] = steps(0);
    let report = step("report", "html", 0, &[]);
    let plan = plan(&[&report, &late, &early, &second]);
    // Asked for backwards, and the model `second` twice.
    assert_eq!(ids(&plan), ["text.train", "text.valid", "model.first", "model.second", "stage.late", "stage.early"]);
    assert_eq!(plan.afterwards.len(), 1);
}

#[test]
fn a_key_depends_on_the_recipe_and_on_those_of_inputs_and_not_on_names() {
    let [late, early, second] = steps(0);
    let before = plan(&[&late, &early, &second]);
    let [late, early, second] = steps(1);
    let after = plan(&[&late, &early, &second]);
    let changed = before.steps.iter().zip(&after.steps).filter(|(a, b)| a.key != b.key).map(|(a, _)| a.id());
    assert_eq!(changed.collect::<Vec<_>>(), ["model.first", "model.second", "stage.late", "stage.early"]);

    let (a, b) = (step("model", "a", 7, &[]), step("model", "b", 7, &[]));
    let named = plan(&[&a, &b]);
    assert_eq!(named.steps[0].key, named.steps[1].key);
    let other = step("stage", "a", 7, &[]);
    assert_ne!(plan(&[&other]).steps[0].key, named.steps[0].key, "another kind of step is another step");
    let other_program =
        Plan::of_steps([&a].into_iter(), &[], &Registry::new(), "another", &Host::detached(), None).unwrap();
    assert_ne!(other_program.steps[0].key, named.steps[0].key);
}

#[test]
fn no_input_is_lost_from_a_recipe_whatever_part_it_plays() {
    /// Inputs that all play one part, and a recipe that says what the frame says, or is no table.
    struct Odd(Vec<Arc<dyn Step>>, Value);
    impl Step for Odd {
        fn kind(&self) -> &'static str {
            "stage"
        }
        fn name(&self) -> String {
            "odd".to_owned()
        }
        fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
            self.0.iter().map(|input| ("each", Arc::clone(input))).collect()
        }
        fn recipe(&self, _: &mut Hashes<'_>) -> Result<Value> {
            Ok(self.1.clone())
        }
        fn make(&self, _: &Making<'_>) -> Result<Made> {
            Ok(Made::default())
        }
    }
    let key = |settings: [u64; 2], recipe: Value| {
        let inputs = settings.map(|setting| step("text", ["a", "b"][setting as usize % 2], setting, &[]));
        let odd: Arc<dyn Step> = Arc::new(Odd(inputs.to_vec(), recipe));
        plan(&[&odd]).steps.pop().unwrap().key
    };
    let all = [
        key([0, 1], Value::Null),
        key([2, 1], Value::Null),
        key([0, 3], Value::Null),
        key([0, 1], json!("x")),
        key([0, 1], json!({ "inputs": 1 })),
        key([0, 3], json!({ "inputs": 1 })),
    ];
    let distinct: BTreeSet<&Key> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_reason_names_what_changed() {
    let [late, early, second] = steps(0);
    let before = plan(&[&late, &early, &second]);
    let recent: BTreeMap<String, Value> = before.steps.iter().map(|step| (step.id(), step.recipe.clone())).collect();
    let [late, early, second] = steps(1);
    let after = plan(&[&late, &early, &second]);
    let reason = |id: &str| {
        let step = after.steps.iter().find(|step| step.id() == id).unwrap();
        after.reason(step, &recent)
    };
    assert_eq!(reason("model.first"), Reason::Changed(vec!["setting".to_owned()]));
    assert_eq!(reason("stage.late"), Reason::Changed(vec!["model.second".to_owned()]), "an input, by its name");
    assert_eq!(reason("text.train"), Reason::Gone, "nothing changed, and yet it is asked for");
    assert_eq!(after.reason(&after.steps[0], &BTreeMap::new()), Reason::New);
    let other =
        Plan::of_steps([&second].into_iter(), &[], &Registry::new(), "another", &Host::detached(), None).unwrap();
    let told = other.reason(&other.steps[0], &recent);
    assert_eq!(told, Reason::Changed(vec!["txray itself".to_owned()]));
}

#[test]
fn a_step_that_comes_before_its_input_is_a_fault_of_ours() {
    let late = step("text", "late", 0, &[]);
    let early = step("model", "early", 0, &[&late]);
    let wrong =
        Plan::of_steps([&early].into_iter(), &["model", "text"], &Registry::new(), "program", &Host::detached(), None);
    assert!(matches!(wrong.err(), Some(Error::Order { step }) if step == "text.late"));
}
