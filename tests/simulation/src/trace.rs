//! Why the loop decides what it decides, from its log, as lines of a world's trace.

use std::fmt::Debug;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::world::World;

/// Adds each verdict that the loop logs to the trace of this world.
pub(crate) fn subscriber(world: Arc<World>) -> impl Subscriber + Send + Sync {
    Registry::default().with(Verdicts(world))
}

struct Verdicts(Arc<World>);

impl<S: Subscriber> Layer<S> for Verdicts {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut judged = Judged::default();
        event.record(&mut judged);
        if let Judged { verdict: Some(verdict), because: Some(because) } = judged {
            self.0.note(format_args!("judged    {verdict}: {because}"));
        }
    }
}

#[derive(Default)]
struct Judged {
    verdict: Option<String>,
    because: Option<String>,
}

impl Visit for Judged {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "verdict" => self.verdict = Some(format!("{value:?}")),
            "because" => self.because = Some(format!("{value:?}")),
            _ => {}
        }
    }
}
