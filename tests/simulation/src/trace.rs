//! Why the loop decides what it decides, from its log, as lines of a world's trace.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Arc, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::world::World;

thread_local! {
    /// The world that this thread lives in, if its trace is asked for.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// From here on this thread's logged verdicts are lines of this world's trace, or of none.
///
/// The subscriber is the process's: where a line is written it is remembered whether it is wanted,
/// whichever thread came first.
pub(crate) fn follow(world: Option<&Arc<World>>) {
    static SUBSCRIBER: Once = Once::new();
    if world.is_some() {
        SUBSCRIBER.call_once(|| {
            // A process that has another subscriber sees the verdicts there.
            let _ = tracing::subscriber::set_global_default(Registry::default().with(Verdicts));
        });
    }
    WORLD.set(world.map(Arc::clone));
}

struct Verdicts;

impl<S: Subscriber> Layer<S> for Verdicts {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let Some(world) = WORLD.with_borrow(Option::clone) else { return };
        let mut decided = Decided::default();
        event.record(&mut decided);
        if let Decided { verdict: Some(verdict), reason: Some(reason) } = decided {
            world.note(format_args!("decided   {verdict}: {reason}"));
        }
    }
}

#[derive(Default)]
struct Decided {
    verdict: Option<String>,
    reason: Option<String>,
}

impl Visit for Decided {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "verdict" => self.verdict = Some(format!("{value:?}")),
            "reason" => self.reason = Some(format!("{value:?}")),
            _ => {}
        }
    }
}
