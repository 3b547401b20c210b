//! For tests: every interleaving of tasks that share a state. Each task stops before each step that others can
//! see (a call of the store), and goes on when it is its turn; so the same choices give the same run, and trying all
//! choices tries all orders. Code that no test drives in this way does not stop.

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

tokio::task_local! {
    static HERE: Here;
}

struct Here {
    task: usize,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

enum Arrival {
    /// It stands before a step.
    At(usize, oneshot::Sender<()>),
    /// It has ended.
    Over,
}

/// A step that others can see comes next.
pub async fn turn() {
    let Ok((task, arrivals)) = HERE.try_with(|here| (here.task, here.arrivals.clone())) else { return };
    let (go, may_go) = oneshot::channel();
    arrivals.send(Arrival::At(task, go)).expect("somebody says who goes");
    may_go.await.expect("somebody says who goes");
}

/// Runs all tasks to their ends, one step at a time; `choose` says which of so many goes next. What each gave, in order.
pub async fn run<T: Send + 'static>(
    tasks: Vec<BoxFuture<'static, T>>,
    mut choose: impl FnMut(usize) -> usize,
) -> Vec<T> {
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut running = tasks.len();
    let mut all = JoinSet::new();
    for (task, work) in tasks.into_iter().enumerate() {
        let over = arrivals.clone();
        let here = Here { task, arrivals: arrivals.clone() };
        all.spawn(async move {
            let result = HERE.scope(here, work).await;
            over.send(Arrival::Over).expect("somebody counts");
            (task, result)
        });
    }
    // All that are not over stand before a step.
    let mut standing: Vec<(usize, oneshot::Sender<()>)> = Vec::new();
    while running > 0 {
        while standing.len() < running {
            match arrived.recv().await.expect("tasks arrive") {
                Arrival::At(task, go) => standing.push((task, go)),
                Arrival::Over => running -= 1,
            }
        }
        if running == 0 {
            break;
        }
        standing.sort_by_key(|(task, _)| *task);
        let (_, go) = standing.remove(choose(standing.len()));
        go.send(()).expect("it waits");
    }
    let mut results = all.join_all().await;
    results.sort_by_key(|(task, _)| *task);
    results.into_iter().map(|(_, result)| result).collect()
}

/// All sequences of choices, one after the other.
#[derive(Default)]
pub struct Schedules {
    /// What was chosen, of how many.
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Schedules {
    /// The next choice of this run.
    pub fn choose(&mut self, of: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, of));
        }
        let (chosen, was) = self.path[self.at];
        assert_eq!(was, of, "the same choices lead to the same place");
        self.at += 1;
        chosen
    }

    /// Goes on to the next run; `false` where there is none.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }

    /// What this run chose, for whoever wants to see it again.
    pub fn told(&self) -> String {
        self.path.iter().map(|(chosen, _)| chosen.to_string()).collect::<Vec<_>>().join("")
    }
}

#[tokio::test]
async fn all_orders_of_two_tasks_are_tried() {
    let (mut schedules, mut seen) = (Schedules::default(), std::collections::BTreeSet::new());
    loop {
        let trace = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let task = |name: char| -> BoxFuture<'static, ()> {
            let trace = std::sync::Arc::clone(&trace);
            Box::pin(async move {
                for _ in 0..3 {
                    turn().await;
                    trace.lock().unwrap().push(name);
                }
            })
        };
        run(vec![task('a'), task('b')], |of| schedules.choose(of)).await;
        let trace = trace.lock().unwrap().clone();
        assert!(seen.insert(trace.clone()), "{trace} twice");
        if !schedules.advance() {
            break;
        }
    }
    assert_eq!(seen.len(), 20, "six steps, three of them a's");
}
