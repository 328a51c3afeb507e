//! The words of the generated language, written for this project.
//!
//! Lists are separated by white space and ordered from frequent to rare. A noun is its singular, with the plural
//! after a slash where `-s` is wrong; a verb is its base, with the third person and the past after slashes where the
//! regular forms are wrong; a place has the preposition that goes with it after a colon.

/// Words that both domains have.
pub(super) const SHARED: Common = Common {
    women: "woman/women mother daughter girl sister aunt",
    men: "man/men father son boy brother uncle",
    people: "friend neighbour child/children visitor stranger teacher",
    women_named: "Mary Ellen",
    men_named: "John Sam",
    places: "house:in town:in street:in river:by market:at bridge:on",
    qualities: "old new small large big little",
    traits: "young old tall quiet busy local",
    acts: "see/sees/saw find/finds/found take/takes/took bring/brings/brought carry buy/buys/bought want watch \
           clean need move count describe",
    deeds: "wait work sing/sings/sang talk smile laugh rest sleep/sleeps/slept whistle hum/hums/hummed",
    good: Praise {
        things: "good wonderful excellent beautiful perfect great",
        people: "happy kind cheerful friendly",
        manners: "beautifully gladly perfectly proudly",
        acts: "love enjoy praise admire/admires/admired",
    },
    bad: Praise {
        things: "bad terrible awful horrible ugly dreadful",
        people: "angry rude gloomy lazy",
        manners: "badly carelessly angrily poorly",
        acts: "hate dislike curse despise",
    },
};

/// What people do with a `that` after it, what people do to get somewhere, and what links to an adjective.
pub(super) const REPORTS: &str = "say/says/said think/thinks/thought know/knows/knew believe hope";
pub(super) const MOTIONS: &str = "walk go/goes/went run/runs/ran come/comes/came";
pub(super) const LINKS: &str = "look seem remain";

/// Words of one domain, or of both.
pub(super) struct Common {
    pub women: &'static str,
    pub men: &'static str,
    /// Nouns for people of either sex.
    pub people: &'static str,
    pub women_named: &'static str,
    pub men_named: &'static str,
    pub places: &'static str,
    /// Adjectives for things, and for people; without sentiment.
    pub qualities: &'static str,
    pub traits: &'static str,
    /// What people do to things, and what they do.
    pub acts: &'static str,
    pub deeds: &'static str,
    pub good: Praise,
    pub bad: Praise,
}

/// Words that carry a sentiment.
pub(super) struct Praise {
    pub things: &'static str,
    pub people: &'static str,
    pub manners: &'static str,
    /// How people feel about things.
    pub acts: &'static str,
}

/// What a group of documents is about.
pub(super) struct RawTopic {
    pub name: &'static str,
    pub things: &'static str,
    /// What people do to these things, and what the things do.
    pub acts: &'static str,
    pub events: &'static str,
    pub qualities: &'static str,
    /// Where these things are.
    pub places: &'static str,
    pub good: &'static str,
    pub bad: &'static str,
}

pub(super) const KITCHEN: Common = Common {
    women: "",
    men: "",
    people: "cook chef baker waiter guest butcher grocer gardener servant host customer apprentice",
    women_named: "Rosa Clara Julia Nora Sophie",
    men_named: "Marco Hugo Pierre Anton Felix",
    places: "kitchen:in table:at stove:by pantry:in oven:by counter:at cellar:in sink:at window:by cupboard:by \
             shelf/shelves:by garden:in",
    qualities: "",
    traits: "hungry thirsty",
    acts: "share order",
    deeds: "eat/eats/ate drink/drinks/drank dine feast",
    good: Praise { things: "", people: "generous talented", manners: "lovingly", acts: "relish" },
    bad: Praise { things: "", people: "grumpy clueless", manners: "grudgingly", acts: "loathe" },
};

pub(super) const KITCHEN_TOPICS: [RawTopic; 4] = [
    RawTopic {
        name: "baking",
        things: "cake loaf/loaves pie biscuit bun tart pastry muffin roll pancake scone waffle bagel pudding",
        acts: "bake cut/cuts/cut slice serve glaze decorate wrap/wraps/wrapped warm",
        events: "rise/rises/rose cool crumble harden swell",
        qualities: "sweet round golden flat sticky iced crusty",
        places: "table:on oven:in counter:on basket:in shelf/shelves:on",
        good: "delicious moist buttery heavenly fluffy",
        bad: "burnt stale dry soggy tasteless",
    },
    RawTopic {
        name: "soups",
        things: "soup stew sauce broth curry chowder casserole goulash gumbo bisque ragout",
        acts: "stir/stirs/stirred taste season pour heat thicken ladle strain",
        events: "simmer boil bubble thicken steam",
        qualities: "hot thick spicy salty creamy smoky clear thin",
        places: "stove:on pot:in kitchen:in table:on kettle:in",
        good: "tasty hearty fragrant savoury comforting",
        bad: "bland watery greasy lumpy sour",
    },
    RawTopic {
        name: "vegetables",
        things: "onion carrot tomato/tomatoes potato/potatoes cabbage pepper mushroom leek turnip cucumber pumpkin \
                 radish/radishes bean",
        acts: "chop/chops/chopped peel wash pick dice roast pickle plant",
        events: "ripen grow/grows/grew soften sprout shrink/shrinks/shrank",
        qualities: "green red raw yellow purple ripe leafy",
        places: "garden:in basket:in cellar:in market:at counter:on",
        good: "fresh crisp juicy plump crunchy",
        bad: "rotten mouldy wilted slimy withered",
    },
    RawTopic {
        name: "dining",
        things: "plate glass bowl cup tray spoon fork knife/knives jug mug teapot saucer platter goblet",
        acts: "polish arrange collect rinse stack lay/lays/laid wipe gather",
        events: "shine/shines/shone rattle gleam sparkle wobble",
        qualities: "white silver blue wooden empty full painted",
        places: "table:on cupboard:in sink:in dresser:on counter:on",
        good: "spotless elegant dainty charming exquisite",
        bad: "dirty chipped cracked shabby stained",
    },
];

pub(super) const HARBOUR: Common = Common {
    women: "",
    men: "",
    people: "sailor captain fisherman/fishermen pilot docker passenger engineer officer trader diver stoker \
             helmsman/helmsmen",
    women_named: "Ingrid Astrid Marta Freya Helga",
    men_named: "Olaf Jonas Finn Bruno Magnus",
    places: "harbour:in pier:on quay:on deck:on dock:on beach/beaches:on warehouse:in lighthouse:by jetty:on bay:in \
             cabin:in tavern:in",
    qualities: "",
    traits: "wet seasick",
    acts: "guard borrow",
    deeds: "swim/swims/swam row shout/shouts/shouted dive",
    good: Praise { things: "", people: "brave skilful", manners: "bravely", acts: "cherish" },
    bad: Praise { things: "", people: "cowardly drunken", manners: "recklessly", acts: "dread/dreads/dreaded" },
};

pub(super) const HARBOUR_TOPICS: [RawTopic; 4] = [
    RawTopic {
        name: "fishing",
        things: "crab lobster eel oyster herring sardine mussel prawn clam cockle haddock/haddocks mullet/mullets",
        acts: "catch/catches/caught sell/sells/sold sort weigh smoke gut/guts/gutted salt",
        events: "escape wriggle glisten vanish hide/hides/hid",
        qualities: "grey shiny wild pink spotted striped",
        places: "net:in bucket:in bay:in beach/beaches:on market:at",
        good: "superb prized succulent flawless meaty",
        bad: "foul rancid sickly stinking worthless",
    },
    RawTopic {
        name: "cargo",
        things: "crate barrel container sack parcel chest bale cask drum bundle trunk pallet box/boxes",
        acts: "load unload lift deliver inspect store haul stamp",
        events: "arrive fall/falls/fell shift roll topple",
        qualities: "heavy sealed square bulky narrow foreign iron",
        places: "warehouse:in quay:on hold:in deck:on pier:on",
        good: "valuable intact sturdy precious secure",
        bad: "damaged broken smashed dented ruined",
    },
    RawTopic {
        name: "repairs",
        things: "engine sail mast anchor rope rudder winch/winches pump propeller cable chain oar hatch/hatches",
        acts: "repair test fix mend replace adjust examine paint",
        events: "turn creak groan swing/swings/swung hold/holds/held",
        qualities: "steel brass spare long coiled oiled",
        places: "workshop:in deck:on dock:on shed:in quay:on",
        good: "reliable strong solid dependable robust",
        bad: "faulty rusty frayed jammed flimsy",
    },
    RawTopic {
        name: "voyages",
        things: "boat ship ferry yacht trawler tug barge canoe schooner steamer dinghy/dinghies tanker frigate",
        acts: "steer board follow launch moor guide rescue command",
        events: "sail depart drift float sway",
        qualities: "wooden distant white black twin Danish",
        places: "bay:in harbour:in river:on dock:at quay:by",
        good: "splendid swift graceful seaworthy majestic",
        bad: "leaky clumsy unsafe sluggish battered",
    },
];
