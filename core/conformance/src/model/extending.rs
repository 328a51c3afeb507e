//! A vocabulary that grows.

use txray_plugin::{Host, Model, Threads};

use super::{ModelMaker, SEED, VOCABULARY, initialized, load, reading, saved, some_documents};
use crate::bench::{Bench, Failure};

/// How many tokens are added.
const MORE: usize = 3;
/// What they begin as.
const LIKE: u32 = 2;

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    bench.property(
        "reads what it knew as before once its vocabulary has grown, and new tokens as the one they begin as",
        |_| {
            let (before, mut after) = (initialized(maker, SEED)?, initialized(maker, SEED)?);
            extend(&mut *after, VOCABULARY + MORE, LIKE)?;
            let [was, is] = [reading::described(&*before)?, reading::described(&*after)?];
            if is.vocabulary != VOCABULARY + MORE || is.sites != was.sites {
                return Err(Failure::from(format!("extended to {} tokens, it is {is:?}", VOCABULARY + MORE)));
            }
            let known = some_documents();
            let read = |model: &dyn Model, documents: &[Vec<u32>]| reading::reads(model, &was, documents);
            if read(&*before, &known)? != read(&*after, &known)? {
                return Err(Failure::from("extended, it reads otherwise what it has known before".to_owned()));
            }
            let with = |token: u32| vec![vec![1, token, 3, token], vec![token]];
            for new in VOCABULARY..VOCABULARY + MORE {
                if read(&*after, &with(new as u32))? != read(&*after, &with(LIKE))? {
                    return Err(Failure::from(format!(
                        "the new token {new} is read otherwise than the one it begins as"
                    )));
                }
            }
            let (bytes, directory) = saved(&*after)?;
            let loaded =
                load(maker, directory.path()).map_err(|error| format!("extended, it did not load: {error}"))?;
            match saved(&*loaded)?.0 == bytes {
                true => Ok(()),
                false => Err(Failure::from("extended, loaded and saved again, its bytes differ".to_owned())),
            }
        },
    );

    bench.property("is as it was where its vocabulary grows by nothing", |_| {
        let mut model = initialized(maker, SEED)?;
        let before = saved(&*model)?.0;
        extend(&mut *model, VOCABULARY, LIKE)?;
        match saved(&*model)?.0 == before {
            true => Ok(()),
            false => Err(Failure::from("extended by no token, it is saved as other bytes".to_owned())),
        }
    });
}

fn extend(model: &mut dyn Model, vocabulary: usize, like: u32) -> Result<(), String> {
    let able = model.as_extend().ok_or("it says that its vocabulary can grow, and not how")?;
    let extended = able.extend(&Host::new(&Threads(1)), vocabulary, like);
    extended.map_err(|error| format!("its vocabulary did not grow to {vocabulary}: {error}"))
}
